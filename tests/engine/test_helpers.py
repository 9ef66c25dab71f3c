"""Rows that other processes encode: the same as here, whatever becomes of the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from rmbench.engine import encode, helpers
from rmbench.engine.encode import encode_window
from rmbench.engine.helpers import Helpers
from rmbench.engine.interfaces import SilentProgress
from rmbench.engine.rows import row_maker
from rmbench.engine.stream import stream
from rmbench.errors import RmbenchError
from rmbench.models.open import open_model
from rmbench.models.protocols import EncodingScorer
from rmbench.types import Example
from tests._make import make_example
from tests.engine.toy_encoder import Fatal, ToyEncoder


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_ENCODE_ROWS", 4)


@dataclass
class Encoding:
    """A toy scorer, as `tests.engine.conftest` has it, whose encoder is its own."""

    toy: Any
    encoder: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.toy, name)

    def encode(self, requests: Any) -> Any:
        return self.encoder.encode(requests)


@pytest.fixture
def toy(scorer: Any) -> Any:
    def make(encoder: Any = None) -> Encoding:
        return Encoding(scorer(), encoder or ToyEncoder())

    return make


def rows(count: int, word: str = "answer") -> list[Example]:
    return [make_example(f"r{k}", f"question {k // 3}", f"{word} {k}", f"{word} {k} too") for k in range(count)]


def encoded(model: Any, examples: list[Example], helping: Helpers | None = None) -> list[Any]:
    return list(encode_window(examples, model, "chat", "", SilentProgress(), helping).encoded)


@pytest.fixture
def noted() -> list[str]:
    return []


@pytest.fixture
def helping(noted: list[str]) -> Iterator[Helpers]:
    with Helpers(noted.append, patience=0.0, count=2) as made:
        yield made


def pids(helping: Helpers) -> list[int]:
    return [helper._process.pid for helper in helping._helpers]


def until_ready(helping: Helpers, model: Any) -> None:
    """The helpers start with the first window and are ready some time later."""
    end = time.monotonic() + 60
    while True:
        encoded(model, rows(2), helping)
        if all(helper.ready() for helper in helping._helpers) or time.monotonic() > end:
            break
        time.sleep(0.05)
    assert len(helping._helpers) == 2


@pytest.mark.parametrize("word", ["answer", "“naïve” 日本語", "<|im_end|>"])
def test_rows_are_those_of_one_process(word: str, helping: Helpers, noted: list[str]) -> None:
    model = open_model("tiny-bt")
    until_ready(helping, model)
    assert encoded(model, rows(30, word), helping) == encoded(model, rows(30, word))
    assert noted == ["tiny-bt: rows are encoded in 2 more processes, since the model waits for them"]


def test_they_do_the_work(toy: Any, helping: Helpers) -> None:
    model = toy()
    until_ready(helping, model)
    made = encoded(model, rows(30), helping)
    by = {row.payload[1] for row in made}
    assert by <= set(pids(helping))
    assert os.getpid() not in by


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_helper_that_dies_is_done_without(toy: Any, helping: Helpers, noted: list[str], when: str) -> None:
    model = toy()
    until_ready(helping, model)
    if when == "before":
        for pid in pids(helping):
            os.kill(pid, signal.SIGKILL)
        made = encoded(model, rows(30), helping)
        assert {row.payload[1] for row in made} == {os.getpid()}
    else:
        fatal = replace(model.encoder, fatal=Fatal(os.getpid(), "answer 7 too"))
        model.encoder = fatal
        until_ready(helping, model)
        made = encoded(model, rows(30), helping)
    assert [row.key for row in made] == [row.key for row in encoded(toy(), rows(30))]
    assert any("has ended (signal SIGKILL)" in line for line in noted)


@pytest.mark.parametrize("size", [30, 6000], ids=["of a chunk", "of more than the pipe holds"])
def test_a_helper_that_hangs_is_given_up(
    toy: Any, helping: Helpers, noted: list[str], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Its chunk is made here, and the process is killed."""
    model = toy()
    until_ready(helping, model)
    stopped = pids(helping)[0]
    monkeypatch.setattr(helpers, "_LATE", 0.5)
    os.kill(stopped, signal.SIGSTOP)
    word = "answer " * (size // 7)
    made = encoded(model, rows(30, word), helping)
    assert [row.key for row in made] == [row.key for row in encoded(toy(), rows(30, word))]
    assert noted[1:] == ["a process that encodes rows has not answered for 0 s; it is done without"]
    assert stopped not in pids(helping)
    with pytest.raises(ProcessLookupError):
        os.kill(stopped, 0)


def test_what_helpers_cannot_make_is_raised_as_in_one_process(toy: Any, helping: Helpers) -> None:
    model = toy()
    until_ready(helping, model)
    with pytest.raises(RmbenchError, match="no row can be encoded"):
        encoded(model, rows(30, "NEVER"), helping)
    assert len(encoded(model, rows(30), helping)) == 60


def test_an_encoder_that_cannot_be_sent_stays_here(toy: Any, helping: Helpers, noted: list[str]) -> None:
    model = toy()
    model.encoder.fatal = lambda: None
    assert encoded(model, rows(4), helping)
    assert len(noted) == 1
    assert noted[0].startswith("rows are encoded in one process: ")


def test_an_encoder_that_cannot_be_opened_there_stays_here(
    toy: Any, helping: Helpers, noted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helpers, "_PROGRAM", helpers._PROGRAM.replace("{path!r}", repr(sys.path).replace("{", "{{")))
    monkeypatch.setattr(ToyEncoder, "__module__", "nowhere")
    monkeypatch.setitem(sys.modules, "nowhere", sys.modules["tests.engine.toy_encoder"])
    model = toy()
    end = time.monotonic() + 60
    while len(noted) < 3 and time.monotonic() < end:
        assert len(encoded(model, rows(4), helping)) == 8
        time.sleep(0.05)
    assert all("has ended (ModuleNotFoundError: No module named 'nowhere')" in line for line in noted[1:])


def test_a_model_that_encodes_by_more_than_conversations_has_none(scorer: Any, helping: Helpers) -> None:
    model = scorer()
    assert not isinstance(model, EncodingScorer)
    assert not row_maker(model).alone
    assert encoded(model, rows(10), helping) == encoded(model, rows(10))
    assert not pids(helping)


def test_equal_requests_are_encoded_once(toy: Any) -> None:
    model = toy()
    twice = [replace(each, id=f"{each.id}-{copy}") for copy in range(2) for each in rows(5)]
    made = encoded(model, twice)
    assert [row.key for row in made[:10]] == [row.key for row in made[10:]]
    assert model.encoder.count == 10


def test_they_start_once_the_model_has_waited(toy: Any, noted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_WINDOW", 8)
    monkeypatch.setattr(helpers, "_cores", lambda: 4)

    def judged(seconds: float, patience: float) -> list[str]:
        monkeypatch.setattr(helpers, "_PATIENCE", patience)
        monkeypatch.setattr(Helpers.__init__, "__defaults__", (patience, None))
        progress = SilentProgress()
        lines: list[str] = []
        monkeypatch.setattr(progress, "note", lines.append)
        count = sum(1 for _ in stream(rows(60), toy(ToyEncoder(seconds=seconds)), progress=progress))
        assert count == 60
        return lines

    assert judged(0.01, patience=0.02)
    assert not judged(0.0, patience=5.0)


@pytest.mark.parametrize("what", ["end", "kill"])
def test_nothing_of_them_is_left(what: str, tmp_path: Path) -> None:
    """After the end of a run that had them, from a script without a main guard, and after its death."""
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from rmbench.engine.helpers import Helpers\n"
        "from tests.engine.conftest import ToyScorer\n"
        "from tests.engine.test_helpers import Encoding, ToyEncoder, pids, until_ready\n"
        "model = Encoding(ToyScorer(), ToyEncoder())\n"
        "with Helpers(print, patience=0.0, count=2) as helping:\n"
        "    until_ready(helping, model)\n"
        "    print('pids', *pids(helping), flush=True)\n"
        f"    time.sleep({60 if what == 'kill' else 0})\n",
        "utf-8",
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = next(line for line in process.stdout if line.startswith("pids")).split()[1:]
    if what == "kill":
        process.kill()
    process.communicate()
    end = time.monotonic() + 10
    while any(Path("/proc", pid).exists() for pid in found) and time.monotonic() < end:
        time.sleep(0.05)
    assert len(found) == 2
    assert not any(Path("/proc", pid).exists() for pid in found)

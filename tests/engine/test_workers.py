"""Jobs in other processes: same results, and a worker that dies loses no row."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rmbench.engine.judge import EngineOptions, judge
from rmbench.engine.workers import Workers
from rmbench.errors import RmbenchError

MODULE = """
import os, pathlib
import numpy as np
from rmbench.models.protocols import Encoded, ModelFacts, Sharing

class Toy:
    answers = frozenset({"reward"})
    pad_id = 0
    threads = 1
    chunk_tokens = 64
    facts = ModelFacts("toy", "0", "scalar", fingerprint="toy")

    def __init__(self, marks="", agrees=True):
        self.marks, self.agrees = marks, agrees

    def encode(self, requests):
        texts = ["\\n".join(m.text for m in r.conversation) for r in requests]
        return [Encoded(text, len(text), tuple(text.encode()), payload=text) for text in texts]

    def sharing(self, batches):
        return Sharing(self.agrees, "lean: fine")

    def forward(self, batch):
        for row in batch.rows:
            mark = pathlib.Path(self.marks, "died")
            if "ALWAYS" in row.payload or ("ONCE" in row.payload and not mark.exists()):
                mark.touch()
                os._exit(9)
        return {"reward": np.array([[float(sum(row.ids) % 97)] for row in batch.rows], dtype=np.float32)}

    def combine(self, outputs):
        return None

class OpenToy:
    def __init__(self, marks="", agrees=True):
        self.marks, self.agrees = marks, agrees
    def __call__(self):
        return Toy(self.marks, self.agrees)

def cannot_open():
    raise OSError("weights are gone")

class Wrong(Toy):
    def forward(self, batch):
        return {"rewards": np.zeros((len(batch.rows), 1), dtype=np.float32)}

def open_wrong():
    return Wrong()
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module that a spawned process can import as well."""
    (tmp_path / "rmbench_toy_worker.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield importlib.import_module("rmbench_toy_worker")
    importlib.sys.modules.pop("rmbench_toy_worker")  # type: ignore[attr-defined]


def rows(example: Any, *special: str) -> list[Any]:
    shared = "a beginning that all the answers of this prompt have in common, "
    texts = [f"{n} answer" for n in range(12)] + list(special)
    return [example(f"e{n}", shared + str(n), text, "other") for n, text in enumerate(texts)]


def test_workers_give_what_one_process_gives(toy: Any, example: Any) -> None:
    examples = rows(example)
    alone = judge("t", examples, toy.Toy())
    with Workers(toy.OpenToy(), 2) as workers:
        first = judge("t", examples, toy.Toy(), executor=workers)
        again = judge("u", examples, toy.Toy(), executor=workers, options=EngineOptions(batch_tokens=10))
    assert first.judgments == again.judgments == alone.judgments
    assert first.sharing == "shared"


def test_a_worker_that_dies_once_loses_no_row(toy: Any, example: Any, tmp_path: Path) -> None:
    examples = rows(example, "ONCE")
    with Workers(toy.OpenToy(str(tmp_path)), 2) as workers:
        judging = judge("t", examples, toy.Toy(str(tmp_path)), executor=workers)
    assert (tmp_path / "died").exists()
    assert all(judgment.status == "ok" for judgment in judging.judgments)
    assert judging.judgments == judge("t", examples, toy.Toy(str(tmp_path))).judgments


def test_a_job_that_kills_every_worker_fails_and_the_others_do_not(toy: Any, example: Any, tmp_path: Path) -> None:
    examples = rows(example, "ALWAYS")
    options = EngineOptions(batch_rows=2, share=False)
    with Workers(toy.OpenToy(str(tmp_path)), 2) as workers:
        judging = judge("t", examples, toy.Toy(str(tmp_path)), executor=workers, options=options)
    failed = [judgment for judgment in judging.judgments if judgment.status == "failed"]
    assert 1 <= len(failed) <= 2
    assert all("died twice on it (exit code 9)" in judgment.error for judgment in failed)
    assert judging.judgments[-1] in failed


def test_a_worker_that_disagrees_computes_rows_by_themselves(toy: Any, example: Any) -> None:
    examples = rows(example)
    with Workers(toy.OpenToy("", False), 1) as workers:
        assert judge("t", examples, toy.Toy(), executor=workers).judgments == judge("t", examples, toy.Toy()).judgments


@pytest.mark.parametrize(
    ("opener", "message"),
    [("cannot_open", "cannot open the model: OSError: weights are gone"), ("open_wrong", "forward gave")],
)
def test_what_is_wrong_with_every_worker_is_one_error(toy: Any, example: Any, opener: str, message: str) -> None:
    with Workers(getattr(toy, opener), 1) as workers, pytest.raises(RmbenchError, match=message):
        judge("t", rows(example), toy.Toy(), executor=workers)

"""Jobs in other processes: same results, and a worker that dies loses no row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rmbench.engine.fleet_processes import ProcessFleet
from rmbench.engine.interfaces import Job
from rmbench.engine.judge import EngineOptions, judge
from rmbench.engine.pool import Pool
from rmbench.engine.requests import requests_of
from rmbench.errors import RmbenchError
from tests.engine import toy_worker


@pytest.fixture
def toy() -> Any:
    """A module that a worker can import as well."""
    return toy_worker


def processes(opener: Any, count: int) -> Pool:
    return Pool(ProcessFleet(opener, count), count, note=print)


def rows(example: Any, *special: str) -> list[Any]:
    shared = "a beginning that all the answers of this prompt have in common, "
    texts = [f"{n} answer" for n in range(12)] + list(special)
    return [example(f"e{n}", shared + str(n), text, "other") for n, text in enumerate(texts)]


def test_workers_give_what_one_process_gives(toy: Any, example: Any) -> None:
    examples = rows(example)
    alone = judge("t", examples, toy.Toy())
    with processes(toy.OpenToy(), 2) as workers:
        first = judge("t", examples, toy.Toy(), executor=workers)
        again = judge("u", examples, toy.Toy(), executor=workers, options=EngineOptions(batch_tokens=10))
    assert first.judgments == again.judgments == alone.judgments
    assert first.sharing == "shared"


def test_a_worker_that_dies_once_loses_no_row(toy: Any, example: Any, tmp_path: Path) -> None:
    examples = rows(example, "ONCE")
    with processes(toy.OpenToy(str(tmp_path)), 2) as workers:
        judging = judge("t", examples, toy.Toy(str(tmp_path)), executor=workers)
    assert (tmp_path / "died").exists()
    assert all(judgment.status == "ok" for judgment in judging.judgments)
    assert judging.judgments == judge("t", examples, toy.Toy(str(tmp_path))).judgments


@pytest.mark.parametrize("share", [True, False])
def test_a_row_that_kills_its_worker_fails_alone(toy: Any, example: Any, tmp_path: Path, share: bool) -> None:
    examples = rows(example, "ALWAYS", *(f"{n} more" for n in range(20)))
    options = EngineOptions(share=share, batch_tokens=100_000)
    with processes(toy.OpenToy(str(tmp_path)), 2) as workers:
        judging = judge("t", examples, toy.Toy(str(tmp_path)), executor=workers, options=options)
    (failed,) = (judgment for judgment in judging.judgments if judgment.status == "failed")
    assert failed.id == "e12"
    assert failed.error == "candidate 0: the worker process died twice on it (exit code 9)"
    assert len((tmp_path / "died").read_text()) == 4  # twice with its batch, twice alone
    healthy = [one for one in examples if one.id != "e12"]
    assert [one for one in judging.judgments if one is not failed] == list(judge("t", healthy, toy.Toy()).judgments)


def test_the_signal_that_ended_a_worker_is_named(toy: Any, example: Any) -> None:
    with processes(toy.OpenToy(), 1) as workers:
        judging = judge("t", rows(example, "SHOT"), toy.Toy(), executor=workers)
    assert judging.judgments[-1].error == "candidate 0: the worker process died twice on it (signal SIGKILL)"
    assert [judgment.status for judgment in judging.judgments] == ["ok"] * 12 + ["failed"]


def test_deaths_are_bounded(toy: Any, example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmbench.engine.places._MOST_DEATHS", 5)
    examples = rows(example, *(f"ALWAYS {n}" for n in range(10)))
    with (
        processes(toy.OpenToy(str(tmp_path)), 2) as workers,
        pytest.raises(RmbenchError, match=r"workers died 5 times .* exit code 9.*--workers"),
    ):
        judge("t", examples, toy.Toy(str(tmp_path)), executor=workers, options=EngineOptions(batch_rows=1))
    assert len((tmp_path / "died").read_text()) <= 6  # the other worker's last is not waited for


def test_after_an_error_the_workers_begin_anew(toy: Any, example: Any) -> None:
    """What a worker still computes for a task that was given up is not taken for an answer of the next task."""
    examples = rows(example)
    with processes(toy.OpenToy(), 2) as workers:
        abandoned = workers.run(toy.Toy(), jobs(toy, examples), "right")
        next(abandoned)
        abandoned.close()
        judging = judge("t", examples[::-1], toy.Toy(), executor=workers, options=EngineOptions(batch_rows=1))
    assert judging.judgments == judge("t", examples[::-1], toy.Toy()).judgments


def jobs(toy: Any, examples: Any) -> list[Job]:
    requests = requests_of(examples, "chat", in_pairs=False)[0]
    return [Job(index, (row,)) for index, row in enumerate(toy.Toy().encode(requests))]


def test_a_worker_that_disagrees_computes_rows_by_themselves(toy: Any, example: Any) -> None:
    examples = rows(example)
    with processes(toy.OpenToy("", False), 1) as workers:
        assert judge("t", examples, toy.Toy(), executor=workers).judgments == judge("t", examples, toy.Toy()).judgments


@pytest.mark.parametrize(
    ("opener", "message"),
    [
        ("cannot_open", "cannot open the model: OSError: weights are gone"),
        ("open_wrong", "forward gave"),
        (
            "dies_opening",
            r"died before it had opened the model \(exit code 3\)\. Is there memory for the model 2 times",
        ),
        ("is_shot_opening", r"died before it had opened the model \(signal SIGKILL\).*--workers 2"),
        ("open_other", r"opened another model than this process on .* \(fingerprints other and toy\)"),
    ],
)
def test_what_is_wrong_with_every_worker_is_one_error(toy: Any, example: Any, opener: str, message: str) -> None:
    with processes(getattr(toy, opener), 2) as workers, pytest.raises(RmbenchError, match=message):
        judge("t", rows(example), toy.Toy(), executor=workers)


def test_an_opener_that_no_worker_can_be_sent_is_one_error(toy: Any) -> None:
    with pytest.raises(RmbenchError, match="cannot be opened in worker processes: "):
        ProcessFleet(lambda: toy.Toy(), 1)


UNGUARDED = """
import json, pathlib, sys
import rmbench

pathlib.Path(sys.argv[1], "starts").open("a").write("x")
results = rmbench.run(
    "tiny-bt", ["rm-bench"], source="sample", workers=int(sys.argv[2]), out=pathlib.Path(sys.argv[1], sys.argv[2])
)
print(json.dumps([results.headline("rm-bench").value, results.failed_rows]))
"""


def test_a_script_without_a_main_guard_works(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    said = []
    for workers in ("1", "2"):
        command = [sys.executable, str(script), str(tmp_path), workers]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
        assert ended.returncode == 0, ended.stderr
        said.append(json.loads(ended.stdout.splitlines()[-1]))
    assert said[0] == said[1]
    assert said[0][0] == pytest.approx(0.542, abs=1e-3)
    assert (tmp_path / "starts").read_text() == "xx"  # once a run: no worker ran the script again

"""A task of which every row failed for one reason has no record, whatever the route; the run says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import rmbench
from rmbench.cli import main
from rmbench.errors import RmbenchError
from rmbench.evaluation.all_failed import AllFailedError, refuse_all_failed
from rmbench.models.protocols import ModelFacts
from rmbench.records.journal import FILE_NAME
from rmbench.records.store import find, read
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import Example, Judgment
from tests._make import make_row


@dataclass
class Failing:
    """A judge that fails on every row of some tasks."""

    on: tuple[str, ...]
    why: Callable[[Example], str] = lambda example: "HTTP 401: no such key"
    family: str = "judge"
    asked: list[str] = field(default_factory=list)

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts("org/failing", "0", self.family, fingerprint="failing")

    def judge(self, task: str, example: Example) -> Judgment:
        self.asked.append(example.id)
        if task in self.on:
            raise RuntimeError(self.why(example))
        return Judgment(example.id, rewards=tuple(float(len(one.text)) for one in example.candidates))


def run(model: Any, tasks: Any, out: Path, **options: Any) -> rmbench.Results:
    return rmbench.run(model, tasks, source="sample", out=out, **options)


@pytest.mark.parametrize("family", ["judge", "baseline"])
def test_a_named_task_ends_the_run(tmp_path: Path, family: str) -> None:
    with pytest.raises(
        RmbenchError, match=r"^rm-bench: org/failing failed on all 10 rows; the first, .*HTTP 401"
    ) as said:
        run(Failing(("rm-bench",), family=family), ["rm-bench", "llmbar"], tmp_path)
    assert said.value.exit_code == 3
    assert [folder.name for folder in find(tmp_path)] == ["llmbar@1+sample"]


def test_other_tasks_of_a_selection_go_on(tmp_path: Path) -> None:
    results = run(Failing(("llmbar",)), ["rm-benc?", "llmba?", "reward-benc?"], tmp_path)
    assert [record.task.id for record in results.records] == ["reward-bench", "rm-bench"]
    assert [(item.task, item.failed_rows) for item in results.skipped] == [("llmbar", 13)]
    assert results.failed_rows == 13
    assert "HTTP 401" in results.skipped[0].why
    assert len(find(tmp_path)) == 2


def test_where_nothing_is_left_the_run_ends(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match="no task could be run:\n  llmbar: org/failing failed on all") as said:
        run(Failing(("llmbar",)), "llmba?", tmp_path)
    assert said.value.exit_code == 3


def test_the_next_run_asks_again(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError):
        run(Failing(("llmbar",)), "llmbar", tmp_path)
    assert not list(tmp_path.rglob(FILE_NAME))
    mended = Failing(())
    assert run(mended, "llmbar", tmp_path).failed_rows == 0
    assert len(mended.asked) == 13


@pytest.mark.parametrize(
    "why",
    [
        lambda example: f"{example.id}: no answer within {len(example.prompt[0].text)} s",
        lambda example: f"candidate {len(example.id) % 2}: the model's reward is NaN",
        lambda example: f"CUDA out of memory. Tried to allocate {len(example.prompt[0].text) / 7:.2f} MiB",
    ],
)
def test_ids_and_numbers_make_no_other_reason(tmp_path: Path, why: Any) -> None:
    with pytest.raises(AllFailedError):
        run(Failing(("llmbar",), why=why), "llmbar", tmp_path)


def test_several_reasons_are_a_record(tmp_path: Path) -> None:
    model = Failing(("llmbar",), why=lambda example: "timed out" if "0" in example.id else "no such key")
    assert run(model, "llmbar", tmp_path).failed_rows == 13


def test_one_row_that_failed_is_no_record_and_one_that_was_judged_is(tmp_path: Path) -> None:
    with pytest.raises(AllFailedError, match="failed on all 1 rows"):
        run(Failing(("llmbar",)), "llmbar", tmp_path, limit=1)
    assert run(Failing(()), "llmbar", tmp_path, limit=1).failed_rows == 0


def test_unparsed_and_no_rows_at_all_are_not_refused() -> None:
    refuse_all_failed("task", "model", [])
    refuse_all_failed("task", "model", [make_row("a", None, size=2, status="unparsed") for _ in range(3)])
    failed = make_row("a", None, size=2, status="failed")
    refuse_all_failed("task", "model", [failed, make_row("b", (1.0, 0.0), size=2)])
    with pytest.raises(AllFailedError):
        refuse_all_failed("task", "model", [failed, make_row("b", None, size=2, status="failed")])


def score_file(tmp_path: Path) -> Path:
    """All scores of rm-bench, and of llmbar none whose id is a row's."""
    rows = [
        {"task": "rm-bench", "id": example.id, "scores": [float(k) for k in range(len(example.candidates))]}
        for example in load(get("rm-bench"), "sample").examples
    ]
    file = tmp_path / "scores.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"task": "llmbar", "id": "?", "scores": [1, 0]}]))
    return file


def test_the_command_says_so_with_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["run", "--model", f"scores:{score_file(tmp_path)}", "--source", "sample", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main([*given, "--tasks", "all", "--json"])
    said = capsys.readouterr()
    assert ended.value.code == 3
    printed = json.loads(said.out)
    assert {row["task"] for row in printed["results"]} == {"rm-bench"}
    assert printed["failed_rows"] == 13
    assert "llmbar" in {item["task"] for item in printed["skipped"]}
    assert "rmbench: llmbar: scores:scores failed on all 13 rows; the first, " in said.err
    with pytest.raises(SystemExit) as ended:
        main([*given, "--tasks", "rm-bench,llmbar"])
    assert ended.value.code == 3
    assert "rmbench: llmbar: scores:scores failed on all 13 rows" in capsys.readouterr().err
    assert [read(folder).task.id for folder in find(tmp_path / "out")] == ["rm-bench"]


def test_an_ensemble_whose_member_fails_everywhere(tmp_path: Path) -> None:
    with pytest.raises(AllFailedError, match=r"failed on all 13 rows; .*no score in scores\.jsonl"):
        run(f"ensemble:scores:{score_file(tmp_path)},baseline:length", "llmbar", tmp_path)

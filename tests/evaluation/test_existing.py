"""What a run does with the records that are there: it replaces its own result alone, and asks again for what failed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rmbench
from rmbench import resources
from rmbench.errors import RmbenchError
from rmbench.evaluation.run import run
from rmbench.models.judges.build import make_judge
from rmbench.models.servers.generation import Question, Reply
from rmbench.models.servers.usage import Usage
from rmbench.records.store import JUDGMENTS_NAME, RECORD_NAME, find, read
from tests._make import write_sealed


def contents(out: Path) -> dict[str, bytes]:
    """Every record's two files by the folder they lie in."""
    return {
        f"{folder.relative_to(out)}/{name}": (folder / name).read_bytes()
        for folder in find(out)
        for name in (RECORD_NAME, JUDGMENTS_NAME)
    }


def own_task(folder: Path, rows: list[dict[str, str]]) -> Path:
    """A task of its own and its rows."""
    folder.mkdir(exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = folder / "mine.toml"
    file.write_text(
        """
id = "mine"
version = 1
title = "Mine"
family = "text"
modality = "text"
shape = "pair"
n = 2
verified = false
[source]
hub = "some/set"
folder = "mine"
[[files]]
paths = ["rows.jsonl"]
[columns]
prompt = "prompt"
chosen = "chosen"
rejected = "rejected"
[[metric]]
name = "accuracy"
rule = "pair"
tie = 0.0
unparsed = 0.5
chance = 0.5
"""
    )
    return file


ROWS = [{"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "d", "chosen": "e", "rejected": "f"}]


@pytest.mark.parametrize(
    "other",
    [
        {"limit": 2},
        {"seed": 5},
        {"limit": 2, "seed": 5},
        {"dtype": "bfloat16"},
        {"max_length": 16},
        {"model_args": {"truncation_side": "right"}},
        {"attn": "eager"},
        {"special_tokens": "text"},
    ],
)
def test_another_setting_has_a_folder_of_its_own(other: dict[str, Any], tmp_path: Path) -> None:
    rmbench.run("tiny-bt", "reward-bench", source="sample", out=tmp_path)
    before = contents(tmp_path)
    rmbench.run("tiny-bt", "reward-bench", source="sample", out=tmp_path, **other)
    after = contents(tmp_path)
    assert len(after) == 2 * len(before) == 4
    assert {name: after[name] for name in before} == before


def test_the_same_run_replaces_its_own_records(tmp_path: Path) -> None:
    """Of every task, whatever kind of metric it has, and of judges."""
    for model, tasks in (("tiny-bt", "all"), (judge(Backend(lambda _: False)), "judgebench,llmbar,pandalm")):
        runs = [run(model, tasks, source="sample", out=tmp_path) for _ in range(2)]
        assert [record.task.id for record in runs[1].records] == [record.task.id for record in runs[0].records]
        assert [each.task for each in runs[1].skipped] == [each.task for each in runs[0].skipped]


def test_a_sample_does_not_replace_the_whole(tmp_path: Path) -> None:
    shutil.copytree(resources.tasks() / "samples" / "reward-bench", tmp_path / "data" / "reward-bench")
    given: dict[str, Any] = {"out": tmp_path / "out", "allow_changed_data": True}
    rmbench.run("tiny-bt", "reward-bench", source=str(tmp_path / "data"), **given)
    before = contents(tmp_path / "out")
    rmbench.run("tiny-bt", "reward-bench", source="sample", **given)
    assert before.items() < contents(tmp_path / "out").items()


def test_changed_rows_of_ones_own_file_are_refused_unless_asked_for(tmp_path: Path) -> None:
    out, task = tmp_path / "out", own_task(tmp_path / "data", ROWS)

    def again(**more: Any) -> None:
        rmbench.run("tiny-bt", str(task), source=str(tmp_path / "data"), out=out, **more)

    again()
    before = contents(out)
    own_task(tmp_path / "data", [{**ROWS[0], "chosen": "another"}, ROWS[1]])
    with pytest.raises(RmbenchError, match=r"mine@1 holds another result: its rows or images are others") as told:
        again()
    assert "--overwrite replaces it, another --out keeps both" in str(told.value)
    assert contents(out) == before
    again(overwrite=True)
    assert contents(out).keys() == before.keys()
    assert contents(out) != before


def test_a_folder_with_another_result_is_skipped_where_all_tasks_are_meant(tmp_path: Path) -> None:
    results = rmbench.run("tiny-bt", "reward-bench,rm-bench", source="sample", out=tmp_path)
    (folder,) = [folder for folder in find(tmp_path) if folder.name.startswith("rm-bench")]
    data = json.loads((folder / RECORD_NAME).read_text())
    data["data"]["digest"] = "0" * 64
    write_sealed(folder / RECORD_NAME, data)
    text = (folder / RECORD_NAME).read_text()
    results = rmbench.run("tiny-bt", "r*-bench", source="sample", out=tmp_path)
    assert [record.task.id for record in results.records] == ["reward-bench"]
    assert "holds another result" in {each.task: each.why for each in results.skipped}["rm-bench"]
    assert (folder / RECORD_NAME).read_text() == text


def test_a_record_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    rmbench.run("tiny-bt", "rm-bench", source="sample", out=tmp_path)
    (folder,) = find(tmp_path)
    (folder / RECORD_NAME).write_text('{"schema_version": 99}')
    with pytest.raises(RmbenchError, match=r"holds another result: it cannot be read: .* schema_version 99 is"):
        rmbench.run("tiny-bt", "rm-bench", source="sample", out=tmp_path)


Asked = tuple[str, tuple[int, ...]]
"""A row, and its candidates in the order shown."""


class Backend:
    """Answers A, or fails where it is told to; keeps what it was asked."""

    name, settings = "org/judge", {"server": "memory"}

    def __init__(self, fails: Callable[[Question], bool]) -> None:
        self.usage, self.fails = Usage(), fails
        self.asked: list[Asked] = []

    def ask(self, question: Question) -> Reply:
        self.asked.append((question.example, question.shown))
        return Reply(error="HTTP 500") if self.fails(question) else Reply(text="[[A]]")

    def close(self) -> None:
        """Nothing to close."""


def judge(backend: Backend) -> Any:
    """A Responder, which a run takes as it takes a callable."""
    return make_judge(backend)


def judged(out: Path, fails: Callable[[Question], bool] = lambda _: False, **options: Any) -> tuple[list[Asked], Any]:
    """What a judge was asked, and the record."""
    backend = Backend(fails)
    results = run(judge(backend), "judge-spoofing", out=out, **{"limit": 40, **options})
    return backend.asked, results.records[0]


def of_two_rows(asked: list[Asked]) -> Callable[[Question], bool]:
    rows = sorted({row for row, _ in asked})[:2]
    return lambda question: question.example in rows


def test_a_judge_is_asked_again_for_the_rows_that_failed_alone(tmp_path: Path) -> None:
    whole, _ = judged(tmp_path / "elsewhere")
    fails = of_two_rows(whole)
    first, record = judged(tmp_path, fails)
    assert (len(first), record.counts.failed) == (len(whole), 2)
    again, mended = judged(tmp_path)
    assert sorted(again) == sorted(each for each in whole if each[0] in {row.id for row in record.failed})
    assert mended.counts.failed == 0
    undisturbed = read(find(tmp_path / "elsewhere")[0])
    assert mended.results == undisturbed.results
    assert mended.judgments == undisturbed.judgments


def test_a_record_without_failures_is_made_anew_and_retried_at_wish(tmp_path: Path) -> None:
    whole, record = judged(tmp_path)
    assert len(judged(tmp_path)[0]) == len(whole)
    asked, kept = judged(tmp_path, retry_failed=True)
    assert asked == []
    assert (kept.results, kept.judgments) == (record.results, record.judgments)


def test_overwrite_asks_everything_again(tmp_path: Path) -> None:
    whole, _ = judged(tmp_path / "elsewhere")
    judged(tmp_path, of_two_rows(whole))
    assert len(judged(tmp_path, overwrite=True)[0]) == len(whole)


def test_the_answers_of_a_stopped_run_survive_another_run_of_the_judge(tmp_path: Path) -> None:
    class Stopped(Backend):
        def ask(self, question: Question) -> Reply:
            if len(self.asked) == 30:
                raise KeyboardInterrupt
            return super().ask(question)

    stopped = Stopped(lambda _: False)
    with pytest.raises(KeyboardInterrupt):
        run(judge(stopped), "judge-spoofing", limit=40, out=tmp_path, window=1)
    run(judge(Backend(lambda _: False)), "llmbar", source="sample", limit=4, out=tmp_path)
    whole, _ = judged(tmp_path / "elsewhere")
    again, _ = judged(tmp_path)
    assert len(again) == len(whole) - 30
    assert not set(again) & set(stopped.asked)


def test_a_stopped_run_that_goes_on_asks_again_for_what_had_failed(tmp_path: Path) -> None:
    class Stopped(Backend):
        def ask(self, question: Question) -> Reply:
            if len(self.asked) == 140:
                raise KeyboardInterrupt
            return super().ask(question)

    whole, _ = judged(tmp_path / "elsewhere", limit=100)
    first = whole[0][0]
    stopped = Stopped(lambda question: question.example == first)
    with pytest.raises(KeyboardInterrupt):
        run(judge(stopped), "judge-spoofing", limit=100, out=tmp_path, window=1)
    again, record = judged(tmp_path, limit=100)
    assert record.counts.failed == 0
    assert sorted(again) == sorted({*whole} - {each for each in stopped.asked if each[0] != first})

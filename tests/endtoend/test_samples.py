"""The main job on the bundled samples, with models whose answers are known beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import rmbench
from rmbench import resources
from rmbench.records.store import find
from rmbench.records.store import read as read_record
from tests._make import exit_code

TASKS = {task.id: task for task in rmbench.select_tasks("all")}
TEXT = [name for name, task in TASKS.items() if task.modality == "text"]
CORRELATIONS = ("kendall", "spearman", "pearson", "delta", "list")
RATED = {name for name, task in TASKS.items() if task.metrics[0].rule.startswith(CORRELATIONS)}

WITHOUT_FAKES = {
    "decapbench": "no gold",
    "hpsv2-generators": "no gold",
    "mrmbench-easy": "hidden states",
    "mrmbench-hard": "hidden states",
}
FIRST_NINE = {
    "reward-bench": 1,
    "rm-bench": 1,
    "rmb-pairwise": 1,
    "rmb-bon": 1,
    "judgebench": 1,
    "judgebench-claude": 1,
    "llmbar": 1,
    "hh-harmless": 1,
    "unieval-topical-chat": -1,  # the lowest value of a rank correlation
}


def run(tmp_path: Path, model: Any, tasks: Any = "all", **options: Any) -> rmbench.Results:
    return rmbench.run(model, tasks, source="sample", out=tmp_path, **options)


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = exit_code(*arguments)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def schema(name: str) -> Any:
    return json.loads((resources.schemas() / f"{name}.schema.json").read_text())


def test_oracle_is_right_everywhere(tmp_path: Path) -> None:
    results = run(tmp_path, "fake:oracle")
    # Five subsets at 1 and upstream's formula for Ties, which gives the best model 1.01.
    best = {"reward-bench-2": (5 + 1.01) / 6}
    # These two figures weigh ties or linear distance, which an oracle that only orders cannot reach.
    nearly = {"fetv", "ragchecker"}
    for record in results.records:
        value = results.headline(record.task.id).value
        assert value is not None
        if record.task.id in nearly:
            assert 0.9 < value < 1, record.task.id
        else:
            assert value == pytest.approx(best.get(record.task.id, 1.0)), record.task.id
    assert results.failed_rows == 0
    skipped = {item.task: item.why for item in results.skipped}
    assert skipped.keys() == WITHOUT_FAKES.keys()
    assert all(word in skipped[task] for task, word in WITHOUT_FAKES.items())
    assert {record.task.id for record in results.records} == TASKS.keys() - WITHOUT_FAKES.keys()


def test_anti_is_wrong_everywhere(tmp_path: Path) -> None:
    results = run(tmp_path, "fake:anti", list(FIRST_NINE))
    for task, lowest in FIRST_NINE.items():
        assert results.headline(task).value == pytest.approx(min(0.0, lowest)), task


def test_coin_is_about_chance(tmp_path: Path) -> None:
    results = run(tmp_path, "fake:coin", list(FIRST_NINE), seed=3)
    inside = 0
    for task in FIRST_NINE:
        value = results.headline(task)
        assert value.low is not None
        assert value.high is not None
        assert value.chance is not None
        inside += value.low <= value.chance <= value.high
    # Each 95% interval misses by itself with probability .05; three misses of nine have probability .008.
    assert inside >= len(FIRST_NINE) - 2


def test_broken_rows_fail_and_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(
        capsys,
        "run",
        "--model",
        "fake:broken",
        "--tasks",
        ",".join(FIRST_NINE),
        "--source",
        "sample",
        "--out",
        str(tmp_path),
        "--json",
    )
    printed = json.loads(out)
    assert code == 3
    assert printed["failed_rows"] > 0
    heads = {row["task"]: row for row in reversed(printed["results"]) if row["group"] is None}
    assert "failed_rows" in {flag for row in heads.values() for flag in row["flags"]}
    # A correlation is over the rows that have a score, so its n leaves failed rows out.
    asked = {task: row["n"] for task, row in heads.items() if task not in RATED}
    covered = sum(n * heads[task]["coverage"] for task, n in asked.items())
    failed = sum(
        read_record(folder).counts.failed for folder in find(tmp_path) if folder.name.partition("@")[0] in asked
    )
    assert covered == pytest.approx(sum(asked.values()) - failed)
    assert 0.8 <= covered / sum(asked.values()) <= 0.97
    assert "failed" in err


def test_json_is_one_object_by_the_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(
        capsys, "run", "--model", "tiny-bt", "--tasks", "all", "--source", "sample", "--out", str(tmp_path), "--json"
    )
    assert code == 0
    printed = json.loads(out)
    jsonschema.validate(printed, schema("run"))
    assert {row["task"] for row in printed["results"]} == set(TEXT)
    others = {item["task"]: item["why"] for item in printed["skipped"]}
    assert others.keys() == TASKS.keys() - set(TEXT)
    assert all("the model takes text" in why for why in others.values())
    assert {"demo", "sample"} <= set(printed["results"][0]["flags"])


@pytest.mark.parametrize("listing", ["tasks", "models"])
def test_listings_are_json_by_the_schema(listing: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, listing, "--json")
    assert code == 0
    jsonschema.validate(json.loads(out), schema(listing))


def test_trained_on_marks_contamination(tmp_path: Path) -> None:
    results = run(tmp_path, "tiny-bt", ["hh-harmless", "rm-bench"])
    flags = {record.task.id: set(record.flags) for record in results.records}
    assert "contaminated" in flags["hh-harmless"]
    assert "contaminated" not in flags["rm-bench"]


def test_a_callable_is_a_model(tmp_path: Path) -> None:
    def count_words(conversations: list[list[dict[str, str]]]) -> list[float]:
        return [float(len(turns[-1]["content"].split())) for turns in conversations]

    results = run(tmp_path, count_words, "hh-harmless,rmb-bon")
    assert [record.task.id for record in results.records] == ["hh-harmless", "rmb-bon"]
    frame = results.to_pandas()
    assert list(frame["task"].unique()) == ["hh-harmless", "rmb-bon"]


def test_records_show_and_their_digests_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = run(tmp_path, "fake:oracle", "rm-bench")
    code, out, _ = command(capsys, "show", results.out)
    assert code == 0
    assert "digests hold" in out
    table = next(Path(results.out).rglob("judgments.parquet"))
    table.write_bytes(table.read_bytes()[:-1] + b"x")
    code, out, err = command(capsys, "show", results.out)
    assert code == 2
    assert "judgments.parquet" in err


def test_two_runs_leave_equal_records_but_for_time(tmp_path: Path) -> None:
    def facts(out: Path) -> list[dict[str, Any]]:
        kept = []
        for record in run(out, "tiny-bt", "all").records:
            data = record.model_dump(mode="json")
            for key in ("started", "finished", "seconds", "reused", "command"):
                data["run"].pop(key)
            data["digests"].pop("run")  # which covers these
            kept.append(data)
        return kept

    assert facts(tmp_path / "a") == facts(tmp_path / "b")


def test_a_folder_with_nothing_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(rmbench.RmbenchError) as raised:
        rmbench.run("fake:oracle", "rm-bench", source=str(tmp_path), out=tmp_path / "out")
    message = str(raised.value)
    assert "chat_filtered.json" in message
    assert str(tmp_path) in message


def test_scores_of_two_answers(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(
        capsys, "score", "--model", "baseline:length", "-p", "Hi", "-r", "Hello there", "-r", "Hey", "--json"
    )
    assert code == 0
    scored = json.loads(out)
    assert scored["scores"] == [11.0, 3.0]
    assert scored["margins"] == [8.0]
    assert scored["probabilities"][0] == pytest.approx(0.9996646, abs=1e-6)


def test_a_mean_of_metrics_can_be_compared(tmp_path: Path) -> None:
    oracle = run(tmp_path, "fake:oracle", "reward-bench-2")
    anti = run(tmp_path, "fake:anti", "reward-bench-2")
    (compared,) = rmbench.compare(anti.out, oracle.out).to_dict()["tasks"]
    # (5 + 1.01) / 6 against (0 - .01) / 6
    assert compared["comparison"]["difference"] == pytest.approx(6.02 / 6)

"""Files that hold ids, groups and gold alone: score files are measured on them, and models that read are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.records.store import read
from rmbench.tasks.registry import get, load_file
from rmbench.tasks.sources import load
from tests._make import write_lines

SCORES = """
[[files]]
paths = ["scores.jsonl"]
absent = ["question", "good", "bad"]

[columns]"""


@pytest.fixture
def task(declaration: str, write: Callable[..., Path]) -> Path:
    return write(declaration.replace("\n[columns]", SCORES))


@pytest.fixture
def bare(rows: list[dict[str, Any]], tmp_path: Path) -> Path:
    """A folder with upstream's table of scores, in another order than the rows."""
    kept = [{key: row[key] for key in ("key", "topic")} | {"score": 1.5} for row in reversed(rows)]
    folder = tmp_path / "bare"
    folder.mkdir()
    write_lines(folder / "scores.jsonl", kept)
    return folder


@pytest.fixture
def whole(rows: list[dict[str, Any]], tmp_path: Path) -> Path:
    folder = tmp_path / "whole"
    folder.mkdir()
    write_lines(folder / "rows.jsonl", rows)
    return folder


def test_the_rows_are_the_same_with_and_without_their_texts(task: Path, bare: Path, whole: Path) -> None:
    without, with_ = load(load_file(task), bare), load(load_file(task), whole)
    assert (without.without_texts, with_.without_texts) == (True, False)
    assert without.digest == with_.digest
    assert (bool(without.texts_digest), bool(with_.texts_digest)) == (False, True)
    assert [each.id for each in without.examples] == ["2", "1"]
    assert without.notes == ("without texts: ids, groups and gold alone, for scores that were computed elsewhere",)
    assert with_.notes == ()


def test_other_gold_has_another_digest(task: Path, bare: Path, rows: list[dict[str, Any]]) -> None:
    before = load(load_file(task), bare).digest
    write_lines(bare / "scores.jsonl", [{"key": row["key"], "topic": "soup"} for row in rows])
    assert load(load_file(task), bare).digest != before


def test_texts_that_a_task_calls_absent_are_an_error(task: Path, bare: Path, rows: list[dict[str, Any]]) -> None:
    write_lines(bare / "scores.jsonl", rows)
    with pytest.raises(RmbenchError, match=r'scores\.jsonl, row 0: column "question" is here, .* declares `absent`'):
        load(load_file(task), bare)


def test_scores_are_measured_and_a_model_that_reads_is_refused(
    task: Path, bare: Path, whole: Path, tmp_path: Path
) -> None:
    scores = [{"task": "mine", "id": str(key), "scores": [key, 1.5]} for key in (1, 2)]
    file = write_lines(tmp_path / "mine.jsonl", scores)
    records = [
        rmbench.run(f"scores:{file}", [str(task)], source=str(source), out=tmp_path / source.name).records[0]
        for source in (bare, whole)
    ]
    assert [record.results[0].value for record in records] == [1 / 3, 1 / 3]
    assert len({record.data.digest_of_rows for record in records}) == 1
    assert records[0].data.digest != records[1].data.digest
    with pytest.raises(RmbenchError, match="its texts are not in this source"):
        rmbench.run("baseline:length", [str(task)], source=str(bare), out=tmp_path / "read")
    (place,) = (tmp_path / "bare").glob("*/*/record.json")
    assert read(place.parent) == records[0]
    table = json.dumps(records[0].model_dump(mode="json"))
    assert "question" not in table


def test_released_scores_give_the_figures_that_upstream_printed(data: Path, tmp_path: Path) -> None:
    """Accuracy of Skywork-Reward-V2-Qwen3-0.6B, overall and by aspect, as in upstream's results.json."""
    import pandas as pd

    table = pd.read_parquet(data / "code-rewardbench" / "scores.parquet")
    name = "SkyworkV2-Qwen-0.6B"
    pairs = zip(table["id"], table[f"{name}|chosen"], table[f"{name}|rejected"], strict=True)
    file = write_lines(
        tmp_path / "s.jsonl", ({"task": "code-rewardbench", "id": id_, "scores": [a, b]} for id_, a, b in pairs)
    )
    (record,) = rmbench.run(f"scores:{file}", ["code-rewardbench"], source=str(data), out=tmp_path / "out").records
    found = {value.group: value for value in record.results}
    assert (found[None].value, found[None].n) == (6452 / 8866, 8866)
    for aspect, rows in table.groupby("aspect"):
        won = (rows[f"{name}|chosen"] > rows[f"{name}|rejected"]).mean()
        assert found[f"aspect={aspect}"].value == pytest.approx(won, abs=1e-12)
    assert get("code-rewardbench").n == len(table)

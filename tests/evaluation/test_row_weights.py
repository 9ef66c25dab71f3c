"""Weights of an ensemble's members that differ by row: rewards by a plain loop, and files that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.evaluation.row_weights import read_row_weights
from tests._make import exit_code, write_lines

BOTH = "ensemble:baseline:overlap,baseline:length"


def run(model: str, out: Path, **more: Any) -> dict[str, rmbench.Judged]:
    results = rmbench.run(model, "judgebench", source="sample", out=out, **more)
    return {row.id: row for row in rmbench.read_rows(results.folder("judgebench"))}


def test_each_row_is_weighed_by_its_own_weights(tmp_path: Path) -> None:
    members = [run(model, tmp_path / "apart") for model in BOTH.removeprefix("ensemble:").split(",")]
    ids = list(members[0])
    rng = np.random.default_rng(0)
    weights = {row: rng.uniform(0, 1, 2).round(3).tolist() for row in ids[1:]}
    weights[ids[1]] = [0, 2]
    lines = [{"id": row, "weights": each} for row, each in weights.items()]
    lines += [{"task": "another", "id": ids[2], "weights": [1, 1]}]
    file = write_lines(tmp_path / "weights.jsonl", lines)
    found = run(BOTH, tmp_path / "together", model_args={"weights": str(file)})
    scores = []
    for member in members:
        every = np.array([reward for row in ids[1:] for reward in member[row].judgment.rewards])
        scores.append({row: (np.array(member[row].judgment.rewards) - every.mean()) / every.std() for row in ids})
    for row in ids[1:]:
        shares = np.array(weights[row]) / sum(weights[row])
        expected = shares[0] * scores[0][row] + shares[1] * scores[1][row]
        assert found[row].judgment.rewards == pytest.approx(expected.tolist(), abs=1e-5), row
        assert [list(each) for each in found[row].judgment.parts["weights"]] == [pytest.approx(shares.tolist())] * 2
        kept = [list(each) for each in found[row].judgment.parts["objectives"]]
        assert kept == [pytest.approx([float(one[row][k]) for one in scores], abs=1e-5) for k in range(2)]
    assert found[ids[0]].judgment.status == "failed"
    assert found[ids[0]].judgment.error == "the file of weights has none for this row"


def test_the_record_names_the_file_and_another_file_is_another_model(tmp_path: Path) -> None:
    ids = list(run("baseline:length", tmp_path / "own"))
    records = []
    for weight in (1, 3):
        file = write_lines(tmp_path / f"w{weight}.jsonl", [{"id": row, "weights": [weight, 1]} for row in ids])
        results = rmbench.run(
            BOTH, "judgebench", source="sample", out=tmp_path / "out", model_args={"weights": str(file)}
        )
        records.append(results.records[0].model)
    assert records[0].revision != records[1].revision
    assert str(records[0].settings["weights"]).startswith("w1.jsonl, sha256 ")
    assert exit_code("validate", str(tmp_path / "out")) == 0


def test_ranks_are_weighed_alike(tmp_path: Path) -> None:
    members = [run(model, tmp_path / "apart") for model in BOTH.removeprefix("ensemble:").split(",")]
    ids = list(members[0])
    file = write_lines(tmp_path / "w.jsonl", [{"task": "judgebench", "id": row, "weights": [3, 1]} for row in ids])
    found = run(BOTH, tmp_path / "out", model_args={"weights": str(file), "method": "rank"})
    for row in ids:
        ranks = []
        for member in members:
            a, b = member[row].judgment.rewards or ()
            ranks.append([1.5, 1.5] if a == b else [1 + (a > b), 1 + (b > a)])
        expected = [0.75 * ranks[0][k] + 0.25 * ranks[1][k] for k in range(2)]
        assert found[row].judgment.rewards == pytest.approx(expected)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "line 1: it is no JSON"),
        (json.dumps({"id": "a", "weight": [1, 2]}), "line 1: expected"),
        (json.dumps({"id": "a", "weights": [1, -2]}), "at least 0"),
        (json.dumps({"id": "a", "weights": [1, 2, 3]}), "expected 2 weights"),
        (json.dumps({"id": "a", "weights": [0, 0]}), "not all 0"),
        (json.dumps({"id": "a", "weights": [1, True]}), "at least 0"),
        ('{"id": "a", "weights": [1, 2]}\n' * 2, 'line 2: row "a" has weights already'),
        ("", "holds no weights"),
    ],
)
def test_files_that_are_not_as_they_should(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "w.jsonl"
    file.write_text(line, "utf-8")
    with pytest.raises(RmbenchError, match=message):
        read_row_weights(file, 2)
    with pytest.raises(RmbenchError, match=r"none\.jsonl"):
        read_row_weights(tmp_path / "none.jsonl", 2)

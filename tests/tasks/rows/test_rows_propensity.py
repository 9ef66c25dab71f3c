"""The chance of having been sampled, as a group of the rows, from files of every format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmbench.errors import RmbenchError
from rmbench.metrics.measure import measure
from rmbench.tasks.registry import load_file
from rmbench.tasks.sources import load
from rmbench.types import Judged, Judgment

ROWS = [{"key": number, "question": "Why?", "good": "So.", "bad": f"No {number}."} for number in range(3)]
METRIC = '[groups]\nseen = "seen"\n\n[[metric]]\nname = "ips"\nrule = "inverse_propensity"\npropensity = "seen"\n'
MIXED = """rule = "mean_of"
of = ["a", "b"]
[[metric]]
name = "a"
rule = "pair"
[[metric]]
name = "b"
rule = "attack_success"
"""


def measured(folder: Path, declaration: str, name: str, chances: list[Any]) -> float | None:
    """The metric of a task of three pairs in one file, of which the second is wrong."""
    head = declaration[: declaration.index("[groups]")].replace("rows.jsonl", name).replace("n = 2", "n = 3")
    task_file = folder / "mine.toml"
    task_file.write_text(head + METRIC, "utf-8")
    data = folder / "data" / "mine" / name
    data.parent.mkdir(parents=True)
    rows = [{**row, "seen": chance} for row, chance in zip(ROWS, chances, strict=True)]
    if name.endswith(".csv"):
        with data.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), data)
    else:
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    task = load_file(task_file)
    examples = load(task, folder / "data").examples
    answers = [Judgment(one.id, rewards=(float(k != 1), 0.5)) for k, one in enumerate(examples)]
    judged = [Judged.of(one, answer) for one, answer in zip(examples, answers, strict=True)]
    return measure(judged, task.metrics)[0].value


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet"])
@pytest.mark.parametrize("chances", [[0.5, 0.25, 1.0], ["0.5", "2.5e-1", "1"]])
def test_numbers_of_every_format(tmp_path: Path, declaration: str, name: str, chances: list[Any]) -> None:
    assert measured(tmp_path, declaration, name, chances) == pytest.approx((2 + 1) / (2 + 4 + 1))


def test_whole_numbers(tmp_path: Path, declaration: str) -> None:
    assert measured(tmp_path, declaration, "rows.jsonl", [1, 0.5, 1]) == pytest.approx(2 / 4)


@pytest.mark.parametrize("bad", [0, -0.5, 1.5, "often", "", None, True, [0.5]])
def test_a_bad_value_is_one_error_with_file_row_and_key(tmp_path: Path, declaration: str, bad: object) -> None:
    with pytest.raises(
        RmbenchError, match=r'rows\.jsonl, row 1: group "seen": expected a propensity, a number above 0'
    ):
        measured(tmp_path, declaration, "rows.jsonl", [0.5, bad, 1.0])


def test_settings_that_belong_to_other_rules(tmp_path: Path, declaration: str) -> None:
    path = tmp_path / "mine.toml"
    for old, new, message in (
        ('propensity = "seen"', "", "propensity: rules"),
        ("inverse_propensity", "pair", "propensity: rules"),
        ('rule = "inverse_propensity"\npropensity = "seen"', 'rule = "recall_at_k"', "k: this key is missing"),
        ('rule = "inverse_propensity"\npropensity = "seen"', 'rule = "pair"\nk = 3', "have a `k`, and no others"),
        ('rule = "inverse_propensity"\npropensity = "seen"', 'rule = "pair"\ngain = "exponential"', "has a `gain`"),
        (
            'rule = "inverse_propensity"\npropensity = "seen"',
            MIXED,
            "of: of some of these metrics higher is better and of others not",
        ),
    ):
        path.write_text(declaration[: declaration.index("[groups]")] + METRIC.replace(old, new), "utf-8")
        with pytest.raises(RmbenchError, match=message):
            load_file(path)

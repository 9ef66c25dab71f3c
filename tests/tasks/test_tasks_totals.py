"""Coverage of groups where rows of the task are missing: of declared totals, else unknown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rmbench
from rmbench import resources
from rmbench.errors import RmbenchError
from rmbench.metrics.measure import measure
from rmbench.tasks.registry import load_file
from rmbench.tasks.sources import load
from rmbench.types import Judged, Judgment


def test_coverage_of_groups_of_a_partial_set_is_of_declared_totals(
    declaration: str, write: Callable[..., Path], place: Callable[..., Path], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Eight rows of Food are declared, of which two are here; of the two kinds of mood nothing is known."""
    more = [*rows, {**rows[0], "key": 3, "question": "What else rises?"}]
    for row in more:
        row["mood"] = "calm"
    text = declaration.replace("n = 2", "n = 9").replace("[groups]", '[groups]\nmood = "mood"')
    text = (
        text.replace('report = [["topic"]]', 'report = [["topic"], ["mood"]]') + "\n[totals.topic]\nFood = 8\nSky = 1\n"
    )
    found = rmbench.run("fake:oracle", str(write(text)), source=place(more), out=tmp_path / "out").records[0].results
    coverage = {value.group: value.coverage for value in found}
    assert coverage == {None: 3 / 9, "topic=Food": 2 / 8, "topic=Sky": 1.0, "mood=calm": None}
    (folder,) = rmbench.find_records(tmp_path / "out")
    written = json.loads((folder / "record.json").read_text())["results"]
    assert {value["group"]: value["coverage"] for value in written} == coverage
    complete = text.replace("n = 9", "n = 3").replace("Food = 8", "Food = 2")
    whole = rmbench.run("fake:oracle", str(write(complete, "whole.toml")), source=tmp_path / "data", out=tmp_path / "b")
    assert {value.group: value.coverage for value in whole.records[0].results}["mood=calm"] == 1.0


def test_totals_below_the_rows_at_hand_are_an_error(
    declaration: str, write: Callable[..., Path], place: Callable[..., Path], rows: list[dict[str, Any]]
) -> None:
    text = declaration.replace("n = 2", "n = 9") + "\n[totals.topic]\nFood = 0\nSky = 9\n"
    with pytest.raises(RmbenchError, match=r"1 rows of topic=Food, but \[totals\]"):
        load(load_file(write(text)), place(rows))


def test_rmb_pairs_without_three_files_cover_their_goals_in_part(data: Path) -> None:
    """The real rows: 2,588 of 17,131 are missing. Harmlessness and Helpfulness have 7,064 and 10,067 by the paper."""
    task = load_file(resources.tasks() / "text" / "rmb-pairwise.toml")
    loaded = load(task, data)
    here = {goal: loaded.group_totals[f"goal={goal}"] for goal in ("Harmlessness", "Helpfulness")}
    whole = {goal: loaded.known_totals[f"goal={goal}"] for goal in here}
    assert whole == {"Harmlessness": 7064, "Helpfulness": 10067}
    assert (sum(here.values()), sum(whole.values()) - sum(here.values())) == (14_543, 2_588)
    rows = [
        Judged.of(each, Judgment(each.id, rewards=(1.0, *[0.0] * (len(each.candidates) - 1))))
        for each in loaded.examples
    ]
    totals: dict[str | None, int] = {None: loaded.total, **loaded.known_totals}
    values = measure(rows, task.metrics, totals=totals, resamples=10)
    coverage = {value.group: value.coverage for value in values if value.metric == task.metrics[0].name}
    assert coverage[None] == 14_543 / 17_131
    for goal, n in here.items():
        assert coverage[f"goal={goal}"] == n / whole[goal]
    assert min(coverage[f"goal={goal}"] for goal in here) < 1

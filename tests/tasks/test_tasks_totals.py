"""Coverage of groups where rows of the task are missing: of declared totals, else unknown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import rmbench
from rmbench.cli import cli
from rmbench.errors import RmbenchError
from rmbench.tasks.registry import load_file
from rmbench.tasks.sources import load


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
    shown = CliRunner().invoke(cli, ["show", str(tmp_path / "out")], env={"COLUMNS": "120"}).output
    assert "None" not in shown
    complete = text.replace("n = 9", "n = 3").replace("Food = 8", "Food = 2")
    whole = rmbench.run("fake:oracle", str(write(complete, "whole.toml")), source=tmp_path / "data", out=tmp_path / "b")
    assert {value.group: value.coverage for value in whole.records[0].results}["mood=calm"] == 1.0


def test_totals_below_the_rows_at_hand_are_an_error(
    declaration: str, write: Callable[..., Path], place: Callable[..., Path], rows: list[dict[str, Any]]
) -> None:
    text = declaration.replace("n = 2", "n = 9") + "\n[totals.topic]\nFood = 0\nSky = 9\n"
    with pytest.raises(RmbenchError, match=r"1 rows of topic=Food, but \[totals\]"):
        load(load_file(write(text)), place(rows))

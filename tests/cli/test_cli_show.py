"""Caveats of a value are shown where the value is: `show`, a board, and the table of a run."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from rmbench.boards.declaration import Board
from rmbench.boards.table import tabulate
from rmbench.boards.terminal import BoardView
from rmbench.cli import cli
from rmbench.evaluation.results import Results
from rmbench.metrics.measure import measure
from rmbench.records.store import read
from tests._make import ACCURACY, make_row, margins, printed, put_record


def flagged(root: Path, *flags: str, name: str = "org/model") -> Path:
    """A record whose headline has caveats of its own."""
    rows = [make_row(f"r{k}", (margin, 0.0), cluster="") for k, margin in enumerate(margins(6, 8))]
    values = [replace(value, flags=flags) for value in measure(rows, [ACCURACY], totals={None: 8})]
    fields: dict[str, Any] = {"results": [asdict(value) for value in values]}
    return put_record(root, margins(6, 8), name=name, changed={"": fields})


def test_show_prints_them_in_the_values_row(tmp_path: Path) -> None:
    place = flagged(tmp_path, "one_label", "incomplete")
    lines = CliRunner().invoke(cli, ["show", str(place)], env={"COLUMNS": "120"}).output.splitlines()
    assert any("accuracy" in line and "one_label, incomplete" in line for line in lines)
    plain = CliRunner().invoke(cli, ["show", str(flagged(tmp_path / "plain"))], env={"COLUMNS": "120"}).output
    assert "one_label" not in plain
    assert plain.count("flags") == 1  # of the record


def test_a_board_and_a_run_mark_them(tmp_path: Path) -> None:
    places = [flagged(tmp_path, "one_label", name="org/one"), flagged(tmp_path, name="org/two")]
    board = Board(id="mine", title="Mine", tasks=("pairs",))
    shown = printed(BoardView(tabulate(board, tmp_path)), 120)
    assert "one_label" in shown
    results = Results("org/one", "sample", (read(places[0]),), (), str(tmp_path))
    assert "Marks: a one_label." in printed(results, 120)

"""Caveats of a value are shown where the value is: `show`, a board, and the table of a run."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rmbench.boards.declaration import Board
from rmbench.boards.table import tabulate
from rmbench.boards.terminal import BoardView
from rmbench.cli import cli
from rmbench.errors import RmbenchError
from rmbench.evaluation.results import Results
from rmbench.metric_spec import MetricSpec
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


def grouped(root: Path) -> Path:
    """A record with the groups domain=chat, domain=code and level=hard."""
    values = measure([make_row(f"r{k}", (1.0, 0.0)) for k in range(4)], [ACCURACY], totals={None: 4})
    named = [replace(values[0], group=group) for group in ("domain=chat", "domain=code", "level=hard")]
    return put_record(root, margins(4, 4), changed={"": {"results": [asdict(value) for value in (*values, *named)]}})


def shown(*words: str) -> str:
    return CliRunner().invoke(cli, ["show", *words], env={"COLUMNS": "80"}).output


def test_groups_are_chosen_by_a_glob(tmp_path: Path) -> None:
    place = str(grouped(tmp_path))
    lines = [line for line in shown(place, "--group", "domain=*").splitlines() if line.startswith("· ")]
    assert [line.split()[1] for line in lines] == ["domain=chat", "domain=code"]
    one = json.loads(shown(place, "--group", "level=hard", "--json").partition("rmbench:")[0])
    assert [value["group"] for value in one["results"]] == ["level=hard"]
    everything = shown(place)
    assert everything.count("· ") == 3
    assert "\naccuracy " in everything


def test_a_group_that_is_none_names_the_nearest(tmp_path: Path) -> None:
    ended = CliRunner().invoke(cli, ["show", str(grouped(tmp_path)), "--group", "domain=caht"])
    assert isinstance(ended.exception, RmbenchError)
    assert 'Did you mean "domain=chat"?' in str(ended.exception)
    with pytest.raises(RmbenchError, match="--group chooses values of records"):
        CliRunner().invoke(cli, ["show", "rm-bench", "--group", "domain=*"], catch_exceptions=False)


def test_nothing_is_broken_inside_a_word_at_80_columns(tmp_path: Path) -> None:
    name = "an-organisation-of-many-words/a-model-whose-name-is-longer-than-a-line-of-eighty-columns-v2"
    spec = MetricSpec("tie_calibrated_accuracy", "pair", chance=0.5)
    fields: dict[str, Any] = {"run": {"command": "rmbench run --model " + name}, "model": {"why": "so " * 40 + "it is"}}
    output = shown(str(put_record(tmp_path, margins(6, 8), name=name, spec=spec, changed=fields)))
    assert max(map(len, output.splitlines())) <= 80
    whole = {word for line in output.splitlines() for word in re.split(r"[-/@_ ]", line) if word}
    assert {"organisation", "eighty", "columns", "tie", "calibrated", "accuracy"} <= whole
    assert not {word for word in whole if word in ("colum", "ns", "organisat", "accurac", "y")}

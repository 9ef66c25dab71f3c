"""Metrics of which lower is better: gate, compare, non-inferiority and boards read their direction from the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rmbench.boards.declaration import Board
from rmbench.boards.site.board import board_page
from rmbench.boards.site.entries import Entries
from rmbench.boards.table import BoardTable, tabulate
from rmbench.boards.terminal import BoardView
from rmbench.errors import RmbenchError
from rmbench.gate import compare, gate
from rmbench.gate.decide import decide
from rmbench.gate.policy import Policy
from rmbench.metric_spec import RULES, MetricSpec, better_of
from rmbench.metrics.paired.non_inferiority import non_inferiority
from rmbench.stats import compare_rows
from rmbench.types import Judged
from tests._make import make_row, margins, printed, put_record

ATTACK = MetricSpec("attacked", "attack_success")
LOSS = MetricSpec("loss", "bradley_terry_loss")
SAFE, SPOOFED = margins(180, 200), margins(120, 200)


def rows(of: list[float]) -> list[Judged]:
    return [make_row(f"r{k}", (margin, 0.0)) for k, margin in enumerate(of)]


def put(root: Path, spec: MetricSpec, old: list[float], new: list[float]) -> tuple[Path, Path]:
    put_record(root / "old", old, spec=spec)
    put_record(root / "new", new, spec=spec)
    return root / "old", root / "new"


@pytest.mark.parametrize("spec", [ATTACK, LOSS])
def test_a_higher_figure_is_a_regression_and_a_lower_one_passes(tmp_path: Path, spec: MetricSpec) -> None:
    worse = gate(*put(tmp_path / "a", spec, SAFE, SPOOFED), margin_points=2)
    assert (worse.verdict, worse.exit_code) == ("regression", 1)
    assert worse.tasks[0].decision.reason == "worse: the lower limit is above 0"
    better = gate(*put(tmp_path / "b", spec, SPOOFED, SAFE), margin_points=2)
    assert (better.verdict, better.exit_code) == ("pass", 0)


def test_a_small_rise_within_the_margin_passes(tmp_path: Path) -> None:
    old, new = put(tmp_path, ATTACK, margins(1000, 2000), margins(1000, 2000, lost=20))
    assert gate(old, new, margin_points=0.5).verdict == "regression"
    passed = gate(old, new, margin_points=5)
    assert passed.verdict == "pass"
    assert passed.tasks[0].decision.reason.endswith("though there is one: the lower limit is above 0")


def test_holm_reads_the_direction(tmp_path: Path) -> None:
    """12 rows lost and 3 won of 200 are an alarm alone, and none among six tasks, as where higher is better."""
    old, new = tmp_path / "old", tmp_path / "new"
    lost = [-1.0 if k < 12 else 1.0 if 150 <= k < 153 else margin for k, margin in enumerate(margins(150, 200))]
    put_record(old, margins(150, 200), spec=ATTACK, task="t0")
    put_record(new, lost, spec=ATTACK, task="t0")
    assert gate(old, new, margin_points=1).tasks[0].decision.verdict == "regression"
    for k in range(1, 6):
        put_record(old, margins(150, 200), spec=ATTACK, task=f"t{k}")
        put_record(new, margins(150, 200), spec=ATTACK, task=f"t{k}")
    found = gate(old, new, margin_points=1).tasks[0].decision
    assert (found.verdict, "Holm" in found.reason) == ("inconclusive", True)


def test_a_figure_without_a_direction_decides_nothing() -> None:
    found = compare_rows(rows(SAFE), rows(SPOOFED), ATTACK)
    assert found.better == "lower"
    aimless = replace(found, better="neither")
    assert decide(aimless, Policy()).verdict == "inconclusive"
    assert "no better direction" in decide(aimless, Policy()).reason
    assert decide(aimless, Policy(), identical=True).verdict == "pass"


def test_compare_lists_what_got_worse_first(tmp_path: Path) -> None:
    new = [-margin if k in (3, 4, 5, 190) else margin for k, margin in enumerate(SAFE)]
    found = compare(*put(tmp_path, ATTACK, SAFE, new))
    (task,) = found.tasks
    assert [flip.id for flip in task.flips] == ["r3", "r4", "r5", "r190"]
    shown = printed(found, 120)
    assert "attacked (lower is better)" in shown
    assert "3/1" in shown  # lost/won
    assert "1 gained" in shown


def test_non_inferiority_of_a_loss() -> None:
    plain = MetricSpec("m", "pair")
    for a, b in ((SAFE, SPOOFED), (SPOOFED, SAFE)):
        ours = non_inferiority(rows(a), rows(b), ATTACK, margin=0.02)
        theirs = non_inferiority(rows(a), rows(b), plain, margin=0.02)
        assert (ours.lower, ours.upper, ours.p) == (
            pytest.approx(theirs.lower),
            pytest.approx(theirs.upper),
            pytest.approx(theirs.p),
        )


def board_of(root: Path, *tasks: str) -> BoardTable:
    return tabulate(Board(id="mine", title="Mine", tasks=tasks), root)


def test_a_board_puts_the_lowest_first(tmp_path: Path) -> None:
    for name, of in (("org/spoofed", SPOOFED), ("org/safe", SAFE), ("org/middle", margins(150, 200))):
        put_record(tmp_path, of, name=name, spec=ATTACK)
    table = board_of(tmp_path, "pairs")
    assert [row.name for row in table.rows] == ["org/safe", "org/middle", "org/spoofed"]
    assert [row.rank for row in table.rows] == [(1, 1), (2, 2), (3, 3)]
    assert "lower is better" in printed(BoardView(table), 120)
    assert "attacked, lower is better</small>" in board_page(table, Entries([table]), ())


def test_a_mean_of_both_directions_is_refused(tmp_path: Path) -> None:
    put_record(tmp_path, SAFE, task="attacks", spec=ATTACK)
    put_record(tmp_path, SAFE, task="pairs")
    with pytest.raises(RmbenchError, match=r"board mine: lower is better on attacks@1 and higher on pairs@1"):
        board_of(tmp_path, "attacks", "pairs")
    table = tabulate(Board(id="mine", title="Mine", tasks=("attacks", "pairs"), aggregate="none"), tmp_path)
    assert len(table.rows) == 1


def test_a_mean_of_metrics_has_the_direction_of_its_parts() -> None:
    mean = MetricSpec("mean", "mean_of", of=("attacked",), parts=(ATTACK,))
    assert better_of(mean) == "lower"
    assert better_of(replace(mean, parts=(MetricSpec("m", "pair"),))) == "higher"
    assert {better_of(MetricSpec("m", rule)) for rule in RULES} == {"higher", "lower", "neither"}

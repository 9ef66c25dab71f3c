"""Pairs of models from one product of matrices, held against the comparison of two records' rows, pair by pair."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from rmbench.boards import load_board
from rmbench.boards.pairs import Pair, compared
from rmbench.boards.table import tabulate
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.paired.comparison import compare_rows
from rmbench.records.headline import headline_spec
from rmbench.records.store import read, read_credits, read_rows
from tests._make import ACCURACY

Put = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]


def models(root: Path, put_record: Put, **more: object) -> list[Path]:
    """Five models that agree on most of 120 rows."""
    draw = random.Random(7)
    base = [draw.choice([1.0, 1.0, -1.0]) for _ in range(120)]
    return [
        put_record(root, [-v if draw.random() < k / 12 else v for v in base], name=f"org/m{k}", task="a", **more)
        for k in range(5)
    ]


def one_by_one(places: list[Path], spec: MetricSpec) -> list[tuple[float, float, float, float, int]]:
    found = []
    for first, second in itertools.combinations(places, 2):
        one = compare_rows(read_rows(first), read_rows(second), spec)
        assert one.difference is not None
        assert one.low is not None
        assert one.high is not None
        assert one.p_midp is not None
        found.append((one.difference, one.low, one.high, one.p_midp, one.n))
    return found


def figures(pairs: list[Pair]) -> list[tuple[float, float, float, float, int]]:
    return [(pair.difference, pair.low or 0.0, pair.high or 0.0, pair.p, pair.n) for pair in pairs]


@pytest.mark.parametrize("clustered", [False, True])
def test_they_are_those_of_the_rows(tmp_path: Path, put_record: Put, clustered: bool) -> None:
    places = models(tmp_path, put_record, clusters=[f"c{k // 3}" for k in range(120)] if clustered else None)
    pairs = compared([[place] for place in places], [ACCURACY], [1.0])
    for found, expected in zip(figures(pairs), one_by_one(places, ACCURACY), strict=True):
        assert found == pytest.approx(expected, abs=1e-12)
    assert [pair.corrected >= pair.p for pair in pairs] == [True] * 10


def test_a_failed_row_is_a_wrong_one(tmp_path: Path, put_record: Put) -> None:
    places = [
        put_record(tmp_path, [1.0] * 20, name="org/whole", task="a"),
        put_record(tmp_path, [1.0] * 20, name="org/fails", task="a", failed=range(8)),
    ]
    (pair,) = compared([[place] for place in places], [ACCURACY], [1.0])
    assert (pair.difference, pair.n) == (-0.4, 20)
    assert pair.p == pytest.approx(2 * 0.5**8 - 0.5**8)  # McNemar's mid-p of 8 against 0


def test_more_models_than_are_compared_have_no_pairs(tmp_path: Path, put_record: Put) -> None:
    place = put_record(tmp_path, [1.0, -1.0], task="a")
    assert compared([[place]] * 201, [ACCURACY], [1.0]) == []


def test_credits_are_read_without_the_rows(tmp_path: Path, put_record: Put) -> None:
    place = put_record(tmp_path, [1.0, -1.0, 0.0], task="a")
    assert read_credits(place) == {"r0": 1.0, "r1": 0.0, "r2": 0.0}


def test_the_code_board_tells_apart_what_its_released_scores_do() -> None:
    """Of the 50 complete models 17 of 49 neighbours differ at .05, and 1,044 of 1,225 pairs after Holm's correction."""
    table = tabulate(load_board(ROOT / "leaderboards" / "code-rewardbench.toml"), ROOT / "results")
    assert len(table.rows) == 51
    complete = [k for k, row in enumerate(table.rows) if row.cells[0] and row.cells[0].coverage == 1.0]
    assert len(complete) == 50
    (lacking,) = set(range(51)) - set(complete)
    kept = [pair for pair in table.pairs if lacking not in (pair.i, pair.j)]
    assert len(kept) == 1_225
    neighbours = list(itertools.pairwise(complete))
    assert sum(pair.p < 0.05 for pair in kept if (pair.i, pair.j) in neighbours) == 17
    from rmbench.boards.pairs import corrected_for_all

    assert sum(pair.corrected < 0.05 for pair in corrected_for_all(kept)) == 1_044
    best = table.rows[0]
    assert best.rank is not None
    assert best.rank[0] == 1
    small = next(row for row in table.rows if row.name == "Skywork/Skywork-Reward-V2-Qwen3-0.6B")
    assert small.aggregate == 6_452 / 8_866
    assert (
        headline_spec(read(small.cells[0].folder)).rule == "pair" if small.cells[0] and small.cells[0].folder else False
    )

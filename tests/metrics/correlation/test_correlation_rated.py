"""Rated rows as columns of numbers, by hand."""

from __future__ import annotations

from rmbench.metrics.correlation.rated import rated_items


def test_the_candidates_rated_in_a_dimension_are_pooled(make):
    """Rows that are not rated in it are passed over, wherever they stand; candidates without a figure are left out."""
    nan = float("nan")
    rows = [
        make("1", (5.0,), edges=(), ratings=((9.0,),), dimensions=("b",), cluster="x"),
        make("2", (1.0, 2.0), edges=(), ratings=((8.0, 3.0), (7.0, nan)), dimensions=("b", "a"), cluster="z"),
        make("3", (6.0,), edges=(), ratings=((9.0,),), dimensions=("b",), cluster="y"),
        make("4", (4.0,), edges=(), ratings=((2.0,),), dimensions=("a",), cluster="y"),
        make("5", status="failed", size=1, edges=(), ratings=((1.0,),), dimensions=("a",), cluster="x"),
    ]
    got = rated_items(rows, "a")
    assert (got.human.tolist(), got.model.tolist()) == ([3.0, 2.0], [1.0, 4.0])
    assert (got.cluster.tolist(), got.rows, got.left_out) == ([2, 1], 2, 1)

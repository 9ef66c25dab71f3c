"""Both orders of a pair, counted by hand."""

from __future__ import annotations

from rmbench.metrics.judging.position_bias import Orders, orders
from rmbench.types import Judgment


def judged(*margins: tuple[float, ...]) -> Judgment:
    return Judgment("r", directed=margins)


def test_pairs_are_counted_by_what_both_orders_say() -> None:
    # Three candidates: 0 over 1 in both orders; 0 and 2: the one shown first; 1 and 2: the one shown second.
    three = judged((0, 2, 1), (-1, 0, -1), (3, -2, 0))
    two = judged((0, 0), (0, 0))  # a tie twice
    half = judged((0, 1), (0, 0))  # a tie in one order
    failed = Judgment("r", status="failed", directed=((0, 1), (1, 0)))
    scored = Judgment("r", rewards=(1.0, 2.0))
    assert orders([three, two, half, failed, scored]) == Orders(consistent=2, first=1, second=1, total=5, rows=3)


def test_margins_that_only_change_their_sign_have_no_order() -> None:
    assert orders([judged((0, 1.5), (-1.5, 0)), judged((0, 0), (0, 0))]) is None
    assert orders([Judgment("r", rewards=(1.0, 2.0))]) is None
    assert orders([judged((0,))]) is None
    assert orders([]) is None

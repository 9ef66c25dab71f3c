"""Intransitive triples, counted over rows, against a loop over triples; and margins beside rewards."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.cycles import count_cyclic_triples
from rmbench.metrics.judging.intransitive import Intransitive, intransitive
from rmbench.metrics.means import loss_sample
from rmbench.metrics.rows.answers import in_dimension, margin
from rmbench.types import Edge, Gold, Judged, Judgment

RING = ((0.0, 1.0, -1.0), (-1.0, 0.0, 1.0), (1.0, -1.0, 0.0))


@given(st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_cyclic_triples_are_those_of_a_loop(size: int, seed: int) -> None:
    """Small whole numbers, so that many margins tie; the two orders of a pair disagree, as a judge's may."""
    s = np.random.default_rng(seed).integers(-1, 3, size=(size, size))
    found = 0
    for i, j, k in itertools.combinations(range(size), 3):
        for a, b, c in ((i, j, k), (i, k, j)):
            found += s[a, b] > s[b, a] and s[b, c] > s[c, b] and s[c, a] > s[a, c]
    assert count_cyclic_triples(s) == found


def test_rows_without_triples_do_not_count() -> None:
    pair = ((0.0, 1.0), (-1.0, 0.0))
    rows = [
        Judgment("ring", directed=RING),
        Judgment("line", directed=((0.0, 1.0, 2.0, 3.0), (-1.0, 0.0, 1.0, 2.0), (-2.0, -1.0, 0.0, 1.0), (-3.0,) * 4)),
        Judgment("pair", directed=pair),
        Judgment("rewards", rewards=(1.0, 2.0, 3.0)),
        Judgment("both", rewards=(1.0, 2.0, 3.0), directed=RING),
        Judgment("failed", status="failed"),
    ]
    assert intransitive(rows) == Intransitive(cyclic=1, total=1 + 4, rows=2)
    assert intransitive(rows[2:]) is None


def test_own_margins_go_before_differences_of_rewards() -> None:
    """A Bradley-Terry model with a temperature of 0.1: log-odds are ten times the difference of its rewards."""
    directed = ((0.0, 5.0), (-5.0, 0.0))
    judgment = Judgment("x", rewards=(0.7, 0.2), directed=directed, parts={"VQ": ((0.1,), (0.4,))})
    row = Judged("x", 2, Gold(relation=(Edge(0, 1),)), judgment)
    assert margin(row, 0, 1) == 5.0
    assert loss_sample([row], MetricSpec("loss", "bradley_terry_loss")).value == pytest.approx(math.log1p(math.exp(-5)))
    assert margin(in_dimension(row, "VQ"), 0, 1) == pytest.approx(-0.3)

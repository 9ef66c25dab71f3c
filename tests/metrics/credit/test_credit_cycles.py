"""Cycles: the ceiling of any scalar, intransitive triples, and the Bradley-Terry fit to a model's margins."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.cycles import bradley_terry_rewards, most_in_order
from rmbench.metrics.measure import measure
from rmbench.types import TIE, Edge, Verdict
from tests._make import worth


def ring(size):
    return tuple(Edge(k, (k + 1) % size) for k in range(size))


def rotated(size):
    """[size, size] margins of unit vectors around a circle, v_i x v_j: each one beats the next."""
    at = [2 * math.pi * k / size for k in range(size)]
    return tuple(tuple(math.sin(b - a) for b in at) for a in at)


@pytest.mark.parametrize("size", [3, 4, 5, 6])
def test_a_scalar_reaches_all_but_one_of_a_cycle(make, size):
    row = make("r", tuple(float(-k) for k in range(size)), size=size, edges=ring(size))
    assert worth(row, "scalar_ceiling") == (size - 1) / size
    assert worth(row, "pair") == (size - 1) / size
    assert worth(make("f", status="failed", size=size, edges=ring(size)), "scalar_ceiling") == (size - 1) / size


def test_published_three_and_four_cycles(make):
    three, four = rotated(3), rotated(4)
    assert three[0][1] == pytest.approx(0.866025, abs=5e-7)
    row = make("r", size=3, edges=ring(3), directed=three)
    assert [worth(row, rule) for rule in ("pair", "scalar_ceiling", "cyclic_triples")] == [1, 2 / 3, 1]
    # Every candidate wins as often, so the fit ties them all.
    assert worth(row, "bradley_terry_fit") == 0
    assert worth(row, "bradley_terry_fit", tie=0.5) == 0.5
    row = make("r", size=4, edges=ring(4), directed=four)
    assert [worth(row, rule) for rule in ("pair", "scalar_ceiling")] == [1, 3 / 4]
    assert [worth(row, "bradley_terry_fit", tie=tie) for tie in (0.0, 0.5)] == [0, 0.5]


def test_a_transitive_model_is_its_own_fit(make):
    rewards = (0.3, -1.0, 2.0, 0.1)
    edges = tuple(Edge(i, j) for i, j in itertools.combinations(range(4), 2))
    scalar = make("r", rewards, size=4, edges=edges)
    margins = tuple(tuple(a - b for b in rewards) for a in rewards)
    directed = make("r", size=4, edges=edges, directed=margins)
    for row in (scalar, directed):
        assert worth(row, "cyclic_triples") == 0
        assert worth(row, "bradley_terry_fit") == worth(row, "pair") == 0.5


def test_triples_by_win_counts(make):
    """C(K, 3) - sum of C(wins, 2): two of four triples where four candidates win 1, 1, 2 and 2 times."""
    beats = ((0, 1), (1, 2), (2, 0), (0, 3), (3, 1), (3, 2))
    wins = sorted([sum(i == k for i, _ in beats) for k in range(4)])
    assert wins == [1, 1, 2, 2]
    directed = [[0.0] * 4 for _ in range(4)]
    for i, j in beats:
        directed[i][j], directed[j][i] = 1.0, -1.0
    row = make("r", size=4, directed=tuple(map(tuple, directed)))
    assert worth(row, "cyclic_triples") == 2 / 4
    verdicts = tuple(Verdict((i, j), "pick", i) for i, j in beats)
    assert worth(make("r", size=4, verdicts=verdicts), "cyclic_triples") == 2 / 4
    assert worth(make("r", (1.0, 0.0)), "cyclic_triples") is None
    assert worth(make("r", status="failed", size=4), "cyclic_triples") is None


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 5), st.integers(0, 2**31))
def test_the_ceiling_by_trying_every_order(size, seed):
    weights = np.random.default_rng(seed).integers(0, 3, (size, size)).astype(float)
    np.fill_diagonal(weights, 0)
    tried = max(
        sum(weights[a, b] for a, b in itertools.combinations(order, 2)) for order in itertools.permutations(range(size))
    )
    assert most_in_order(weights) == tried


def test_the_ceiling_has_a_limit(make):
    with pytest.raises(RmbenchError, match="17 candidates; a ceiling is found for up to 16"):
        worth(make("r", size=17, edges=(Edge(0, 1),)), "scalar_ceiling")


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 5), st.integers(0, 2**31))
def test_sums_of_wins_order_as_the_fit_does(size, seed):
    margins = np.random.default_rng(seed).normal(size=(size, size))
    wins = 1 / (1 + np.exp(-(margins - margins.T)))

    def loss(free):
        r = np.concatenate([[0.0], free])
        return float((wins * np.logaddexp(0, -(r[:, None] - r[None, :])) * (1 - np.eye(size))).sum())

    fitted = np.concatenate([[0.0], optimize.minimize(loss, np.zeros(size - 1), tol=1e-12).x])
    sums = bradley_terry_rewards(wins)
    for i, j in itertools.combinations(range(size), 2):
        if abs(fitted[i] - fitted[j]) > 1e-3:
            assert (fitted[i] > fitted[j]) == (sums[i] > sums[j])


def test_a_judges_fit_is_of_the_shares_of_its_votes(make):
    """1 beats 0 by one vote, 0 beats 2 by three, 1 and 2 tie: the fit has 1 before 0 before 2, whatever their votes."""
    votes = (Verdict((0, 1), "pick", 1), *(Verdict((0, 2), "pick", 0, vote=k) for k in range(3)))
    edges = (Edge(1, 0), Edge(0, 2), Edge(1, 2))
    wins = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.5], [0.0, 0.5, 0.0]])

    def loss(free):
        r = np.concatenate([[0.0], free])
        return float((wins * np.logaddexp(0, r[None, :] - r[:, None])).sum())

    fitted = np.concatenate([[0.0], optimize.minimize(loss, np.zeros(2), tol=1e-12).x])
    assert np.argsort(-fitted).tolist() == [1, 0, 2]
    row = make("r", size=3, edges=edges, verdicts=(*votes, Verdict((1, 2), "pick", TIE)))
    assert worth(row, "bradley_terry_fit") == 1
    # Without an answer on 1 and 2 it is of comparisons won less lost: 0 has 3 - 1, 1 has 1 and 2 has -3.
    unanswered = (votes, (*votes, Verdict((1, 2), "pick", None, "unparsed")))
    assert [worth(make("r", size=3, edges=edges, verdicts=of), "bradley_terry_fit") for of in unanswered] == [2 / 3] * 2


def test_a_judges_tie_is_half_a_win_of_either(make):
    """0 and 1 tie and both beat 2: by symmetry the fit has them equal."""
    votes = (Verdict((0, 1), "pick", TIE), Verdict((0, 2), "pick", 0), Verdict((1, 2), "pick", 1))
    row = make("r", size=3, edges=(Edge(0, 1), Edge(0, 2)), verdicts=votes)
    assert worth(row, "bradley_terry_fit", tie=0.25) == (0.25 + 1) / 2


def test_dice_that_go_round(data, make):
    """The exact win probabilities as a model's margins: what the file says of its strict cycles."""
    with (data / "cyclic/synthetic/dice.jsonl").open(encoding="utf-8") as handle:
        dice = [json.loads(line) for line in handle]
    rows = []
    for die in dice:
        size = len(die["candidates"])
        directed = [[0.0] * size for _ in range(size)]
        edges = []
        for one in die["prefs"]:
            i, j, net = one["i"], one["j"], one["p_i_wins"] - one["p_j_wins"]
            directed[i][j], directed[j][i] = net, -net
            edges.append(Edge(i, j, net))
        row = make(die["id"], size=size, edges=tuple(edges), directed=tuple(map(tuple, directed)))
        assert worth(row, "cyclic_triples") * math.comb(size, 3) == pytest.approx(die["cyclic_triples"])
        assert worth(row, "pair") == 1
        assert worth(row, "scalar_ceiling") == {"dice-efron": 4 / 5}.get(die["id"], 2 / 3)
        rows.append(row)
    value = measure(rows, [MetricSpec("m", "pair"), MetricSpec("c", "scalar_ceiling")])
    assert (value[0].value, value[0].comparisons) == (1, 5 + 3 + 3)


def test_the_released_four_cycle(data, make):
    with (data / "cyclic/gpm/data/test_data/custom_test_data.jsonl").open(encoding="utf-8") as handle:
        pairs = [json.loads(line) for line in handle]
    edges = tuple(Edge("ABCD".index(pair["chosen"]), "ABCD".index(pair["reject"])) for pair in pairs)
    assert edges == ring(4)
    assert worth(make("r", size=4, edges=edges, directed=rotated(4)), "pair") == 1

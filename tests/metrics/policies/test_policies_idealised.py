"""Ranking accuracy, its ideal, the gap and the lengths, on rows that were worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.metric_spec import Level, MetricSpec
from rmbench.metrics.measure import measure
from rmbench.metrics.policies.idealised import Preference, idealised, idealised_margin, implicit_specs, preferences
from rmbench.types import Edge

PAIR = MetricSpec("accuracy", "pair", chance=0.5)


def voters(ups: int, downs: int, ties: int = 0) -> tuple[Edge, ...]:
    """Annotators who prefer candidate 0, candidate 1, neither."""
    strengths = [1.0] * ups + [-1.0] * downs + [0.0] * ties
    return tuple(Edge(0, 1, strength, annotator=f"a{k}") for k, strength in enumerate(strengths))


def parts(logp, ref=None, beta=0.1, tokens=(4, 2)):
    """The parts that a policy with a reference gives."""
    named = {"logp": logp, "tokens": tokens}
    if ref is not None:
        named |= {"ref_logp": ref, "beta": (beta,) * len(logp)}
    return {name: tuple((float(value),) for value in values) for name, values in named.items()}


def values_of(rows, rule, **settings):
    """Group -> value of one rule."""
    found = measure(rows, [MetricSpec("m", rule, **settings)], resamples=50)
    return {value.group: value for value in found}


TWO_THIRDS: Any = pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        (voters(3, 1), [Preference(0, 1, 0.75, 4)]),
        (voters(1, 3), [Preference(1, 0, 0.75, 4)]),
        (voters(1, 0, 1), [Preference(0, 1, 0.75, 2)]),
        (voters(2, 2), []),
        (voters(0, 0, 3), []),
        ((Edge(1, 0),), [Preference(1, 0, 1.0, 1)]),
        ((Edge(0, 1), *voters(1, 2)), [Preference(1, 0, TWO_THIRDS, 3)]),
    ],
)
def test_the_share_of_the_annotators(make, votes, expected):
    assert preferences(make(edges=votes), PAIR) == expected


def test_one_annotator_and_one_dimension(make):
    row = make(edges=(*voters(2, 1), Edge(0, 1, -1, dimension="style")))
    assert preferences(row, replace(PAIR, annotator="a2")) == [Preference(1, 0, 1.0, 1)]
    assert preferences(row, replace(PAIR, dimension="style")) == [Preference(1, 0, 1.0, 1)]
    assert preferences(row, replace(PAIR, dimension="depth")) == []


def test_the_closed_form():
    # logit(0.75) = ln 3 = 1.0986; with beta 0.1 the reference may prefer the other answer by 10.986 nats.
    assert idealised(-10.98, 0.75, 0.1)
    assert not idealised(-10.99, 0.75, 0.1)
    assert not idealised(-10.98, 0.75, 0.11)
    assert idealised(-1e9, 1.0, 0.1)
    assert not idealised(math.log(1 / 9), 0.9, 1.0 + 1e-9)  # logit(0.9) = ln 9


def test_four_rows_by_hand(make):
    rows = [
        # policy right, ideal right: -2 + 10.986 > 0
        make("a", edges=voters(3, 1), parts=parts((-10, -20), (-12, -10))),
        # policy wrong, ideal right
        make("b", edges=voters(3, 1), parts=parts((-30, -20), (-15, -10))),
        # policy wrong, ideal wrong: -11 + 10.986 < 0
        make("c", edges=voters(3, 1), parts=parts((-30, -20), (-21, -10))),
        # policy right, ideal wrong: people prefer candidate 1, -12 + 10.986 < 0
        make("d", edges=voters(1, 3), parts=parts((-30, -20), (-10, -22), tokens=(9, 5))),
    ]
    assert values_of(rows, "ranking_accuracy")[None].value == 0.5
    assert values_of(rows, "idealised_ranking_accuracy")[None].value == 0.5
    gap = values_of(rows, "alignment_gap")[None]
    assert (gap.value, gap.n, gap.comparisons) == (0.0, 4, 4)
    assert gap.low < 0 < gap.high
    assert values_of(rows[:2], "alignment_gap")[None].value == 0.5
    assert gap.flags == ()
    lengths = values_of(rows, "answer_tokens")
    assert lengths["answer=preferred"].value == pytest.approx((4 + 4 + 4 + 5) / 4)
    assert lengths["answer=other"].value == pytest.approx((2 + 2 + 2 + 9) / 4)
    assert lengths[None].value == pytest.approx((4 * 3 + 5 + 2 * 3 + 9) / 8)


def test_equal_likelihoods_are_no_ranking(make):
    assert values_of([make(parts=parts((-3, -3)))], "ranking_accuracy")[None].value == 0


def test_several_pairs_of_one_row_are_averaged(make):
    edges = (Edge(0, 1), Edge(0, 2), Edge(1, 2))
    row = make(size=3, edges=edges, parts=parts((-3, -1, -2), tokens=(1, 2, 3)))
    value = values_of([row], "ranking_accuracy")[None]
    assert (value.value, value.comparisons) == (pytest.approx(1 / 3), 3)


def test_a_label_alone_makes_the_ideal_perfect_and_says_so(make):
    rows = [make("a", parts=parts((-30, -20), (-90, -10))), make("b", parts=parts((-10, -20), (-90, -10)))]
    ideal, gap = (values_of(rows, rule)[None] for rule in ("idealised_ranking_accuracy", "alignment_gap"))
    assert (ideal.value, ideal.flags) == (1.0, ("one_label",))
    assert (gap.value, gap.flags) == (0.5, ("one_label",))
    assert values_of(rows, "ranking_accuracy")[None].flags == ()


def test_rows_without_the_parts_are_left_out_and_it_is_said(make):
    rows = [make("a", parts=parts((-1, -2))), make("b", status="failed"), make("c", (1.0, 0.0))]
    value = values_of(rows, "ranking_accuracy", min_coverage=0)[None]
    assert (value.value, value.n, value.flags) == (1.0, 1, ("incomplete",))
    nothing = values_of(rows, "alignment_gap", min_coverage=0)[None]
    assert (nothing.value, nothing.flags) == (None, ("incomplete", "undefined"))


def names(rows, metrics):
    return [spec.name for spec in implicit_specs(rows, metrics)]


def test_what_is_measured_beside_a_tasks_own_metrics(make):
    full = [make("a", (1.0, 0.0), parts=parts((-1, -2), (-1, -2)))]
    free = [make("a", (1.0, 0.0), parts=parts((-1, -2)))]
    every = ["ranking_accuracy", "idealised_ranking_accuracy", "alignment_gap", "answer_tokens"]
    assert names(full, [PAIR]) == every
    assert names(free, [PAIR]) == ["ranking_accuracy", "answer_tokens"]
    assert names(full, [MetricSpec("best", "top")]) == ["reward_accuracy", *every]
    assert names(full, [MetricSpec("alignment_gap", "pair")]) == [n for n in every if n != "alignment_gap"]
    assert names([make("a", (1.0, 0.0))], [PAIR]) == []
    assert names([make("a", edges=(), parts=parts((-1, -2)))], [PAIR]) == []


def test_they_count_the_rows_and_the_labels_of_the_official_metric(make):
    rows = [
        make("a", parts=parts((-1, -2)), groups={"set": "x"}),
        make("b", parts=parts((-3, -2)), groups={"set": "y"}),
    ]
    head = MetricSpec("m", "pair", where={"set": ("y",)}, levels=(Level("set"),))
    (ranking, _) = implicit_specs(rows, [head])
    assert measure(rows, [ranking])[0].value == 0
    assert measure(rows, [ranking])[0].n == 1


@pytest.mark.parametrize(
    "log_ratio, share, beta, expected",
    [
        (-5, 0.75, 0.1, 5.9861),
        (-5, 0.75, 1, -3.9014),
        (-20, 0.75, 0.1, -9.0139),
        (2, 0.25, 0.1, -8.9861),
        (2, 0.25, 5, 1.7803),
    ],
)
def test_published_terms(log_ratio, share, beta, expected):
    assert idealised_margin(log_ratio, share, beta) == pytest.approx(expected, abs=5.1e-5)
    # The ideal policy is the reference times (share / (1 - share)) ^ (1 / beta).
    ratio = math.exp(log_ratio) * (share / (1 - share)) ** (1 / beta)
    assert (ratio > 1) == (expected > 0)


@pytest.mark.parametrize("share, beta", [(1.5, 0.1), (-0.1, 0.1), (0.5, 0.0)])
def test_what_is_no_share_or_beta(share, beta):
    with pytest.raises(RmbenchError, match="expected a share in"):
        idealised_margin(0.0, share, beta)

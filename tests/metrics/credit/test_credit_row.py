"""Credits by hand, rule by rule."""

from __future__ import annotations

import math

import pytest

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.metrics.rows.answers import answered_by, is_failed, scores
from rmbench.metrics.rows.gold import with_tags
from rmbench.types import TIE, Edge, Verdict

CHOSEN_FIRST = (Edge(0, 1), Edge(0, 2), Edge(0, 3))


def pick(value, shown=(0, 1), status="ok", vote=0):
    return Verdict(shown, "pick", value, status, vote)


def value(row, rule, **spec):
    return credit(row, MetricSpec(rule, rule, **spec)).value


@pytest.mark.parametrize("rewards, tie, expected", [((2, 1), 0, 1), ((1, 2), 0, 0), ((1, 1), 0, 0), ((1, 1), 0.5, 0.5)])
def test_pair_by_rewards(make, rewards, tie, expected):
    assert value(make(rewards=rewards), "pair", tie=tie) == expected


def test_pair_means_over_comparisons_and_leaves_human_ties_out(make):
    edges = (Edge(0, 1), Edge(2, 0, -1.0), Edge(1, 2), Edge(0, 2, 0.0))
    got = credit(make(rewards=(3, 1, 2), edges=edges, size=3), MetricSpec("m", "pair"))
    # 0>1 right, 0>2 (the edge says 2 loses) right, 1>2 wrong.
    assert (got.value, got.comparisons, got.answered) == (pytest.approx(2 / 3), 3, "reward")


def test_a_row_of_human_ties_alone_is_not_counted(make):
    assert credit(make(rewards=(1, 2), edges=(Edge(0, 1, 0.0),)), MetricSpec("m", "pair")).value is None


def test_tags_and_dimension_choose_comparisons(make):
    edges = (Edge(0, 1, tags=("level=hard",), dimension="VQ"), Edge(1, 0, tags=("level=easy",), dimension="MQ"))
    row = make(rewards=(2, 1), edges=edges)
    assert credit(with_tags([row], ("level=hard",))[0], MetricSpec("m", "pair")).value == 1
    assert credit(with_tags([row], ("level=easy",))[0], MetricSpec("m", "pair")).value == 0
    assert value(row, "pair", dimension="VQ") == 1
    assert credit(with_tags([row], ("level=none",))[0], MetricSpec("m", "pair")).value is None


@pytest.mark.parametrize("status, expected", [("failed", 0.0), ("unparsed", 0.5)])
def test_rows_without_an_answer_stay(make, status, expected):
    got = credit(make(status=status), MetricSpec("m", "pair", unparsed=0.5))
    assert (got.value, got.comparisons, got.answered) == (expected, 1, "none")


def test_nan_and_infinity_are_failures(make):
    assert is_failed(make(rewards=(math.nan, 1)))
    assert value(make(rewards=(math.nan, 0)), "pair", unparsed=0.5) == 0
    assert is_failed(make(directed=((0, math.nan), (0, 0))))
    assert is_failed(make(directed=((0, -math.inf), (0, 0))))
    assert is_failed(make(rewards=(0, -math.inf)))
    assert value(make(rewards=(0, -math.inf)), "pair", unparsed=0.5) == 0
    assert value(make(rewards=(-math.inf, -math.inf)), "pair", tie=0.5) == 0


def test_a_failed_verdict_has_no_credit_and_an_unreadable_one_the_declared(make):
    spec = {"unparsed": 0.5}
    assert value(make(verdicts=(pick(None, status="failed"),)), "pair", **spec) == 0
    assert value(make(verdicts=(pick(None, status="unparsed"),)), "pair", **spec) == 0.5
    assert value(make(verdicts=(pick(0), pick(None, (1, 0), "unparsed"))), "pair", **spec) == 0.75


def test_reward_bench_ties(make):
    """0 for a scalar, .5 for a judge that names no winner or rates both alike."""
    rated = tuple(Verdict((k,), "rating", 7) for k in (0, 1))
    assert value(make(rewards=(1, 1)), "pair", unparsed=0.5) == 0
    assert value(make(verdicts=(pick(TIE),)), "pair", unparsed=0.5) == 0.5
    assert value(make(verdicts=rated), "pair", unparsed=0.5) == 0.5
    assert value(make(verdicts=rated[:1]), "pair", unparsed=0.5) == 0.5


def test_votes_are_averaged(make):
    votes = (pick(0, vote=0), pick(0, vote=1), pick(1, vote=2))
    assert value(make(verdicts=votes), "pair") == pytest.approx(2 / 3)


def test_directed_margins_are_read_by_their_skew_half(make):
    """A bias towards the candidate shown first (.5 in both) cancels."""
    row = make(directed=((0, 0.7), (0.3, 0)))
    assert answered_by(row) == "margin"
    assert value(row, "pair") == 1
    assert value(make(directed=((0, 0.3), (0.7, 0))), "pair") == 0
    assert value(make(directed=((0, 0.5), (0.5, 0))), "pair", tie=0.25) == 0.25


def test_margins_order_candidates_by_their_mean(make):
    row = make(directed=((9, 1, -4), (-1, 9, 2), (4, -2, 9)), size=3, edges=(Edge(2, 0), Edge(2, 1)))
    assert scores(row) == [-1.5, 0.5, 1.0]
    assert value(row, "top") == 1
    assert value(row, "all") == 0  # it loses to 1, however well it does on average


@pytest.mark.parametrize(
    "rewards, expected",
    [
        ((1, 0, 0, 0), 1),
        ((1, 1, 0, 0), 1 / 2),
        ((1, 1, 1, 0), 1 / 3),
        ((1, 1, 1, 1), 1 / 4),
        ((0, 1, 0, 0), 0),
        ((1, 1, 2, 0), 0),
    ],
)
def test_top_is_reward_bench_2(make, rewards, expected):
    assert value(make(rewards=rewards, edges=CHOSEN_FIRST, size=4), "top") == pytest.approx(expected)


def test_top_by_judges(make):
    def four(verdicts):
        return value(make(verdicts=verdicts, edges=CHOSEN_FIRST, size=4), "top", unparsed=0.25)

    shown = (2, 0, 3, 1)
    assert four((pick(0, shown),)) == 1
    assert four((pick(2, shown),)) == 0
    assert four((pick(None, shown, "unparsed"),)) == 0.25
    assert four((pick(None, shown, "failed"), pick(0, shown))) == 0.5
    assert four((Verdict(shown, "ranking", (0, 3, 1, 2)),)) == 1
    ratings = tuple(Verdict((k,), "rating", rating) for k, rating in enumerate((8, 8, 3, 1)))
    assert four(ratings) == 0.5
    # An unreadable rating is dropped before the maximum.
    assert four((*ratings[:1], Verdict((1,), "rating", None, "unparsed"), *ratings[2:])) == 1
    # Pairwise picks: 0 wins two of three, 1 wins none.
    assert four((pick(0, (0, 1)), pick(0, (0, 2)), pick(3, (0, 3)))) == 0.5


@pytest.mark.parametrize("rewards, expected", [((3, 1, 2), 1), ((3, 3, 2), 0), ((2, 1, 3), 0)])
def test_all_comparisons_must_be_won(make, rewards, expected):
    row = make(rewards=rewards, edges=(Edge(0, 1), Edge(0, 2)), size=3)
    assert value(row, "all") == expected


def test_all_by_a_judge(make):
    edges = (Edge(0, 1), Edge(0, 2))

    def three(*verdicts):
        return value(make(verdicts=verdicts, edges=edges, size=3), "all", unparsed=0.125)

    assert three(pick(0, (0, 1)), pick(0, (2, 0))) == 1
    assert three(pick(0, (0, 1)), pick(2, (2, 0))) == 0
    assert three(pick(0, (0, 1))) == 0  # one comparison never asked
    assert three(pick(0, (0, 1, 2))) == 1
    assert three(pick(1, (0, 1, 2))) == 0
    assert three(pick(None, (0, 1, 2), "unparsed")) == 0.125


A_FIRST, B_FIRST = (0, 1), (1, 0)
FLIP = {0: 1, 1: 0, TIE: TIE}
TWO_ORDERS = [
    # verdicts in both orders (mapped to candidates), majority, mean, both, agreement
    ((0, 0), 1, 1, 1, 1),
    ((0, 1), 0, 0.5, 0, 0),
    ((1, 1), 0, 0, 0, 1),
    ((0, TIE), 1, 0.5, 0, 0),
    ((TIE, TIE), 0, 0, 0, 1),
    ((0, None), 1, 0.5, 0, 0),
    ((1, None), 0, 0, 0, 0),
    ((None, None), 0, 0, 0, 1),
]


@pytest.mark.parametrize("said, majority, mean, both, agreement", TWO_ORDERS)
def test_two_orders_by_a_judge(make, said, majority, mean, both, agreement):
    verdicts = tuple(
        pick(value, shown, "unparsed" if value is None else "ok")
        for value, shown in zip(said, (A_FIRST, B_FIRST), strict=True)
    )
    rules = ("two_order_majority", "two_order_mean", "both_orders", "order_agreement", "first_order", "second_order")
    got = [value(make(verdicts=verdicts), rule) for rule in rules]
    assert got == [majority, mean, both, agreement, said[0] == 0, said[1] == 0]
    # Naming the other candidate as preferred turns the question round.
    turned = tuple(pick(None if v.value is None else FLIP[v.value], v.shown, v.status) for v in verdicts)
    assert [value(make(verdicts=turned, edges=(Edge(1, 0),)), rule) for rule in rules] == got


def test_a_failed_question_of_two_orders_has_no_credit_and_an_unreadable_one_the_declared(make):
    for status, second in (("failed", 0.0), ("unparsed", 0.5)):
        row = make(verdicts=(pick(0), pick(None, B_FIRST, status)))
        got = [value(row, rule, unparsed=0.5) for rule in ("two_order_mean", "first_order", "second_order")]
        assert got == [(1 + second) / 2, 1, second]


@pytest.mark.parametrize("rewards, values", [((2, 1), (1, 1, 1, 1)), ((1, 2), (0, 0, 0, 1)), ((1, 1), (0, 0.5, 0, 0))])
def test_two_orders_by_a_scalar(make, rewards, values):
    rules = ("two_order_majority", "two_order_mean", "both_orders", "order_agreement")
    assert tuple(value(make(rewards=rewards), rule) for rule in rules) == values
    rated = tuple(Verdict((k,), "rating", reward) for k, reward in enumerate(rewards))
    assert tuple(value(make(verdicts=rated), rule) for rule in rules) == values


def test_a_scalar_tie_goes_to_the_candidate_shown_second(make):
    assert value(make(rewards=(1, 1)), "first_order") == 0
    assert value(make(rewards=(1, 1)), "second_order") == 1
    assert value(make(rewards=(1, 1), edges=(Edge(1, 0),)), "first_order") == 1


def test_order_rules_read_margins_once_per_order(make):
    biased = make(directed=((0, 0.7), (0.3, 0)))
    rules = ("two_order_majority", "two_order_mean", "both_orders", "order_agreement")
    assert [value(biased, rule) for rule in rules] == [0, 0.5, 0, 0]
    assert [value(make(directed=((0, 0.7), (-0.3, 0))), rule) for rule in rules] == [1, 1, 1, 1]


def test_votes_in_two_orders_pair_up(make):
    votes = (pick(0, A_FIRST), pick(0, B_FIRST), pick(0, A_FIRST, vote=1), pick(1, B_FIRST, vote=1))
    row = make(verdicts=votes)
    assert value(row, "order_agreement") == 0.5
    assert value(row, "both_orders") == 0.5
    assert value(row, "two_order_mean") == 0.75
    assert value(row, "two_order_majority") == 1


def test_one_order_alone_is_marked(make):
    got = credit(make(verdicts=(pick(0),)), MetricSpec("m", "two_order_majority"))
    assert (got.value, got.one_order) == (1, True)
    assert value(make(verdicts=(pick(0),)), "order_agreement") == 0
    assert not credit(make(verdicts=(pick(0, A_FIRST), pick(0, B_FIRST))), MetricSpec("m", "both_orders")).one_order
    assert not credit(make(verdicts=(pick(0),)), MetricSpec("m", "pair")).one_order


def test_top_of_a_chain_is_its_first_alone(make):
    chain = (Edge(0, 1), Edge(1, 2))
    assert [value(make(rewards=rewards, edges=chain), "top") for rewards in ((3, 2, 1), (2, 3, 1), (1, 2, 3))] == [
        1,
        0,
        0,
    ]
    assert value(make(verdicts=(pick(1, (0, 1, 2)),), edges=chain, size=3), "top") == 0


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict((0, 1, 2), "ranking", (0, 2)),
        Verdict((0, 1, 2), "ranking", (1, 2)),
        Verdict((0, 1), "pick", 2),
        Verdict((0, 1), "label", "A"),
    ],
)
def test_a_verdict_that_does_not_fit_what_was_shown_is_unparsed(make, verdict):
    assert value(make(verdicts=(verdict,), size=3), "pair", unparsed=0.25) == 0.25


def test_a_pick_of_a_third_candidate_does_not_compare_the_two(make):
    assert value(make(verdicts=(pick(2, (0, 1, 2)), pick(0)), size=3), "pair", unparsed=0.25) == 1


def test_an_unknown_rule_is_named(make):
    with pytest.raises(RmbenchError, match=r'"pairs" is no rule.*Did you mean "pair"'):
        value(make(rewards=(1, 0)), "pairs")

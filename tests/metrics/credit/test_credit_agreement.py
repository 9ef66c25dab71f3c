"""Agreement with human ties as a class, majorities and single annotators, by hand."""

from __future__ import annotations

import itertools

import pytest

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.metrics.measure import measure
from rmbench.metrics.rows.gold import compared, figures, label_of, qualities
from rmbench.types import TIE, Edge, Gold, Judged, Judgment, Verdict
from tests._make import worth

TIED = (Edge(0, 1, 0.0),)


def pick(value, shown=(0, 1), vote=0):
    return Verdict(shown, "pick", value, "unparsed" if value is None else "ok", vote)


@pytest.mark.parametrize(
    "edges, rewards, expected",
    [
        ((Edge(0, 1),), (2.0, 1.0), 1),
        ((Edge(0, 1),), (1.0, 2.0), 0),
        ((Edge(0, 1),), (1.0, 1.0), 0.25),
        ((Edge(1, 0),), (1.0, 2.0), 1),
        ((Edge(0, 1, -1.0),), (1.0, 2.0), 1),
        (TIED, (1.0, 1.0), 1),
        (TIED, (1.0, 2.0), 0.75),
    ],
)
def test_a_scalar_ties_at_equal_scores_alone(make, edges, rewards, expected):
    row = make("r", rewards, edges=edges)
    assert worth(row, "agreement", tie=0.25, human_tie=0.75) == expected
    assert worth(row, "agreement") == float(expected == 1)
    # A scalar says the same in both orders.
    assert worth(row, "two_order_agreement") == float(expected == 1)
    assert worth(row, "order_consistency") == 1


def test_near_scores_are_a_tie_within_the_stated_width(make):
    row = make("r", (0.6, 0.5), edges=TIED)
    assert worth(row, "agreement", tie_within=0.11) == 1
    assert worth(row, "agreement", tie_within=0.05) == 0
    margins = make("r", directed=((0.0, 0.3), (0.1, 0.0)), edges=TIED)
    assert (worth(margins, "agreement", tie_within=0.1), worth(margins, "agreement", tie_within=0.09)) == (1, 0)


def test_two_orders_by_the_formula(make):
    """p and q over all verdicts, the gold over all classes: p = q = y, p = q, p = y."""
    for gold, p, q in itertools.product((0, 1, TIE), (0, 1, TIE, None), (0, 1, TIE, None)):
        edges = TIED if gold == TIE else (Edge(gold, 1 - gold),)
        row = make("r", edges=edges, verdicts=(pick(p), pick(q, (1, 0))))
        assert worth(row, "two_order_agreement") == float(p == q == gold)
        assert worth(row, "order_consistency") == float(p == q and p is not None)
        assert worth(row, "agreement") == float(p == gold)
        assert worth(row, "agreement", unparsed=0.5) == (0.5 if p is None else float(p == gold))
        # The order first asked counts, whichever that is.
        turned = make("r", edges=edges, verdicts=(pick(q, (1, 0)), pick(p)))
        assert worth(turned, "agreement") == float(q == gold)


def test_votes_are_matched_and_a_missing_order_is_wrong(make):
    votes = (pick(0), pick(0, (1, 0)), pick(0, (0, 1), 1), pick(1, (1, 0), 1))
    row = make("r", verdicts=votes)
    assert worth(row, "two_order_agreement") == 0.5
    assert worth(row, "order_consistency") == 0.5
    assert worth(row, "agreement") == 1
    alone = credit(make("r", verdicts=(pick(0),)), MetricSpec("m", "two_order_agreement"))
    assert (alone.value, alone.one_order) == (0, True)


def test_failed_and_unread_rows(make):
    failed = make("r", status="failed", edges=TIED)
    unread = make("r", status="unparsed", edges=TIED)
    for rule in ("agreement", "two_order_agreement", "order_consistency", "tie_kind_agreement"):
        assert worth(failed, rule, unparsed=0.5, human_tie=1.0) == 0
        assert worth(unread, rule, unparsed=0.5) == 0.5


def label(text, shown=(0, 1)):
    return Verdict(shown, "label", text)


@pytest.mark.parametrize(
    "gold, said, exact, merged, decisive",
    [
        ((Edge(0, 1),), "A>B", 1, 1, 1),
        ((Edge(0, 1),), "A>>B", 1, 1, 1),
        ((Edge(0, 1),), "B>A", 0, 0, 0),
        ((Edge(0, 1),), "A=B=Good", 0, 0, 0),
        ((Edge(1, 0),), "B>>A", 1, 1, 1),
        ((Edge(0, 1, 0.0, tags=("tie=good",)),), "A=B=Good", 1, 1, None),
        ((Edge(0, 1, 0.0, tags=("tie=good",)),), "A=B=Bad", 0, 1, None),
        ((Edge(0, 1, 0.0, tags=("tie=bad",)),), "A=B=Bad", 1, 1, None),
        ((Edge(0, 1, 0.0, tags=("tie=bad",)),), "A=B", 1, 1, None),
        ((Edge(0, 1, 0.0, tags=("tie=bad",)),), "A>B", 0, 0, None),
        ((Edge(0, 1),), "neither", 0, 0, 0),
    ],
)
def test_the_kind_of_a_tie(make, gold, said, exact, merged, decisive):
    row = make("r", edges=gold, verdicts=(label(said),))
    got = [worth(row, rule) for rule in ("tie_kind_agreement", "agreement", "pair")]
    assert got == [exact, merged, decisive]
    swapped = {"A>B": "B>A", "B>A": "A>B", "A>>B": "B>>A", "B>>A": "A>>B"}.get(said, said)
    turned = make("r", edges=gold, verdicts=(label(swapped, (1, 0)),))
    assert [worth(turned, rule) for rule in ("tie_kind_agreement", "agreement", "pair")] == got


def test_votes_on_the_kind_of_a_tie_are_averaged(make):
    votes = (label("A>B"), label("B>A"), label("A=B=Good"), label("neither"))
    kind = {"tie": 0.5, "human_tie": 0.25, "unparsed": 0.125}
    assert worth(make("r", verdicts=votes), "tie_kind_agreement", **kind) == (1 + 0 + 0.5 + 0.125) / 4
    tied = (Edge(0, 1, 0.0, tags=("tie=good",)),)
    assert worth(make("r", edges=tied, verdicts=votes), "tie_kind_agreement", **kind) == (0.25 + 0.25 + 1 + 0.125) / 4


def test_labels_of_other_pairs_are_no_votes(make):
    """0 > 1 by one label, which is right; 0 > 2 by two, which are wrong."""
    votes = (label("A>B"), label("B>A", (0, 2)), label("B>A", (0, 2)))
    row = make("r", size=3, edges=(Edge(0, 1), Edge(0, 2)), verdicts=votes)
    assert worth(row, "tie_kind_agreement") == 1 / 2


def test_the_share_of_picks_that_name_the_candidate_shown_first(make):
    first, second = pick(0), pick(0, (1, 0))
    assert worth(make("r", verdicts=(first,)), "first_position") == 1
    assert worth(make("r", verdicts=(second,)), "first_position") == 0
    assert worth(make("r", verdicts=(first, second, pick(1, (1, 0)))), "first_position") == 2 / 3
    # A tie, an unreadable pick and a pick among three say nothing of two positions.
    others = (pick(TIE), pick(None), pick(2, (2, 0, 1)))
    assert worth(make("r", size=3, verdicts=(second, *others)), "first_position") == 0
    assert worth(make("r", size=3, verdicts=others), "first_position") is None


def test_a_rating_judges_tie_is_a_tie_of_scores(make):
    """RewardMATH's accuracy with ties: equal ratings count, a TIE pick of a pairwise judge does not."""
    rated = make("r", verdicts=tuple(Verdict((k,), "rating", 7) for k in (0, 1)))
    assert [worth(rated, "all", tie=tie) for tie in (0.0, 1.0)] == [0, 1]
    assert worth(make("r", verdicts=(pick(TIE),)), "all", tie=1.0) == 0


def test_a_scalar_has_no_kind_of_tie(make):
    edges = (Edge(0, 1, 0.0, tags=("tie=bad",)),)
    assert worth(make("r", (1.0, 1.0), edges=edges), "tie_kind_agreement") == 1
    assert worth(make("r", (1.0, 2.0), edges=edges), "tie_kind_agreement") == 0


VOTES = (
    Edge(0, 1, 1.0, annotator="a"),
    Edge(1, 0, 1.0, annotator="b"),
    Edge(1, 0, -2.0, annotator="c"),
)


def test_annotators_and_their_majority(make):
    row = make("r", (2.0, 1.0), edges=VOTES)
    got = {who: worth(row, "agreement", annotator=who) for who in ("a", "b", "c", "majority")}
    assert got == {"a": 1, "b": 0, "c": 1, "majority": 1}
    assert worth(row, "agreement") == pytest.approx(2 / 3)
    assert worth(row, "agreement", annotator="d") is None
    # The comparison that names nobody is the one without an annotator.
    assert worth(make("r", (2.0, 1.0), edges=(Edge(1, 0), *VOTES)), "agreement") == 0


def test_half_of_the_annotators_are_no_majority(make):
    split = (*VOTES, Edge(0, 1, 0.0, annotator="d"))
    spec = MetricSpec("m", "agreement", annotator="majority")
    assert compared(make("r", edges=split), spec) == []
    tie = (Edge(0, 1, 0.0, annotator="a"), Edge(1, 0, 0.0, annotator="b"), Edge(0, 1, annotator="c"))
    assert [one.tie for one in compared(make("r", edges=tie), spec)] == [True]
    rows = [make("1", (2.0, 1.0), edges=VOTES), make("2", (2.0, 1.0), edges=split)]
    assert measure(rows, [spec])[0].n == 1


def test_a_dimension_has_its_own_comparisons_and_scores(make):
    edges = (Edge(0, 1, dimension="VQ"), Edge(1, 0, dimension="MQ"), Edge(0, 1, 0.0, dimension="TA"))
    row = make("r", (2.0, 1.0), edges=edges, parts={"MQ": ((0.0,), (3.0,))})
    assert [worth(row, "pair", dimension=name) for name in ("VQ", "MQ", "TA")] == [1, 1, None]
    assert worth(row, "pair") == 0.5
    own = make("r", edges=edges, parts={"MQ": ((0.0,), (3.0,))})
    assert (worth(own, "pair", dimension="MQ"), worth(own, "pair", dimension="VQ")) == (1, 0)


def test_figures_and_qualities_of_candidates(make):
    spec = MetricSpec("m", "list_kendall_b")
    ranked = make("r", size=3, edges=(Edge(0, 1), Edge(0, 2), Edge(1, 2, 0.0)))
    assert figures(ranked, spec) == [2, -1, -1]
    assert qualities(ranked, spec) == [1, 0, 0]
    nothing = make("r", edges=())
    assert (figures(nothing, spec), qualities(nothing, spec)) == (None, None)
    rated = make("r", edges=(), ratings=((1.0, 5.0), (0.0, float("nan"))), dimensions=("a", "b"))
    assert figures(rated, MetricSpec("m", "auc", dimension="a")) == [1, 0]
    assert qualities(rated, MetricSpec("m", "auc", dimension="b")) is None
    with pytest.raises(RmbenchError, match="declare its dimension, one of a, b"):
        figures(rated, spec)
    with pytest.raises(RmbenchError, match=r'no rated dimension "aa".*Did you mean "a"'):
        figures(rated, MetricSpec("m", "auc", dimension="aa"))


def test_a_label_needs_its_dimension_where_there_are_several():
    row = Judged("r", 1, Gold(labels={"x": 1, "y": 0}), Judgment("r"))
    assert label_of(row, MetricSpec("m", "auc", dimension="y")) == 0
    assert label_of(row, MetricSpec("m", "auc", dimension="z")) is None
    with pytest.raises(RmbenchError, match="one of x, y"):
        label_of(row, MetricSpec("m", "auc"))

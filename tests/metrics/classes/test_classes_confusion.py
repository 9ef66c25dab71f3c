"""Macro figures, thresholds and AUC against plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rmbench.errors import RmbenchError
from rmbench.metric_spec import Level, MetricSpec
from rmbench.metrics.classes.auc import weighted_auc
from rmbench.metrics.classes.confusion import best_threshold, cohen_kappa, macro
from rmbench.metrics.measure import measure
from rmbench.types import TIE, Edge, Gold, Judged, Judgment, Verdict
from tests._make import make_row


def plain_macro(rule, gold, predicted):
    """The plain mean over the classes that occur, by counting."""
    out = []
    for label in sorted(set(gold) | set(predicted) - {None}):
        hits = sum(g == p == label for g, p in zip(gold, predicted, strict=True))
        said, there = predicted.count(label), gold.count(label)
        precision = hits / said if said else 0.0
        recall = hits / there if there else 0.0
        f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
        out.append({"macro_precision": precision, "macro_recall": recall, "macro_f1": f1}[rule])
    return sum(out) / len(out)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 1, 2, None])), min_size=1, max_size=12))
def test_macro_figures_of_pairs_by_counting(items):
    rows = []
    for k, (gold, said) in enumerate(items):
        edge = Edge(0, 1, 0.0) if gold == 2 else Edge(gold, 1 - gold)
        value = None if said is None else TIE if said == 2 else said
        verdict = Verdict((0, 1), "pick", value, "unparsed" if said is None else "ok")
        rows.append(Judged(str(k), 2, Gold((edge,)), Judgment(str(k), verdicts=(verdict,))))
    gold, said = [g for g, _ in items], [s for _, s in items]
    for rule in ("macro_precision", "macro_recall", "macro_f1"):
        got = measure(rows, [MetricSpec("m", rule)], resamples=20)[0]
        assert got.value == pytest.approx(plain_macro(rule, gold, said))
        assert (got.n, got.comparisons) == (len(items), len(items))


def test_macro_of_an_array_of_tables():
    table = np.array([[[2.0, 1, 0], [1, 3, 0]], [[0, 0, 2], [0, 0, 0]]])
    precision = (2 / 3 + 3 / 4) / 2
    assert macro("macro_precision", table) == pytest.approx([precision, 0.0])
    assert np.isnan(macro("macro_f1", np.zeros((2, 3))))


def labelled(k, label, reward=None, said=None, group="a"):
    verdicts = () if said is None else (Verdict((0,), "label", said),)
    rewards, labels = None if reward is None else (reward,), {"attributable": label}
    return make_row(str(k), rewards, size=1, edges=(), labels=labels, groups={"set": group}, verdicts=verdicts)


def test_kappa_by_hand():
    """20 and 15 agreed of 50, shares 25/25 and 30/20: (.7 - .5)/(1 - .5) = .4."""
    assert cohen_kappa(np.array([[20.0, 5, 0], [10, 15, 0]])) == pytest.approx(0.4)
    assert np.isnan(cohen_kappa(np.array([[3.0, 0, 0], [0, 0, 0]])))
    # Answers of no class agree with nothing, and take no share.
    assert cohen_kappa(np.array([[1.0, 0, 1], [0, 1, 1]])) == pytest.approx((0.5 - 0.25) / 0.75)


NAMES = ("not attributable", "attributable")


def test_labels_by_a_judge_and_by_a_threshold():
    said = [("attributable", 1), ("not attributable", 1), ("attributable", 0), ("not attributable", 0)]
    rows = [labelled(k, label, said=name) for k, (name, label) in enumerate(said)]
    spec = MetricSpec("m", "macro_f1", classes=NAMES)
    assert measure(rows, [spec])[0].value == 0.5
    assert measure(rows, [MetricSpec("m", "threshold_accuracy", classes=NAMES)])[0].value == 0.5
    cut = [labelled(k, label, reward) for k, (label, reward) in enumerate([(1, 0.8), (1, 0.7), (0, 0.8), (0, 0.1)])]
    assert measure(cut, [MetricSpec("m", "macro_f1", threshold=0.8)])[0].value == 0.5
    assert measure(cut, [MetricSpec("m", "macro_recall", threshold=0.7)])[0].value == 0.75
    with pytest.raises(RmbenchError, match="need a threshold"):
        measure(cut, [MetricSpec("m", "macro_f1")])
    with pytest.raises(RmbenchError, match='label "maybe", expected one of not attributable, attributable'):
        measure([labelled(0, 1, said="maybe")], [spec])


def test_unread_labels_are_the_wrong_class_of_two():
    unread = Judged("u", 1, Gold(labels={"x": 1}), Judgment("u", verdicts=(Verdict((0,), "label", None, "unparsed"),)))
    failed = Judged("f", 1, Gold(labels={"x": 0}), Judgment("f", status="failed"))
    right = labelled("r", 1, said="1")
    rows = [unread, failed, Judged("r", 1, Gold(labels={"x": 1}), right.judgment)]
    gold, said = [1, 0, 1], [0, 1, 1]
    for rule in ("macro_precision", "macro_recall", "macro_f1"):
        assert measure(rows, [MetricSpec("m", rule, min_coverage=0)])[0].value == pytest.approx(
            plain_macro(rule, gold, said)
        )


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=10))
def test_the_best_threshold_by_trying_all(items):
    labels, scores = np.array([a for a, _ in items]), np.array([float(b) for _, b in items])
    for rule, worth in (
        ("threshold_accuracy", lambda said: np.mean(said == labels)),
        ("threshold_macro_f1", lambda said: plain_macro("macro_f1", labels.tolist(), said.tolist())),
    ):
        got = best_threshold(scores, labels, rule)
        tried = {t: worth((scores >= t).astype(int)) for t in np.arange(-4, 5, 0.5)}
        best = max(tried.values())
        assert worth((scores >= got).astype(int)) == pytest.approx(best)
        assert not any(value > best - 1e-9 for t, value in tried.items() if t < got and not same(scores, t, got))


def same(scores, a, b):
    return ((scores >= a) == (scores >= b)).all()


def test_a_threshold_is_fitted_on_the_fit_rows_alone():
    fit = [
        labelled(f"f{k}", label, reward) for k, (label, reward) in enumerate([(0, 1.0), (0, 2.0), (1, 4.0), (1, 5.0)])
    ]
    rows = [labelled(k, label, reward) for k, (label, reward) in enumerate([(0, 3.5), (1, 3.4), (1, 2.5), (0, 0.0)])]
    specs = [MetricSpec("acc", "threshold_accuracy"), MetricSpec("f1", "threshold_macro_f1")]
    accuracy, f1 = measure(rows, specs, fit=fit)
    # The middle of 2 and 4 is 3: right, wrong by 3.5, right, wrong by 2.5.
    assert (accuracy.value, accuracy.flags, accuracy.interval) == (0.5, ("threshold=3",), "wilson")
    assert (f1.value, f1.flags) == (plain_macro("macro_f1", [0, 1, 1, 0], [1, 1, 0, 0]), ("threshold=3",))
    for values in (measure(rows, specs), measure(rows, specs, fit=fit[:2])):
        assert [(v.value, v.flags) for v in values] == [(None, ("no_fit_split", "undefined"))] * 2


def test_levels_average_the_groups_of_a_figure():
    rows = [labelled(k, k % 2, float(k % 3), group="ab"[k > 6]) for k in range(14)]
    spec = MetricSpec("m", "auc", levels=(Level("set"),), report=(("set",),))
    got = {value.group: value for value in measure(rows, [spec], resamples=200)}
    assert got[None].value == pytest.approx((got["set=a"].value + got["set=b"].value) / 2)
    assert got[None].low < got[None].value < got[None].high
    weighted = measure(rows, [MetricSpec("m", "auc", levels=(Level("set", {"a": 3.0, "b": 1.0}),))])[0]
    assert weighted.value == pytest.approx((3 * got["set=a"].value + got["set=b"].value) / 4)
    with pytest.raises(RmbenchError, match='has no group "sets"'):
        measure(rows, [MetricSpec("m", "auc", levels=(Level("sets"),))])
    one_class = [*rows, labelled("x", 1, 0.0, group="c")]
    undefined = measure(one_class, [spec])[0]
    assert (undefined.value, undefined.flags) == (None, ("undefined",))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=10))
def test_auc_is_mann_whitney(items):
    positive, scores, times = (np.array(of) for of in zip(*items, strict=True))
    good, bad = ([float(s) for p, s, t in items if p == side for _ in range(t)] for side in (1, 0))
    got = weighted_auc(scores.astype(float), positive, times[None, :].astype(float))[0]
    if not good or not bad:
        assert np.isnan(got)
        return
    above = sum((g > b) + (g == b) / 2 for g, b in itertools.product(good, bad))
    assert got == pytest.approx(above / (len(good) * len(bad)))
    assert got == pytest.approx(stats.mannwhitneyu(good, bad).statistic / (len(good) * len(bad)))


def test_auc_pools_candidates_and_leaves_out_what_has_no_score(make):
    rows = [
        make("a", (3.0, 1.0, 2.0), size=3, edges=(), ratings=((1.0,), (0.0,), (0.0,)), dimensions=("correct",)),
        make("b", (0.0, 5.0), edges=(Edge(1, 0),)),
        make("c", status="failed", edges=(Edge(0, 1),)),
    ]
    got = measure(rows, [MetricSpec("m", "auc", min_coverage=0)])[0]
    assert (got.value, got.n, got.comparisons, got.flags) == (1.0, 2, 5, ("incomplete",))
    assert measure(rows[:2], [MetricSpec("m", "auc", positive_above=1.5)])[0].value is None

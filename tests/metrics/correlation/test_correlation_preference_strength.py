"""Differences against graded labels: by hand, and RAGChecker's meta evaluation from its released predictions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.correlation.preference_strength import mapped
from rmbench.metrics.measure import measure
from rmbench.types import Edge, Gold, Judged, Judgment
from tests._make import make_row

RULES = ("delta_pearson", "delta_spearman", "delta_kendall_b")


def test_the_map():
    assert mapped(np.array([1.0, 3.0, 2.0])).tolist() == [-2, 2, 0]
    assert mapped(np.array([1.0, np.nan, 3.0, 2.0])).tolist() == [-2, 0, 2, 0]
    assert mapped(np.array([4.0, 4.0])).tolist() == [4, 4]
    assert mapped(np.array([np.nan, np.nan])).tolist() == [0, 0]


def pair(name, rewards, labels, dimension=""):
    """`labels`: above 0 says that the second candidate is better, one per annotator."""
    edges = tuple(
        Edge(1, 0, float(label), dimension, f"annotator{k}")
        if k % 2
        else Edge(0, 1, -float(label), dimension, f"annotator{k}")
        for k, label in enumerate(labels)
    )
    return make_row(name, rewards, edges=edges, status="failed" if rewards is None else "ok")


def test_each_difference_meets_every_label():
    rows = [
        pair("a", (0.0, 3.0), (2, 1)),
        pair("b", (1.0, 0.0), (-1, 0)),
        pair("c", (0.0, 0.5), (1, -1)),
        pair("d", (5.0, 5.0), (0, 0)),
    ]
    human, model = [2, 1, -1, 0, 1, -1, 0, 0], np.repeat([3.0, -1.0, 0.5, 0.0], 2)
    got = {v.metric: v for v in measure(rows, [MetricSpec(rule, rule) for rule in RULES], resamples=100)}
    assert got["delta_pearson"].value == pytest.approx(stats.pearsonr(human, model).statistic)
    assert got["delta_spearman"].value == pytest.approx(stats.spearmanr(human, model).statistic)
    assert got["delta_kendall_b"].value == pytest.approx(stats.kendalltau(human, model).statistic)
    assert (got["delta_pearson"].n, got["delta_pearson"].comparisons) == (4, 8)
    one = measure(rows, [MetricSpec("m", "delta_pearson", annotator="annotator1")])[0]
    assert one.value == pytest.approx(stats.pearsonr([1, 0, -1, 0], [3.0, -1.0, 0.5, 0.0]).statistic)


def test_labels_are_those_of_the_dimension():
    """Each dimension has a value of its own labels; those of another add nothing."""
    differences = (3.0, -1.0, 0.5, 0.0)
    labels = {"x": ((2, 1), (-1, 0), (1, -1), (0, 0)), "y": ((-1, -2), (2, 1), (0, 0), (1, 2))}
    rows = []
    for k, apart in enumerate(differences):
        edges = [edge for name, of in labels.items() for edge in pair("r", None, of[k], name).gold.relation]
        rows.append(make_row(f"r{k}", (0.0, apart), edges=edges))
    specs = [MetricSpec(name, "delta_pearson", dimension=name) for name in labels]
    got = {value.metric: value for value in measure(rows, specs, resamples=20) if value.group is None}
    for name, of in labels.items():
        expected = stats.pearsonr(np.ravel(of), np.repeat(differences, 2)).statistic
        assert (got[name].value, got[name].comparisons) == (pytest.approx(expected), 8)


def test_a_missing_difference_is_the_median():
    rows = [pair("a", (0.0, 3.0), (2,)), pair("b", None, (-1,)), pair("c", (1.0, 0.0), (0,))]
    got = measure(rows, [MetricSpec("m", "delta_pearson", min_coverage=0)])[0]
    assert got.value == pytest.approx(stats.pearsonr([2, -1, 0], [3, 1, -1]).statistic)
    assert (got.n, got.flags, got.coverage) == (3, ("median_filled",), 2 / 3)


def test_a_constant_side_has_no_value():
    rows = [pair("a", (0.0, 1.0), (1,)), pair("b", (0.0, 2.0), (1,))]
    got = measure(rows, [MetricSpec("m", "delta_pearson")])[0]
    assert (got.value, got.flags) == (None, ("undefined",))


RAGCHECKER = {
    # Pearson, Spearman, tau-b of RAGChecker; Pearson, Spearman between the annotators; of the longer answer
    "correctness": (49.66, 46.95, 0.3716, 63.67, 59.19, 4.61, 5.52),
    "completeness": (60.67, 58.11, 0.4772, 71.91, 68.36, 33.75, 39.14),
    "overall": (61.93, 60.90, 0.4855, 70.09, 68.89, 19.59, 23.99),
}
LABELS = {
    "correctness": (50, 124, 234, 112, 40),
    "completeness": (49, 134, 211, 117, 49),
    "overall": (52, 153, 170, 139, 46),
}


def rag_checker(data, model):
    """280 instances of two annotators; `model` turns an instance into parts and rewards."""
    folder = data / "ragchecker/data/meta_evaluation"
    human = json.loads((folder / "human_labeled_data.json").read_text(encoding="utf-8"))
    own = json.loads((folder / "baseline_ragchecker.json").read_text(encoding="utf-8"))
    rows = []
    for k, instance in enumerate(own):
        edges = tuple(
            Edge(1, 0, float(human[2 * k + who][f"{dimension}_label"]), dimension, f"annotator{who + 1}")
            for dimension in RAGCHECKER
            for who in (0, 1)
        )
        name = str(instance["instance_id"])
        rows.append(Judged(name, 2, Gold(edges), Judgment(name, **model(instance)), {}, name))
    return rows


def own_scores(instance):
    return {
        "parts": {
            dimension: tuple((instance[side]["ragchecker"][f"{dimension}_label"],) for side in ("model1", "model2"))
            for dimension in RAGCHECKER
        }
    }


def lengths(instance):
    return {"rewards": tuple(float(len(instance[side]["response"])) for side in ("model1", "model2"))}


@pytest.fixture(scope="module")
def of_ragchecker(data):
    return rag_checker(data, own_scores)


@pytest.mark.parametrize("dimension", RAGCHECKER)
def test_ragchecker(of_ragchecker, dimension):
    pearson, spearman, tau, *_ = RAGCHECKER[dimension]
    specs = [MetricSpec(rule, rule, dimension=dimension) for rule in RULES]
    got = {(v.metric, v.group): v for v in measure(of_ragchecker, specs, resamples=100)}
    assert round(100 * got["delta_pearson", None].value, 2) == pearson
    assert round(100 * got["delta_spearman", None].value, 2) == spearman
    assert got["delta_kendall_b", None].value == pytest.approx(tau, abs=5.1e-5)
    assert (got["delta_pearson", None].n, got["delta_pearson", None].comparisons) == (280, 560)
    others = {f"dimension={name}" for name in RAGCHECKER if name != dimension}
    assert {group for _, group in got} == {None, *others}
    labels = [
        -e.strength if e.i < e.j else e.strength
        for r in of_ragchecker
        for e in r.gold.relation
        if e.dimension == dimension
    ]
    assert tuple(labels.count(value) for value in range(-2, 3)) == LABELS[dimension]


@pytest.mark.parametrize("dimension", RAGCHECKER)
def test_ragchecker_ceiling_and_length(data, of_ragchecker, dimension):
    *_, pearson, spearman, longer_pearson, longer_spearman = RAGCHECKER[dimension]
    specs = [
        MetricSpec("p", "delta_pearson", dimension=dimension),
        MetricSpec("s", "delta_spearman", dimension=dimension),
    ]
    # The first annotator as the model, the second as the gold.
    rows = []
    for row in of_ragchecker:
        first = next(e for e in row.gold.relation if e.dimension == dimension and e.annotator == "annotator1")
        edges = tuple(e for e in row.gold.relation if e.annotator == "annotator2")
        rows.append(Judged(row.id, 2, Gold(edges), Judgment(row.id, rewards=(0.0, first.strength)), {}, row.id))
    got = [v.value for v in measure(rows, specs, resamples=20) if v.group is None]
    assert [round(100 * value, 2) for value in got] == [pearson, spearman]
    longer = [v.value for v in measure(rag_checker(data, lengths), specs, resamples=20) if v.group is None]
    assert [round(100 * value, 2) for value in longer] == [longer_pearson, longer_spearman]


MEANS = {"correctness": (195, 0.7179, 0.5641), "completeness": (186, 0.6720, 0.7527), "overall": (214, 0.7664, 0.6449)}


@pytest.mark.parametrize("dimension", MEANS)
def test_ragchecker_pairs_by_the_annotators_mean(data, of_ragchecker, dimension):
    n, own, longer = MEANS[dimension]
    for rows, expected in ((of_ragchecker, own), (rag_checker(data, lengths), longer)):
        averaged = []
        for row in rows:
            mean = sum(e.strength for e in row.gold.relation if e.dimension == dimension) / 2
            averaged.append(Judged(row.id, 2, Gold((Edge(1, 0, mean, dimension),)), row.judgment, {}, row.id))
        value = measure(averaged, [MetricSpec("m", "pair", dimension=dimension)], resamples=20)[0]
        assert (value.n, value.value) == (n, pytest.approx(expected, abs=5.1e-5))

"""Two models compared on a figure that is no mean of rows: the same clusters drawn for both."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau, mannwhitneyu

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.paired.comparison import ComparisonContext, compare_rows
from rmbench.metrics.paired.non_inferiority import non_inferiority
from rmbench.metrics.samples import MetricContext, sample_of
from rmbench.metrics.uncertainty.sample import draw_jointly
from tests._make import make_row


def rows(noise, n=120, seed=0, failed=()):
    """Labelled items, two to a cluster; the score is the label blurred by `noise`, the same blur for equal seeds."""
    generator = np.random.default_rng(seed)
    labels, blur = generator.integers(0, 2, n), generator.normal(size=n)
    out = []
    for k in range(n):
        rewards = None if k in failed else (float(labels[k] + noise * blur[k]),)
        more: dict[str, Any] = {
            "groups": {"g": "ab"[k % 2]},
            "cluster": str(k // 2),
            "status": "failed" if k in failed else "ok",
        }
        out.append(make_row(str(k), rewards, size=1, edges=(), labels={"x": int(labels[k])}, **more))
    return out


AUC = MetricSpec("auc", "auc")


def test_the_difference_of_two_aucs():
    a, b = rows(2.0), rows(0.7)
    found = compare_rows(a, b, AUC)
    values = [sample_of(side, AUC, MetricContext()).value for side in (a, b)]
    assert (found.value_a, found.value_b) == tuple(values)
    assert found.difference == pytest.approx(values[1] - values[0])
    assert 0 < found.low < found.difference < found.high
    assert (found.method, found.p_midp, found.n, found.clusters) == ("cluster-bootstrap", None, 120, 60)
    same = compare_rows(a, a, AUC)
    assert (same.difference, same.low, same.high, same.method, same.discordant_clusters) == (0, None, None, "", 0)


def test_both_sides_see_the_same_clusters():
    """The draws of the difference by a plain loop over drawn rows."""
    a, b = rows(2.0, 20), rows(0.7, 20)
    sides = [sample_of(side, AUC, MetricContext()) for side in (a, b)]
    drawn = draw_jointly(sides, 50, np.random.default_rng(1))
    generator = np.random.default_rng(1)
    names = sides[0].clusters
    picks = generator.integers(0, len(names), size=(50, len(names)))
    for k, line in enumerate(picks):
        for side, values in zip((a, b), drawn, strict=True):
            of = [row for at in line for row in side if row.cluster == names[at]]
            good, bad = ([r.judgment.rewards[0] for r in of if r.gold.labels["x"] == c] for c in (1, 0))
            if good and bad:
                assert values[k] == pytest.approx(np.mean([(g > h) + (g == h) / 2 for g in good for h in bad]))


def test_rows_that_one_model_gave_no_score_for_are_left_out_for_both():
    a, b = rows(2.0, failed=(3, 4)), rows(0.7, failed=(4, 9))
    found = compare_rows(a, b, AUC)
    assert found.n == 117
    kept = [k for k in range(120) if k not in (3, 4, 9)]
    assert found.value_a == pytest.approx(sample_of([a[k] for k in kept], AUC, MetricContext()).value)


def test_a_mean_of_metrics_needs_the_others():
    parts = tuple(MetricSpec(name, "auc", where={"g": (name,)}) for name in "ab")
    mean = MetricSpec("mean", "mean_of", of=("a", "b"))
    a, b = rows(2.0), rows(0.7)
    found = compare_rows(a, b, mean, context=ComparisonContext((mean, *parts)))
    each = [compare_rows(a, b, part) for part in parts]
    assert found.difference == pytest.approx(np.mean([one.difference for one in each]))
    assert found.low < found.difference < found.high
    carried = MetricSpec("mean", "mean_of", of=("a", "b"), parts=parts)
    assert compare_rows(a, b, carried) == found
    with pytest.raises(RmbenchError, match='"a", which is no other metric'):
        compare_rows(a, b, mean)


def test_fitted_metrics_need_the_fit_rows_of_both():
    spec = MetricSpec("acc", "threshold_accuracy")
    a, b = rows(2.0), rows(0.7)
    nothing = compare_rows(a, b, spec)
    assert (nothing.difference, nothing.method) == (None, "")
    context = ComparisonContext((), rows(2.0, seed=1), rows(0.7, seed=1))
    found = compare_rows(a, b, spec, context=context)
    assert found.value_a == sample_of(a, spec, MetricContext(fit=context.fit_a)).value
    assert 0 < found.low < found.difference


def test_non_inferiority_of_a_figure():
    a, b = rows(0.7), rows(0.8)
    loose = non_inferiority(a, b, AUC, margin=0.2)
    tight = non_inferiority(a, b, AUC, margin=0.001)
    assert loose.p < 0.01 < tight.p
    assert (loose.lower > -0.2, tight.lower > -0.001, loose.n_needed) == (True, False, None)


def draws_of(a, b, seed, resamples):
    """The drawn differences of two AUCs by a plain loop over resamples of clusters."""
    clusters = sorted({row.cluster for row in a})
    members = {name: [k for k, row in enumerate(a) if row.cluster == name] for name in clusters}
    labels = np.array([row.gold.labels["x"] for row in a])
    scores = [np.array([row.judgment.rewards[0] for row in side]) for side in (a, b)]
    out = []
    for line in np.random.default_rng(seed).integers(0, len(clusters), size=(resamples, len(clusters))):
        picked = np.concatenate([members[clusters[at]] for at in line])
        good, bad = picked[labels[picked] == 1], picked[labels[picked] == 0]
        aucs = [mannwhitneyu(of[good], of[bad]).statistic / (len(good) * len(bad)) for of in scores]
        out.append(aucs[1] - aucs[0])
    return np.array(out)


@pytest.mark.parametrize("margin", [0.001, 0.05])
def test_p_and_limits_of_a_figure_count_its_draws(margin):
    a, b = rows(0.7, 40), rows(0.8, 40)
    for seed in (0, 5):
        drawn = draws_of(a, b, seed, 60)
        seeded = partial(non_inferiority, seed=seed) if seed else non_inferiority  # by default 0
        got = seeded(a, b, AUC, margin=margin, alpha=0.1, resamples=60)
        assert got.p == pytest.approx(((drawn <= -margin).sum() + 1) / 61)
        assert (got.lower, got.upper) == pytest.approx(tuple(np.quantile(drawn, [0.1, 0.9])))


def test_a_figure_that_one_side_lacks_has_no_difference():
    """A model that scores every row alike has no rank correlation."""
    human = [1.0, 4.0, 2.0, 5.0, 3.0, 5.0]
    a, b = (
        [
            make_row(str(k), (score,), size=1, edges=(), ratings=((h,),), dimensions=("overall",))
            for k, (score, h) in enumerate(zip(of, human, strict=True))
        ]
        for of in ([1.0] * 6, [2.0, 3.0, 1.0, 6.0, 5.0, 4.0])
    )
    tau = kendalltau([2, 3, 1, 6, 5, 4], human).statistic
    spec = MetricSpec("tau", "kendall_b")
    got, turned = compare_rows(a, b, spec), compare_rows(b, a, spec)
    assert (got.value_a, got.value_b, got.difference) == (None, pytest.approx(tau), None)
    assert (turned.value_a, turned.value_b, turned.difference) == (pytest.approx(tau), None, None)
    assert (got.low, got.gain, got.method, got.n, got.clusters) == (None, None, "", 6, 6)
    assert non_inferiority(a, b, spec, margin=0.1).p is None


def test_non_inferiority_of_a_fitted_figure_needs_the_fit_rows():
    spec = MetricSpec("acc", "threshold_accuracy")
    a, b = rows(2.0), rows(0.7)
    assert non_inferiority(a, b, spec, margin=0.1).lower is None
    got = non_inferiority(a, b, spec, margin=0.1, context=ComparisonContext((), rows(2.0, seed=1), rows(0.7, seed=1)))
    assert got.lower > 0  # the blur is three times as wide in the baseline
    assert got.p == pytest.approx(1 / 2001)


def test_draws_of_one_cluster_say_nothing():
    a, b = ([replace(row, cluster="all") for row in side] for side in (rows(2.0), rows(0.7)))
    got = compare_rows(a, b, AUC)
    assert (got.low, got.method, got.clusters, got.discordant_clusters) == (None, "", 1, 1)
    assert got.difference > 0
    assert non_inferiority(a, b, AUC, margin=0.1).p is None


def test_rows_without_a_cluster_are_each_one():
    a, b = ([replace(row, cluster="") for row in side] for side in (rows(2.0, 30), rows(0.7, 30)))
    got = compare_rows(a, [*a[:4], *b[4:]], AUC)
    assert (got.n, got.clusters, got.discordant_clusters) == (30, 30, 26)

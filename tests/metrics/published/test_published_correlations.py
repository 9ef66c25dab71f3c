"""UniEval's published correlations, from the released predictions."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.correlation.coefficients import correlation, pair_counts, pairwise_accuracy
from rmbench.metrics.correlation.groups import acc_eq, tie_calibration
from rmbench.metrics.measure import measure
from rmbench.types import Gold, Judged, Judgment

UNIEVAL = {
    # file: dimension -> Pearson, Spearman, tau-b, tau-c
    "dialogue/topical_chat": {
        "naturalness": (0.443666, 0.513986, 0.373973, 0.397063),
        "coherence": (0.595143, 0.612942, 0.465915, 0.494627),
        "engagingness": (0.556510, 0.604739, 0.455941, 0.489352),
        "groundedness": (0.536209, 0.574954, 0.451533, 0.490226),
        "understandability": (0.380038, 0.467807, 0.360741, 0.391584),
        "overall": (0.632796, 0.662583, 0.487272, 0.504753),
    },
    "data2text/sfres": {
        "naturalness": (0.367252, 0.333399, 0.247094, 0.241926),
        "informativeness": (0.282079, 0.224918, 0.169297, 0.155011),
        "overall": (0.370815, 0.291593, 0.214708, 0.213760),
    },
    "data2text/sfhot": {
        "naturalness": (0.397428, 0.319813, 0.237635, 0.229975),
        "informativeness": (0.357353, 0.249329, 0.191217, 0.167993),
        "overall": (0.406425, 0.320721, 0.236024, 0.232561),
    },
    "fact/qags_cnndm": {"consistency": (0.681681, 0.662255, 0.531636, 0.515115)},
    "fact/qags_xsum": {"consistency": (0.461376, 0.487920, 0.399218, 0.563155)},
}
SIZES = dict(zip(UNIEVAL, (360, 1181, 875, 235, 239), strict=True))


def uni_eval(released, file):
    name = f"unieval/reproduce/unieval_predict/{file}_result.json"
    return json.loads((released(name) / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", UNIEVAL)
def test_unieval_correlations(released, file):
    """All rows pooled, for every dimension, through the model's own figure per dimension."""
    dimensions = tuple(UNIEVAL[file])
    rows = []
    for k, row in enumerate(uni_eval(released, file)):
        ratings = (tuple(float(row["scores"][name]) for name in dimensions),)
        parts = {name: ((float(row["predict_scores"][name]),),) for name in dimensions}
        rows.append(
            Judged(
                str(k), 1, Gold(ratings=ratings, dimensions=dimensions), Judgment(str(k), parts=parts), {}, str(k // 6)
            )
        )
    rules = ("pearson", "spearman", "kendall_b", "kendall_c")
    specs = [MetricSpec(rule, rule, dimension=dimensions[-1]) for rule in rules]
    got = {(value.metric, value.group): value for value in measure(rows, specs, resamples=200)}
    assert len(rows) == SIZES[file]
    for dimension, expected in UNIEVAL[file].items():
        group = None if dimension == dimensions[-1] else f"dimension={dimension}"
        for rule, figure in zip(rules, expected, strict=True):
            value = got[rule, group]
            assert value.value == pytest.approx(figure, abs=5.1e-7), (dimension, rule)
            assert value.low < value.value < value.high
            assert (value.n, value.comparisons, value.interval) == (SIZES[file], SIZES[file], "wilson-bootstrap")


WITHIN = {
    # mean tau-b, C, D, human ties (with those tied in both), accuracy, acc_eq at 0, best epsilon, acc_eq there
    "naturalness": (0.431418, 548, 195, 157, 0.737550, 0.608889, 0.000054, 0.610000),
    "coherence": (0.466798, 562, 178, 160, 0.759459, 0.625556, 0, 0.625556),
    "engagingness": (0.497964, 587, 176, 137, 0.769332, 0.652222, 0.000052, 0.653333),
    "groundedness": (0.539318, 435, 83, 382, 0.839768, 0.484444, 0.355631, 0.558889),
    "understandability": (0.416062, 456, 150, 294, 0.752475, 0.506667, 0.040229, 0.546667),
    "overall": (0.576212, 666, 168, 66, 0.798561, 0.740000, 0, 0.740000),
}


@pytest.mark.parametrize("dimension", WITHIN)
def test_unieval_within_contexts(released, dimension):
    """60 contexts of 6 answers."""
    contexts = defaultdict(list)
    for row in uni_eval(released, "dialogue/topical_chat"):
        contexts[row["source"], row["context"]].append((row["scores"][dimension], row["predict_scores"][dimension]))
    groups = [
        (np.array([human for human, _ in rows], float), np.array([model for _, model in rows], float))
        for rows in contexts.values()
    ]
    assert [len(human) for human, _ in groups] == [6] * 60
    tau, concordant, discordant, ties, accuracy, at_zero, epsilon, best = WITHIN[dimension]
    within = [one for group in groups if (one := correlation("kendall_b", *group)) is not None]
    assert sum(within) / len(within) == pytest.approx(tau, abs=5.1e-7)
    assert len(groups) - len(within) == (6 if dimension == "groundedness" else 0)
    counts = [pair_counts(*group) for group in groups]
    assert sum(one.concordant for one in counts) == concordant
    assert sum(one.discordant for one in counts) == discordant
    assert sum(one.human_ties + one.both_ties for one in counts) == ties
    pooled = type(counts[0])(concordant, discordant, ties, 0, 0)
    assert pairwise_accuracy(pooled) == pytest.approx(accuracy, abs=5.1e-7)
    fitted = tie_calibration(groups)
    assert fitted.accuracy_at_zero == pytest.approx(at_zero, abs=5.1e-7)
    assert fitted.accuracy == pytest.approx(best, abs=5.1e-7)
    if dimension == "engagingness":
        # Two thresholds order 588 of the 900 pairs rightly; the published one is the larger.
        assert fitted.epsilon < epsilon
        assert sum(float(acc_eq(group, epsilon + 5e-7)) for group in groups) / 60 == pytest.approx(588 / 900)
    else:
        assert fitted.epsilon == pytest.approx(epsilon, abs=5.1e-7)

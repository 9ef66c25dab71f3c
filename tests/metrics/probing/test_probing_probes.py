"""Probes as metrics: fitted on the fit rows, measured on the others."""

from __future__ import annotations

import numpy as np
import pytest

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.classes.confusion import confusion_matrix, macro
from rmbench.metrics.measure import measure
from rmbench.metrics.probing.linear import fit_probe
from rmbench.types import Gold, Judged, Judgment
from tests._make import make_row

HIDDEN = 6


def rows(n, seed, prefix=""):
    """Two classes whose states differ in their first coordinate."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    states = generator.normal(size=(n, HIDDEN))
    states[:, 0] += 3 * labels
    return [
        make_row(
            f"{prefix}{k}",
            size=1,
            edges=(),
            labels={"coherence": int(labels[k])},
            parts={"hidden": (tuple(states[k].tolist()),)},
            lengths=(10,),
        )
        for k in range(n)
    ]


FIT, TEST = rows(300, 0, "fit"), rows(80, 1)
LOGISTIC = MetricSpec("p", "probe", probe="logistic", dimension="coherence")


def arrays(of):
    states = np.array([row.judgment.parts["hidden"][0] for row in of], dtype=np.float32)
    return states, np.array([row.gold.labels["coherence"] for row in of])


def test_a_probe_is_fitted_on_the_fit_rows():
    got = {v.group: v for v in measure(TEST, [LOGISTIC], fit=FIT)}
    probe = fit_probe(*arrays(FIT), kind="logistic", classes=2, seed=0)
    states, gold = arrays(TEST)
    said = probe.predict(states)
    assert got[None].value == pytest.approx(np.mean(said == gold))
    assert (got[None].n, got[None].interval, got[None].flags) == (80, "wilson", ())
    assert got["figure=macro_f1"].value == pytest.approx(float(macro("macro_f1", confusion_matrix(gold, said, 2))))
    majority = np.mean(gold == np.bincount(arrays(FIT)[1]).argmax())
    assert got["figure=majority"].value == pytest.approx(majority)
    assert got["figure=p"].value < 1e-6
    assert got["figure=p"].low is None


def test_without_fit_rows_there_is_no_probe():
    for fit in ((), FIT[:1], [Judged(r.id, 1, r.gold, Judgment(r.id, status="failed")) for r in FIT]):
        got = measure(TEST, [LOGISTIC], fit=fit)
        assert [(v.value, v.flags) for v in got] == [(None, ("no_fit_split", "undefined"))]


def test_failed_rows_are_wrong():
    failed = Judged("f", 1, Gold(labels={"coherence": 1}), Judgment("f", status="failed"))
    before = measure(TEST, [LOGISTIC], fit=FIT)[0]
    got = measure([*TEST, failed], [LOGISTIC], fit=FIT)[0]
    assert (got.n, got.value) == (81, pytest.approx(before.value * 80 / 81))


def test_states_that_say_nothing_are_not_above_the_majority():
    generator = np.random.default_rng(3)

    def blind(of):
        return [
            Judged(r.id, 1, r.gold, Judgment(r.id, parts={"hidden": (tuple(generator.normal(size=HIDDEN)),)}), {}, r.id)
            for r in of
        ]

    got = measure(blind(TEST), [LOGISTIC], fit=blind(FIT))[0]
    assert got.flags == ("not_above_majority",)


def test_a_mean_of_probes():
    parts = [MetricSpec(name, "probe", probe=name, dimension="coherence") for name in ("logistic", "upstream")]
    mean = MetricSpec("mean", "mean_of", of=("logistic", "upstream"))
    got = {(v.metric, v.group): v for v in measure(TEST, [mean, *parts], fit=FIT)}
    assert got["mean", None].value == pytest.approx(np.mean([got[p.name, None].value for p in parts]))
    assert got["mean", None].low < got["mean", None].value < got["mean", None].high


def test_an_unknown_probe():
    with pytest.raises(RmbenchError, match=r'unknown probe "logistics".*Did you mean "logistic"'):
        measure(TEST, [MetricSpec("p", "probe", probe="logistics")], fit=FIT)

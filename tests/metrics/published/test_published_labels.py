"""AttributionBench's out-of-domain set by token overlap: AUC, accuracy and macro F1 at the threshold of .8."""

from __future__ import annotations

import json
import re

import pytest

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.measure import measure
from rmbench.types import Gold, Judged, Judgment

EXPECTED = {
    # n, AUC, accuracy, macro F1
    "source=HAGRID": (1088, 0.8354, 0.7656, 0.7654),
    "source=BEGIN": (436, 0.9480, 0.8532, 0.8518),
    "source=AttrScore-GenSearch": (162, 0.8853, 0.7284, 0.7088),
    None: (1686, 0.8682, 0.7847, 0.7836),
}
BUNDLED = {"source=BEGIN", "source=AttrScore-GenSearch"}
CLASSES = ("not attributable", "attributable")


def tokens(text):
    return set(re.findall("[a-z0-9]+", text.lower()))


def overlap(row):
    if "overlap" in row:  # the bundled rows, whose texts are gone
        return row["overlap"]
    claim = tokens(row["claim"])
    return len(claim & tokens("\n\n\n".join(row["references"]))) / len(claim)


@pytest.fixture(scope="module")
def rows(released):
    out = []
    name = "attributionbench/data/test_ood_all_subset_balanced.jsonl"
    with (released(name) / name).open(encoding="utf-8", newline="\n") as handle:
        for k, line in enumerate(handle):
            row = json.loads(line)
            source = "HAGRID" if row["src_dataset"].lower().startswith("hagrid") else row["src_dataset"]
            gold = Gold(labels={"attributable": CLASSES.index(row["attribution_label"])})
            judgment = Judgment(str(k), rewards=(overlap(row),))
            out.append(Judged(str(k), 1, gold, judgment, {"source": source}, str(k)))
    return out


def test_attributionbench_by_overlap(rows):
    """The fit rows are such that .8 is the fitted threshold: upstream defines none."""
    just = [
        Judged(f"fit{k}", 1, Gold(labels={"attributable": label}), Judgment(f"fit{k}", rewards=(score,)))
        for k, (label, score) in enumerate([(0, 0.8 - 2e-6), (1, 0.8 + 1e-6)])
    ]
    specs = [
        MetricSpec("auc", "auc", report=(("source",),)),
        MetricSpec("accuracy", "threshold_accuracy", report=(("source",),)),
        MetricSpec("macro_f1", "macro_f1", threshold=0.8, report=(("source",),)),
        MetricSpec("fitted_f1", "threshold_macro_f1", report=(("source",),)),
    ]
    got = {(v.metric, v.group): v for v in measure(rows, specs, resamples=50, fit=just)}
    for group in EXPECTED if len(rows) == 1686 else BUNDLED:
        n, *figures = EXPECTED[group]
        values = [got[name, group] for name in ("auc", "accuracy", "macro_f1")]
        assert [value.n for value in values] == [n] * 3
        assert [value.value for value in values] == pytest.approx(figures, abs=5.1e-5), group
        assert got["fitted_f1", group].value == pytest.approx(figures[2], abs=5.1e-5)


def test_attributionbench_constant_answer(rows):
    constant = [Judged(r.id, 1, r.gold, Judgment(r.id, rewards=(1.0,)), r.groups) for r in rows]
    values = measure(constant, [MetricSpec("f1", "macro_f1", threshold=0.8), MetricSpec("auc", "auc")], resamples=20)
    assert [value.value for value in values] == pytest.approx([1 / 3, 0.5])

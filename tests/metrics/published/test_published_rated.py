"""Rated images and videos: correlations of released scores with released human figures."""

from __future__ import annotations

import csv
import json

import pytest

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.measure import measure
from rmbench.types import Gold, Judged, Judgment

RULES = ("pearson", "kendall_b", "spearman")


def rated(name, figures, score, cluster=""):
    gold = Gold(ratings=(tuple(figures.values()),), dimensions=tuple(figures))
    return Judged(name, 1, gold, Judgment(name, rewards=(float(score),)), {}, cluster or name)


def correlations(rows, dimension, rules=RULES):
    specs = [MetricSpec(rule, rule, dimension=dimension) for rule in rules]
    return [value.value for value in measure(rows, specs, resamples=10) if value.group is None]


TIFA = {
    # Pearson, tau-b, Spearman
    "meteor": (0.339659, 0.274076, 0.372271),
    "bleu": (0.183340, 0.187910, 0.258951),
    "rouge": (0.328889, 0.244858, 0.336004),
    "spice": (0.328053, 0.231758, 0.307320),
    "clipscore_vitb32": (0.331818, 0.231446, 0.319803),
    "tifa_vilt": (0.493225, 0.382409, 0.500007),
    "tifa_git-large": (0.544501, 0.425508, 0.545105),
    "tifa_ofa-large": (0.496147, 0.372478, 0.486596),
    "tifa_blip2-flant5xl": (0.558983, 0.435997, 0.558073),
    "tifa_mplug-large": (0.596720, 0.471716, 0.592188),
}


@pytest.mark.parametrize("metric", TIFA)
def test_tifa(request, released, metric):
    name = "tifa/human_annotations/human_annotations_with_scores.json"
    folder = released(name) if metric == "tifa_mplug-large" else request.getfixturevalue("data")
    table = json.loads((folder / name).read_text(encoding="utf-8"))
    rows = [rated(key, {"human": row["human_avg"]}, row[metric], row["text_id"]) for key, row in table.items()]
    assert len(rows) == 800
    assert correlations(rows, "human") == pytest.approx(TIFA[metric], abs=5.1e-7)


T2V = {
    # Spearman, tau-b, Pearson against alignment
    "CLIP Score": (0.3428, 0.2361, 0.3322),
    "X-CLIP Score": (0.2568, 0.1749, 0.2363),
    "BLIP-BLEU": (0.1513, 0.1036, 0.1546),
    "T2VScore-A (GPT-4V)": (0.4769, 0.3529, 0.4796),
}
T2V_QUALITY = {"CLIP Score": 0.1106, "X-CLIP Score": 0.0047}


@pytest.fixture(scope="module")
def t2v(data):
    folder = data / "t2vscore/datasets"
    human = {
        name: json.loads((folder / f"t2vscore_{name}_score.json").read_text(encoding="utf-8"))
        for name in ("alignment", "quality")
    }
    out = []
    with (folder / "t2vscore_results.csv").open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            prompt, model = row["video_id"], row["model_name"]
            out.append((row, {name: of[prompt]["models"][model][0] for name, of in human.items()}))
    return out


@pytest.mark.parametrize("metric", T2V)
def test_t2vscore(t2v, metric):
    rows = [
        rated(f"{row['model_name']}/{row['video_id']}", figures, row[metric], row["video_id"]) for row, figures in t2v
    ]
    assert len(rows) == 2543
    rules = ("spearman", "kendall_b", "pearson")
    assert correlations(rows, "alignment", rules) == pytest.approx(T2V[metric], abs=5.1e-5)
    if metric in T2V_QUALITY:
        assert correlations(rows, "quality", ("spearman",)) == pytest.approx([T2V_QUALITY[metric]], abs=5.1e-5)


def test_t2vscore_alignment_against_quality(t2v):
    rows = [
        rated(f"{row['model_name']}/{row['video_id']}", figures, figures["quality"], row["video_id"])
        for row, figures in t2v
    ]
    assert correlations(rows, "alignment", ("kendall_b", "spearman")) == pytest.approx([0.1223, 0.1755], abs=5.1e-5)


def test_agiqa_quality_against_alignment(data):
    with (data / "agiqa-3k/data.csv").open(encoding="utf-8", newline="") as handle:
        table = list(csv.DictReader(handle))
    rows = [
        rated(row["name"], {"quality": float(row["mos_quality"])}, row["mos_align"], row["prompt"]) for row in table
    ]
    assert len(rows) == 2982
    assert correlations(rows, "quality", ("kendall_b", "spearman")) == pytest.approx([0.5547, 0.7419], abs=5.1e-5)


UNIEVAL = {
    # mean tau-b within 60 contexts, undefined ones, acc_eq at 0, at the best threshold
    "naturalness": (0.431418, 0, 0.608889, 0.610000),
    "coherence": (0.466798, 0, 0.625556, 0.625556),
    "engagingness": (0.497964, 0, 0.652222, 0.653333),
    "groundedness": (0.539318, 6, 0.484444, 0.558889),
    "understandability": (0.416062, 0, 0.506667, 0.546667),
    "overall": (0.576212, 0, 0.740000, 0.740000),
}


@pytest.mark.parametrize("dimension", UNIEVAL)
def test_unieval_within_contexts_as_metrics(released, dimension):
    """Rows of one answer, joined into lists by their cluster."""
    name = "unieval/reproduce/unieval_predict/dialogue/topical_chat_result.json"
    rows = []
    for k, row in enumerate(json.loads((released(name) / name).read_text(encoding="utf-8"))):
        parts = {dimension: ((float(row["predict_scores"][dimension]),),)}
        gold = Gold(ratings=((float(row["scores"][dimension]),),), dimensions=(dimension,))
        rows.append(Judged(str(k), 1, gold, Judgment(str(k), parts=parts), {}, row["source"] + row["context"]))
    tau, undefined, at_zero, best = UNIEVAL[dimension]
    specs = [
        MetricSpec("tau", "list_kendall_b", join="cluster", dimension=dimension),
        MetricSpec("ties", "tie_calibrated_accuracy", join="cluster", dimension=dimension),
    ]
    values = {(v.metric, v.group): v for v in measure(rows, specs, resamples=50)}
    got = values["tau", None]
    assert (got.value, got.n) == (pytest.approx(tau, abs=5.1e-7), 60 - undefined)
    assert got.flags == ((f"undefined_lists={undefined}",) if undefined else ())
    assert values["ties", None].value == pytest.approx(best, abs=5.1e-7)
    assert values["ties", "epsilon=0"].value == pytest.approx(at_zero, abs=5.1e-7)

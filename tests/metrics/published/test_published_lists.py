"""Lists: RewardMATH's one right among ten, and the rankings of images and videos."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.measure import measure
from rmbench.types import Edge, Gold, Judged, Judgment, Verdict
from tests._make import read_lines as lines

ONE_RIGHT = tuple(Edge(0, k) for k in range(1, 10))
SPECS = (
    MetricSpec("strict", "all"),
    MetricSpec("with_ties", "all", tie=1.0),
    MetricSpec("mrr", "reciprocal_rank"),
    MetricSpec("pair", "pair"),
)


def figures(rows, kind="reward"):
    return {value.metric: value for value in measure(rows, SPECS, answer_kind=kind, resamples=20)}


def scored(scores):
    return [Judged(str(k), 10, Gold(ONE_RIGHT), Judgment(str(k), rewards=tuple(of))) for k, of in enumerate(scores)]


def judged(table):
    """Nine verdicts of a pairwise judge on the right solution, A or B, and each wrong one."""
    rows = []
    for k, line in enumerate(table):
        verdicts = []
        for wrong, (said, place) in enumerate(zip(line["verdicts"], line["chosen_position"], strict=True), 1):
            shown = (0, wrong) if place == "A" else (wrong, 0)
            value = None if said is None else shown["AB".index(said)]
            verdicts.append(Verdict(shown, "pick", value, "unparsed" if value is None else "ok"))
        rows.append(Judged(str(k), 10, Gold(ONE_RIGHT), Judgment(str(k), verdicts=tuple(verdicts))))
    return rows


DIRECT = {
    # strict, with ties, MRR in percent
    "ArmoRM": (20.497, 21.532, 42.182),
    "Eurus-RM": (16.977, 16.977, 38.303),
    "beaver": (7.246, 7.246, 26.585),
    "grm_gemma": (4.969, 4.969, 24.101),
    "grm_llama3": (24.431, 24.845, 45.795),
    "internlm2": (37.267, 37.267, 55.171),
    "internlm2_20b": (33.954, 33.954, 51.953),
    "oasst-rm": (7.039, 7.039, 27.026),
    "skywork_llama3": (22.153, 22.153, 44.694),
    "gpt4": (22.474, 48.454, 44.698),
    "gpt4o": (25.979, 51.753, 46.699),
    "chatgpt": (0.206, 64.742, 13.988),
    "llama3_70B": (0.621, 65.424, 17.157),
    "llama3_8B": (2.070, 44.720, 18.201),
    "opus": (2.484, 61.491, 18.663),
    "prometheus_7B": (2.277, 42.443, 16.571),
    "prometheus_8x7B": (0.207, 76.605, 14.920),
    "sonnet-3-5": (2.070, 73.499, 17.601),
}


@pytest.mark.parametrize("model", DIRECT)
def test_rewardmath_scores(released, golden, model):
    name = f"rewardmath/scores/{model}.jsonl"
    rows = scored(line["scores"] for line in lines(released(name) / name))
    got = figures(rows)
    assert [100 * got[name].value for name in ("strict", "with_ties", "mrr")] == pytest.approx(
        DIRECT[model], abs=5.1e-4
    )
    table = golden("rewardmath")[model]
    assert (len(rows), round(got["strict"].value * len(rows))) == (table["n"], table["correct_strict"])
    assert round(got["with_ties"].value * len(rows)) == table["correct_with_ties"]


@pytest.mark.parametrize(
    "model, expected",
    [("chatgpt", (0.207, 64.803, 14.002)), ("gpt4", (22.360, 48.240, 44.573)), ("gpt4o", (25.880, 51.553, 46.582))],
)
def test_rewardmath_without_its_doubled_rows(data, model, expected):
    unique = {line["id"]: line["scores"] for line in lines(data / f"rewardmath/scores/{model}.jsonl")}
    got = figures(scored(unique.values()))
    assert got["mrr"].n == 483
    assert [100 * got[name].value for name in ("strict", "with_ties", "mrr")] == pytest.approx(expected, abs=5.1e-4)


PAIRWISE = {
    # all nine, MRR, pair accuracy in percent, unread verdicts
    "gpt4": (29.814, 51.917, 77.456, 35),
    "gpt4o": (24.638, 48.922, 76.329, 4),
    "chatgpt": (0.207, 20.334, 51.254, 0),
    "llama3_70B": (9.731, 35.898, 68.116, 5),
    "llama3_8B": (0.621, 19.065, 43.823, 621),
    "opus": (6.625, 31.715, 63.745, 0),
    "prometheus_7B": (2.277, 21.638, 45.066, 29),
    "prometheus_8x7B": (3.727, 26.875, 57.741, 0),
    "sonnet-3-5": (15.321, 40.014, 69.611, 0),
}


@pytest.mark.parametrize("judge", PAIRWISE)
def test_rewardmath_pairwise_judges(released, judge):
    name = f"rewardmath/scores/{judge}_pairwise.jsonl"
    rows = judged(lines(released(name) / name))
    got = figures(rows, "verdict")
    *expected, unread = PAIRWISE[judge]
    assert len(rows) == 483
    assert [100 * got[name].value for name in ("strict", "mrr", "pair")] == pytest.approx(expected, abs=5.1e-4)
    assert sum(verdict.status == "unparsed" for row in rows for verdict in row.judgment.verdicts) == unread


def geometric(steps):
    return math.prod(steps) ** (1 / len(steps)) if all(steps) else 0.0


AGGREGATIONS: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "max": max,
    "prod": math.prod,
    "geometric_mean": geometric,
    "mean": lambda steps: sum(steps) / len(steps),
    "last": lambda steps: steps[-1],
    "mean_logit": lambda steps: float(np.mean(np.log(np.array(steps) / (1 - np.array(steps))))),
    "mean_odd": lambda steps: max(0.0, float(np.mean(np.array(steps) / (1 - np.array(steps))))),
}
SHEPHERD = {
    "min": (15.321, 34.669),
    "max": (3.934, 21.823),
    "prod": (17.184, 34.679),
    "geometric_mean": (15.735, 33.612),
    "mean": (15.114, 32.778),
    "mean_logit": (14.700, 31.923),
    "mean_odd": (9.317, 26.356),
    "last": (18.219, 38.834),
}


@pytest.mark.parametrize("name", SHEPHERD)
def test_rewardmath_step_scores(data, name):
    table = lines(data / "rewardmath/scores/Math_Shepherd.jsonl")
    got = figures(scored([AGGREGATIONS[name](steps) for steps in line["step_scores"]] for line in table))
    assert [100 * got[metric].value for metric in ("strict", "mrr")] == pytest.approx(SHEPHERD[name], abs=5.1e-4)
    if name == "max":
        assert 100 * got["with_ties"].value == pytest.approx(6.625, abs=5.1e-4)


def test_rewardmath_chance():
    """A coin's MRR is the harmonic mean H10/10; with nine independent coin verdicts E[1/(1 + lost)]."""
    assert sum(1 / r for r in range(1, 11)) / 10 == pytest.approx(0.2928968, abs=5e-8)
    expected = sum(math.comb(9, lost) / 2**9 / (1 + lost) for lost in range(10))
    assert expected == pytest.approx(0.1998047, abs=5.1e-8)
    constant = figures(scored([[1.0] * 10] * 3))
    assert [constant[name].value for name in ("strict", "with_ties", "mrr")] == [0, 1, pytest.approx(0.1)]


def image_reward(released):
    rows, name = [], "imagereward/data/test.json"
    for row in json.loads((released(name) / name).read_text(encoding="utf-8")):
        ranks = row["ranking"]
        edges = [
            Edge(i, j, float(np.sign(ranks[j] - ranks[i]))) for i in range(len(ranks)) for j in range(i + 1, len(ranks))
        ]
        rewards = tuple(-float(k) for k in range(len(ranks)))
        weight = float(sum(edge.strength != 0 for edge in edges))
        rows.append(
            Judged(row["id"], len(ranks), Gold(tuple(edges)), Judgment(row["id"], rewards=rewards), weight=weight)
        )
    return rows


def test_imagereward_candidates_carry_information_in_their_order(released):
    """Minus the place in the list orders 3,777 of the 6,399 pairs that people tell apart rightly, pooled."""
    rows = image_reward(released)
    value = measure(rows, [MetricSpec("accuracy", "pair")], resamples=20)[0]
    assert (len(rows), value.comparisons) == (466, 6399)
    assert sum(edge.strength == 0 for row in rows for edge in row.gold.relation) == 831
    assert value.value == pytest.approx(3777 / 6399, abs=1e-12)
    same = [Judged(r.id, r.size, r.gold, Judgment(r.id, rewards=(0.0,) * r.size), weight=r.weight) for r in rows]
    assert measure(same, [MetricSpec("accuracy", "pair")], resamples=20)[0].value == 0


def test_imagereward_published_example():
    """The four rewards that its README prints order the four pictures as its ranking does."""
    rewards = (0.5811622738838196, 0.2745276093482971, -1.4131819009780884, -2.029569625854492)
    edges = tuple(Edge(i, j) for i in range(4) for j in range(i + 1, 4))
    row = Judged("r", 4, Gold(edges), Judgment("r", rewards=rewards))
    specs = [MetricSpec("accuracy", "pair"), MetricSpec("tau", "list_kendall_b")]
    assert [value.value for value in measure([row], specs)] == [1, 1]


FETV_MODELS = {
    "cogvideo": "cogvideo",
    "text2video-zero": "text2video-zero",
    "modelscope-t2v": "damo-text2video",
    "zeroscope": "zeroscope",
}
FETV = {
    # tau-c, tau-b, Spearman over 3,017 videos; right of 3,066 pairs of generators; score ties among those
    "CLIPScore": (0.1770, 0.1738, 0.2433, 2092, 0),
    "CLIPScore-ft": (0.2238, 0.2197, 0.3090, 2056, 0),
    "BLIPScore": (0.2345, 0.2303, 0.3217, 2166, 0),
    "Otter-VQA": (0.0812, 0.0827, 0.1136, 1311, 759),
    "UMTScore": (0.3095, 0.3039, 0.4249, 2172, 1),
}


def fetv_humans(data, model):
    """Id -> sum of three annotators' alignment."""
    total: dict[str, float] = {}
    for annotator in range(3):
        path = data / f"fetv/manual_eval_results/human{annotator}/manual_eval_results_{model}.json"
        for line in lines(path):
            for key, rating in line.items():
                total[key] = total.get(key, 0) + rating["alignment"]
    return total


@pytest.mark.parametrize("metric", FETV)
def test_fetv(data, metric):
    """Pooled correlations with the mean of three annotators, and the generators ranked within each prompt."""
    human = {name: fetv_humans(data, name) for name in (*FETV_MODELS.values(), "ground-truth")}
    model = {
        theirs: json.loads((data / f"fetv/auto_eval_results/{metric}/auto_eval_results_{ours}.json").read_text())
        for ours, theirs in (*FETV_MODELS.items(), ("ground-truth", "ground-truth"))
    }
    rated = [
        Judged(
            f"{name}/{key}",
            1,
            Gold(ratings=((total / 3,),), dimensions=("alignment",)),
            Judgment(f"{name}/{key}", rewards=(model[name][key],)),
            cluster=key,
        )
        for name, of in human.items()
        for key, total in of.items()
    ]
    specs = [MetricSpec(rule, rule) for rule in ("kendall_c", "kendall_b", "spearman")]
    values = measure(rated, specs, resamples=20)
    *expected, right, tied = FETV[metric]
    assert len(rated) == 3017
    assert [value.value for value in values] == pytest.approx(expected, abs=5.1e-5)
    rows = []
    for key in human["cogvideo"]:
        sums = [human[name][key] for name in FETV_MODELS.values()]
        rewards = tuple(model[name][key] for name in FETV_MODELS.values())
        edges = tuple(Edge(i, j, float(np.sign(sums[i] - sums[j]))) for i in range(4) for j in range(i + 1, 4))
        weight = float(sum(edge.strength != 0 for edge in edges))
        rows.append(Judged(key, 4, Gold(edges), Judgment(key, rewards=rewards), weight=weight))
    value = measure(rows, [MetricSpec("accuracy", "pair")], resamples=20)[0]
    assert (len(rows), value.comparisons) == (619, 3066)
    assert round(value.value * 3066) == right
    half = measure(rows, [MetricSpec("accuracy", "pair", tie=0.5)], resamples=20)[0]
    assert round(2 * (half.value - value.value) * 3066) == tied

"""Aggregates that tables print, from the subset values beside them, through the metrics' own levels."""

from __future__ import annotations

import csv
import json

import pytest

from rmbench.metric_spec import Level, MetricSpec
from rmbench.metrics.measure import measure
from rmbench.types import Edge, Gold, Judged, Judgment


def averaged(values, weights=None, *, of_metrics=False):
    """The mean of named values: as a level of one metric, or as a mean of metrics."""
    rows = [
        Judged(name, 1, Gold(), Judgment(name, rewards=(float(value),)), {"subset": name})
        for name, value in values.items()
    ]
    if of_metrics:
        specs = [MetricSpec(name, "mean_score", where={"subset": (name,)}) for name in values]
        return measure(rows, [MetricSpec("all", "mean_of", of=tuple(values)), *specs])[0].value
    return measure(rows, [MetricSpec("all", "mean_score", levels=(Level("subset", weights),))], resamples=10)[0].value


def table(path):
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def numbers(row, names):
    return {name: float(row[name]) for name in names if row[name]}


def printed(value, decimals=1):
    """Half of the last digit, and what rounding of the inputs may add to it."""
    return pytest.approx(value, abs=1.01 * 10**-decimals)


HPSV2 = {
    # v2.1: anime, concept-art, paintings, photo, average
    "SDXL Refiner 0.9": (33.26, 32.07, 31.63, 28.38, 31.34),
    "SDXL Base 0.9": (32.84, 31.36, 30.86, 27.48, 30.63),
    "Deliberate": (31.46, 30.48, 30.17, 28.83, 30.23),
    "Realistic Vision": (31.01, 29.95, 30.00, 28.61, 29.89),
    "Dreamlike Photoreal 2.0": (30.87, 29.75, 29.46, 28.85, 29.73),
    "MajicMix Realistic": (29.67, 28.50, 28.44, 28.02, 28.66),
    "ChilloutMix": (29.46, 28.46, 28.35, 27.63, 28.47),
    "Openjourney": (28.37, 27.38, 27.53, 26.66, 27.48),
    "DeepFloyd-XL": (27.71, 26.07, 25.79, 27.96, 26.88),
    "Epic Diffusion": (27.07, 26.14, 26.17, 26.43, 26.45),
    "Stable Diffusion v2.0": (27.09, 26.02, 25.68, 26.73, 26.38),
    "Stable Diffusion v1.4": (26.03, 24.87, 24.80, 25.70, 25.35),
    "DALL-E 2": (26.38, 24.51, 24.93, 25.55, 25.34),
    "Versatile Diffusion": (23.69, 23.39, 24.02, 24.64, 23.93),
    "CogView2": (23.64, 24.86, 23.40, 22.68, 23.64),
    "VQGAN + CLIP": (22.55, 23.76, 23.41, 21.51, 22.81),
    "DALL-E mini": (21.54, 20.50, 20.32, 21.72, 21.02),
    "Latent Diffusion": (20.63, 19.65, 19.79, 21.26, 20.34),
    "FuseDream": (19.16, 19.37, 19.07, 20.07, 19.42),
    "VQ-Diffusion": (18.44, 18.31, 19.24, 20.62, 19.15),
    "LAFITE": (17.79, 17.55, 17.61, 20.88, 18.46),
    "GLIDE": (13.90, 13.50, 13.94, 16.72, 14.51),
}


def test_hpsv2_averages():
    """Every style has 800 images, so the mean over images is the mean of the styles."""
    for generator, (*styles, average) in HPSV2.items():
        named = dict(zip(("anime", "concept-art", "paintings", "photo"), styles, strict=True))
        assert averaged(named) == pytest.approx(average, abs=0.0101), generator


VIDEO_SIZES = {"long": 283.0, "short": 413.0, "knowledge": 238.0, "reasoning": 278.0, "safety": 351.0}
VIDEO = {
    # five dimensions, micro over 1,563, macro
    "GPT-4o": ((63.3, 50.8, 58.8, 57.9, 57.3), 57.00, 57.62),
    "Gemini-2.5-Pro": ((70.7, 55.9, 65.5, 67.3, 62.7), 63.60, 64.42),
    "Claude-3.7-Sonnet": ((65.0, 48.4, 63.4, 58.3, 82.9), 63.20, 63.60),
    "Qwen2.5-VL-72B": ((68.9, 48.4, 56.7, 52.5, 44.7), 53.27, 54.24),
    "Skywork-VL Reward": ((65.7, 49.2, 52.9, 54.0, 80.1), 60.54, 60.38),
    "R1-Reward": ((36.0, 40.0, 37.8, 30.6, 47.9), 39.04, 38.46),
}


def test_videorewardbench_micro_and_macro():
    for model, (figures, micro, macro) in VIDEO.items():
        named = dict(zip(VIDEO_SIZES, figures, strict=True))
        assert averaged(named, VIDEO_SIZES) == pytest.approx(micro, abs=0.051), model
        assert averaged(named, of_metrics=True) == pytest.approx(macro, abs=0.0051), model


def test_videogen_rewardbench_averages():
    """Without ties, with ties, and the mean of the two, of the board's best row."""
    names = ("Overall", "VQ", "MQ", "TA")
    without = averaged(dict(zip(names, (73.59, 75.66, 74.70, 72.20), strict=True)), of_metrics=True)
    within = averaged(dict(zip(names, (61.26, 59.68, 66.03, 53.80), strict=True)), of_metrics=True)
    assert (round(without, 2), round(within, 2)) == (74.04, 60.19)
    assert averaged({"without": without, "with": within}, of_metrics=True) == pytest.approx(67.12, abs=0.0051)


GENAI = {
    "gpt4o": (45.59, 53.54, 48.46, 49.20),
    "gemini-1.5-pro": (44.67, 55.93, 46.21, 48.94),
    "llava": (37.00, 26.12, 30.40, 31.17),
    "random": (25.36, 25.90, 25.16, 25.47),
    "idefics2": (42.25, 27.31, 16.46, 28.67),
    "llavanext": (22.65, 25.35, 21.70, 23.23),
    "minicpm-V-2.5": (37.81, 25.24, 6.55, 23.20),
    "blip2": (26.34, 26.01, 16.93, 23.09),
    "videollava": (37.75, 26.66, 0, 21.47),
    "cogvlm": (29.34, 0, 24.6, 17.98),
    "qwenVL": (26.63, 14.91, 2.15, 14.56),
    "instructblip": (3.11, 19.8, 3.74, 8.88),
    "idefics1": (0.81, 5.66, 0.19, 2.22),
}


def test_genai_bench_averages():
    for judge, (*cells, average) in GENAI.items():
        assert round(averaged(dict(zip("ief", cells, strict=True))), 2) == pytest.approx(average, abs=0.0101), judge


RAG_SIZES = {"helpful": 262, "reason": 306, "citation": 361, "harmless": 155, "abstain": 217, "conflict": 184}
RAG = {
    # right of each subset; Helpful, Harmless, Overall
    "Skywork-Critic-Llama-3.1-70B": ((225, 236, 246, 142, 161, 153), (76.10, 82.01, 78.32)),
    "INF-ORM-Llama3.1-70B": ((211, 234, 227, 132, 184, 149), (72.34, 83.63, 76.57)),
    "Skywork-Reward-Gemma-2-27B-v0.2": ((212, 228, 245, 117, 180, 125), (73.74, 75.90, 74.55)),
}


@pytest.mark.parametrize("model", RAG)
def test_rag_rewardbench_averages_are_micro(model, data):
    right, averages = RAG[model]
    rows = []
    for (subset, size), hits in zip(RAG_SIZES.items(), right, strict=True):
        side = "Helpful" if subset in ("helpful", "reason", "citation") else "Harmless"
        for k in range(size):
            name, rewards = f"{subset}{k}", (1.0, 0.0) if k < hits else (0.0, 1.0)
            groups = {"subset": subset, "side": side}
            rows.append(Judged(name, 2, Gold((Edge(0, 1),)), Judgment(name, rewards=rewards), groups))
    spec = MetricSpec("accuracy", "pair", report=(("side",), ("subset",)))
    got = {v.group: v for v in measure(rows, [spec])}
    assert got[None].n == 1485
    figures = [100 * got[group].value for group in ("side=Helpful", "side=Harmless", None)]
    assert [round(figure, 2) for figure in figures] == pytest.approx(averages)
    row = next(r for r in table(data / "rag-rewardbench/paper_table2.csv") if r["model"] == model)
    for subset in RAG_SIZES:
        assert round(100 * got[f"subset={subset}"].value, 1) == float(row[subset])
    for figure, name in zip(figures, ("helpful_avg", "harmless_avg", "overall"), strict=True):
        assert round(figure, 1) == pytest.approx(float(row[name]), abs=0.051)


RB2 = ("factuality", "precise_if", "math", "safety", "focus", "ties")


def test_rewardbench2_is_the_mean_of_six(data):
    rows = table(data / "published-results/rewardbench2-paper-table3.csv")
    rows += table(data / "published-results/skywork-v2-figure6-rewardbench2.csv")
    assert len(rows) == 45
    for row in rows:
        assert averaged(numbers(row, RB2), of_metrics=True) == printed(float(row["avg"])), row["model"]


def test_rewardbench_under_its_three_definitions(data):
    """March 2024: five columns alike. May 2024: prior sets at half weight. Later: the four sections."""
    sections, folder = ("chat", "chat_hard", "safety", "reasoning"), data / "published-results"
    march = table(folder / "rewardbench1-2024-03.csv")
    for row in march:
        assert averaged(numbers(row, (*sections, "prior_sets"))) == printed(float(row["score"])), row["model"]
    off = []
    for row in table(folder / "rewardbench1-2024-05.csv"):
        score = averaged(numbers(row, (*sections, "prior_sets")), {**dict.fromkeys(sections, 2.0), "prior_sets": 1.0})
        if score != printed(float(row["score"])):
            off.append((row["model"], round(score, 1)))
    # The one row that is misprinted: 72.4 for 73.4.
    assert off == [("0-hero/Matter-0.1-7B-boost-DPO-preview", 73.4)]
    later = table(folder / "rewardbench1-2025-01-top12.csv") + table(folder / "rewardbench1-grm-readme.csv")
    for row in later:
        assert averaged(numbers(row, sections), of_metrics=True) == printed(float(row["score"])), row["model"]


RM_R1 = {
    # RewardBench: mean of sections, micro; RM-Bench total; RMB mean of four
    "RM-R1-DeepSeek-Distilled-Qwen-32B": (0.908509912, 0.924623116, 0.838827787, 0.697727716),
    "RM-R1-Qwen2.5-Instruct-32B": (0.913671560, 0.929313233, 0.792362811, 0.730135503),
}


@pytest.mark.parametrize("model", RM_R1)
def test_rm_r1(data, golden, model):
    folder = data / "published-results/rm-r1" / model
    sections, micro, rm_bench, rmb = RM_R1[model]
    small = json.loads((folder / "reward_bench/score_result/each_small_section_score.json").read_text())
    main = json.loads((folder / "reward_bench/score_result/main_score.json").read_text())
    table_of = golden("reward_bench_sections")
    counts = {name: float(count) for name, count in table_of["counts"].items()}
    of_section = {
        section: averaged({name: small[name] for name in names}, {name: counts[name] for name in names})
        for section, names in table_of["sections"].items()
    }
    for section, value in of_section.items():
        assert value == pytest.approx(main[section], abs=1e-12)
    assert averaged(of_section, of_metrics=True) == pytest.approx(sections, abs=5.1e-10)
    rows = {**counts, "math-prm": 447.0}
    assert averaged({name: small[name] for name in rows}, rows) == pytest.approx(micro, abs=5.1e-10)
    domains = json.loads((folder / "RM-Bench/final_result.json").read_text())
    for names in (("chat", "math", "code", "safety"), ("hard_acc", "normal_acc", "easy_acc")):
        assert averaged({name: domains[name] for name in names}) == pytest.approx(rm_bench, abs=5.1e-10)
    *four, printed_mean = json.loads((folder / "RMB/META_RESULT.json").read_text()).values()
    assert averaged(dict(zip("abcd", four, strict=True)), of_metrics=True) == pytest.approx(rmb, abs=5.1e-10)
    assert printed_mean == pytest.approx(rmb, abs=5.1e-10)


SEVEN = ("rewardbench", "rewardbench2", "ppe_preference", "ppe_correctness", "rmb", "rm_bench", "judgebench")


def test_skywork_v2_tables_are_plain_means(data):
    folder = data / "published-results"
    checked = 0
    for name, columns in (
        ("skywork-v2-table5-seven-benchmarks.csv", SEVEN),
        ("skywork-v2-table2-judgebench.csv", ("knowledge", "reasoning", "math", "coding")),
        ("skywork-v2-table3-rmb-bon.csv", ("helpfulness_bon", "harmlessness_bon")),
        ("skywork-v2-figure5-rm-bench.csv", ("easy", "normal", "hard")),
    ):
        for row in table(folder / name):
            found = numbers(row, columns)
            if len(found) == len(columns) and row["avg"]:
                assert averaged(found) == printed(float(row["avg"])), (name, row["model"])
                checked += 1
    assert checked > 70


GPM = {
    # Chat, Chat-Hard, Safety, Reasoning, average (the third printed as 90.56)
    "Gemma-2B-it BT": (67.32, 63.37, 85.68, 83.04, 74.85),
    "Gemma-2B-it GPM": (79.61, 75.66, 85.27, 88.61, 82.29),
    "Llama-3.1-8B-Instruct BT": (88.55, 85.75, 91.49, 96.47, 90.57),
    "Llama-3.1-8B-Instruct GPM": (93.58, 87.50, 91.08, 95.44, 91.90),
}


def test_gpm_sections():
    for model, (*sections, average) in GPM.items():
        assert averaged(dict(zip("abcd", sections, strict=True))) == pytest.approx(average, abs=0.0051), model


def test_mrmbench_averages(data):
    """Plain means of six dimensions."""
    names = ("harmlessness", "helpfulness", "correctness", "coherence", "complexity", "verbosity")
    off = []
    rows = table(data / "published-results/mrmbench.csv")
    for row in rows:
        mean = averaged(numbers(row, names), of_metrics=True)
        if mean != printed(float(row["avg"])):
            off.append((row["split"], row["model"], round(mean, 1), float(row["avg"])))
    assert len(rows) == 32
    assert off == []

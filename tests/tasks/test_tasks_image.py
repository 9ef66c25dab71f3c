"""Image benchmarks: rows and figures of upstream's own files, and what each of them calls a tie."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rmbench.metrics.measure import measure
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import TIE, Example, Judged, Judgment, Part, Value, Verdict

Figures = Callable[..., dict[tuple[str, str | None], Value]]
Media = Callable[[Example], list[Part]]


def put(path: Path, rows: Any) -> None:
    """Write JSON, or JSON Lines where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.suffix == ".jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) if lines else json.dumps(rows))


# HPD v2


def inversion_score(scores: Sequence[float], ranks: Sequence[float]) -> float:
    """Upstream's `inversion_score` of one prompt, for scores that are all different."""
    order = sorted(range(len(scores)), key=lambda k: -scores[k])
    place = {k: at for at, k in enumerate(order)}
    pairs = list(combinations(range(len(scores)), 2))
    wrong = sum((place[i] - place[j]) * (ranks[i] - ranks[j]) < 0 for i, j in pairs)
    return 1 - wrong / len(pairs)


def test_hpdv2_is_the_mean_of_inversion_scores(tmp_path: Path, figures: Figures) -> None:
    draw = random.Random(3)
    rows: list[dict[str, Any]] = []
    for i in range(40):
        size = draw.randint(3, 9)
        ranks = [draw.randint(1, 5) for _ in range(size)]
        rows.append({"prompt": f"p{i}", "image_path": [f"{i}_{k}.jpg" for k in range(size)], "rank": ranks})
    put(tmp_path / "HPD/test.json", rows)
    scores = {str(i): [draw.random() for _ in row["rank"]] for i, row in enumerate(rows)}
    examples = load(get("hpdv2"), tmp_path).examples
    value = figures("hpdv2", examples, lambda e: Judgment(e.id, tuple(scores[e.id])))["accuracy", None]
    each = [inversion_score(scores[str(i)], row["rank"]) for i, row in enumerate(rows)]
    assert value.value == pytest.approx(sum(each) / len(each))
    constant = figures("hpdv2", examples, lambda e: Judgment(e.id, (0.0,) * len(e.candidates)))
    ties = [sum(a == b for a, b in combinations(r["rank"], 2)) / len(list(combinations(r["rank"], 2))) for r in rows]
    assert constant["accuracy", None].value == pytest.approx(sum(0.5 + tied / 2 for tied in ties) / len(ties))
    assert constant["decided_accuracy", None].value == 0.0


# ImageReward


def test_imagereward_counts_and_the_order_that_tells(data: Path, figures: Figures) -> None:
    loaded = load(get("imagerewarddb"), data)
    assert len(loaded.examples) == loaded.total == 466
    assert Counter(len(e.candidates) for e in loaded.examples) == {4: 194, 5: 2, 6: 45, 7: 159, 8: 43, 9: 23}
    edges = [edge for e in loaded.examples for edge in e.gold.relation]
    assert (len(edges), sum(edge.strength == 0 for edge in edges)) == (7230, 831)
    values = figures(
        "imagerewarddb", loaded.examples, lambda e: Judgment(e.id, tuple(-float(k) for k in range(len(e.candidates))))
    )
    pooled = values["accuracy", None]
    assert pooled.comparisons == 6399
    assert pooled.value == pytest.approx(3777 / 6399)
    by_prompt = []
    for example in loaded.examples:
        decided = [edge for edge in example.gold.relation if edge.strength]
        by_prompt.append(sum(edge.i < edge.j for edge in decided) / len(decided))
    assert values["accuracy_by_prompt", None].value == pytest.approx(sum(by_prompt) / 466)


def test_imagereward_equal_scores_are_wrong(data: Path, figures: Figures) -> None:
    examples = load(get("imagerewarddb"), data).examples
    values = figures("imagerewarddb", examples, lambda e: Judgment(e.id, (1.0,) * len(e.candidates)))
    assert values["accuracy", None].value == 0.0


# Pick-a-Pic


PICKAPIC = {
    "HPSv2score": (0.6390, 282, 0.2937),
    "ImageReward": (0.6190, 272, 0.2576),
    "blipscore": (0.5970, 261, 0.2227),
    "clipscore": (0.6040, 264, 0.2320),
    "clipscore_v2": (0.6150, 270, 0.2466),
    "pickscore": (0.7130, 319, 0.3926),
}
LABELS = {"0": (1.0, 0.0), "1": (0.0, 1.0), "tie": (0.5, 0.5)}


def pickapic(scorer: str, data: Path, folder: Path) -> tuple[tuple[Example, ...], dict[str, tuple[float, float]]]:
    """The labels of validation_unique in upstream's columns, and the released scores."""
    name, _, version = scorer.partition("_")
    path = data / f"mj-bench/reward_models/result/validation_{name}_eval_{version and version + '_'}0.00.json"
    released = json.loads(path.read_text())
    rows = []
    for row in released:
        uids = {f"image_{k}_uid": f"{row['ranking_id']}-{k}" for k in (0, 1)}
        labels = dict(zip(("label_0", "label_1"), LABELS[row["label"]], strict=True))
        rows.append(
            {"caption": f"p{row['id']}", "ranking_id": row["ranking_id"], "user_id": 1, "model_0": "a", "model_1": "b"}
            | uids
            | labels
        )
    put(folder / "data/test_unique.jsonl", rows)
    kind = "prob" if scorer == "pickscore" else "score"
    scores = {str(row["ranking_id"]): (row[f"{kind}_0"], row[f"{kind}_1"]) for row in released}
    return load(get("pick-a-pic"), folder).examples, scores


@pytest.mark.parametrize("scorer", PICKAPIC)
def test_pickapic_validation_has_the_known_figures(scorer: str, data: Path, tmp_path: Path, figures: Figures) -> None:
    examples, scores = pickapic(scorer, data, tmp_path)
    assert Counter(edge.strength and edge.i for each in examples for edge in each.gold.relation) == {0: 313, 1: 187}
    values = figures("pick-a-pic", examples, lambda e: Judgment(e.id, scores[e.id]))
    credit, decided, tau_b = PICKAPIC[scorer]
    assert values["accuracy", None].n == 500
    assert values["accuracy", None].value == pytest.approx(credit, abs=1e-9)
    assert values["decided_accuracy", None].n == 425
    assert values["decided_accuracy", None].value == pytest.approx(decided / 425)
    assert values["kendall_tau_b", None].value == pytest.approx(tau_b, abs=5e-5)


@pytest.mark.parametrize(
    "within, credit", [(0.0, 0.713), (0.1, 0.715), (0.2, 0.702), (0.3, 0.700), (0.4, 0.686), (0.5, 0.669), (1.0, 0.575)]
)
def test_pickapic_thresholds(within: float, credit: float, data: Path, tmp_path: Path) -> None:
    examples, scores = pickapic("pickscore", data, tmp_path)
    spec = replace(get("pick-a-pic").metrics[0], tie_within=within)
    rows = [Judged.of(each, Judgment(each.id, scores[each.id])) for each in examples]
    assert measure(rows, [spec], resamples=2)[0].value == pytest.approx(credit, abs=1e-9)


# MJ-Bench


MJBENCH = {
    "hps_v2.1": (98, 165, 98, 346, 707, 0.9033),
    "pickscore_v1": (95, 175, 99, 334, 703, 0.9118),
    "aesthetics": (96, 188, 76, 340, 700, 0.8582),
    "ImageReward": (67, 149, 66, 325, 607, 0.6691),
    "clipscore_v2": (60, 78, 78, 289, 505, 0.5782),
    "blipscore": (29, 71, 22, 210, 332, 0.2776),
}
SUBSETS = {"human": 100, "mpii": 220, "objects_indoor": 100, "blur": 350}


@pytest.mark.parametrize("scorer", MJBENCH)
def test_mj_bench_has_the_released_accuracies(scorer: str, data: Path, tmp_path: Path, figures: Figures) -> None:
    """The captions of the blur subset are those of the released score file; the other three are upstream's own."""
    released: dict[str, tuple[float, float]] = {}
    for subset in SUBSETS:
        name = {"objects_indoor": "object_indoor"}.get(subset, subset)
        rows = json.loads((data / f"mj-bench/personal/result/{scorer}/{name}0.0.json").read_text())
        released |= {f"{subset}/{row['id']}": (row["score_0"], row["score_1"]) for row in rows}
        if subset == "blur":
            keys = ("caption", "sharp_image", "motion_blur_image")
            blur = [{**{key: row[key] for key in keys}, "label_0": 1} for row in rows]
            put(tmp_path / "artifacts/blur_dataset/captions_blur.json", blur)
    for path in (data / "mj-bench/quality").glob("*/captions_*.json"):
        copied = tmp_path / path.relative_to(data / "mj-bench")
        copied.parent.mkdir(parents=True)
        copied.write_bytes(path.read_bytes())
    loaded = load(get("mj-bench-quality"), tmp_path)
    assert len(loaded.examples) == loaded.total == 770
    values = figures("mj-bench-quality", loaded.examples, lambda e: Judgment(e.id, released[e.id]))
    *by_subset, micro, distortion = MJBENCH[scorer]
    for (subset, n), right in zip(SUBSETS.items(), by_subset, strict=True):
        value = values["accuracy", f"subset={subset}"]
        assert value.n == n
        assert value.value == pytest.approx(right / n), subset
    assert values["accuracy", None].value == pytest.approx(micro / 770)
    assert values["distortion_accuracy", None].value == pytest.approx(distortion, abs=5e-5)


def test_mj_bench_without_its_blur_subset_is_partial(data: Path, media: Media) -> None:
    loaded = load(get("mj-bench-quality"), data)
    assert (len(loaded.examples), loaded.total) == (420, 770)
    assert loaded.missing == ("artifacts/blur_dataset/captions_blur.json",)
    there = Counter(e.groups["subset"] for e in loaded.examples for part in media(e) if part.path)
    assert there == {"human": 200, "objects_indoor": 200}


# TIFA and AGIQA-3K


TIFA = {
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
def test_tifa_has_the_known_correlations(metric: str, data: Path, figures: Figures) -> None:
    loaded = load(get("tifa"), data)
    assert len(loaded.examples) == loaded.total == 800
    assert [loaded.group_totals[f"source={s}"] for s in ("coco", "partiprompt", "paintskill", "drawbench")] == [
        420,
        255,
        75,
        50,
    ]
    assert len({e.cluster for e in loaded.examples}) == 160
    released = json.loads((data / "tifa/human_annotations/human_annotations_with_scores.json").read_text())
    values = figures("tifa", loaded.examples, lambda e: Judgment(e.id, (float(released[e.id][metric]),)))
    found = [values[name, None].value for name in ("pearson", "kendall_tau_b", "spearman")]
    assert found == pytest.approx(TIFA[metric], abs=5e-7)


def test_agiqa_rows_and_how_far_its_two_opinions_agree(data: Path, figures: Figures) -> None:
    loaded = load(get("agiqa-3k"), data)
    assert len(loaded.examples) == loaded.total == 2982
    generators = {"sd1.5": 1200, "midjourney": 592, "AttnGAN": 300, "glide": 300, "xl2.2": 300, "DALLE2": 290}
    assert loaded.group_totals == {f"generator={name}": n for name, n in generators.items()}
    assert len({e.cluster for e in loaded.examples}) == 300
    alignment = [e.gold.ratings[0][1] for e in loaded.examples]
    assert (round(min(alignment), 2), round(max(alignment), 2)) == (0.02, 4.29)
    values = figures("agiqa-3k", loaded.examples, lambda e: Judgment(e.id, (e.gold.ratings[0][1],)))
    assert values["spearman", None].value == pytest.approx(0.7419, abs=5e-5)
    assert values["kendall_tau_b", None].value == pytest.approx(0.5547, abs=5e-5)
    assert values["spearman", "dimension=alignment"].value == pytest.approx(1.0)


# HPS v2's generator benchmark


def test_hpsv2_means_by_style_and_a_missing_image_keeps_its_place(
    tmp_path: Path, figures: Figures, media: Media
) -> None:
    for style, n in {"anime": 3, "concept-art": 1, "paintings": 1, "photo": 1}.items():
        put(tmp_path / f"HPD/benchmark/{style}.json", [f"{style} {i}" for i in range(n)])
    for name in ("anime/00000.jpg", "anime/00002.jpg", "photo/00000.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / "images" / name)
    loaded = load(get("hpsv2-generators"), tmp_path)
    assert [e.id for e in loaded.examples] == [
        "anime/0", "anime/1", "anime/2", "concept-art/0", "paintings/0", "photo/0",
    ]  # fmt: skip
    parts = [media(e)[0] for e in loaded.examples]
    assert [part.name for part in parts][:3] == ["anime/00000.jpg", "anime/00001.jpg", "anime/00002.jpg"]
    assert [part.path is not None for part in parts] == [True, False, True, False, False, True]
    assert all(e.gold == type(e.gold)() for e in loaded.examples)
    scores = dict(zip((e.id for e in loaded.examples), (30.0, None, 32.0, None, None, 28.0), strict=True))

    def judged(example: Example) -> Judgment:
        score = scores[example.id]
        return Judgment(example.id, status="failed") if score is None else Judgment(example.id, (score,))

    values = figures("hpsv2-generators", loaded.examples, judged)
    assert (values["average", None].value, values["average", "style=anime"].value) == (None, None)
    assert "low_coverage" in values["average", None].flags
    assert values["average", "style=photo"].value == pytest.approx(28.0)
    spec = replace(get("hpsv2-generators").metrics[0], min_coverage=0)
    rows = [Judged.of(each, judged(each)) for each in loaded.examples]
    lenient = {value.group: value.value for value in measure(rows, [spec])}
    assert lenient[None] == pytest.approx(30.0)
    assert lenient["style=anime"] == pytest.approx(31.0)
    assert values["average", "style=anime"].coverage == pytest.approx(2 / 3)
    assert values["average", "style=concept-art"].value is None
    assert "incomplete" in values["average", None].flags


# VL-RewardBench


def test_vl_rewardbench_groups_have_the_sizes_of_the_whole_set(data: Path, tmp_path: Path) -> None:
    """The index has the ids and labels of all rows; their texts stand for themselves here."""
    index = [json.loads(line) for line in (data / "vl-rewardbench/index.jsonl").read_text().splitlines()]
    rows = [{**row, "query": "q", "response": ["a", "b"], "models": ["x", "y"]} for row in index]
    put(tmp_path / "data.json", rows)
    loaded = load(get("vl-rewardbench"), tmp_path)
    assert len(loaded.examples) == loaded.total == 1250
    assert {name: n for name, n in loaded.group_totals.items() if name.startswith("category")} == {
        "category=hallucination": 749,
        "category=reasoning": 318,
        "category=general": 183,
    }
    sizes = {"povid": 448, "rlaif-v": 233, "rlhf-v": 68, "reasoning": 318, "wildvision": 173, "vlfeedback": 10}
    assert {name: loaded.group_totals[f"subset={name}"] for name in sizes} == sizes
    assert len({e.cluster for e in loaded.examples}) == 1225
    assert Counter(e.gold.relation[0].i for e in loaded.examples) == {0: 1245, 1: 5}


def test_vl_rewardbench_rows_at_hand(data: Path, media: Media) -> None:
    loaded = load(get("vl-rewardbench"), data)
    assert len(loaded.examples) == 105
    assert loaded.missing == ("1145 of 1250 rows",)
    assert all(media(e)[0].name == f"images/{e.id.rsplit('/', 1)[0]}.png" for e in loaded.examples)
    assert all(media(e)[0].path is None for e in loaded.examples)


# Multimodal RewardBench


def test_multimodal_rewardbench_an_unread_verdict_is_worth_upstreams_coin(figures: Figures) -> None:
    examples = load(get("multimodal-rewardbench"), "sample").examples
    values = figures(
        "multimodal-rewardbench",
        examples,
        lambda e: Judgment(e.id, verdicts=(Verdict((0, 1), "pick", None, "unparsed"),), status="unparsed"),
        "verdict",
    )
    assert values["accuracy", None].value == 0.5
    tied = figures(
        "multimodal-rewardbench",
        examples,
        lambda e: Judgment(e.id, verdicts=(Verdict((0, 1), "pick", TIE),)),
        "verdict",
    )
    assert tied["accuracy", None].value == 0.5


def test_multimodal_rewardbench_groups() -> None:
    groups = load(get("multimodal-rewardbench"), "sample").group_totals
    assert groups["category=open_generation/correctness_task"] == 1
    assert (groups["category=safety"], groups["safety=bias"]) == (2, 1)
    assert (groups["category=reasoning"], groups["reasoning=math"]) == (2, 1)

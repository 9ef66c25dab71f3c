"""Video benchmarks: rows and figures of upstream's own files, and the rules' odd corners."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import get
from rmbench.tasks.rows.adapt_media import fetv_videos, t2v_videos
from rmbench.tasks.sources import load
from rmbench.types import Example, Judgment, Part, Value

TASKS = ("videorewardbench", "videogen-rewardbench", "fetv", "t2vscore", "genai-bench-video")


Figures = Callable[..., dict[tuple[str, str | None], Value]]
Media = Callable[[Example], list[Part]]


# FETV


FETV = {
    "CLIPScore": (0.1770, 0.1738, 0.2433, 2092),
    "CLIPScore-ft": (0.2238, 0.2197, 0.3090, 2056),
    "BLIPScore": (0.2345, 0.2303, 0.3217, 2166),
    "Otter-VQA": (0.0812, 0.0827, 0.1136, 1311),
    "UMTScore": (0.3095, 0.3039, 0.4249, 2172),
}
FETV_FILES = {"damo-text2video": "modelscope-t2v"}


@pytest.mark.parametrize("metric", FETV)
def test_fetv_has_the_published_correlations(metric: str, data: Path, figures: Figures) -> None:
    examples = load(get("fetv"), data).examples
    released = {
        source: json.loads(
            (
                data / f"fetv/auto_eval_results/{metric}/auto_eval_results_{FETV_FILES.get(source, source)}.json"
            ).read_text()
        )
        for source in ("cogvideo", "text2video-zero", "damo-text2video", "zeroscope", "ground-truth")
    }
    values = figures("fetv", examples, lambda e: Judgment(e.id, tuple(released[c.source][e.id] for c in e.candidates)))
    tau_c, tau_b, rho, right = FETV[metric]
    assert values["kendall_tau_c", None].value == pytest.approx(tau_c, abs=5e-5)
    assert values["kendall_tau_b", None].value == pytest.approx(tau_b, abs=5e-5)
    assert values["spearman", None].value == pytest.approx(rho, abs=5e-5)
    assert values["spearman", None].comparisons == 3017
    ranked = values["ranked_accuracy", None]
    assert ranked.comparisons == 3066
    assert ranked.value == pytest.approx(right / 3066)


def test_fetv_rows_are_prompts(data: Path, media: Media) -> None:
    loaded = load(get("fetv"), data)
    assert len(loaded.examples) == loaded.total == 619
    assert [len(e.candidates) for e in loaded.examples].count(5) == 541
    assert len(loaded.files) == 16
    assert loaded.group_totals["source=ours"] + loaded.group_totals["source=WebVid"] < 619
    first = next(e for e in loaded.examples if e.id == "0")
    assert first.prompt[0].text == "a person jumps from building"
    rated_by_source = dict(zip((c.source for c in first.candidates), first.gold.ratings, strict=True))
    assert rated_by_source["zeroscope"] == pytest.approx(((4 + 1 + 3) / 3, (3 + 3 + 2) / 3, (2 + 3 + 2) / 3))
    there = [part for e in loaded.examples for part in media(e) if part.path is not None]
    assert len(there) == 68
    assert {part.name.split("/")[0] for part in there} == {"cogvideo", "text2video-zero", "videofusion", "zeroscope"}


def rated(model: str, annotator: str, alignment: Any = 3) -> dict[str, Any]:
    return {"model": model, "annotator": annotator, "alignment": alignment, "static_quality": 1, "temporal_quality": 2}


def test_fetv_annotators_are_averaged_and_real_videos_not_ranked() -> None:
    rows = [rated("ground-truth", "h0", 5), rated("zeroscope", "h0", 1), rated("damo-text2video", "h0", 2)]
    rows += [rated("zeroscope", "h1", 2), rated("ground-truth", "h1", 5), rated("damo-text2video", "h1", 2)]
    made = fetv_videos({"sentence": "7", "rows": rows})
    assert made["models"] == ["ground-truth", "zeroscope", "damo-text2video"]
    assert made["videos"] == ["ground-truth/7.mp4", "zeroscope/7.mp4", "videofusion/7.mp4"]
    assert made["alignment"] == [5.0, 1.5, 2.0]
    assert made["pairs"] == [[1, 2]]


@pytest.mark.parametrize(
    "rows, message",
    [
        ([rated("a", "h0"), rated("a", "h1"), rated("b", "h0")], '"b" has not one rating of each of 2'),
        ([rated("a", "h0"), rated("a", "h0")], '"a" has not one rating of each of 1'),
        ([rated("a", "h0", 2.5)], "whole numbers"),
    ],
)
def test_fetv_refuses_uneven_ratings(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fetv_videos({"sentence": "7", "rows": rows})


# T2VScore


T2V = {
    "CLIP Score": (0.3428, 0.2361, 0.3322),
    "X-CLIP Score": (0.2568, 0.1749, 0.2363),
    "BLIP-BLEU": (0.1513, 0.1036, 0.1546),
    "T2VScore-A (GPT-4V)": (0.4769, 0.3529, 0.4796),
}


T2V_QUALITY = {"CLIP Score": 0.1106, "X-CLIP Score": 0.0047}


@pytest.mark.parametrize("metric", T2V)
def test_t2vscore_has_the_known_correlations(metric: str, data: Path, figures: Figures) -> None:
    loaded = load(get("t2vscore"), data)
    assert len(loaded.examples) == loaded.total == 512
    with (data / "t2vscore/datasets/t2vscore_results.csv").open(newline="") as file:
        released = {(row["video_id"], row["model_name"]): float(row[metric]) for row in csv.DictReader(file)}
    values = figures(
        "t2vscore", loaded.examples, lambda e: Judgment(e.id, tuple(released[e.id, c.source] for c in e.candidates))
    )
    rho, tau_b, pearson = T2V[metric]
    assert values["spearman", None].value == pytest.approx(rho, abs=5e-5)
    assert values["kendall_tau_b", None].value == pytest.approx(tau_b, abs=5e-5)
    assert values["pearson", None].value == pytest.approx(pearson, abs=5e-5)
    assert values["spearman", None].comparisons == 2543
    if metric in T2V_QUALITY:
        assert values["spearman", "dimension=quality"].value == pytest.approx(T2V_QUALITY[metric], abs=5e-5)


def test_t2vscore_alignment_is_not_quality(data: Path, figures: Figures) -> None:
    examples = load(get("t2vscore"), data).examples
    values = figures("t2vscore", examples, lambda e: Judgment(e.id, tuple(line[1] for line in e.gold.ratings)))
    found = [values[name, None].value for name in ("kendall_tau_b", "spearman")]
    assert found == pytest.approx([0.1223, 0.1755], abs=5e-5)
    assert values["spearman", None].value == pytest.approx(0.1755, abs=5e-5)


def test_t2vscore_refuses_scores_of_other_videos() -> None:
    one = {"score": "alignment", "models": {"pika": [1.0], "gen2": [2.0]}}
    assert t2v_videos({"video": "12", "rows": [one, {**one, "score": "quality"}]})["videos"] == [
        "pika/0012.mp4",
        "gen2/0012.mp4",
    ]
    with pytest.raises(ValueError, match="not of the same videos"):
        t2v_videos({"video": "12", "rows": [one]})
    both = {"pika": [1.0, 2.0], "gen2": [2.0]}
    with pytest.raises(ValueError, match="one averaged score"):
        t2v_videos({"video": "12", "rows": [{**one, "models": both}, {"score": "quality", "models": both}]})


# VideoGen-RewardBench


def videogen(folder: Path, labels: Sequence[tuple[str, str, str, str]]) -> tuple[Example, ...]:
    """Pairs of these labels (VQ, MQ, TA, Overall) in upstream's file."""
    names = "path_A,path_B,A_model,B_model,prompt,VQ,MQ,TA,Overall,fps_A,num_frames_A,fps_B,num_frames_B".split(",")
    with (folder / "videogen-rewardbench.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for i, given in enumerate(labels):
            writer.writerow([f"videos/{i}_A.mp4", f"./videos/{i}_B.mp4", "x", "y", f"p{i}", *given, 24.0, 81, 24.0, 81])
    return load(get("videogen-rewardbench"), folder).examples


def by_margin(margins: Mapping[str, float]) -> Callable[[Example], Judgment]:
    return lambda example: Judgment(example.id, rewards=(margins[example.id], 0.0))


@pytest.mark.parametrize(
    "labels, margins, loop, strict",
    [
        (("same", "A"), (0.5, 0.5), 1.0, 0.5),
        (("A", "A"), (0.5, 0.2), 0.5, 1.0),
        (("A", "B", "same"), (0.0, 0.0, 0.0), 1 / 3, 1 / 3),
    ],
)
def test_videogen_with_ties_by_upstreams_loop_and_strictly(
    labels: tuple[str, ...], margins: tuple[float, ...], loop: float, strict: float, tmp_path: Path, figures: Figures
) -> None:
    examples = videogen(tmp_path, [(label, "A", "B", label) for label in labels])
    values = figures("videogen-rewardbench", examples, by_margin({str(i): m for i, m in enumerate(margins)}))
    for name in ("overall", "vq"):
        assert values[f"{name}_with_ties", None].value == pytest.approx(loop)
        assert values[f"{name}_with_ties_strict", None].value == pytest.approx(strict)


def test_videogen_without_ties_leaves_human_ties_out_and_counts_equal_scores_wrong(
    tmp_path: Path, figures: Figures
) -> None:
    examples = videogen(tmp_path, [("same", "B", "A", "A"), ("same", "A", "A", "A"), ("A", "A", "A", "same")])
    values = figures("videogen-rewardbench", examples, by_margin({"0": 0.0, "1": 0.2, "2": 1.0}))
    assert values["overall_without_ties", None].value == 0.5
    assert values["overall_without_ties", None].comparisons == 2
    assert values["vq_without_ties", None].value == 1.0
    assert values["mq_without_ties", None].value == pytest.approx(2 / 3)
    assert values["average_without_ties", None].value == pytest.approx((0.5 + 1 + 2 / 3 + 2 / 3) / 4)


def test_videogen_a_model_with_a_figure_per_dimension_is_measured_by_it(tmp_path: Path, figures: Figures) -> None:
    examples = videogen(tmp_path, [("A", "B", "A", "A"), ("B", "A", "B", "A")])
    parts = {"VQ": ((0.0,), (1.0,)), "MQ": ((1.0,), (0.0,))}
    values = figures("videogen-rewardbench", examples, lambda e: Judgment(e.id, (1.0, 0.0), parts=parts))
    assert values["vq_without_ties", None].value == 0.5
    assert values["overall_without_ties", None].value == 1.0


def test_videogen_real_videos_without_an_overall_label_are_refused(data: Path, tmp_path: Path) -> None:
    """The example that is at hand has upstream's training columns."""
    text = (data / "videoalign/datasets/train/example.csv").read_text()
    (tmp_path / "videogen-rewardbench.csv").write_text(text)
    with pytest.raises(RmbenchError, match='row 0: no column "A_model"'):
        load(get("videogen-rewardbench"), tmp_path)


# VideoRewardBench


SIZES = {"perception_long": 283, "perception_short": 413, "knowledge": 238, "reasoning": 278, "safety": 351}
PUBLISHED = [
    ((63.3, 50.8, 58.8, 57.9, 57.3), 57.00, 57.62),
    ((70.7, 55.9, 65.5, 67.3, 62.7), 63.60, 64.42),
    ((65.0, 48.4, 63.4, 58.3, 82.9), 63.20, 63.60),
    ((68.9, 48.4, 56.7, 52.5, 44.7), 53.27, 54.24),
    ((65.7, 49.2, 52.9, 54.0, 80.1), 60.54, 60.38),
    ((36.0, 40.0, 37.8, 30.6, 47.9), 39.04, 38.46),
    ((73.5, 51.3, 56.3, 52.2, 38.7), 53.42, 54.40),
    ((59.4, 37.0, 44.1, 52.2, 65.2), 51.18, 51.58),
    ((72.4, 43.8, 55.9, 56.5, 88.0), 63.02, 63.32),
]


@pytest.mark.parametrize("shares, micro, macro", PUBLISHED)
def test_videorewardbench_published_rows_are_means_of_triplets(
    shares: tuple[float, ...], micro: float, macro: float, tmp_path: Path, figures: Figures
) -> None:
    """Published dimensions and sizes give the published overall, so the headline is the mean of rows."""
    rows, right = [], {}
    for (dimension, size), share in zip(SIZES.items(), shares, strict=True):
        for k in range(size):
            key = f"{dimension}-{k}"
            right[key] = k < round(share * size / 100)
            rows.append({"id": key, "dimension": dimension, "video": f"{key}.mp4"} | dict.fromkeys(("question",), "?"))
            rows[-1] |= {"chosen": "yes", "rejected": "no"}
    (tmp_path / "videorewardbench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = load(get("videorewardbench"), tmp_path)
    assert len(loaded.examples) == loaded.total == 1563
    values = figures("videorewardbench", loaded.examples, lambda e: Judgment(e.id, (float(right[e.id]), 0.5)))
    assert values["accuracy", None].value == pytest.approx(micro / 100, abs=6e-4)
    assert values["macro_accuracy", None].value == pytest.approx(macro / 100, abs=6e-4)


def test_media_that_are_not_there_are_absent_and_no_error(data: Path, media: Media) -> None:
    for task_id in ("t2vscore", "genai-bench-video"):
        parts = [part for e in load(get(task_id), data).examples for part in media(e)]
        assert parts
        assert all(part.path is None and part.name for part in parts)

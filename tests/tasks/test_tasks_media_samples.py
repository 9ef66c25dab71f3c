"""The samples of image and video benchmarks: drawn media that are there, open, and agree with the gold."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from rmbench import resources
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import Example, Judgment, Part, Value

Figures = Callable[..., dict[tuple[str, str | None], Value]]
Media = Callable[[Example], list[Part]]

IMAGE = (
    "hpdv2",
    "imagerewarddb",
    "pick-a-pic",
    "pick-safety",
    "pick-style-cartoon",
    "pick-style-pixel-art",
    "pick-double-caption",
    "genai-bench-image",
    "genai-bench-edition",
    "mj-bench-quality",
    "tifa",
    "hpsv2-generators",
    "vl-rewardbench",
    "multimodal-rewardbench",
    "mmrb2",
    "editreward-bench-tiger",
    "editreward-bench-editscore",
    "decapbench",
)
VIDEO = (
    "videorewardbench",
    "videogen-rewardbench",
    "fetv",
    "fetv-changed-clips",
    "fetv-captions-changed-clips",
    "t2vscore",
    "genai-bench-video",
    "densedpo-segments",
)
TASKS = (*IMAGE, "agiqa-3k", "visualprocessbench")


@pytest.mark.parametrize("task_id", TASKS)
def test_sample_images_are_there_and_open(task_id: str, media: Media) -> None:
    task = get(task_id)
    assert task.modality == "image"
    assert task.family == ("image" if task_id in IMAGE else "probing")
    examples = load(task, "sample").examples
    assert len(examples) >= 8
    for part in (part for example in examples for part in media(example)):
        assert part.kind == "image"
        assert part.path is not None, part.name
        assert Path(part.path).stat().st_size < 8000
        with Image.open(part.path) as image:
            assert image.size == (64, 64)
            assert len(image.convert("RGB").getcolors(4096) or ()) > 1, part.name


@pytest.mark.parametrize("task_id", VIDEO)
def test_sample_clips_are_there_and_open(task_id: str, media: Media) -> None:
    task = get(task_id)
    assert (task.family, task.modality) == ("video", "video")
    examples = load(task, "sample").examples
    assert len(examples) >= 8
    for part in (part for example in examples for part in media(example)):
        assert part.kind == "video"
        assert part.path is not None, part.name
        assert Path(part.path).stat().st_size < 6000
        with av.open(part.path) as clip:
            frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
        assert len(frames) == 12
        assert frames[0].shape == (64, 64, 3)
        assert frames[0].std() > 1, part.name


@pytest.fixture(scope="module")
def drawing() -> Any:
    """The script that drew the samples."""
    path = resources.tasks().parent / "examples" / "draw_samples.py"
    if not path.is_file():
        pytest.skip("need the examples of a checkout")
    spec = importlib.util.spec_from_file_location("draw_samples", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["draw_samples"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("task_id", [*TASKS, *VIDEO])
def test_the_script_draws_what_the_samples_hold(task_id: str, drawing: Any, media: Media, tmp_path: Path) -> None:
    """Every medium of a sample is one that the script knows, at the very place, and none is left over."""
    task = get(task_id)
    folder = resources.tasks() / "samples" / task_id
    wanted = drawing.wanted(task)
    shown = {part.path for example in load(task, "sample").examples for part in media(example)}
    assert {str(folder / path) for path in wanted} == shown
    there = {path for path in folder.rglob("*") if path.suffix in (".png", ".jpg", ".webp", ".gif", ".mp4")}
    assert set(map(str, there)) == shown
    path, (text, worth) = next(iter(wanted.items()))
    drawing.draw(tmp_path / path, text, worth)
    assert (tmp_path / path).stat().st_size > 0


def test_a_scene_is_read_from_its_words_and_spoiled_by_its_worth(drawing: Any) -> None:
    scene = drawing.Scene.of("Look: Two green triangles fall on a black ground.")
    assert scene == drawing.Scene(2, "green", "triangle", "black", (0, 1))
    assert scene.spoiled(1.0) == scene
    assert scene.spoiled(0.6).shape == "triangle"
    assert scene.spoiled(0.6).colour not in ("green", "black")
    assert scene.spoiled(0.1).shape != "triangle"
    with pytest.raises(ValueError, match="no coloured shape"):
        drawing.Scene.of("a dog")


def of_gold(example: Example, sign: float) -> Judgment:
    """The gold itself as figures, a part for each dimension."""
    gold = example.gold
    if gold.ratings:
        columns = {name: [sign * line[d] for line in gold.ratings] for d, name in enumerate(gold.dimensions)}
    else:
        columns = {}
        for edge in gold.relation:
            wins = columns.setdefault(edge.dimension, [0.0] * len(example.candidates))
            wins[edge.i] += sign * (edge.strength > 0)
    first = next(iter(columns.values()))
    parts = {name: tuple((figure,) for figure in column) for name, column in columns.items() if name}
    return Judgment(example.id, rewards=tuple(first), parts=parts)


BEST: dict[str, tuple[str, ...]] = {
    "hpdv2": ("accuracy", "decided_accuracy"),
    "imagerewarddb": ("accuracy", "accuracy_by_prompt"),
    "pick-a-pic": ("accuracy", "decided_accuracy", "kendall_tau_b"),
    **dict.fromkeys(
        ("pick-safety", "pick-style-cartoon", "pick-style-pixel-art", "pick-double-caption"), ("accuracy",)
    ),
    "genai-bench-image": ("decisive_accuracy", "three_class_accuracy"),
    "genai-bench-edition": ("decisive_accuracy", "three_class_accuracy"),
    "mj-bench-quality": ("accuracy", "distortion_accuracy"),
    "tifa": ("kendall_tau_b", "spearman", "pearson"),
    "vl-rewardbench": ("accuracy", "macro_accuracy"),
    "multimodal-rewardbench": ("accuracy", "safety_accuracy", "reasoning_accuracy"),
    "mmrb2": ("accuracy", "pair_accuracy"),
    "editreward-bench-tiger": ("three_edits", "four_edits", "pair_accuracy"),
    "editreward-bench-editscore": ("accuracy", "prompt_following_accuracy", "consistency_accuracy"),
    "agiqa-3k": ("spearman", "pearson", "kendall_tau_b"),
    "videorewardbench": ("accuracy", "macro_accuracy"),
    "videogen-rewardbench": ("average_without_ties", "overall_without_ties", "vq_without_ties", "ta_without_ties"),
    "fetv": ("ranked_accuracy", "spearman", "kendall_tau_b"),
    "densedpo-segments": ("segment_accuracy", "whole_accuracy", "whole_by_segments"),
    "t2vscore": ("spearman", "kendall_tau_b", "pearson"),
    "genai-bench-video": ("decisive_accuracy",),
}
TIED = ("hpdv2", "pick-a-pic", "genai-bench-image", "genai-bench-edition", "genai-bench-video")
"""Tasks where ties keep the opposite of the gold from the worst value; their decided metric alone is looked at."""


@pytest.mark.parametrize("task_id", BEST)
def test_the_gold_reaches_the_best_value_and_its_opposite_the_worst(task_id: str, figures: Figures) -> None:
    examples = load(get(task_id), "sample").examples
    best = figures(task_id, examples, lambda example: of_gold(example, 1.0))
    worst = figures(task_id, examples, lambda example: of_gold(example, -1.0))
    for name in BEST[task_id]:
        assert best[name, None].value == pytest.approx(1.0), name
        if task_id not in TIED or name in ("decided_accuracy", "decisive_accuracy"):
            low = -1.0 if name in ("kendall_tau_b", "spearman", "pearson") else 0.0
            assert worst[name, None].value == pytest.approx(low), name


def test_the_place_says_nothing_where_upstream_mixes_it() -> None:
    for task_id in ("genai-bench-image", "pick-a-pic", "multimodal-rewardbench"):
        examples = load(get(task_id), "sample").examples
        first = [e.gold.relation[0].i == 0 for e in examples if e.gold.relation[0].strength]
        assert 0.2 < sum(first) / len(first) < 0.8

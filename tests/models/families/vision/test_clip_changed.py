"""Changed media under a two-tower model, against open_clip on pictures changed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

import rmbench
from rmbench.media import digest, read_frames
from rmbench.media_change import Change
from rmbench.models.open import OpenOptions, open_model
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import Candidate, Example, Gold, Message, Part
from tests.models.families.vision.test_clip_scorer import Plain


@pytest.fixture(scope="module")
def plain(seen: Any) -> Plain:
    return Plain(seen.tiny_model())


def changed(path: Path, kind: Any, *changes: str) -> Example:
    parts = [Part(kind, name=path.name, path=str(path), change=change) for change in changes]
    return Example(
        "r",
        (Message.of("user", "two red dogs"),),
        tuple(Candidate((Message("assistant", (p,)),)) for p in parts),
        Gold(),
    )


def test_augmented_images_are_those_of_pillow(tiny_clip: Path, tmp_path: Path, plain: Plain, seen: Any) -> None:
    path = seen.picture(tmp_path / "a.png", 3, (60, 40))
    whole = Image.open(path).convert("RGB")
    by_hand = [whole, ImageOps.mirror(whole), whole.filter(ImageFilter.GaussianBlur(2.0)), ImageOps.grayscale(whole)]
    scorer = open_model(str(tiny_clip), OpenOptions(device="cpu"))
    judging = seen.judged(scorer, [changed(path, "image", "", "flip", "blur:5", "grey", "flip")])
    expected = [plain.cosine(image.convert("RGB"), "two red dogs") for image in by_hand]
    assert judging.judgments[0].rewards == pytest.approx([*expected, expected[1]], abs=1e-5)
    assert len(set(judging.judgments[0].rewards)) == 4
    assert judging.statistics.unique == 5  # of ten parts: four pictures, and the text


def test_a_change_of_frames_fails_on_an_image_alone(tiny_clip: Path, tmp_path: Path, seen: Any) -> None:
    path = seen.picture(tmp_path / "a.png", 3)
    scorer = open_model(str(tiny_clip), OpenOptions(device="cpu"))
    judging = seen.judged(scorer, [changed(path, "image", "", "reverse:2")])
    assert "a.png: reverse:2 is for videos" in judging.judgments[0].error


@pytest.fixture(scope="module")
def record(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("out")
    return rmbench.run(str(tiny_clip), "fetv-changed-clips", source="sample", out=out, progress=False).records[0]


def test_a_mean_over_frames_cannot_tell_the_order(record: Any) -> None:
    values = {value.group: value.value for value in record.results}
    assert values["change=shuffle"] == values["change=reverse"] == 0.5
    assert record.counts.failed == 0


def test_dropped_frames_are_left_out_of_the_mean(tiny_clip: Path, plain: Plain, seen: Any) -> None:
    rows = [e for e in load(get("fetv-changed-clips"), "sample").examples if e.groups["change"] == "drop"]
    scorer = open_model(str(tiny_clip), OpenOptions(device="cpu"))
    differ = 0
    for example, judgment in zip(rows[:12], seen.judged(scorer, rows[:12]).judgments, strict=True):
        path, text = Path(str(example.candidates[0].messages[0].parts[0].path)), example.prompt[0].text
        frames = dict(read_frames(path, range(12)))
        kept = Change.of(f"drop:{example.groups['magnitude']}").frames(range(12), digest(path))
        means = [float(np.mean([plain.cosine(frames[k], text) for k in each])) for each in (range(12), kept)]
        assert judgment.rewards == pytest.approx(means, abs=1e-5)
        differ += abs(means[0] - means[1]) > 1e-4
    assert len(rows) == 32
    assert differ > 8

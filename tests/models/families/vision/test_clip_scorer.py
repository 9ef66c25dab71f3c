"""A two-tower model answers as open_clip does one by one, computes each picture and text once, fails row by row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.media import read_frames
from rmbench.models.families.vision.clip.scorer import ClipScorer
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.protocols import MultipartScorer
from rmbench.types import Candidate, Message, Part

pytestmark = pytest.mark.skipif(find_spec("open_clip") is None, reason="need open_clip (the extra clip)")

PROMPTS = ["A cat with two horns on its head", "two red dogs", "x " * 120, "Ein Fluß &amp; ein 🌉!"]


def opened(folder: Path, **settings: str) -> ClipScorer:
    model = open_model(str(folder), OpenOptions(device="cpu", model_args=settings))
    assert isinstance(model, ClipScorer)
    return model


@dataclass(frozen=True)
class Counted(ClipScorer):
    """A scorer that keeps what it was asked."""

    rows: list[list[str]] = field(default_factory=list)

    def forward(self, batch: Any) -> Any:
        self.rows.append([row.key for row in batch.rows])
        return super().forward(batch)


def counted(scorer: ClipScorer) -> Counted:
    return Counted(**{name: getattr(scorer, name) for name in scorer.__dataclass_fields__})


class Plain:
    """open_clip by itself: one picture and one text at a time, through its own transform and tokenizer."""

    def __init__(self, model: Any, side: int = 32) -> None:
        from open_clip.tokenizer import _tokenizer
        from open_clip.transform import PreprocessCfg, image_transform_v2

        self.model, self.tokenizer = model, _tokenizer
        self.transform = image_transform_v2(PreprocessCfg(size=side), is_train=False)

    def cosine(self, picture: Path | Image.Image, text: str) -> float:
        image = picture if isinstance(picture, Image.Image) else Image.open(picture).convert("RGB")
        with torch.no_grad():
            seen = self.model.encode_image(self.transform(image)[None], normalize=True)
            read = self.model.encode_text(self.tokenizer([text]), normalize=True)
        return float((seen @ read.T).item())


@pytest.fixture(scope="module")
def plain(seen: Any) -> Plain:
    return Plain(seen.tiny_model())


def rewards(judging: Any) -> list[float]:
    return [reward for judgment in judging.judgments for reward in judgment.rewards]


@pytest.mark.parametrize("budget", [4096, 120, 1])
def test_images_are_scored_as_one_by_one(
    budget: int, tiny_clip: Path, images: list[Path], plain: Plain, seen: Any
) -> None:
    examples = [seen.example(str(i), text, *map(seen.shown, images)) for i, text in enumerate(PROMPTS)]
    judging = seen.judged(opened(tiny_clip), examples, budget)
    expected = [plain.cosine(path, text) for text in PROMPTS for path in images]
    assert rewards(judging) == pytest.approx(expected, abs=1e-5)
    assert np.std(expected) > 0.01
    assert [judgment.truncated[0] for judgment in judging.judgments] == [False, False, True, False]
    # 16 patches and the class token of the image; 77 tokens of a text that was cut.
    assert judging.judgments[2].lengths == (17 + 77,) * 6


def test_every_distinct_image_and_text_is_computed_once(
    tiny_clip: Path, images: list[Path], tmp_path: Path, seen: Any
) -> None:
    copy = tmp_path / "same bytes, other name.png"
    copy.write_bytes(images[0].read_bytes())
    scorer = counted(opened(tiny_clip))
    assert isinstance(scorer, MultipartScorer)
    examples = [
        seen.example("a", "one", *map(seen.shown, images[:3])),
        seen.example("b", "one", *map(seen.shown, [copy, *images[1:4]])),
        seen.example("c", "two", *map(seen.shown, images[:2])),
    ]
    judging = seen.judged(scorer, examples)
    keys = Counter(key for batch in scorer.rows for key in batch)
    assert len(keys) == 4 + 2
    # The batch trial computes texts again.
    assert {count for key, count in keys.items() if not key.startswith("text/")} == {1}
    assert (judging.statistics.requests, judging.statistics.unique) == (18, 6)
    assert judging.judgments[0].rewards[0] == judging.judgments[1].rewards[0]


def test_images_and_texts_never_share_a_batch(tiny_clip: Path, images: list[Path], seen: Any) -> None:
    scorer = counted(opened(tiny_clip))
    seen.judged(scorer, [seen.example(str(i), f"text {i}", seen.shown(path)) for i, path in enumerate(images)])
    for batch in scorer.rows:
        assert len({key.startswith("text/") for key in batch}) == 1


@pytest.mark.parametrize("name", ["x.mp4", "x.gif", "x.webp"])
def test_a_video_is_the_mean_over_its_frames(
    name: str, tiny_clip: Path, tmp_path: Path, plain: Plain, seen: Any
) -> None:
    path = seen.clip(tmp_path / "x.mp4", count=6)
    if not name.endswith(".mp4"):
        first, *others = [image for _, image in read_frames(path, range(6))]
        path = tmp_path / name
        first.save(path, save_all=True, append_images=others, duration=100)
    scorer = counted(opened(tiny_clip, frames="uniform:3"))
    examples = [seen.example(text, text, seen.shown(path, "video")) for text in PROMPTS]
    frames = [image for _, image in read_frames(path, [0, 2, 5])]  # round(linspace(0, 5, 3)), 2.5 to even
    assert rewards(seen.judged(scorer, examples)) == pytest.approx(
        [np.mean([plain.cosine(frame, text) for frame in frames]) for text in PROMPTS], abs=1e-5
    )
    computed = [key for batch in scorer.rows for key in batch]
    assert sum(not key.startswith("text/") for key in computed) == 3  # the batch trial computes texts again
    assert len({key for key in computed if key.startswith("text/")}) == len(PROMPTS)


def test_a_short_video_repeats_its_last_frame_where_the_rule_says_so(
    tiny_clip: Path, tmp_path: Path, plain: Plain, seen: Any
) -> None:
    path = seen.clip(tmp_path / "x.mp4", count=2)
    judging = seen.judged(opened(tiny_clip, frames="first:5"), [seen.example("a", "hi", seen.shown(path, "video"))])
    first, last = (plain.cosine(frame, "hi") for _, frame in read_frames(path, [0, 1]))
    assert rewards(judging) == pytest.approx([(first + 4 * last) / 5], abs=1e-5)


def failures(judging: Any) -> dict[str, str]:
    return {each.id: each.error for each in judging.judgments if each.status == "failed"}


def test_a_bad_row_fails_alone_with_its_reason(
    tiny_clip: Path, images: list[Path], tmp_path: Path, plain: Plain, seen: Any
) -> None:
    cut = tmp_path / "cut.jpg"
    Image.open(images[5]).save(cut)
    cut.write_bytes(cut.read_bytes()[:-300])
    text = tmp_path / "text.png"
    text.write_text("no image")
    video = tmp_path / "x.mp4"
    video.write_text("no video")
    two = Candidate((Message("assistant", (Part("image", path=str(images[0])),) * 2),))
    bad = {
        "cut": (seen.shown(cut), r"^candidate 0: media_rejected: cut\.jpg: cannot be decoded \(OSError: .*truncated"),
        "text": (seen.shown(text), r"candidate 0: media_rejected: text\.png: it is no image"),
        "gone": (
            seen.shown(tmp_path / "gone.png"),
            r"^candidate 0: media_rejected: gone\.png: the file cannot be read",
        ),
        "absent": (seen.shown(None, name="a/b.png"), r"^candidate 0: media_rejected: image a/b\.png is not here"),
        "video": (seen.shown(video, "video"), r"^candidate 0: media_rejected: x\.mp4: cannot be decoded"),
        "words": (Candidate.of("Yes."), "the candidate is text, and the model scores an image or a video"),
        "two": (two, "the candidate holds 2 images or videos, expected one"),
    }
    good = [seen.example(f"good {i}", "hi", seen.shown(path)) for i, path in enumerate(images)]
    examples = [*good, *(seen.example(name, "hi", candidate) for name, (candidate, _) in bad.items())]
    examples.append(seen.example("no prompt", " ", seen.shown(images[0])))
    judging = seen.judged(opened(tiny_clip), examples)
    failed = failures(judging)
    assert failed.keys() == {*bad, "no prompt"}
    for name, (_, reason) in bad.items():
        assert re.search(reason, failed[name]), failed[name]
    assert "the prompt has no text" in failed["no prompt"]
    fine = [judgment.rewards[0] for judgment in judging.judgments if judgment.status == "ok"]
    assert fine == pytest.approx([plain.cosine(path, "hi") for path in images], abs=1e-5)


def test_one_bad_candidate_fails_its_example(tiny_clip: Path, images: list[Path], seen: Any) -> None:
    examples = [seen.example("a", "hi", seen.shown(images[0]), seen.shown(None, name="b.png"))]
    found = failures(seen.judged(opened(tiny_clip), examples))
    assert found == {"a": "candidate 1: media_rejected: image b.png is not here"}


def test_the_text_is_that_of_the_prompts_user_turns(
    tiny_clip: Path, images: list[Path], plain: Plain, seen: Any
) -> None:
    scorer = opened(tiny_clip)
    prompt = (
        Message.of("system", "Judge."),
        Message("user", (Part("image", path=str(images[1])), Part(text="Make it"))),
        Message.of("user", "blue"),
    )
    candidate = seen.shown(images[0])
    examples = [replace(seen.example("a", "", candidate), prompt=prompt)]
    judging = seen.judged(scorer, examples)
    assert rewards(judging) == pytest.approx([plain.cosine(images[0], "Make it\nblue")], abs=1e-5)
    assert judging.remarks == {"prompt_media_not_read": 1}


@pytest.mark.parametrize(
    ("score", "of"),
    [
        ("cosine", lambda cosine, scale: cosine),
        ("cosine100", lambda cosine, scale: 100 * cosine),
        ("logit", lambda cosine, scale: scale * cosine),
        ("clipscore", lambda cosine, scale: 2.5 * max(cosine, 0)),
    ],
)
def test_scores_by_their_formulas(
    score: str, of: Any, tiny_clip: Path, images: list[Path], plain: Plain, seen: Any
) -> None:
    scorer = opened(tiny_clip, score=score)
    prefix = "A photo depicts " if score == "clipscore" else ""
    cosines = [plain.cosine(path, prefix + text) for text in PROMPTS for path in images]
    assert min(cosines) < 0 < max(cosines)
    scale = float(plain.model.logit_scale.detach().exp())
    assert scale == pytest.approx(1 / 0.07, rel=1e-6)
    examples = [seen.example(str(i), text, *map(seen.shown, images)) for i, text in enumerate(PROMPTS)]
    expected = [of(cosine, scale) for cosine in cosines]
    assert rewards(seen.judged(scorer, examples)) == pytest.approx(expected, abs=1e-3 if "100" in score else 1e-4)
    assert scorer.facts.settings["score"] == score
    assert scorer.facts.settings["prefix"] == (prefix or None)


def test_clipscore_of_a_video_cuts_each_frame_at_zero(tiny_clip: Path, tmp_path: Path, plain: Plain, seen: Any) -> None:
    path = seen.clip(tmp_path / "x.mp4", count=6)
    frames = [image for _, image in read_frames(path, range(6))]
    prompts = [f"thing {index}" for index in range(12)]
    cosines = np.array([[plain.cosine(frame, text) for frame in frames] for text in prompts])
    signs = (cosines > 0).sum(axis=1)
    assert ((signs > 0) & (signs < 6)).any()
    scorer = opened(tiny_clip, score="clipscore", prefix="")
    judging = seen.judged(scorer, [seen.example(text, text, seen.shown(path, "video")) for text in prompts])
    assert rewards(judging) == pytest.approx(list(2.5 * np.maximum(cosines, 0).mean(axis=1)), abs=1e-5)


def test_what_the_record_says(tiny_clip: Path) -> None:
    facts = opened(tiny_clip).facts
    assert (facts.family, facts.modalities) == ("clip", {"image", "video"})
    assert facts.settings == {
        "layout": "open-clip",
        "weights": "open_clip_model.safetensors",
        "architecture": "open_clip_config.json",
        "activation": "GELU",
        "score": "cosine",
        "logit_scale": None,
        "prefix": None,
        "tokenizer": "open_clip's CLIP vocabulary, lower",
        "max_length": 77,
        "preprocess": "pil order, bicubic, shortest side, round crop",
        "image_size": 32,
        "orientation": "exif",
        "frames": "uniform:16",
        "dtype": "float32",
        "device": "cpu",
    }
    prints = {opened(tiny_clip, **given).facts.fingerprint for given in SETTINGS}
    assert len(prints) == len(SETTINGS)


SETTINGS: Sequence[dict[str, str]] = (
    {},
    {"score": "logit"},
    {"preprocess": "hpsv2"},
    {"frames": "uniform:8"},
    {"prefix": "a "},
)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scores": "logit"}, "no setting 'scores'.*Did you mean \"score\""),
        ({"score": "cosin"}, "score: .*found 'cosin'"),
        ({"score": "aesthetic"}, "score=aesthetic needs the file of a head"),
        ({"score": "cosine", "head": "x.pth"}, "score=cosine reads no head"),
        ({"head": "x.pth"}, r"head=x\.pth: there is no such file"),
        ({"frames": "uniforn:3"}, 'Did you mean "uniform"'),
        ({"architecture": "ViT-B-32"}, "open_clip_config.json says it"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, str], message: str, tiny_clip: Path) -> None:
    with pytest.raises(RmbenchError, match=message):
        opened(tiny_clip, **settings)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"max_length": 9}, "--max-length 9"), ({"attn": "eager"}, "--attn eager"), ({"ref_model": "x"}, "--ref-model")],
)
def test_options_without_effect_are_refused(options: Any, message: str, tiny_clip: Path) -> None:
    with pytest.raises(RmbenchError, match=message):
        open_model(str(tiny_clip), OpenOptions(device="cpu", **options))

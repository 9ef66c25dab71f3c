"""Pixels and tokens are those of the scorers' own code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.media import open_image
from rmbench.models.families.vision.clip.tokens import ClipTokens, bundled_tokens
from rmbench.models.families.vision.preprocess import CLIP_MEAN, CLIP_STD, Preprocess, from_open_clip, from_transformers

pytestmark = pytest.mark.skipif(find_spec("open_clip") is None, reason="need open_clip (the extra clip)")

SIZES = [(40, 32), (32, 32), (33, 70), (90, 41), (31, 20), (300, 301), (7, 5), (224, 224), (225, 226)]


def noise(size: tuple[int, int]) -> Image.Image:
    values = np.random.default_rng(size).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("interpolation", "resize"), [("bicubic", "shortest"), ("bilinear", "squash")])
def test_pil_order_is_open_clips_own(size: tuple[int, int], interpolation: Any, resize: Any) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    transform: Callable[..., Any] = image_transform_v2(
        PreprocessCfg(size=32, interpolation=interpolation, resize_mode=resize), is_train=False
    )
    ours = Preprocess(32, interpolation=interpolation, resize=resize)(noise(size))
    assert torch.equal(ours, transform(noise(size)))


@pytest.mark.parametrize("size", SIZES)
def test_tensor_order_is_that_of_the_hpsv2_package(size: tuple[int, int]) -> None:
    """ToTensor, Resize (bicubic, antialias), CenterCrop, Normalize, in this order."""
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

    steps = [
        ToTensor(),
        Resize(32, interpolation=InterpolationMode.BICUBIC, antialias=True),
        CenterCrop(32),
        Normalize(CLIP_MEAN, CLIP_STD),
    ]
    ours = Preprocess(32, order="tensor")(noise(size))
    assert torch.allclose(ours, Compose(steps)(noise(size)), atol=1e-6)


def test_the_two_orders_differ_as_measured(data: Path) -> None:
    """512 to 224 on the demo image: 0.0325 at most and 0.0010 on average, in [0, 1]; floats overshoot that range."""
    image = open_image(data / "hpsv2" / "hpsv2" / "assets" / "demo_image.jpg")
    plain = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    pil, floats = (Preprocess(224, order=order, **plain)(image) for order in ("pil", "tensor"))  # type: ignore[arg-type]
    difference = (pil - floats).abs()
    assert float(difference.max()) == pytest.approx(0.0325, abs=5e-5)
    assert float(difference.mean()) == pytest.approx(0.0010, abs=5e-5)
    assert (float(floats.min()), float(floats.max())) == pytest.approx((-0.027, 1.033), abs=5e-4)


@pytest.mark.parametrize("size", [(35, 32), (33, 70), (64, 47)])
def test_transformers_cuts_an_odd_rest_elsewhere(size: tuple[int, int]) -> None:
    """Its processor resizes bytes by torchvision, which rounds some unlike Pillow; a cut elsewhere moves all."""
    from transformers import CLIPImageProcessor

    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    theirs = processor(noise(size), return_tensors="pt")["pixel_values"][0]
    preprocess = from_transformers(processor.to_dict(), 32, "x")
    assert float((preprocess(noise(size)) - theirs).abs().mean()) < 1 / 255 / min(CLIP_STD)
    assert float((replace(preprocess, odd="round")(noise(size)) - theirs).abs().mean()) > 0.3
    assert from_transformers({}, 32, "x").odd == "floor"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"resize_mode": "longest"}, "resize 'longest' is not known here"),
        ({"interpolation": "random"}, "interpolation 'random' is not known"),
        ({"mean": [0.5, 0.5]}, "mean must be three numbers"),
        ({"crop": 3}, "preprocess_cfg has crop"),
    ],
)
def test_open_clip_configurations_that_are_not_known(config: Any, message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        from_open_clip(config, 32, "x")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"size": 224}, r"makes images of \[224\] pixels, but the tower reads 32"),
        ({"do_center_crop": False}, "do_center_crop is false"),
        ({"resample": 1}, "interpolation '1' is not known"),
        ({"rescale_factor": 1}, "rescale_factor is 1"),
    ],
)
def test_processors_that_do_something_else(config: Any, message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        from_transformers(config, 32, "x")


def test_half_grey_norms_are_read() -> None:
    found = from_open_clip({"mean": 0.5, "std": [0.5, 0.5, 0.5], "resize_mode": "squash"}, 32, "x")
    assert found == Preprocess(32, (0.5,) * 3, (0.5,) * 3, resize="squash")
    assert "mean (0.5, 0.5, 0.5)" in str(found.settings["preprocess"])
    assert found.tag != Preprocess(32, resize="squash").tag


TEXTS = [
    "A cat with two horns on its head",
    "  Many   spaces,\n\tand LINES ",
    "Ein Fluß &amp; ein 🌉 — “quoted” ﬁne; 12345",
    "word " * 75,
    "word " * 76,
    "supercalifragilistic" * 40,
    "<end_of_text> inside",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_open_clips_own(text: str) -> None:
    from open_clip.tokenizer import _tokenizer

    whole = _tokenizer([text])[0].tolist()
    ids, cut = bundled_tokens(77, 49408)(text)
    assert [*ids, *[0] * (77 - len(ids))] == whole
    assert cut == (len(_tokenizer.encode(text)) > 75)


def test_no_token_is_longer_than_is_assumed() -> None:
    """The longest one is "thinkbigsundaywithmarsha"; a text that fills the context with it is read to its end."""
    from open_clip.tokenizer import _tokenizer

    text = "thinkbigsundaywithmarsha " * 80
    ids, cut = bundled_tokens(77, 49408)(text)
    assert (list(ids), cut) == (_tokenizer([text])[0].tolist(), True)


def test_a_text_of_any_length_is_cut_in_no_time() -> None:
    letters = "".join(np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz"), 300_000))
    ids, cut = bundled_tokens(77, 49408)(letters)
    assert (len(ids), cut) == (77, True)


def test_the_vocabulary_must_fit_the_tower() -> None:
    with pytest.raises(RmbenchError, match="32,000 embeddings and CLIP's vocabulary 49,408 tokens"):
        bundled_tokens(77, 32_000)


def test_a_saved_tokenizer_cuts_as_transformers_does(clip_tokenizer: Path) -> None:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(clip_tokenizer)
    for text in TEXTS[:5]:
        ids, cut = ClipTokens(tokenizer, 77, "x")(text)
        assert list(ids) == tokenizer(text, truncation=True, max_length=77)["input_ids"]
        assert cut == (len(tokenizer(text)["input_ids"]) > 77)

"""A picture that cannot be shown is one failed row with its reason in every family, and changes no other row; one of an
unusual kind is read as the plain picture of the same pixels."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rmbench
from rmbench.engine.judge import judge
from rmbench.models.open import OpenOptions, open_model
from rmbench.types import Candidate, Example, Gold, Message, Part
from tests.models.families.diffusion import conftest as diffusion
from tests.models.families.vision import conftest as vision
from tests.models.families.vision import test_blip_imagereward as imagereward
from tests.models.families.vision import test_mps as mps
from tests.models.families.vision.conftest import clip_tokenizer  # noqa: F401
from tests.models.families.vl import conftest as vl
from tests.models.families.vqa import test_vqa_clip_t5 as clip_t5

Opened = Callable[[Path, Path], Any]


def _clip(folder: Path, _: Path) -> Any:
    vision.save_open_clip(folder)
    return _open(folder)


def _mps(folder: Path, tokens: Path) -> Any:
    mps.save(folder, tokens)
    return _open(folder)


def _blip(folder: Path, _: Path) -> Any:
    folder.mkdir()
    imagereward.save(folder)
    return _open(folder)


def _scalar(folder: Path, _: Path) -> Any:
    vl.save(folder, "qwen2-vl", {"score.weight": vl.linear_head()})
    return _open(folder)


def _vqa(folder: Path, _: Path) -> Any:
    vl.save(folder, "qwen2-vl", {})
    return _open(folder, adapter="vqa", model_args={"answer": "Q"})


def _seq2seq(folder: Path, _: Path) -> Any:
    clip_t5.save(folder)
    return _open(folder, adapter="vqa")


def _policy(folder: Path, _: Path) -> Any:
    vl.save(folder / "policy", "qwen2-vl", {}, seed=0)
    vl.save(folder / "reference", "qwen2-vl", {}, seed=1)
    return _open(folder / "policy", adapter="implicit", ref_model=str(folder / "reference"))


def _diffusion(folder: Path, _: Path) -> Any:
    own, other = (diffusion.save_pipeline(folder / str(seed), "sd15", seed) for seed in (0, 1))
    return diffusion.opened(own, other)


def _open(folder: Path, **options: Any) -> Any:
    return open_model(str(folder), OpenOptions(device="cpu", **options))


FAMILIES: Mapping[str, Opened] = {
    "clip": _clip,
    "mps": _mps,
    "blip": _blip,
    "vl-scalar": _scalar,
    "vqa": _vqa,
    "vqa-seq2seq": _seq2seq,
    "implicit": _policy,
    "diffusion": _diffusion,
}
READS_CAPTIONS = ("implicit",)
"""Families whose image is the prompt's and whose candidates are texts."""


@pytest.fixture(scope="module", params=FAMILIES)
def model(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    clip_tokenizer: Path,  # noqa: F811
) -> tuple[str, Any]:
    return request.param, FAMILIES[request.param](tmp_path_factory.mktemp("broken") / "model", clip_tokenizer)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    whole = vision.picture(folder / "good.png", 1).read_bytes()
    vision.picture(folder / "other.png", 2)
    (folder / "words.png").write_text("no picture")
    (folder / "cut.png").write_bytes(whole[:200])
    vision.picture(folder / "whole.jpg", 1)
    (folder / "cut.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:-200])
    _bomb(folder / "bomb.png")
    (folder / "empty.png").write_bytes(b"")
    Image.new("RGB", (1010, 10)).save(folder / "long.png")
    return folder


def _bomb(file: Path) -> None:
    """A PNG of a hundred bytes that says it has 3.6 thousand million pixels."""
    parts = [b"IHDR" + (60_000).to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0)), b"IDAT" + zlib.compress(b""), b"IEND"]
    chunks = [(len(part) - 4).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big") for part in parts]
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


REASONS = {
    "words.png": "words.png: it is no image",
    "cut.png": "cut.png: cannot be decoded",
    "cut.jpg": "cut.jpg: cannot be decoded",
    "bomb.png": "bomb.png: ",
    "empty.png": "empty.png: ",
    "long.png": "long.png: ",
    "gone.png": "gone.png: the file cannot be read",
    "absent": "image absent is not here",
}


def row(family: str, file: Path, *, here: bool = True, id_: str = "") -> Example:
    part = Part("image", name=file.name, path=str(file) if here else None)
    if family in READS_CAPTIONS:
        answers = (Candidate.of("A cat."), Candidate.of("A dog."))
        return Example(id_ or file.name, (Message("user", (part, Part(text="What is it?"))),), answers, Gold())
    shown = Candidate((Message("assistant", (part,)),))
    other = Candidate((Message("assistant", (Part("image", name="other", path=str(file.parent / "other.png")),)),))
    return Example(id_ or file.name, (Message.of("user", "blue red"),), (shown, other), Gold())


def judged(scorer: Any, examples: list[Example]) -> dict[str, Any]:
    if hasattr(scorer, "judge"):
        return {one.id: one for one in (scorer.judge("task", example) for example in examples)}
    return {one.id: one for one in judge("task", examples, scorer).judgments}


def test_each_is_one_row_with_its_reason(model: tuple[str, Any], files: Path) -> None:
    family, scorer = model
    good = row(family, files / "good.png")
    bad = [row(family, files / name, here=name != "absent") for name in REASONS]
    found = judged(scorer, [*bad[:3], good, *bad[3:]])
    for name, reason in REASONS.items():
        assert found[name].status == "failed"
        assert found[name].error.startswith(f"candidate 0: media_rejected: {reason}"), found[name].error
    assert found["good.png"].status == "ok"
    assert found["good.png"].rewards == pytest.approx(judged(scorer, [good])["good.png"].rewards, rel=1e-5)


def _smooth(seed: int) -> np.ndarray[Any, Any]:
    """[32, 40, 3] bytes."""
    small = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((40, 32), Image.Resampling.BICUBIC))


def _dot(file: Path) -> np.ndarray[Any, Any]:
    """Every size of one colour is the same picture."""
    Image.new("RGB", (1, 1), (200, 30, 90)).save(file)
    return np.full((28, 28, 3), (200, 30, 90), dtype=np.uint8)


def _turned(file: Path) -> np.ndarray[Any, Any]:
    """Orientation 6: to be turned clockwise by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(_smooth(1)).save(file, exif=exif)
    return np.rot90(_smooth(1), -1)


def _cmyk(file: Path) -> np.ndarray[Any, Any]:
    """Full inks or none, whose colours no rounding touches."""
    inks = np.random.default_rng(3).integers(0, 2, (8, 8, 4)).astype(np.uint8) * 255
    Image.fromarray(inks, mode="CMYK").save(file)
    light = 255 - inks.astype(int)
    return np.asarray(light[..., :3] * light[..., 3:] // 255, dtype=np.uint8)


def _deep(file: Path) -> np.ndarray[Any, Any]:
    """Grey of 16 bits; 65535 is 255."""
    values = np.linspace(0, 65535, 32 * 40).reshape(32, 40).astype(np.uint16)
    Image.fromarray(values).save(file)
    return np.repeat(np.round(values / 257).astype(np.uint8)[..., None], 3, axis=-1)


COLOURS = np.array([(250, 10, 10), (10, 250, 10), (20, 20, 240), (200, 200, 40)], dtype=np.uint8)


def _indexed(seed: int) -> tuple[np.ndarray[Any, Any], Image.Image]:
    """Indices [32, 40] into COLOURS, and their image."""
    found = np.random.default_rng(seed).integers(0, 4, (8, 10)).repeat(4, axis=0).repeat(4, axis=1).astype(np.uint8)
    image = Image.fromarray(found, mode="P")
    image.putpalette(COLOURS.ravel().tolist())
    return found, image


def _palette(file: Path) -> np.ndarray[Any, Any]:
    """A transparent colour stays what it is."""
    indices, image = _indexed(5)
    image.save(file, transparency=2)
    return COLOURS[indices]


def _animated(file: Path) -> np.ndarray[Any, Any]:
    """The first frame."""
    indices, image = _indexed(6)
    image.save(file, save_all=True, append_images=[_indexed(seed)[1] for seed in (7, 8)], duration=100)
    return COLOURS[indices]


UNUSUAL: Mapping[str, Callable[[Path], np.ndarray[Any, Any]]] = {
    "dot.png": _dot,
    "turned.png": _turned,
    "inks.tif": _cmyk,
    "deep.png": _deep,
    "palette.png": _palette,
    "animated.gif": _animated,
}
"""Makes a file, and says the pixels [H, W, 3] that are shown of it."""


def test_an_unusual_file_is_read_as_the_plain_one_of_its_pixels(
    model: tuple[str, Any], files: Path, tmp_path: Path
) -> None:
    family, scorer = model
    (tmp_path / "other.png").write_bytes((files / "other.png").read_bytes())
    found: list[tuple[float, ...]] = []
    for name, make in UNUSUAL.items():
        plain = tmp_path / f"plain-{name}.png"
        Image.fromarray(np.ascontiguousarray(make(tmp_path / name))).save(plain)
        # Of the same id, since a diffusion model's noise follows it.
        odd, twin = (judged(scorer, [row(family, file, id_="a")])["a"] for file in (tmp_path / name, plain))
        assert (odd.status, odd.error) == ("ok", ""), name
        assert odd.rewards == pytest.approx(twin.rewards, rel=1e-5, abs=1e-6), name
        found.append(twin.rewards)
    assert len({rewards[0] for rewards in found}) == len(UNUSUAL)


def test_a_run_of_mps_counts_it_and_goes_on(files: Path, tmp_path: Path, clip_tokenizer: Path) -> None:  # noqa: F811
    mps.save(tmp_path / "mps", clip_tokenizer)
    rows = [
        ("a cat", files / "good.png", files / "other.png", "x"),
        ("a dog", files / "cut.png", files / "good.png", "x"),
    ]
    task = vision.pair_task(tmp_path, rows)
    (record,) = rmbench.run(str(tmp_path / "mps"), str(task), out=tmp_path / "out", device="cpu").records
    assert (record.counts.judged, record.counts.failed) == (1, 1)

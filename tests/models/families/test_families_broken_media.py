"""A picture that cannot be shown is one failed row with its reason in every family, and changes no other row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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
    (folder / "empty.png").write_bytes(b"")
    Image.new("RGB", (1010, 10)).save(folder / "long.png")
    return folder


REASONS = {
    "words.png": "words.png: it is no image",
    "cut.png": "cut.png: cannot be decoded",
    "empty.png": "empty.png: ",
    "long.png": "long.png: ",
    "gone.png": "gone.png: the file cannot be read",
    "absent": "image absent is not here",
}


def row(family: str, file: Path, *, here: bool = True) -> Example:
    part = Part("image", name=file.name, path=str(file) if here else None)
    if family in READS_CAPTIONS:
        answers = (Candidate.of("A cat."), Candidate.of("A dog."))
        return Example(file.name, (Message("user", (part, Part(text="What is it?"))),), answers, Gold())
    shown = Candidate((Message("assistant", (part,)),))
    other = Candidate((Message("assistant", (Part("image", name="other", path=str(file.parent / "other.png")),)),))
    return Example(file.name, (Message.of("user", "blue red"),), (shown, other), Gold())


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


def test_a_run_of_mps_counts_it_and_goes_on(files: Path, tmp_path: Path, clip_tokenizer: Path) -> None:  # noqa: F811
    mps.save(tmp_path / "mps", clip_tokenizer)
    rows = [
        ("a cat", files / "good.png", files / "other.png", "x"),
        ("a dog", files / "cut.png", files / "good.png", "x"),
    ]
    task = vision.pair_task(tmp_path, rows)
    (record,) = rmbench.run(str(tmp_path / "mps"), str(task), out=tmp_path / "out", device="cpu").records
    assert (record.counts.judged, record.counts.failed) == (1, 1)

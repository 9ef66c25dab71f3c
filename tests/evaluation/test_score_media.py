"""Images and videos by `rmbench score`: of the prompt, or scored themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rmbench
from rmbench import Part
from rmbench.errors import RmbenchError
from tests.models.families.vl import conftest as vl


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("score") / "tiny"
    vl.save(folder, "qwen2-vl", {"score.weight": vl.linear_head()})
    for seed, name in enumerate(("a.png", "b.png")):
        vl.picture(folder.parent / name, seed)
    vl.animation(folder.parent / "a.gif")
    return folder


def part(model: Path, name: str) -> Part:
    return Part("video" if name.endswith("gif") else "image", name=name, path=str(model.parent / name))


def test_the_prompts_picture_changes_the_scores(model: Path) -> None:
    shown: list[tuple[Part, ...]] = [(), (part(model, "a.png"),), (part(model, "b.png"),), (part(model, "a.gif"),)]
    scored = [rmbench.score_responses(model, "Red?", ["Yes", "No"], shown=each, device="cpu") for each in shown]
    assert len({one.rewards for one in scored}) == 4


def test_pictures_are_scored(model: Path) -> None:
    files = [part(model, name) for name in ("a.png", "b.png", "a.gif")]
    scored = rmbench.score_responses(model, "A red disc.", files, device="cpu")
    assert scored.rewards is not None
    assert len(set(scored.rewards)) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shown": [Part("image", path="missing.png")]}, r"missing\.png: there is no such image"),
        ({"shown": [Part(text="a")]}, r"an image or a video is Part\("),
        ({"responses": [Part("video", path="no.mp4"), "b"]}, r"no\.mp4: there is no such video"),
    ],
)
def test_what_is_not_there_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        rmbench.score_responses("tiny-bt", "Q", **{"responses": ["a", "b"], **given})


def test_a_model_of_texts_takes_no_picture(model: Path) -> None:
    with pytest.raises(RmbenchError, match=r"a\.png: tiny-bt takes text, not image"):
        rmbench.score_responses("tiny-bt", "Q", ["a", "b"], shown=[part(model, "a.png")])


def test_a_broken_picture_is_named(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    broken = Part("image", name="a.png", path=str(tmp_path / "a.png"))
    with pytest.raises(RmbenchError, match=r"candidate 0: media_rejected: a\.png: it is no image"):
        rmbench.score_responses(model, "Q", ["a", "b"], shown=[broken], device="cpu")

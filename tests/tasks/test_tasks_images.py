"""Images that a user brings, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import get
from rmbench.tasks.rows.media import with_media
from rmbench.tasks.sources import load
from rmbench.types import Candidate, Example, Gold, Message, Part


def image(name: str) -> Part:
    return Part("image", name=name)


def one(name: str) -> Example:
    candidate = Candidate((Message("assistant", (image(name),)),))
    return Example("x", (Message.of("user", "a cat"),), (candidate,), Gold())


def path_of(example: Example) -> str | None:
    return example.candidates[0].messages[0].parts[0].path


def test_images_are_found_by_name_and_missing_ones_keep_their_place(tmp_path: Path) -> None:
    (tmp_path / "anime").mkdir()
    (tmp_path / "anime" / "00001.jpg").write_bytes(b"x")
    there, gone = with_media([one("anime/00001.jpg"), one("anime/00002.jpg")], tmp_path)
    assert path_of(there) == str(tmp_path / "anime" / "00001.jpg")
    assert path_of(gone) is None
    assert len(gone.candidates) == 1


def test_a_name_may_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    inside = tmp_path / "images"
    inside.mkdir()
    (outside,) = with_media([one("../secret.jpg")], inside)
    assert path_of(outside) is None


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match="no such folder of images"):
        with_media([one("a.jpg")], tmp_path / "nowhere")


def test_a_task_takes_them(tmp_path: Path) -> None:
    task = get("hpsv2-generators")
    whole = load(task, "sample")
    name = whole.examples[0].candidates[0].messages[0].parts[0].name
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(b"x")
    brought = load(task, "sample", images=tmp_path)
    assert path_of(brought.examples[0]) == str(tmp_path / name)
    assert brought.digest == whole.digest
    assert len(brought.examples) == len(whole.examples)

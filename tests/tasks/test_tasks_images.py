"""Images that a user brings, by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import get
from rmbench.tasks.rows.media import media_of_examples, with_media
from rmbench.tasks.sources import load
from rmbench.types import Candidate, Example, Gold, Message, Part


def image(name: str) -> Part:
    return Part("image", name=name)


def one(name: str) -> Example:
    candidate = Candidate((Message("assistant", (image(name),)),))
    return Example("x", (Message.of("user", "a cat"),), (candidate,), Gold())


def with_path(example: Example, file: Path) -> Example:
    part = replace(example.candidates[0].messages[0].parts[0], path=str(file))
    return replace(example, candidates=(Candidate((Message("assistant", (part,)),)),))


def media_in(candidate: Candidate) -> list[Part]:
    return [part for message in candidate.messages for part in message.parts if part.kind != "text"]


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
    (inside / "a.jpg").write_bytes(b"x")
    outside, _ = with_media([one("../secret.jpg"), one("a.jpg")], inside)
    assert path_of(outside) is None


def test_an_image_that_the_folder_lacks_is_not_taken_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for file in (tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path / "mine" / "a.jpg"):
        file.write_bytes(b"x")
    rows = [with_path(one(name), tmp_path / name) for name in ("a.jpg", "b.jpg")]
    there, gone = with_media(rows, tmp_path / "mine")
    assert path_of(there) == str(tmp_path / "mine" / "a.jpg")
    assert path_of(gone) is None


def test_a_folder_that_has_none_of_the_images(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=r"none of the images is there; the first that was looked for is a\.jpg"):
        with_media([one("a.jpg"), one("b.jpg")], tmp_path)


def test_the_digest_of_media_is_of_names_and_bytes(tmp_path: Path) -> None:
    for name, content in (("a.jpg", b"x"), ("b.jpg", b"y"), ("c.jpg", b"x")):
        (tmp_path / name).write_bytes(content)
    rows = {name: with_path(one(name), tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg")}

    def digest(*examples: Example) -> str:
        media = media_of_examples(examples)
        assert media is not None
        return media.digest

    before = digest(rows["a.jpg"], rows["b.jpg"])
    assert digest(rows["b.jpg"], rows["a.jpg"]) == before
    assert digest(rows["c.jpg"], rows["b.jpg"]) != before
    assert digest(rows["a.jpg"], one("b.jpg")) != before
    (tmp_path / "b.jpg").write_bytes(b"z")
    assert digest(rows["a.jpg"], rows["b.jpg"]) != before
    absent = media_of_examples([rows["a.jpg"], one("gone.jpg")])
    assert absent is not None
    assert (absent.files, absent.absent) == (1, ("gone.jpg",))
    assert media_of_examples([]) is None


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
    assert brought.media is not None
    assert brought.media.folder == tmp_path.name
    names = {part.name for each in whole.examples for candidate in each.candidates for part in media_in(candidate)}
    assert brought.media.files == 1
    assert len(brought.media.absent) == len(names) - 1
    assert f"{len(names) - 1:,} of {len(names):,} images are not in {tmp_path}: " in brought.notes[-1]

"""Images and videos of rows as thumbnails inside the page."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rmbench.types import Candidate, Edge, Example, Gold, Message, Part
from rmbench.view.page import page
from rmbench.view.thumbnails import Thumbnails
from tests.view._rows import pair, view_of
from tests.view.test_view_page import data_of


def saved(folder: Path, name: str, size: tuple[int, int] = (800, 400), value: int = 200) -> Part:
    Image.new("RGB", size, (value, 10, 10)).save(folder / name)
    return Part("image", name=name, path=str(folder / name))


def clip(folder: Path, name: str, frames: int = 12) -> Part:
    images = [Image.new("RGB", (64, 64), (20 * k, 0, 0)) for k in range(frames)]
    images[0].save(folder / name, save_all=True, append_images=images[1:], duration=100)
    return Part("video", name=name, path=str(folder / name))


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))


def seen(folder: Path, *media: Part) -> str:
    prompt = Message("user", (Part(text="What is it?"), *media))
    example = Example(
        "r", (prompt,), (Candidate.of("a"), Candidate((Message("assistant", media[:1]),))), Gold((Edge(0, 1),))
    )
    return page(view_of(folder, [(pair("r", 1.0, 0.0), example)]))


def test_pictures_are_in_the_page_once_and_small(tmp_path: Path) -> None:
    html = seen(tmp_path, saved(tmp_path, "a.png"), clip(tmp_path, "c.gif"), Part("image", name="gone.png"))
    data: dict[str, Any] = data_of(html)
    (_, image, video, absent) = data["rows"][0]["prompt"][0][1]
    assert [image[0], image[2], video[0], video[2], absent[2]] == ["image", 0, "video", 1, None]
    assert data["rows"][0]["candidates"][1][2][0][1] == [["image", image[1], 0]]
    first, second = map(decoded, data["pictures"])
    assert (first.format, first.size) == ("JPEG", (452, 226))
    assert second.size == (4 * 64, 64)
    shown = [second.convert("RGB").tobytes()[3 * (64 * k + 32)] for k in range(4)]
    assert shown == pytest.approx([0, 20 * 4, 20 * 7, 20 * 11], abs=12)
    assert str(tmp_path) not in html


def test_a_broken_picture_is_shown_by_the_reason(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no image")
    Image.new("1", (15_000, 15_000)).save(tmp_path / "bomb.png")
    bad, bomb = (Part("image", name=name, path=str(tmp_path / name)) for name in ("bad.png", "bomb.png"))
    data = data_of(seen(tmp_path, bad, bomb))
    reasons = [part[2] for part in data["rows"][0]["prompt"][0][1][1:]]
    assert "it is no image" in reasons[0]
    assert "pixels are more than" in reasons[1]
    assert data["pictures"] == []


def test_a_page_has_room_for_so_many_and_says_what_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [saved(tmp_path, f"{k}.png", (40, 20), 10 * k) for k in range(4)]
    for few in (Thumbnails(most=2), Thumbnails(most_characters=1)):
        places = [few.place(part) for part in (*parts, parts[0])]
        room = 2 if few.most == 2 else 1
        assert places == [*range(room), *[None] * (4 - room), 0]
        assert (len(few.uris), few.left_out) == (room, 4 - room)
    assert "by their names" not in seen(tmp_path, *parts)
    monkeypatch.setattr(sys.modules["rmbench.view.page"], "Thumbnails", lambda: Thumbnails(most=1))
    assert "3 images and videos are shown by their names" in seen(tmp_path, *parts)

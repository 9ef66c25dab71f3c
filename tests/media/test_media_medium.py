"""What a message shows: images and chosen frames as pictures, identified by content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rmbench.media import FrameRule, Limits, MediaError, digest, media_of, open_medium, pixels_of
from rmbench.types import Message, Part
from tests.media.test_media_videos import animation, clip


def part(path: Path, kind: str = "image") -> Part:
    return Part("image" if kind == "image" else "video", name=path.name, path=str(path))


def test_an_image_is_one_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGBA", (8, 4), (200, 0, 0, 10)).save(tmp_path / "a.png", exif=exif)
    medium = open_medium(part(tmp_path / "a.png"), None)
    (picture,) = pixels_of(medium)
    assert (picture.mode, picture.size, medium.indices, medium.timing) == ("RGB", (4, 8), (), None)
    assert medium.sha256 == digest(tmp_path / "a.png")


def test_a_videos_frames_come_in_the_rules_order_with_their_times(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", count=10, rate=8)
    medium = open_medium(part(path, "video"), FrameRule.of("uniform:4"))
    assert medium.indices == (0, 3, 6, 9)
    assert medium.timing is not None
    assert medium.timing.frames == 10
    assert medium.timing.seconds == pytest.approx(1.25)
    greys = [float(np.array(frame).mean()) for frame in pixels_of(medium)]
    assert greys == pytest.approx([0, 60, 120, 180], abs=3)
    repeated = open_medium(part(clip(tmp_path / "b.mp4", count=2), "video"), FrameRule.of("first:4"))
    assert repeated.indices == (0, 1, 1, 1)
    assert len(pixels_of(repeated)) == 4


def test_an_animated_gif_is_a_video_and_equal_content_has_one_key(tmp_path: Path) -> None:
    rule = FrameRule.of("stride:2")
    one = open_medium(part(animation(tmp_path / "a.gif"), "video"), rule)
    other = open_medium(part(animation(tmp_path / "b.gif"), "video"), rule)
    assert one.key == other.key
    assert one.path != other.path
    assert one.key != open_medium(part(tmp_path / "a.gif", "video"), FrameRule.of("uniform:3")).key


def test_each_picture_is_made_to_fit_as_it_is_decoded(tmp_path: Path) -> None:
    medium = open_medium(part(clip(tmp_path / "a.mp4"), "video"), FrameRule.of("uniform:8"))
    assert {frame.size for frame in pixels_of(medium, lambda frame: frame.resize((4, 2)))} == {(4, 2)}
    assert len(pixels_of(medium, lambda frame: frame.resize((4, 2)), Limits(shown=64))) == 8
    with pytest.raises(MediaError, match="more than 63 pixels"):
        pixels_of(medium, lambda frame: frame.resize((4, 2)), Limits(shown=63))


def test_what_is_not_here_or_no_medium_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    broken = open_medium(part(tmp_path / "a.png"), None)
    with pytest.raises(MediaError, match=r"a\.png: it is no image"):
        pixels_of(broken)
    with pytest.raises(MediaError, match="image b is not here"):
        open_medium(Part("image", name="b"), None)
    with pytest.raises(MediaError, match=r"a\.mp4: it is a video, and images alone"):
        open_medium(part(clip(tmp_path / "a.mp4"), "video"), None)


def test_media_of_messages_in_the_order_shown() -> None:
    parts = [Part("image", name="1"), Part(text="between"), Part("video", name="2")]
    shown = media_of([Message("user", tuple(parts)), Message("assistant", (Part("image", name="3"),))])
    assert [each.name for each in shown] == ["1", "2", "3"]

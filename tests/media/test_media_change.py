"""Changes of media: TEMPLE's orders by the figures of its code, pixels by plain loops, keys that tell them apart."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from rmbench.errors import RmbenchError
from rmbench.media import FrameRule, MediaError, changed, open_medium, pixels_of
from rmbench.media_change import CHANGES, Change
from rmbench.types import Part

CONTENT = "ab" * 32


def clips(count: int, change: str, content: str = CONTENT) -> list[int]:
    """The order of `count` clips of two frames."""
    frames = Change.of(change).frames(range(2 * count), content)
    assert all(b == a + 1 for a, b in zip(frames[::2], frames[1::2], strict=True))  # a clip stays as it is
    return [frame // 2 for frame in frames[::2]]


@pytest.mark.parametrize(
    ("count", "change", "expected"),
    [
        (8, "reverse:2", [4, 5, 6, 7, 0, 1, 2, 3]),
        (10, "reverse:4", [8, 9, 6, 7, 4, 5, 2, 3, 0, 1]),
        (5, "reverse:8", [4, 3, 2, 1, 0]),
        (8, "reverse:1", [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_reversed_groups_are_those_of_upstream(count: int, change: str, expected: list[int]) -> None:
    assert clips(count, change) == expected


def test_an_odd_frame_is_a_shorter_clip() -> None:
    assert Change.of("reverse:3").frames([0, 3, 6, 9, 12], CONTENT) == (12, 6, 9, 0, 3)


@pytest.mark.parametrize(("count", "magnitude", "kept"), [(8, 2, 4), (8, 4, 2), (8, 16, 1), (5, 2, 2), (1, 2, 1)])
def test_dropping_keeps_so_many_clips_in_order(count: int, magnitude: int, kept: int) -> None:
    found = clips(count, f"drop:{magnitude}")
    assert found == sorted(set(found))
    assert len(found) == kept


@given(st.integers(1, 30), st.integers(1, 16), st.integers(0, 5))
def test_shuffling_moves_whole_groups(count: int, magnitude: int, seed: int) -> None:
    found = clips(count, f"shuffle:{magnitude}:{seed}")
    size = max(1, count // magnitude)
    groups = {tuple(range(start, min(start + size, count))) for start in range(0, count, size)}
    parts, place = [], 0
    while place < len(found):
        group = next(group for group in groups if group[0] == found[place])
        assert tuple(found[place : place + len(group)]) == group
        parts.append(group)
        place += len(group)
    assert set(parts) == groups
    assert len(parts) == len(groups)


def test_draws_depend_on_seed_and_content_alone() -> None:
    orders = {tuple(clips(8, f"shuffle:8:{seed}", content)) for seed in range(5) for content in (CONTENT, "cd" * 32)}
    assert len(orders) == 10
    assert clips(8, "shuffle:8") == clips(8, "shuffle:8:0")
    firsts = [clips(8, f"drop:8:{seed}")[0] for seed in range(400)]
    counts = np.bincount(firsts, minlength=8)
    assert counts.min() > 25  # 50 of each is expected


@pytest.mark.parametrize("spelled", ["reverse:4", "shuffle:2:7", "flip", "crop:0.8:3", "blur:2.5", "grey", "noise:10"])
def test_a_change_is_spelled_as_it_was(spelled: str) -> None:
    assert str(Change.of(spelled)) == spelled
    assert str(Change.of(f"{spelled}:0" if spelled == "reverse:4" else spelled)) == spelled


@pytest.mark.parametrize(
    ("spelled", "why"),
    [
        ("revers:4", 'Did you mean "reverse"'),
        ("", "is no change of a medium; known: drop, shuffle"),
        ("reverse", "expected reverse:NUMBER or reverse:NUMBER:SEED"),
        ("flip:2", "expected flip"),
        ("drop:1.5", "the magnitude of drop is a whole number"),
        ("drop:0", "0 is not from 1 to 1024"),
        ("crop:2", "2 is not from 0.1 to 1"),
        ("drop:two", "expected drop:NUMBER"),
        ("drop:nan", "is not from"),
        ("drop:2:-1", "expected drop:NUMBER"),
        ("drop:2:1:1", "expected drop:NUMBER"),
    ],
)
def test_another_spelling_is_refused(spelled: str, why: str) -> None:
    with pytest.raises(RmbenchError, match=why):
        Change.of(spelled)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def test_pixels_are_those_of_plain_loops(picture: Image.Image) -> None:
    whole = np.asarray(picture)
    assert np.array_equal(np.asarray(changed(picture, "flip", CONTENT)), whole[:, ::-1])
    grey = np.asarray(changed(picture, "grey", CONTENT)).astype(int)
    assert np.abs(grey[..., 0] - (whole @ [0.299, 0.587, 0.114])).max() < 1
    assert (grey[..., 0] == grey[..., 2]).all()
    blurred = picture.filter(ImageFilter.GaussianBlur(0.05 * 30))
    assert np.array_equal(np.asarray(changed(picture, "blur:5", CONTENT)), np.asarray(blurred))
    assert changed(picture, "", CONTENT) is picture
    assert np.array_equal(np.asarray(changed(picture, "reverse:2", CONTENT)), whole)


def test_a_crop_is_a_part_and_the_same_for_each_frame(picture: Image.Image) -> None:
    whole, places = np.asarray(picture), set()
    for seed in range(30):
        part = np.asarray(changed(picture, f"crop:0.5:{seed}", CONTENT, frame=seed))
        assert part.shape == (15, 20, 3)
        found = [
            (top, left)
            for top in range(16)
            for left in range(21)
            if np.array_equal(whole[top : top + 15, left : left + 20], part)
        ]
        assert len(found) == 1
        places.update(found)
        assert np.array_equal(part, np.asarray(changed(picture, f"crop:0.5:{seed}", CONTENT, frame=99)))
    assert len(places) > 20
    assert changed(picture, "crop:1", CONTENT).size == picture.size


def test_noise_has_its_deviation_and_differs_by_frame() -> None:
    flat = Image.new("RGB", (200, 100), (128, 128, 128))
    first, second = (np.asarray(changed(flat, "noise:10", CONTENT, frame)).astype(float) for frame in (0, 1))
    assert first.std() == pytest.approx(10, rel=0.02)
    assert first.mean() == pytest.approx(128, abs=0.2)
    assert not np.array_equal(first, second)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 16 frames, each of its own grey."""
    path = tmp_path_factory.mktemp("clips") / "numbered.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=8, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for index in range(16):
            frame = av.VideoFrame.from_image(Image.new("RGB", (32, 32), (15 * index,) * 3))
            frame.pts, frame.time_base = index, Fraction(1, 8)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbers(path: Path, change: str) -> list[int]:
    """The frames in the order in which they are shown, by what is seen of them."""
    medium = open_medium(Part("video", name="c", path=str(path), change=change), FrameRule("uniform", 16))
    return [round(float(np.asarray(image).mean()) / 15) for image in pixels_of(medium)]


def test_the_order_is_read_back_from_the_pixels(numbered: Path) -> None:
    assert numbers(numbered, "") == [*range(16)]
    assert numbers(numbered, "reverse:2") == [*range(8, 16), *range(8)]
    assert numbers(numbered, "reverse:16") == [14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1]
    kept = numbers(numbered, "drop:4")
    assert len(kept) == 4
    assert kept == sorted(kept)


def test_changed_media_are_told_apart_by_their_keys(numbered: Path) -> None:
    def opened(change: str) -> Any:
        return open_medium(Part("video", name="c", path=str(numbered), change=change), FrameRule("uniform", 16))

    keys = [opened(change).key for change in ("", "reverse:2", "shuffle:8", "drop:2", "flip", "noise:5", "noise:5:1")]
    assert len(set(keys)) == len(keys)
    assert opened("reverse:1").key == opened("").key  # nothing is moved
    assert opened("reverse:2").moments == tuple(range(16))  # times do not tell that the order is another


def every(kind: str) -> Iterator[str]:
    yield {"flip": "flip", "grey": "grey", "crop": "crop:0.5", "span": "span:0:2"}.get(kind, f"{kind}:2")


@pytest.mark.parametrize("change", [spelled for kind in CHANGES for spelled in every(kind)])
def test_an_image_takes_changes_of_pixels_alone(change: str, tmp_path: Path) -> None:
    Image.new("RGB", (20, 10), (200, 0, 0)).save(tmp_path / "a.png")
    part = Part("image", name="a.png", path=str(tmp_path / "a.png"), change=change)
    if Change.of(change).of_frames:
        with pytest.raises(MediaError, match="is for videos, and it is an image"):
            open_medium(part, None)
    else:
        (shown,) = pixels_of(open_medium(part, None))
        assert shown.mode == "RGB"

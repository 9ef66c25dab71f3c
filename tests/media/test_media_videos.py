"""Frames are counted on what was decoded, picked by a declared rule, and read one at a time."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.media import FrameRule, Limits, MediaError, Timing, chosen_frames, read_frames, timing


def clip(path: Path, count: int = 10, size: tuple[int, int] = (32, 16), rate: int = 8) -> Path:
    """A video whose frame i is grey 20 i."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(count):
            image = Image.new("RGB", size, (20 * index % 256,) * 3)
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def animation(path: Path, count: int = 5, **options: Any) -> Path:
    frames = [Image.new("RGB", (16, 8), (40 * index,) * 3) for index in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    return path


def greys(path: Path, indices: list[int]) -> dict[int, float]:
    return {index: float(np.array(image).mean()) for index, image in read_frames(path, indices)}


@pytest.mark.parametrize(
    ("rule", "n", "expected"),
    [
        ("uniform:16", 16, range(16)),
        ("uniform:16", 3, range(3)),
        ("uniform:4", 10, (0, 3, 6, 9)),
        ("uniform:3", 4, (0, 2, 3)),  # 1.5 is rounded half to even
        ("uniform:1", 9, (0,)),
        ("stride:8", 33, (0, 4, 8, 12, 16, 20, 24, 28)),  # 33 / 8 = 4.125
        ("stride:8", 9, (0, 1, 2, 3, 4, 5, 6, 7)),  # 1.125
        ("stride:8", 8, range(8)),
        ("first:4", 2, (0, 1, 1, 1)),
        ("first:4", 9, range(4)),
    ],
)
def test_rules_by_hand(rule: str, n: int, expected: Any) -> None:
    assert FrameRule.of(rule).indices(Timing(n)) == tuple(expected)


@pytest.mark.parametrize(
    ("n", "seconds", "count"),
    [(126, 5.25, 10), (60, 3.75, 8), (24, 1.0, 4), (240, 10.0, 20), (3, 10.0, 2), (20_000, 800.0, 768), (1, 0.1, 1)],
)
def test_frames_by_time(n: int, seconds: float, count: int) -> None:
    """5.25 s x 2 = 10.5, rounded to a multiple of 2: 10; 3.75 x 2 = 7.5: 8; a second has at least 4."""
    found = FrameRule.of("fps:2").indices(Timing(n, seconds))
    assert len(found) == count
    assert (found[0], found[-1]) == (0, n - 1 if count > 1 else 0)


def test_time_is_needed_by_one_rule_alone() -> None:
    with pytest.raises(ValueError, match="no times, which the rule fps:2 needs"):
        FrameRule.of("fps:2").indices(Timing(9))
    with pytest.raises(ValueError, match="no frames"):
        FrameRule.of("first:3").indices(Timing(0))


@pytest.mark.parametrize(
    "text", ["", "uniform", "uniform:", "uniform:0", "uniform:x", "unifrom:8", "fps:-1", "first:9e9"]
)
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(RmbenchError, match=r"frames='"):
        FrameRule.of(text)


def test_the_nearest_rule_is_named() -> None:
    with pytest.raises(RmbenchError, match='Did you mean "uniform"'):
        FrameRule.of("unifrom:8")
    assert str(FrameRule.of("fps:2.5")) == "fps:2.5"


def about(seconds: float) -> Any:
    """`pytest.approx` as a field of a dataclass."""
    return pytest.approx(seconds)


def test_a_video_is_counted_timed_and_read(tmp_path: Path) -> None:
    path = clip(tmp_path / "x.mp4")
    assert timing(path) == Timing(10, about(10 / 8))
    assert timing(path, most=4).frames == 4
    assert chosen_frames(path, FrameRule.of("uniform:4")) == (0, 3, 6, 9)
    found = greys(path, [9, 3, 0, 3])
    assert list(found) == [0, 3, 9]
    assert found == {index: pytest.approx(20 * index, abs=3) for index in (0, 3, 9)}


@pytest.mark.parametrize("name", ["x.gif", "x.webp", "x.png"])
def test_an_animation_is_read_with_pillow(name: str, tmp_path: Path) -> None:
    path = animation(tmp_path / name, duration=200)
    assert timing(path) == Timing(5, about(1.0))
    found = greys(path, [0, 2, 4])
    assert found == {index: pytest.approx(40 * index, abs=2) for index in (0, 2, 4)}


def test_a_gif_without_durations_runs_at_ten_frames_a_second(tmp_path: Path) -> None:
    assert timing(animation(tmp_path / "x.gif")) == Timing(5, about(0.5))


def test_the_rotation_of_the_header_is_applied(tmp_path: Path) -> None:
    """The track header's matrix (ISO 14496-12), rewritten to a quarter turn."""
    path = clip(tmp_path / "x.mp4", size=(32, 16))
    plain = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 16 << 16, 0, 1 << 30)
    content = path.read_bytes()
    start = content.index(b"tkhd")
    path.write_bytes(content[:start] + content[start:].replace(plain, turned, 1))
    ((_, image),) = read_frames(path, [0])
    assert image.size == (16, 32)


def test_too_many_frames(tmp_path: Path) -> None:
    path = clip(tmp_path / "x.mp4", count=9)
    assert timing(path, Limits(frames=9)).frames == 9
    with pytest.raises(MediaError, match=r"^x\.mp4: it has more than 8 frames"):
        timing(path, Limits(frames=8))
    assert [index for index, _ in read_frames(path, [7], Limits(frames=8))] == [7]


def test_frames_that_are_too_large(tmp_path: Path) -> None:
    for path in (clip(tmp_path / "x.mp4"), animation(tmp_path / "x.gif")):
        with pytest.raises(MediaError, match="pixels are more than 100"):
            timing(path, Limits(pixels=100))


def test_a_frame_behind_the_end(tmp_path: Path) -> None:
    path = clip(tmp_path / "x.mp4", count=3)
    with pytest.raises(MediaError, match="it ends before frame 3"):
        list(read_frames(path, [0, 3]))


@pytest.mark.parametrize(
    "content",
    [
        b"no video",
        b"",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"GIF89a",
        b"\0\0\0\x18ftypmp42" + b"\0" * 64,
    ],
)
def test_a_file_that_is_no_video(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"^x\.mp4: ") as raised:
        timing(path)
    assert len(str(raised.value)) < 250


def test_a_file_with_sound_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(MediaError, match="it holds no video"):
        timing(path)


def test_a_video_that_is_cut_off(tmp_path: Path) -> None:
    """With the index at the end of the file, half of it cannot be opened at all."""
    path = clip(tmp_path / "x.mp4", count=30, size=(64, 64))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match="cannot be decoded"):
        timing(path)


def test_the_count_follows_the_file(tmp_path: Path) -> None:
    path = clip(tmp_path / "x.mp4", count=4)
    assert chosen_frames(path, FrameRule.of("uniform:8")) == (0, 1, 2, 3)
    clip(path, count=6)
    assert chosen_frames(path, FrameRule.of("uniform:8")) == (0, 1, 2, 3, 4, 5)


COUNTS = {"1_A": 126, "1_B": 152, "2_A": 144, "2_B": 128, "3_A": 128, "3_B": 60}
GIFS = {"cogvideo": 33, "text2video-zero": 16, "videofusion": 16, "zeroscope": 24}


def test_real_clips_have_the_counted_frames(data: Path) -> None:
    videos = data / "videoalign" / "datasets" / "train" / "videos"
    for name in ("2_B", "3_A", "3_B"):
        assert timing(videos / f"example_{name}.mp4").frames == COUNTS[name]
    for name, count in GIFS.items():
        assert timing(data / "fetv" / "clips" / "original_gif" / name / "149.gif").frames == count
    clips = sorted((data / "fetv" / "clips").glob("*/*.mp4"))
    assert len(clips) == 68
    assert {timing(path).frames for path in clips[::9]} == {16}


@pytest.mark.parametrize("name", ["x.mp4", "x.gif", "x.webp"])
def test_damaged_bytes_are_refused_or_read_and_nothing_else(name: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    path = clip(tmp_path / name) if name == "x.mp4" else animation(tmp_path / name, duration=100)
    whole = path.read_bytes()
    refused = []
    for _ in range(25):
        damaged = bytearray(whole)
        for place in draw.integers(0, len(whole), 5):
            damaged[place] = draw.integers(0, 256)
        path.write_bytes(damaged)
        try:
            count = timing(path, Limits(pixels=100_000)).frames
            assert len(greys(path, list(range(count)))) == count
        except MediaError as error:
            refused.append(str(error))
    assert len(refused) > 0
    assert all(reason.startswith(f"{name}: ") and len(reason) < 300 for reason in refused)

"""Images are opened within bounds and by the declared rules, or refused with one short reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.media import DEFAULT_LIMITS, Limits, MediaError, digest, open_image

RED, BLUE = (200, 30, 40), (10, 20, 220)


def halves(width: int = 8, height: int = 4) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def pixel(path: Path, x: int = 0, y: int = 0) -> Any:
    image = open_image(path)
    assert image.mode == "RGB"
    return image.getpixel((x, y))


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF", "WEBP", "GIF"])
def test_lossless_formats_keep_their_pixels(format_: str, tmp_path: Path) -> None:
    options = {"lossless": True} if format_ == "WEBP" else {}
    path = saved(halves(), tmp_path / "named.wrong", format=format_, **options)
    assert (pixel(path), pixel(path, 7)) == (RED, BLUE)


def test_transparency_is_dropped_and_its_colour_stays(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (*RED, 0))
    assert pixel(saved(clear, tmp_path / "a.png")) == RED
    assert pixel(saved(Image.new("LA", (4, 4), (90, 0)), tmp_path / "b.png")) == (90, 90, 90)


def test_a_palette_is_looked_up_also_where_it_is_transparent(tmp_path: Path) -> None:
    image = halves().quantize(2)
    path = saved(image, tmp_path / "p.png", transparency=bytes([0, 255]))
    assert {pixel(path), pixel(path, 7)} == {RED, BLUE}


def test_cmyk_and_one_bit(tmp_path: Path) -> None:
    path = saved(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), tmp_path / "c.tiff")
    assert pixel(path) == (255, 0, 0)
    assert pixel(saved(Image.new("1", (4, 4), 1), tmp_path / "one.png")) == (255, 255, 255)


def test_16_bit_grey_is_divided_by_257(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 32896, 65535]], dtype=np.uint16)
    path = saved(Image.fromarray(values), tmp_path / "deep.png")
    grey = [round(value / 257) for value in values[0].tolist()]
    assert grey == [0, 0, 1, 1, 128, 255]
    assert [pixel(path, x) for x in range(6)] == [(value,) * 3 for value in grey]


@pytest.mark.parametrize(
    ("values", "reason"),
    [(np.full((2, 2), 70_000, np.int32), "beyond 16 bits"), (np.full((2, 2), 0.5, np.float32), "floating-point")],
)
def test_grey_without_a_declared_range(values: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=reason):
        open_image(saved(Image.fromarray(values), tmp_path / "x.tiff"))


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    path = saved(halves(16, 8), tmp_path / "turned.jpg", exif=exif, quality=100, subsampling=0)
    image = open_image(path)
    assert image.size == (8, 16)
    top, bottom = np.array(image)[2].mean(0), np.array(image)[13].mean(0)
    assert np.abs(top - RED).max() < 6
    assert np.abs(bottom - BLUE).max() < 6


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation(format_: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE, RED)]
    path = tmp_path / f"x.{format_.lower()}"
    options = {"lossless": True} if format_ == "WEBP" else {}
    frames[0].save(path, format=format_, save_all=True, append_images=frames[1:], duration=50, **options)
    assert pixel(path) == RED


@pytest.mark.parametrize(("side", "mode"), [(15_000, "1"), (9_500, "1"), (8_200, "P")])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int, mode: str, tmp_path: Path) -> None:
    path = saved(Image.new(mode, (side, side)), tmp_path / "bomb.png", compress_level=9)
    assert path.stat().st_size < 100_000
    with pytest.raises(MediaError, match=r"^bomb\.png: .*pixels are more than 67,108,864"):
        open_image(path)


def test_a_thin_image_would_grow_without_end(tmp_path: Path) -> None:
    thin = saved(Image.new("L", (1, 101)), tmp_path / "thin.png")
    with pytest.raises(MediaError, match="longer than 100 times"):
        open_image(thin)
    assert open_image(saved(Image.new("L", (1, 100)), tmp_path / "fine.png")).size == (1, 100)


def test_a_truncated_image_is_broken(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for name in ("cut.jpg", "cut.png", "cut.webp", "cut.gif"):
        path = saved(Image.fromarray(noise), tmp_path / name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(MediaError, match=rf"^{name}: "):
            open_image(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"this is no image at all, whatever it is called", "it is no image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, r"cannot be decoded|no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "it is no image"),
    ],
)
def test_a_file_that_is_no_image(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=rf"^x\.png: .*({reason})"):
        open_image(path)


def test_what_is_no_regular_file_of_a_fair_size(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"^gone\.png: the file cannot be read"):
        open_image(tmp_path / "gone.png")
    with pytest.raises(MediaError, match="no regular file"):
        open_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(MediaError, match="no regular file"):
        open_image(tmp_path / "pipe.png")
    path = saved(halves(), tmp_path / "x.png")
    with pytest.raises(MediaError, match="bytes, more than 10"):
        open_image(path, Limits(image_bytes=10))
    assert open_image(path, Limits(pixels=32)).size == (8, 4)
    with pytest.raises(MediaError, match="8 x 4 pixels are more than 31"):
        open_image(path, Limits(pixels=31))


def test_the_digest_is_of_the_bytes_that_are_there_now(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    # FIPS 180-2's own example.
    assert digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"abcd")
    assert digest(path) == "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589"
    with pytest.raises(MediaError, match="more than 3"):
        digest(path, 3)


def test_a_missing_decoder_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    path = saved(halves(), tmp_path / "x.png")
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(RmbenchError, match=r"Pillow is not installed: pip install 'rmbench\[clip\]'") as raised:
        open_image(path)
    assert not isinstance(raised.value, MediaError)


def test_real_images_are_opened(data: Path) -> None:
    found = [*data.glob("mj-bench/quality/*/examples_*/*.jpg"), *data.glob("imagereward/assets/images/*.webp")]
    assert len(found) == 404
    for path in found[::40]:
        with Image.open(path) as plain:
            assert np.array_equal(np.array(open_image(path)), np.array(plain.convert("RGB")))
    assert DEFAULT_LIMITS.image_bytes > max(path.stat().st_size for path in found)


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.gif", "x.tiff", "x.bmp"])
def test_damaged_bytes_are_refused_or_read_and_nothing_else(name: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(7)
    path = saved(Image.fromarray(draw.integers(0, 255, (24, 24, 3), dtype=np.uint8)), tmp_path / name)
    whole = path.read_bytes()
    outcomes: set[str] = set()
    for _ in range(40):
        damaged = bytearray(whole)
        for place in draw.integers(0, len(whole), 6):
            damaged[place] = draw.integers(0, 256)
        path.write_bytes(damaged)
        try:
            outcomes.add(open_image(path, Limits(pixels=10_000)).mode)
        except MediaError as error:
            outcomes.add(str(error))
    assert all(outcome == "RGB" or outcome.startswith(f"{name}: ") for outcome in outcomes)
    assert max(map(len, outcomes)) < 300

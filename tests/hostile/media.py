"""Hostile images and videos: each a file of its own; and what is done with them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.hostile.case import KINDS_OF_FILE, Case, Outcome, put

__all__ = ["MEDIA", "use"]

FILE = "medium"
"""The name of every file, without an ending: content says what it is."""


def use(case: Case, folder: Path) -> None:
    """Read the medium of a case as a model does; raises RmbenchError."""
    from rmbench.media import FrameRule, chosen_frames, digest, open_image, read_frames

    digest(folder / FILE)
    if case.name.startswith("image"):
        open_image(folder / FILE)
        return
    for _ in read_frames(folder / FILE, chosen_frames(folder / FILE, FrameRule.of("uniform:8"))):
        pass


def write(content: Callable[[], bytes] | bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / FILE).write_bytes(content if isinstance(content, bytes) else content())


def special(kind: str) -> Callable[[Path], object]:
    return lambda folder: put(folder / FILE, kind)


def saved(mode: str, size: tuple[int, int], form: str, **options: Any) -> Callable[[], bytes]:
    def made() -> bytes:
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = None  # in the process that makes it
        out = io.BytesIO()
        Image.new(mode, size).save(out, form, **options)
        return out.getvalue()

    return made


def changed(content: Callable[[], bytes], place: int, by: bytes) -> Callable[[], bytes]:
    def made() -> bytes:
        data = bytearray(content())
        data[place : place + len(by)] = by
        return bytes(data)

    return made


def cut(content: Callable[[], bytes], share: float) -> Callable[[], bytes]:
    return lambda: (data := content())[: int(len(data) * share)]


def scans(count: int, size: tuple[int, int] = (4000, 4000)) -> Callable[[], bytes]:
    """A progressive JPEG whose last scan is repeated."""

    def made() -> bytes:
        data = saved("L", size, "JPEG", progressive=True)()
        last = data.rindex(b"\xff\xda")
        return data[:last] + data[last:-2] * count + data[-2:]

    return made


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 0) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def idat(size: int) -> bytes:
    packer = zlib.compressobj(9)
    parts = [packer.compress(b"\0" * 2**20) for _ in range(size >> 20)]
    return chunk(b"IDAT", b"".join(parts) + packer.flush())


def runs() -> bytes:
    """A BMP in runs of one pixel, 32 MB of them."""
    data = b"\x01\x05" * 2**24
    info = struct.pack("<IiiHHIIiiII", 40, 8000, 8000, 1, 8, 1, len(data), 0, 0, 256, 0)
    start = 14 + len(info) + 1024
    return struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start) + info + b"\0" * 1024 + data


def animation(form: str, size: tuple[int, int], count: int) -> Callable[[], bytes]:
    def made() -> bytes:
        from PIL import Image

        frames = [Image.new("L", size, 255 * index) for index in range(2)]
        out = io.BytesIO()
        rest = [frames[(index + 1) % 2] for index in range(count - 1)]
        frames[0].save(out, form, save_all=True, append_images=rest, duration=10)
        return out.getvalue()

    return made


def gif(width: int, height: int, count: int, own: tuple[int, int] = (1, 1)) -> bytes:
    """A GIF of frames of one pixel on a large screen, or of large frames that hold next to nothing."""
    start = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"!\xf9\x04\x08\x0a\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, *own, 0) + b"\x02\x02\x44\x01\0"
    return start + frame * count + b";"


def video(size: tuple[int, int], count: int, codec: str = "libx264", form: str = "mp4") -> Callable[[], bytes]:
    def made() -> bytes:
        import av
        import numpy as np

        out = io.BytesIO()
        with av.open(out, "w", format=form) as container:
            stream: Any = container.add_stream(codec, rate=30, options={"preset": "ultrafast", "crf": "51"})
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.zeros((size[1] * 3 // 2, size[0]), np.uint8), "yuv420p")
            for index in range(count):
                frame.pts, frame.time_base = index, Fraction(1, 30)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return out.getvalue()

    return made


def playlist(text: str) -> bytes:
    return f"ffconcat version 1.0\nfile {text}\n".encode()


_JPEG, _PNG = saved("RGB", (64, 48), "JPEG"), saved("RGB", (64, 48), "PNG")
_GIF, _WEBP = saved("P", (64, 48), "GIF"), saved("RGB", (64, 48), "WEBP")
_TIFF, _BMP = saved("RGB", (64, 48), "TIFF"), saved("RGB", (64, 48), "BMP")
_MP4 = video((64, 48), 20)
_TIFF_ENDLESS = b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 256, 4, 1, 9) + struct.pack("<I", 8)
_LONG_ENTRY = b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHII", 273, 4, 2**31, 8) + b"\0\0\0\0"


def _image(name: str, make: Callable[[Path], object], outcome: Outcome = "refused") -> Case:
    return Case(f"image {name}", make, outcome)


def _video(name: str, make: Callable[[Path], object], outcome: Outcome = "refused") -> Case:
    return Case(f"video {name}", make, outcome)


MEDIA = (
    *(_image(f"is a {kind}", special(kind)) for kind in KINDS_OF_FILE),
    *(_video(f"is a {kind}", special(kind)) for kind in KINDS_OF_FILE),
    _image("JPEG of 3,000 scans", write(scans(3000))),
    _image("JPEG of 90 scans of 64 Mpx", write(scans(90, (8000, 8000)))),
    _image("JPEG cut", write(cut(_JPEG, 0.5))),
    _image("JPEG without pixels", write(changed(_JPEG, 163, b"\0\0\0\0"))),
    _image("JPEG of 65,535 x 65,535", write(lambda: _resized(_JPEG()))),
    _image("JPEG header alone", write(b"\xff\xd8\xff")),
    _image("PNG of 225 Mpx", write(saved("1", (15_000, 15_000), "PNG"))),
    _image("PNG of 169 Mpx", write(saved("1", (13_000, 13_000), "PNG"))),
    _image("PNG of 64 Mpx in 16 bits", write(saved("I;16", (8192, 8192), "PNG", compress_level=1)), "rows"),
    _image("PNG of 64 Mpx with a palette", write(saved("P", (8192, 8192), "PNG", compress_level=1)), "rows"),
    _image("PNG of 64 Mpx with transparency", write(saved("RGBA", (8192, 8192), "PNG", compress_level=1)), "rows"),
    _image("PNG of 2^31 x 2^31", write(png(2**31 - 1, 2**31 - 1, idat(2**20)))),
    _image("PNG of no pixels", write(png(0, 5, idat(2**20)))),
    _image("PNG whose data unpack to 4 GB", write(lambda: png(64, 64, idat(2**32))), "rows"),
    _image(
        "PNG with a text of 200 MB",
        write(lambda: png(64, 64, chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 200_000_000)), idat(2**20))),
    ),
    _image(
        "PNG with a profile of 200 MB",
        write(lambda: png(64, 64, chunk(b"iCCP", b"a\0\0" + zlib.compress(b"x" * 200_000_000)), idat(2**20))),
        "rows",
    ),
    _image("PNG with a chunk of 2 GB", write(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2**31 - 1) + b"IHDR")),
    _image(
        "PNG of a million chunks",
        write(lambda: png(64, 64, *[chunk(b"tEXt", b"a\0b")] * 1_000_000, idat(2**20))),
        "rows",
    ),
    _image("PNG cut", write(cut(_PNG, 0.6))),
    _image("PNG 1 x 100,000", write(saved("L", (1, 100_000), "PNG"))),
    _image("GIF of 65,535 x 65,535", write(gif(65535, 65535, 1))),
    _image("GIF whose frame is larger than its screen", write(gif(1, 1, 1, (65535, 65535)))),
    _image("GIF cut", write(cut(_GIF, 0.3))),
    _image("WebP of 16,383 x 16,383", write(lambda: _large_webp(_WEBP()))),
    _image("WebP cut", write(cut(_WEBP, 0.5))),
    _image("TIFF whose directory leads to itself", write(_TIFF_ENDLESS)),
    _image("TIFF of 2^31 strips", write(_LONG_ENTRY)),
    _image("TIFF cut", write(cut(_TIFF, 0.5))),
    _image("BMP of 2^30 x 2^30", write(changed(_BMP, 18, struct.pack("<ii", 2**30, 2**30)))),
    _image("BMP in runs of 32 MB", write(runs)),
    _image("BMP cut", write(cut(_BMP, 0.5))),
    _image(
        "EPS that runs a program",
        write(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch /tmp/hostile-ran) (w) file\n"),
    ),
    _image(
        "SVG with an address",
        write(b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1/x"/></svg>'),
    ),
    _image("text", write(b"hello")),
    _image("a gigabyte of nothing", lambda folder: _sparse(folder, 2**30)),
    _image("floats", write(saved("F", (8, 8), "TIFF"))),
    _image("grey beyond 16 bits", write(saved("I", (8, 8), "TIFF")), "rows"),
    _video("of 100,000 frames", write(video((16, 16), 100_000))),
    _video("of 64 Mpx frames", write(video((8192, 8192), 40))),
    _video("of frames beyond 64 Mpx", write(video((8192, 8704), 2))),
    _video("cut", write(cut(_MP4, 0.4))),
    _video(
        "flipped", write(lambda: bytes(each ^ 0x55 if index % 97 == 50 else each for index, each in enumerate(_MP4())))
    ),
    _video("of 5 TB", lambda folder: _sparse(folder, 5 * 2**40)),
    _video("that is a list of files", write(playlist("/etc/passwd"))),
    _video("that is a list of addresses", write(playlist("http://127.0.0.1:9/x.mp4"))),
    _video("that is a playlist", write(b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n")),
    _video(
        "without a picture",
        write(b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\0\0\0\0"),
    ),
    _video("that is text", write(b"hello")),
    _video("GIF of 200,000 frames", write(gif(16, 16, 200_000))),
    _video("GIF of 1,000 frames of 60 Mpx", write(gif(7800, 7800, 1000))),
    _video("GIF whose frames grow", write(gif(16, 16, 3, (65535, 65535)))),
    _video("GIF without an end", write(gif(16, 16, 3)[:-1]), "rows"),
    _video("WebP of 10,000 frames", write(animation("WEBP", (512, 512), 10_000))),
    _video("PNG of 3,000 frames of 1 Mpx", write(animation("PNG", (1024, 1024), 3000))),
    _video("AVI of nothing", write(b"RIFF\xff\xff\xff\x7fAVI LIST\xff\xff\xff\x7fhdrl")),
    _video(
        "MP4 whose boxes lie",
        write(struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom") + struct.pack(">I4sQ", 1, b"moov", 2**62)),
    ),
    _video(
        "MP4 whose boxes nest",
        write(
            struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom")
            + b"".join(struct.pack(">I4s", 8 * depth, b"moov") for depth in range(50_000, 0, -1))
        ),
    ),
    _video("Matroska of one byte", write(b"\x1aE\xdf\xa3\x01")),
)


def _sparse(folder: Path, size: int) -> None:
    with (folder / FILE).open("wb") as stream:
        stream.write(b"\x89PNG\r\n\x1a\n")
        stream.truncate(size)


def _resized(data: bytes) -> bytes:
    """A JPEG whose header says the largest size there is."""
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + b"\xff\xff\xff\xff" + data[place + 4 :]


def _large_webp(data: bytes) -> bytes:
    place = data.index(b"\x9d\x01\x2a") + 3
    return data[:place] + struct.pack("<HH", 16383, 16383) + data[place + 4 :]

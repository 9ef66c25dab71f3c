"""What a file is by its first bytes: something in place of the data (a pointer, an error page), or another format."""

from __future__ import annotations

from pathlib import Path

from rmbench.errors import RmbenchError

__all__ = ["HEAD", "content_kind", "is_medium", "refuse_stand_in", "stand_in"]

HEAD = 1024
"""Bytes to look at; a pointer is shorter than that."""

_POINTERS = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer; `git lfs pull` fetches the file itself"),
    (b"version https://hawser.github.com/spec/", "a Git LFS pointer; `git lfs pull` fetches the file itself"),
    (b"/annex/objects/", "a git-annex pointer; `git annex get` fetches the file itself"),
    (b".git/annex/objects/", "a git-annex pointer; `git annex get` fetches the file itself"),
    (b"../.git/annex/objects/", "a git-annex pointer; `git annex get` fetches the file itself"),
)
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<?xml", b"<error>")
_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "ZIP"),
    (b"PAR1", "Parquet"),
    (b"ARROW1", "Arrow"),
    (b"\xff\xff\xff\xff", "an Arrow stream"),
    (b"SQLite format 3\x00", "SQLite"),
    (b"\x93NUMPY", "NumPy"),
    (b"\x89HDF", "HDF5"),
    (b"GGUF", "GGUF"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"%PDF", "PDF"),
)
_WIDE = 64
"""Bytes by which UTF-16 without a mark is told: every second one is zero."""
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\x1aE\xdf\xa3")
_RIFF = (b"WEBP", b"AVI ")


def refuse_stand_in(file: Path) -> None:
    """Raise RmbenchError where a regular file is not what its name says; nothing is said of one that cannot be read."""
    if not file.is_file():
        return
    try:
        with file.open("rb") as stream:
            what = stand_in(stream.read(HEAD))
    except OSError:
        return
    if what is not None:
        raise RmbenchError(f"{file}: it is {what}.")


def stand_in(head: bytes) -> str | None:
    """What is there in place of the data, in words: a pointer of Git LFS or git-annex, a web page (of a failed download
    or a login), or nothing at all. None for anything else.

    >>> stand_in(b"version https://git-lfs.github.com/spec/v1 ...")
    'a Git LFS pointer; `git lfs pull` fetches the file itself'
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        return "an empty file" if not head else "nothing but white space" if len(head) < HEAD else None
    for start, what in _POINTERS:
        if text.startswith(start):
            return what
    if text.lower().startswith(_PAGES):
        return "a web page or an XML reply, as a failed download leaves"
    return None


def content_kind(head: bytes) -> str | None:
    """The format that the first bytes announce; None where they announce none, as those of most texts.

    >>> content_kind(bytes([80, 65, 82, 49, 0]))
    'Parquet'
    """
    if head.isascii() and b"\0" not in head:
        return None
    even, odd = head[:_WIDE:2], head[1:_WIDE:2]
    if len(head) > 3 and any(b"\0" not in one and not other.strip(b"\0") for one, other in ((even, odd), (odd, even))):
        return "text in UTF-16"  # without the mark that most of it begins with
    return next((kind for start, kind in _MAGIC if head.startswith(start)), None)


def is_medium(head: bytes) -> bool:
    r"""Whether the first bytes are those of an image or a video.

    >>> is_medium(b"\x89PNG..."), is_medium(b"some text")
    (True, False)
    """
    return head.startswith(_IMAGES) or head[4:8] == b"ftyp" or (head.startswith(b"RIFF") and head[8:12] in _RIFF)

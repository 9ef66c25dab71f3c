"""Media whose bytes lie in the rows themselves: written to files of this process, named by their content."""

from __future__ import annotations

import atexit
import base64
import binascii
import functools
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError

__all__ = ["content_of", "written"]

_DATA_URL = re.compile(r"data:(?:image|video)/[\w.+-]+(?:;[\w=.-]+)*;base64,", re.ASCII)
_BARE = re.compile(r"[A-Za-z0-9+/\s]{200,}={0,2}\s*", re.ASCII)
"""Base64 by itself. A name this long without a dot is none."""
_BEGUN = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR)[A-Za-z0-9+/\s]*={0,2}\s*", re.ASCII)
"""The same of a small PNG, JPEG, GIF or WebP, by how it begins."""


def content_of(value: Any) -> bytes | None:
    """The bytes that a value holds: bytes, the hub's {bytes, path}, a `data:` address, or base64. None where it holds
    none, as a name.

    Raises:
        ValueError: the value is meant to hold bytes and does not; its text says what is wrong.
    """
    of_bytes = isinstance(value, Mapping)
    if isinstance(value, Mapping):
        value = value.get("bytes")
        if value is not None and not isinstance(value, bytes | bytearray | memoryview | str):
            raise ValueError(f'expected bytes at "bytes", found {type(value).__name__}')
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        address = _DATA_URL.match(value)
        if address is not None or (of_bytes and value) or _BARE.fullmatch(value) or _BEGUN.fullmatch(value):
            try:
                return base64.b64decode("".join(value[address.end() if address else 0 :].split()), validate=True)
            except binascii.Error as error:
                raise ValueError(f"its base64 is broken ({error})") from None
    return None


def written(content: bytes) -> tuple[str, Path]:
    """The sha256 of the bytes and a file that holds them; equal bytes share one file.

    The files go when this process ends. RmbenchError where they cannot be written.
    """
    digest = hashlib.sha256(content).hexdigest()
    try:
        file = _folder() / digest
        if not file.exists():
            fresh = file.with_name(f".{digest}.{os.getpid()}")
            fresh.write_bytes(content)
            fresh.replace(file)
    except OSError as error:
        where = tempfile.gettempdir()
        raise RmbenchError(
            f"media of the rows cannot be unpacked to {where} ({error.strerror or error}); TMPDIR names another folder."
        ) from error
    return digest, file


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="rmbench-media-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder

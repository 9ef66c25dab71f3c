"""Compressed files of strangers: gzip, xz and Zstandard, unpacked within bounds."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from typing import Any

from rmbench.errors import RmbenchError

__all__ = ["MOST_UNPACKED", "PACKED", "plain_name", "unpacked"]

PACKED = (".gz", ".xz", ".zst")
MOST_UNPACKED = 4 * 2**30
"""Bytes that a file of rows may have, a compressed one once it is unpacked."""
ANY_UNPACKED = 128 * 2**20
"""Bytes that any compressed file may hold, however small it is."""
MOST_TIMES = 64
"""How many times its own size a larger one may hold; texts are packed to a tenth, repetitive ones to a thirtieth."""
_PART = 2**20


def plain_name(name: str) -> str:
    """The name without the ending of a compression."""
    return name.removesuffix(".gz").removesuffix(".xz").removesuffix(".zst")


def unpacked(name: str, content: bytes) -> bytes:
    """The bytes that a compressed file holds; those of any other file as they are.

    Raises:
        RmbenchError: the file is broken or cut off; or it holds more than `MOST_UNPACKED`, or, beyond `ANY_UNPACKED`,
            more than `MOST_TIMES` its own size, which no text does.
    """
    if not name.endswith(PACKED):
        return content
    most = min(MOST_UNPACKED, max(ANY_UNPACKED, MOST_TIMES * len(content)))
    parts, size = [], 0
    try:
        packed = io.BytesIO(content)
        with _opened(name, packed) as stream:
            while part := stream.read(_PART):
                size += len(part)
                if size > most:
                    raise RmbenchError(f"{name}: holds more than {most:,} bytes in {len(content):,} compressed ones.")
                parts.append(part)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise RmbenchError(f"{name}: cannot be decompressed ({error}); is the file whole?") from None
    return b"".join(parts)


def _opened(name: str, packed: io.BytesIO) -> Any:
    """The compressed bytes as a stream of what they hold."""
    if name.endswith(".zst"):
        import pyarrow

        return pyarrow.input_stream(packed, compression="zstd")
    return gzip.open(packed) if name.endswith(".gz") else lzma.open(packed)

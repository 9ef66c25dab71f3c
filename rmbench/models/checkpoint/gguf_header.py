"""The header of a GGUF file, walked through within its size before a library trusts its counts and lengths.

The layout is that of llama.cpp's docs/gguf.md: magic, version, counts, keys with values, names with shapes and offsets,
then the tensors' data from the next aligned place on.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.headers import Tensor

__all__ = ["Header", "read_header"]

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Type of a value -> its bytes; 8 is a text, 9 an array."""
_TEXT, _ARRAY, _UINT32 = 8, 9, 4
_MOST_ITEMS = 4 * 2**20
"""Entries of all arrays; a vocabulary of a million tokens with types, scores and merges has these."""
_MOST_TENSORS = 2**17
_MOST_SIDES = 4


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says it holds."""

    tensors: dict[str, Tensor]
    """By llama.cpp's names; the dtype is GGML's: "Q4_K", "F16". Shapes are in numpy's order."""
    shards: int
    """How many files the model is in."""
    pre_tokenizer: str
    """How its tokenizer splits text, by llama.cpp's name; "" where it does not say."""


def read_header(file: Path) -> Header:
    """The tensors of a GGUF file.

    Raises:
        RmbenchError: gguf is not installed; the file is none, is cut off, or says what its size cannot hold.
    """
    try:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
    except ImportError as error:
        raise RmbenchError(f"GGUF files need gguf: pip install 'rmbench[gguf]' ({error}).") from error
    with file.open("rb") as stream:
        walk = _Walk(stream, file)
        if walk.take(4) != b"GGUF":
            raise RmbenchError(f"{file} is no GGUF file.")
        version, count, keys = walk.number("<I"), 0, 0
        if version not in (2, 3):
            raise RmbenchError(
                f"{file} is GGUF of version {version}; versions 2 and 3 of little-endian files are read."
            )
        count, keys = walk.number("<Q"), walk.number("<Q")
        values = walk.values(keys)
        if count > _MOST_TENSORS:
            raise RmbenchError(f"{file} says it holds {count:,} tensors, which no model has.")
        found = [walk.tensor() for _ in range(count)]
        aligned = int(values.get("general.alignment", 32)) or 32
        start = -(-stream.tell() // aligned) * aligned
    sizes = {kind.value: (kind.name, *GGML_QUANT_SIZES[kind]) for kind in GGMLQuantizationType}
    tensors: dict[str, Tensor] = {}
    for name, sides, kind, offset in found:
        if kind not in sizes or name in tensors:
            raise RmbenchError(f"{file}: {name} is there twice, or of the unknown type {kind}.")
        called, block, each = sizes[kind]
        end = start + offset + math.prod(sides) // block * each
        if end > walk.size:
            raise RmbenchError(
                f"{file} is cut off: {name} {list(sides)} of {called} ends at byte {end:,} of {walk.size:,}."
            )
        tensors[name] = Tensor(file.name, tuple(reversed(sides)), called)
    return Header(tensors, int(values.get("split.count", 1)), walk.pre_tokenizer)


class _Walk:
    """A position in a file that no length in it leads beyond its end."""

    def __init__(self, stream: BinaryIO, file: Path) -> None:
        self._stream, self._file = stream, file
        self.size = file.stat().st_size
        self._items = 0
        self.pre_tokenizer = ""

    def take(self, length: int) -> bytes:
        """The next bytes; raises RmbenchError where the file has not as many."""
        if length > self.size - self._stream.tell():
            raise RmbenchError(
                f"{self._file} is cut off, or no GGUF file: a length in its header leads beyond its end."
            )
        return self._stream.read(length)

    def number(self, form: str) -> int:
        found: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return found

    def text(self) -> str:
        return self.take(self.number("<Q")).decode("utf-8", "replace")

    def values(self, count: int) -> dict[str, int]:
        """The whole numbers of 16 and 32 bits among the values of `count` keys; all others are passed over."""
        numbers: dict[str, int] = {}
        for _ in range(count):
            key, kind = self.text(), self.number("<I")
            if kind in (2, _UINT32):
                numbers[key] = self.number("<H" if kind == 2 else "<I")
            elif (key, kind) == ("tokenizer.ggml.pre", _TEXT):
                self.pre_tokenizer = self.text()
            else:
                self._pass_over(kind)
        return numbers

    def _pass_over(self, kind: int) -> None:
        if kind != _ARRAY:
            self._pass_items(kind, 1)
            return
        inner, count = self.number("<I"), self.number("<Q")
        self._items += count
        if inner == _ARRAY or self._items > _MOST_ITEMS:
            raise RmbenchError(
                f"{self._file}: its header holds arrays of arrays, or of more than {_MOST_ITEMS:,} entries."
            )
        self._pass_items(inner, count)

    def _pass_items(self, kind: int, count: int) -> None:
        if kind == _TEXT:
            for _ in range(count):
                self.take(self.number("<Q"))
        elif kind in _SIZES:
            self.take(_SIZES[kind] * count)
        else:
            raise RmbenchError(f"{self._file}: its header holds a value of the unknown type {kind}.")

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, sides from the fastest on, type and offset of a tensor."""
        name, dimensions = self.text(), self.number("<I")
        if dimensions > _MOST_SIDES:
            raise RmbenchError(f"{self._file}: {name[:80]} has {dimensions} dimensions.")
        sides = tuple(self.number("<Q") for _ in range(dimensions))
        return name, sides, self.number("<I"), self.number("<Q")

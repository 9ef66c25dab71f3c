"""How the tokenizer of a GGUF file splits text before merges, which the file names and the library knows in part.

The names are those of llama.cpp's `tokenizer.ggml.pre`. For a byte-level vocabulary whose name it does not know, the
library splits as GPT-2 does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rmbench.models.checkpoint.gguf_header import read_header

__all__ = ["split_as_declared"]

_AS_GPT2 = frozenset({"", "gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling"})
_DIGITS_APART = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})
"""Each digit is a piece of its own, and what lies between is split as GPT-2 does."""


def split_as_declared(tokenizer: Any, file: Path, note: Callable[[str], None]) -> None:
    """Let a tokenizer that the library made of a GGUF file split text as the file says; a note where nobody knows how.

    Args:
        tokenizer: the library's; changed in place.
        file: the GGUF file.
        note: called with one line.
    """
    from tokenizers import pre_tokenizers

    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    declared = read_header(file).pre_tokenizer
    if not isinstance(getattr(backend, "pre_tokenizer", None), pre_tokenizers.ByteLevel) or declared in _AS_GPT2:
        return
    if declared in _DIGITS_APART:
        as_gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), as_gpt2])
        return
    note(f"{file}: its tokenizer splits text as {declared!r}, which is unknown here: it is split as GPT-2 does.")

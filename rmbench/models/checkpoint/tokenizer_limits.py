"""Bounds on what a tokenizer.json may make of a text: how much longer, and in how much time.

Tokenizers run in Rust, where nothing interrupts them, so their declarations are looked at before one is loaded.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError

__all__ = ["check_tokenizer", "runaway"]

_GROWTH = 64
"""How many times as long a normaliser may make a text; those that are known double it."""
_LONGEST_MAPPED = 64
"""Bytes that a character may be mapped to by sentencepiece's rules; their longest, an Arabic ligature, has 33."""
_LONGEST_REGEX = 20_000
_REPEATS = 100
"""A quantifier of this many repetitions counts as one without end."""
_LONGEST_WORD = 10_000
_SPECIALS = 64
"""Special tokens that are put around a text."""


def check_tokenizer(data: Mapping[str, Any], file: Path) -> None:
    """Raise RmbenchError for a tokenizer that may make a text far longer, or take far longer than any of use.

    Args:
        data: what tokenizer.json holds.
        file: where it is from, for messages.
    """
    model = data.get("model")
    if not isinstance(model, dict):
        raise RmbenchError(f'{file}: "model" is missing.')
    if not model.get("vocab"):
        raise RmbenchError(f'{file}: "model" has no "vocab".')
    longest = model.get("max_input_chars_per_word", 0)
    if isinstance(longest, int) and longest > _LONGEST_WORD:
        raise RmbenchError(f'{file}: "max_input_chars_per_word" is {longest:,}, and words of it take the square.')
    normalizers = list(_steps(data.get("normalizer"), "normalizers"))
    growth = math.prod(map(_growth, normalizers))
    if growth > _GROWTH:
        shown = f"{growth:,}" if growth < 10**12 else "more than a billion"
        raise RmbenchError(f'{file}: its "normalizer" may make a text {shown} times as long.')
    for step in (*normalizers, *_steps(data.get("pre_tokenizer"), "pretokenizers")):
        regex = step["pattern"].get("Regex") if isinstance(step.get("pattern"), dict) else None
        if isinstance(regex, str) and (why := runaway(regex)):
            raise RmbenchError(f"{file}: the pattern {regex[:60]!r} {why}, which may take for ever on some texts.")
    _check_specials(data.get("post_processor"), file)


def _steps(step: Any, parts: str) -> Iterator[Mapping[str, Any]]:
    """The steps of a normaliser or a pre-tokenizer, those of sequences in sequences too."""
    waiting = [step]
    while waiting:
        step = waiting.pop()
        if isinstance(step, dict):
            yield step
            if isinstance(step.get(parts), list):
                waiting += step[parts]


def _growth(step: Mapping[str, Any]) -> int:
    """How many times as long one step of a normaliser may make a text."""
    kind = step.get("type")
    if kind == "Replace":
        pattern, content = step.get("pattern"), len(str(step.get("content")))
        plain = pattern.get("String") if isinstance(pattern, dict) else None
        return max(1, -(-content // len(plain)) if isinstance(plain, str) and plain else 1 + content)
    if kind == "Prepend":
        return max(1, len(str(step.get("prepend"))))
    if kind == "Precompiled":
        longest = _longest_mapped(str(step.get("precompiled_charsmap")))
        return 1 if longest <= _LONGEST_MAPPED else longest
    return 1


def _longest_mapped(encoded: str) -> int:
    """Bytes of the longest text that sentencepiece's map has: behind a trie, whose size comes first, they are separated
    by zeros."""
    try:
        data = base64.b64decode(encoded)
    except (ValueError, binascii.Error):
        return 0  # which the library refuses
    trie = int.from_bytes(data[:4], "little")
    return max(map(len, data[4 + trie :].split(b"\0")), default=0)


def _check_specials(processor: Any, file: Path) -> None:
    """Raise RmbenchError for a template that puts very many tokens around a text, or such as it does not define."""
    for step in _steps(processor, "processors"):
        known = step.get("special_tokens")
        for key in ("single", "pair"):
            pieces = step.get(key)
            if step.get("type") != "TemplateProcessing" or not isinstance(pieces, list):
                continue
            names = [piece["SpecialToken"].get("id") for piece in pieces if "SpecialToken" in piece]
            if len(names) > _SPECIALS:
                raise RmbenchError(f'{file}: "post_processor" puts {len(names):,} special tokens around a text.')
            unknown = [name for name in names if not isinstance(known, dict) or name not in known]
            if unknown:
                raise RmbenchError(f'{file}: "post_processor" does not define its special token {unknown[0]!r}.')


@dataclass(slots=True)
class _Group:
    """What is inside a group so far."""

    repeats: bool = False
    chooses: bool = False


def runaway(regex: str) -> str:
    r"""Why matching may take time exponential in the text's length; "" where nothing of that kind is seen.

    >>> runaway(r"(?:a+b?)*c"), runaway(r"'(?i:[sdmt]|ll|ve|re)|\s+(?!\S)|\p{N}{1,3}")
    ('repeats a group that itself repeats or has a choice', '')
    """
    if len(regex) > _LONGEST_REGEX:
        return f"has {len(regex):,} characters"
    groups, place = [_Group()], 0
    closed: _Group | None = None  # the group that ends right before this place
    while place < len(regex):
        sign, start = regex[place], place
        place += 1
        if sign == "\\":
            if regex[place : place + 1] in "123456789k" and regex[place:]:
                return "refers back to what it matched"
            place += 1
        elif sign == "[":
            place = _after_class(regex, start)
        elif sign == "(":
            groups.append(_Group())
        elif sign == "|":
            groups[-1].chooses = True
        elif sign == ")" and len(groups) > 1:
            closed = groups.pop()
            groups[-1].repeats |= closed.repeats
            groups[-1].chooses |= closed.chooses
            continue
        elif sign in "*+{":
            most, place = _most(regex, start)
            if most >= _REPEATS:
                if closed is not None and (closed.repeats or closed.chooses):
                    return "repeats a group that itself repeats or has a choice"
                groups[-1].repeats = True
        closed = None
    return ""


def _after_class(regex: str, start: int) -> int:
    """The place behind a class of characters, which may hold others."""
    place = start + (2 if regex[start + 1 : start + 2] == "^" else 1)
    depth, place = 1, place + (regex[place : place + 1] == "]")  # a first bracket is meant as it is
    while depth and place < len(regex):
        sign = regex[place]
        depth += {"[": 1, "]": -1}.get(sign, 0)
        place += 2 if sign == "\\" else 1
    return place


def _most(regex: str, start: int) -> tuple[float, int]:
    """How often a quantifier repeats at most, and the place behind it; a brace that is none repeats nothing."""
    if regex[start] != "{":
        return math.inf, start + 1
    inside, closing, _ = regex[start + 1 :].partition("}")
    low, comma, high = inside.partition(",")
    if not closing or not (low or high) or not all(part.isdecimal() for part in (low, high) if part):
        return 0, start + 1
    return (float(high or "inf") if comma else float(low)), start + len(inside) + 2

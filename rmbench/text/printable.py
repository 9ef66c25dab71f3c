"""Text of others made printable: nothing in it acts, and the secrets are hidden that this process knows."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache
from typing import Any

from rmbench.untrusted.masking import mask, masked

__all__ = [
    "LONGEST",
    "LONGEST_LINE",
    "guarded",
    "is_unicode",
    "json_text",
    "printable",
    "printable_block",
    "printable_message",
]

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
LONGEST = 200
"""Characters of a name."""
LONGEST_LINE = 2_000
_MOST_LINES = 100
_COMMAND_LINE = re.compile(r"^(\s*)(?=::)", re.MULTILINE)
_COMMAND_WORD = re.compile(r"##(?=\w*\[)")
"""How commands to the runners of GitHub and Azure begin: a line with "::", and "##[" or "##vso[" anywhere."""


def printable(text: str, longest: int = LONGEST) -> str:
    """`text` without control characters, bidi overrides, zero-width characters and lone surrogates; white space of any
    kind is one space. At most `longest` characters, and no command to a runner of workflows.

    >>> printable("org/name" + chr(27) + "[31m" + chr(10) + "x")
    'org/name[31m x'
    """
    shown = mask(text)
    return _printable(shown, longest) if len(shown) <= LONGEST else _printable.__wrapped__(shown, longest)


@lru_cache(maxsize=4096)
def _printable(text: str, longest: int) -> str:
    """Pages and tables say the same names over and over."""
    spaced = re.sub(r"\s+", " ", text)
    seen = "".join(char for char in spaced if unicodedata.category(char) not in _UNSEEN).strip()
    return guarded(seen if len(seen) <= longest else seen[: longest - 1] + "…")


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: it holds no lone surrogate, of which JSON may spell one.

    >>> is_unicode("é"), is_unicode(chr(0xD800))
    (True, False)
    """
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def guarded(text: str) -> str:
    r"""Lines that the runners of GitHub's and Azure's workflows, which read what a step prints, take as text.

    >>> print(guarded("::error::x"), guarded("  ::add-mask::x"), guarded("a ##[error]x ##vso[x]"), guarded("std::x"))
    \::error::x   \::add-mask::x a #\#[error]x #\#vso[x] std::x
    """
    return _COMMAND_WORD.sub(r"#\\#", _COMMAND_LINE.sub(r"\1\\", text))


def json_text(data: Any) -> str:
    r"""Plain data as indented JSON that is safe to print: what `printable` leaves out is escaped, as are commands to
    the runners of workflows. NaN is refused, because it is not JSON.

    >>> print(json_text({"é": chr(0x202E) + chr(0x9B)}))
    {
      "é": "\u202e\u009b"
    }
    """
    text = json.dumps(masked(data), indent=2, ensure_ascii=False, allow_nan=False)
    seen = "".join(
        char if char == "\n" or unicodedata.category(char) not in _UNSEEN else json.dumps(char)[1:-1] for char in text
    )
    return _COMMAND_WORD.sub(r"#\\u0023", seen)


def printable_block(text: str) -> str:
    r"""`text` of several lines, its white space as it is; control characters, bidi overrides, zero-width characters and
    lone surrogates as escapes.

    >>> printable_block("a" + chr(27) + "[31m" + chr(10) + "  b")
    'a\\x1b[31m\n  b'
    """
    return "".join(
        char if char == "\n" or unicodedata.category(char) not in _UNSEEN else _escape(char) for char in mask(text)
    )


def printable_message(text: str) -> str:
    r"""A message of one or several lines, each of them printable. Lines after the first are indented, so that a line
    break in a name of others begins no line that looks like ours. At most 100 lines of 2,000 characters.

    >>> printable_message("no task could be run:\n  a: absent" + chr(13) + chr(27) + "[2J")
    'no task could be run:\n  a: absent [2J'
    """
    first, *others = mask(text).strip("\n").split("\n")
    left_out = len(others) - _MOST_LINES
    shown = [first, *others[:_MOST_LINES], *([f"and {left_out:,} more lines"] if left_out > 0 else [])]
    return "\n  ".join(printable(each, LONGEST_LINE) for each in shown)


def _escape(char: str) -> str:
    return {"\t": "\\t", "\r": "\\r"}.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}")

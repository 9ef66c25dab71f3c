"""Text for one line of a terminal, a page or a file: numbers, footnote letters, and untrusted names made printable."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable

__all__ = ["figure", "letters_of", "printable"]

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_LONGEST = 200


def printable(text: str, longest: int = _LONGEST) -> str:
    """`text` without control characters, bidi overrides, zero-width characters and lone surrogates; white space of any
    kind is one space. At most `longest` characters.

    >>> printable("org/name" + chr(27) + "[31m" + chr(10) + "x")
    'org/name[31m x'
    """
    spaced = re.sub(r"\s+", " ", text)
    seen = "".join(char for char in spaced if unicodedata.category(char) not in _UNSEEN).strip()
    return seen if len(seen) <= longest else seen[: longest - 1] + "…"


def figure(value: float | None, digits: int = 3) -> str:
    """A fraction or correlation without its leading zero; a hyphen where there is none.

    >>> figure(0.6124), figure(-0.03), figure(1.0), figure(None)
    ('.612', '-.030', '1.000', '-')
    """
    if value is None:
        return "-"
    text = f"{value:.{digits}f}"
    sign, plain = ("-", text[1:]) if text.startswith("-") else ("", text)
    if not plain.strip("0."):
        sign = ""
    return sign + (plain[1:] if plain.startswith("0.") else plain)


def letters_of(names: Iterable[str]) -> dict[str, str]:
    """Name -> letter, in their order: a to z, then z1, z2 ...

    >>> letters_of(["failed_rows", "sample"])
    {'failed_rows': 'a', 'sample': 'b'}
    """
    names = list(names)
    letters = [*string.ascii_lowercase, *(f"z{k}" for k in range(1, len(names)))]
    return dict(zip(names, letters, strict=False))

"""Numbers and footnote letters as text."""

from __future__ import annotations

import string
from collections.abc import Iterable

__all__ = ["figure", "file_size", "letters_of", "share"]


def share(value: float | None) -> str:
    """A fraction in whole percent, 100% only where it is all; a hyphen where it is unknown.

    >>> share(0.5), share(0.9996), share(1.0), share(None)
    ('50%', '99%', '100%', '-')
    """
    if value is None:
        return "-"
    return f"{value if value >= 1 else min(value, 0.99):.0%}"


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


def file_size(size: float) -> str:
    """A number of bytes with its unit.

    >>> file_size(512), file_size(3 * 2**20)
    ('512 B', '3.0 MiB')
    """
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


def letters_of(names: Iterable[str]) -> dict[str, str]:
    """Name -> letter, in their order: a to z, then z1, z2 ...

    >>> letters_of(["failed_rows", "sample"])
    {'failed_rows': 'a', 'sample': 'b'}
    """
    names = list(names)
    letters = [*string.ascii_lowercase, *(f"z{k}" for k in range(1, len(names)))]
    return dict(zip(names, letters, strict=False))

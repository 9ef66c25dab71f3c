"""Intervals, ranks, sizes and marks as text, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rmbench.text import figure, letters_of

__all__ = ["interval", "marks", "p_value", "parameters", "rank_range", "signed"]


def interval(low: float | None, high: float | None) -> str:
    """Limits in brackets, with a third digit only where the interval is narrow; "" where there are none.

    >>> interval(0.5773, 0.6769), interval(0.8934, 0.9148)
    ('[.58, .68]', '[.893, .915]')
    """
    if low is None or high is None:
        return ""
    digits = 2 if high - low >= 0.04 else 3
    return f"[{figure(low, digits)}, {figure(high, digits)}]"


def rank_range(rank: tuple[int, int] | None) -> str:
    """`2-4`, `1`, or a hyphen."""
    if rank is None:
        return "-"
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}-{rank[1]}"


def parameters(count: int | None) -> str:
    """A number of parameters in the usual units.

    >>> parameters(7_504_924_672), parameters(1_200_000), parameters(None)
    ('7.5B', '1.2M', '-')
    """
    if count is None:
        return "-"
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return str(count)


def signed(value: float | None) -> str:
    """A difference with its sign.

    >>> signed(0.0124), signed(-0.2), signed(0.0)
    ('+.012', '-.200', '.000')
    """
    text = figure(value)
    return f"+{text}" if value is not None and value > 0 and text.strip("0.") else text


def p_value(p: float | None) -> str:
    """A p value to two digits, never 0.

    >>> p_value(0.0312), p_value(0.000004), p_value(1.0), p_value(None)
    ('.031', '<.001', '1.000', '-')
    """
    return "<.001" if p is not None and p < 0.001 else figure(p)


def marks(cells: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """(flags that every cell has, flag -> letter for the others), so that shared flags are printed once."""
    sets = [frozenset(flags) for flags in cells]
    common = frozenset.intersection(*sets) if sets else frozenset()
    others = sorted(frozenset().union(*sets) - common)
    return tuple(sorted(common)), letters_of(others)

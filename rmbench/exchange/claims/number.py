"""Numbers as they are printed, and whether one is a value correctly rounded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from typing import Literal

__all__ = ["Agreement", "Printed", "agreement", "printed_number"]

Agreement = Literal["right", "rounded", "different"]
"""`right`: the value correctly rounded at the digits printed, an exact half up or to the even digit. `rounded`: cut off
at these digits, or rounded twice, first at more of them."""

_UNSIGNED = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)"
_DIGITS = rf"[-+]?{_UNSIGNED}"
_NUMBER = re.compile(
    rf"(?P<value>{_DIGITS})(?:\((?P<last>\d{{1,4}})\))?\s*(?P<percent>%?)\s*"
    rf"(?:(?:\+/-|\+-|±)\s*(?P<margin>{_UNSIGNED})\s*%?"
    rf"|[\[(]\s*(?:95\s*%\s*CI:?\s*)?(?P<low>{_DIGITS})\s*%?\s*(?:,|;|to|–|—|--)\s*(?P<high>{_DIGITS})\s*%?\s*[\])]"
    rf"|\+(?P<up>{_UNSIGNED})\s*[-/]\s*-?(?P<down>{_UNSIGNED})"
    rf"|-(?P<below>{_UNSIGNED})\s*\+(?P<above>{_UNSIGNED})"
    rf"|(?P<beside>\([^()]*\)|\[[^\[\]]*\]|[↑↓△▲▼]\s*{_UNSIGNED}))?"
    r"\s*[*†‡§¶^]*\s*"
)
_NOISE = Decimal("1e-12")
"""More than the error of a share or a percentage that was computed in floating point."""
_MORE = 4
"""Digits of the first rounding beyond those printed: tables are made from tables of one to three more."""
_PRECISION = 400
"""Digits; a cell has at most 200 characters, a float 1,075 binary places but 17 that count."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A number and the interval beside it, as decimals with the digits that were printed."""

    value: Decimal
    percent: bool
    """A percent sign follows."""
    margin: Decimal | None = None
    """What follows ±."""
    limits: tuple[Decimal, Decimal] | None = None
    beside: str = ""
    """What stands beside it and is no interval."""


def printed_number(text: str) -> Printed | None:
    """The number that a cell holds and nothing else beside it but an interval or footnote marks; None for other cells.

    >>> printed_number("72.8 ± 1.2").margin, printed_number(".728 [.71, .75]").limits[0], printed_number("8B")
    (Decimal('1.2'), Decimal('0.71'), None)
    """
    found = _NUMBER.fullmatch(text.strip().replace("−", "-").replace("\u2009", "")) if len(text) < 200 else None
    if found is None:
        return None
    value, low, high, margin = _decimal(found["value"]), found["low"], found["high"], found["margin"]
    limits = (_decimal(low), _decimal(high)) if low and high else None
    up, down = found["up"] or found["above"], found["down"] or found["below"]
    if up and down:
        limits = (value - _decimal(down), value + _decimal(up))
    around = _decimal(margin) if margin else None
    if found["last"]:  # 72.8(12), as siunitx writes 72.8 ± 1.2
        around = _decimal(found["last"]).scaleb(int(value.as_tuple().exponent))
    return Printed(value, bool(found["percent"]), around, limits, found["beside"] or "")


def _decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


def agreement(printed: Decimal, value: float, *, percent: bool) -> Agreement:
    """How a printed number stands to a value.

    >>> [agreement(Decimal(text), 0.72772, percent=False) for text in (".728", ".727", ".73", ".729")]
    ['right', 'rounded', 'right', 'different']
    >>> [agreement(Decimal(text), 0.125, percent=True) for text in ("12", "13", "12.5", "14")]
    ['right', 'right', 'right', 'different']
    >>> agreement(Decimal(".73"), 0.72446, percent=False), agreement(Decimal(".725"), 0.72446, percent=False)
    ('different', 'rounded')
    """
    factor = 100 if percent else 1
    with localcontext(prec=_PRECISION):
        places = -int(printed.as_tuple().exponent)
        shortest = Decimal(repr(value)) * factor
        # The decimal that people see, the binary number that programs round, and what remains of it after arithmetic.
        readings = (shortest, Decimal(value) * factor, Decimal(value * factor), shortest.quantize(_NOISE))
        if printed in {at for each in readings for at in _at(each, places)}:
            return "right"
        cut = {each.quantize(Decimal(1).scaleb(-places), ROUND_DOWN) for each in readings}
        twice = {at for more in range(1, _MORE) for once in _at(shortest, places + more) for at in _at(once, places)}
        return "rounded" if printed in cut | twice else "different"


def _at(value: Decimal, places: int) -> set[Decimal]:
    """A number rounded at so many places, by both rules for a half."""
    return {value.quantize(Decimal(1).scaleb(-places), how) for how in (ROUND_HALF_UP, ROUND_HALF_EVEN)}

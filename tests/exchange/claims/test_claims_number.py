"""How numbers are printed, and when a printed number is a value correctly rounded."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmbench.exchange.claims.number import Printed, agreement, printed_number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("72.8", Printed(Decimal("72.8"), False)),
        (".728", Printed(Decimal("0.728"), False)),
        ("72.80 %", Printed(Decimal("72.80"), True)),
        ("−0.12", Printed(Decimal("-0.12"), False)),
        ("1,234.5", Printed(Decimal("1234.5"), False)),
        ("72.8*†", Printed(Decimal("72.8"), False)),
        ("72.8 ± 1.2", Printed(Decimal("72.8"), False, Decimal("1.2"))),
        ("72.8% +/- 1.2%", Printed(Decimal("72.8"), True, Decimal("1.2"))),
        ("72.8 [71.6, 73.9]", Printed(Decimal("72.8"), False, None, (Decimal("71.6"), Decimal("73.9")))),
        (".728 (.71–.74)", Printed(Decimal(".728"), False, None, (Decimal(".71"), Decimal(".74")))),
        ("-.1 [-.3 to .1]", Printed(Decimal("-.1"), False, None, (Decimal("-.3"), Decimal(".1")))),
        ("72.8+1.1-1.2", Printed(Decimal("72.8"), False, None, (Decimal("71.6"), Decimal("73.9")))),
        ("", None),
        ("-", None),
        ("8B", None),
        ("2024-05", None),
        ("72.8-1.2+1.1", Printed(Decimal("72.8"), False, None, (Decimal("71.6"), Decimal("73.9")))),
        ("72.8(12)", Printed(Decimal("72.8"), False, Decimal("1.2"))),
        ("72.8 (+1.2)", Printed(Decimal("72.8"), False, beside="(+1.2)")),
        ("72.8 ↑1.2", Printed(Decimal("72.8"), False, beside="↑1.2")),
        ("1.2.3", None),
        ("1,23", None),
        ("9" * 500, None),
    ],
)
def test_a_cell_is_read(text: str, expected: Printed | None) -> None:
    assert printed_number(text) == expected


@pytest.mark.parametrize(
    ("printed", "value", "expected"),
    [
        ("0.73", 0.72772, "right"),
        ("0.728", 0.72772, "right"),
        ("0.727", 0.72772, "rounded"),  # cut off
        ("0.729", 0.72772, "different"),
        ("0.7277", 0.72772, "right"),
        ("0.62", 0.625, "right"),  # half to even
        ("0.63", 0.625, "right"),  # half up
        ("0.64", 0.625, "different"),
        ("0.37", 0.375, "rounded"),  # neither rule, but cut off
        ("0.38", 0.375, "right"),
        ("0.29", 0.295, "right"),  # the binary number is below .295
        ("0.30", 0.295, "right"),  # the decimal is not
        ("0.725", 0.72446, "rounded"),  # .7245, then .725
        ("0.73", 0.72446, "different"),
        ("-0.12", -0.1249, "right"),
        ("-0.13", -0.1249, "rounded"),  # -.125, then -.13
        ("-0.14", -0.1249, "different"),
        ("0.5", 0.5, "right"),
        ("0.500000000000000000000001", 0.5, "different"),
        ("1", 0.5, "right"),
        ("0", 0.5, "right"),
        ("0.30", 0.1 + 0.2, "right"),
        ("0.285", 0.28500000000000003, "right"),
        ("0.28", 0.28500000000000003, "right"),  # 57 of 200, but for the noise of a mean
    ],
)
def test_agreement(printed: str, value: float, expected: str) -> None:
    assert agreement(Decimal(printed), value, percent=False) == expected


@pytest.mark.parametrize(
    ("printed", "value", "expected"),
    [
        ("62.5", 0.625, "right"),
        ("28", 0.285, "right"),
        ("29", 0.285, "right"),  # half up of the decimal; the binary number is below it
        ("30", 0.285, "different"),
        ("72.7", 0.72772, "rounded"),
        ("72.5", 0.72446, "rounded"),
        ("0.5", 0.5, "different"),
        ("50." + "0" * 150, 0.5, "right"),
        ("50." + "0" * 150 + "1", 0.5, "different"),
    ],
)
def test_agreement_of_percentages(printed: str, value: float, expected: str) -> None:
    assert agreement(Decimal(printed), value, percent=True) == expected


@given(st.integers(0, 2000), st.integers(1, 2000), st.integers(0, 6), st.booleans())
def test_what_python_prints_of_a_share_is_right(right: int, n: int, places: int, percent: bool) -> None:
    """By f-strings of floats and by exact fractions; the next number of these digits is never right."""
    value = right / n
    factor = 100 if percent else 1
    for text in (f"{value * factor:.{places}f}", f"{round(value * factor, places):.{places}f}"):
        assert agreement(Decimal(text), value, percent=percent) == "right"
    exact = Fraction(right, n) * factor
    unit = Fraction(1, 10**places)
    for steps in (-2, -1, 1, 2):
        other = Decimal(f"{value * factor:.{places}f}") + steps * Decimal(1).scaleb(-places)
        off = abs(Fraction(other) - exact)
        if off > unit / 2 + Fraction(1, 10**9):
            assert agreement(other, value, percent=percent) != "right"
        if off > unit + Fraction(1, 10**9):
            assert agreement(other, value, percent=percent) == "different"

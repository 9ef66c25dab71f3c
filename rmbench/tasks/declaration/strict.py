"""The configuration that all tables of a declaration share, and small types of values."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict

__all__ = ["STRICT", "Chance", "Label", "MetricName", "Sha256", "TaskId"]


STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
"""No unknown keys and no conversions."""


def _label(value: Any) -> str | int | float:
    """A row's label in a TOML: a number that is not whole is none, but 1.0 is how some tables spell a 1."""
    if not isinstance(value, str | int) and not (isinstance(value, float) and value.is_integer()):
        raise ValueError("expected a string, a whole number, true or false")
    return value


def _spelt(pattern: str, words: str) -> Any:
    """A string of a pattern, which `words` describe."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"expected {words}")
        return value

    return AfterValidator(check)


def _chance(value: Any) -> Any:
    """The chance level: a fraction, one per kind of answer, or `one_over_k`."""
    allowed = 'expected a number, a table such as { reward = 0.5, verdict = 0.25 }, or "one_over_k"'
    if isinstance(value, dict):
        if value and set(value) <= {"reward", "verdict"} and all(_is_number(each) for each in value.values()):
            return {key: float(each) for key, each in value.items()}
        raise ValueError(allowed)
    if value == "one_over_k":
        return value
    if not _is_number(value):
        raise ValueError(allowed)
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


Label = Annotated[Any, BeforeValidator(_label)]
Chance = Annotated[Any, BeforeValidator(_chance)]
TaskId = Annotated[str, _spelt(r"[a-z0-9]+([.-][a-z0-9]+)*", "lower-case letters and digits with single hyphens")]
MetricName = Annotated[str, _spelt(r"[a-z][a-z0-9_]*", "lower-case letters, digits and underscores")]
Sha256 = Annotated[str, _spelt(r"[0-9a-f]{64}", "64 hexadecimal digits")]

"""Results as JSON text and back, exactly: Python prints a float so that reading it gives the same float, and long
vectors are kept as the bytes of their float32."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rmbench.models.protocols import FloatArray
from rmbench.types import Judgment, Verdict
from rmbench.untrusted.masking import mask, masked

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["RowResult", "dump_judgment", "dump_result", "load_judgments", "load_result", "load_results"]


Loaded = TypeVar("Loaded")

_LONG = 16
"""Vectors longer than this are written as bytes: an embedding as text is three times as large and slow to read."""
_NUMBERS = (int, float)
_LARGEST = float(np.finfo(np.float32).max)
_ENCODED = json.JSONEncoder(allow_nan=False).encode
_QUOTED = 80
"""Characters of a broken text in messages."""


@dataclass(frozen=True, slots=True, eq=False)
class RowResult:
    """What a forward gave for one row, or why it gave nothing."""

    values: Mapping[str, FloatArray] = field(default_factory=dict)
    """Name -> [M]."""
    error: str = ""
    halved: bool = False
    """The row's batch did not fit into memory and was split."""


def dump_result(result: RowResult) -> str:
    """One row's result as JSON."""
    values = {name: _dumped(value) for name, value in result.values.items()}
    fields: dict[str, Any] = {"error": mask(result.error)} if result.error else {"values": values}
    if result.halved:
        fields["halved"] = True
    return _ENCODED(fields)


def load_results(payload: Sequence[str], rows: int) -> list[RowResult]:
    """The results of a batch of `rows` rows; raises ValueError where the payload is not what a run writes."""
    return _each(load_result, payload, rows)


def load_result(text: str) -> RowResult:
    """One row's result; raises ValueError where the text is not what `dump_result` writes."""
    fields = _parsed(text)
    values, error, halved = fields.get("values", {}), fields.get("error", ""), fields.get("halved", False)
    if not fields.keys() <= {"values", "error", "halved"} or not isinstance(values, dict) or type(halved) is not bool:
        raise ValueError(f"it is no result of a row: {text[:_QUOTED]!r}")
    if not isinstance(error, str) or bool(error) is bool(values):
        raise ValueError(f"it has not either values or an error: {text[:_QUOTED]!r}")
    return RowResult({name: _loaded(name, value) for name, value in values.items()}, error, halved)


def _dumped(value: FloatArray) -> list[float] | str:
    if len(value) <= _LONG:
        return [float(number) for number in value]
    return base64.b64encode(value.astype("<f4", copy=False).tobytes()).decode("ascii")


def _loaded(name: str, value: object) -> FloatArray:
    if isinstance(value, str):
        array = np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").astype(np.float32, copy=False)
        if np.isfinite(array).all():
            return array
    elif isinstance(value, list) and all(type(one) in _NUMBERS and abs(one) <= _LARGEST for one in value):
        return np.array(value, dtype=np.float32)
    raise ValueError(f"{name!r} holds something else than finite numbers")


def dump_judgment(judgment: Judgment) -> str:
    """A judgment as JSON (NaN and infinity as Python spells them); raises TypeError where it holds no plain data."""
    fields = {name: getattr(judgment, name) for name in Judgment.__slots__}
    fields["verdicts"] = [{name: getattr(verdict, name) for name in Verdict.__slots__} for verdict in judgment.verdicts]
    texts = {name: fields[name] for name in ("error", "rationale", "remarks", "verdicts")}
    if any(texts.values()):  # those of a score file or of a baseline have none
        fields |= masked(texts)
    fields["error"] = fields["error"].encode("utf-8", "replace").decode("utf-8")  # no file holds half a surrogate pair
    return json.dumps(fields, default=_plain)


def load_judgments(payload: Sequence[str], rows: int) -> list[Judgment]:
    """The judgments of a chunk of `rows` examples; raises ValueError where the payload is not what a run writes."""
    return _each(load_judgment, payload, rows)


def load_judgment(text: str) -> Judgment:
    """One judgment; raises ValueError where the text is not what `dump_judgment` writes. Whether its sizes and numbers
    fit its example, `rmbench.consistency` says."""
    fields = _parsed(text)
    try:
        whole = json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")  # no half of a surrogate pair
        _checker().validate_json(whole, strict=True)
        return _judgment(fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no judgment ({type(error).__name__}): {text[:_QUOTED]!r}") from error


@cache
def _checker() -> TypeAdapter[Judgment]:
    """Checks types alone: what it makes of numbers is not used, since 7 would become 7.0."""
    from pydantic import TypeAdapter

    return TypeAdapter(Judgment)


def _judgment(fields: dict[str, Any]) -> Judgment:
    verdicts = tuple(Verdict(**{name: _tupled(value) for name, value in one.items()}) for one in fields["verdicts"])
    plain = {name: _tupled(value) for name, value in fields.items() if name not in {"verdicts", "parts"}}
    parts = {name: _tupled(value) for name, value in fields["parts"].items()}
    return Judgment(**plain, parts=parts, verdicts=verdicts)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a judgment cannot hold a {type(value).__name__}")


def _tupled(value: Any) -> Any:
    return tuple(_tupled(one) for one in value) if isinstance(value, list) else value


def _each(load: Callable[[str], Loaded], payload: Sequence[str], rows: int) -> list[Loaded]:
    if len(payload) != rows:
        raise ValueError(f"the journal keeps {len(payload)} rows for a batch of {rows}")
    return [load(text) for text in payload]


def _parsed(text: object) -> dict[str, Any]:
    try:
        fields = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {str(text)[:_QUOTED]!r}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"it is no JSON object: {str(text)[:_QUOTED]!r}")
    return fields

"""Results as JSON text and back, exactly: Python prints a float so that reading it gives the same float, and long
vectors are kept as the bytes of their float32."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rmbench.errors import RmbenchError
from rmbench.models.protocols import FloatArray
from rmbench.types import Judgment, Verdict

__all__ = ["RowResult", "dump_judgment", "dump_result", "load_judgments", "load_results"]


_LONG = 16
"""Vectors longer than this are written as bytes: an embedding as text is three times as large and slow to read."""


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
    fields: dict[str, Any] = {"error": result.error} if result.error else {"values": values}
    if result.halved:
        fields["halved"] = True
    return json.dumps(fields, allow_nan=False)


def load_results(payload: Sequence[str], rows: int) -> list[RowResult]:
    """The results of a batch of `rows` rows; raises RmbenchError where the payload does not fit."""
    return [
        RowResult(
            values={name: _loaded(value) for name, value in fields.get("values", {}).items()},
            error=fields.get("error", ""),
            halved=fields.get("halved", False),
        )
        for fields in _parsed(payload, rows)
    ]


def _dumped(value: FloatArray) -> list[float] | str:
    if len(value) <= _LONG:
        return [float(number) for number in value]
    return base64.b64encode(value.astype("<f4", copy=False).tobytes()).decode("ascii")


def _loaded(value: list[float] | str) -> FloatArray:
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value), dtype="<f4").astype(np.float32, copy=False)
    return np.asarray(value, dtype=np.float32)


def dump_judgment(judgment: Judgment) -> str:
    """A judgment as JSON (NaN and infinity as Python spells them); raises TypeError where it holds no plain data."""
    fields = {name: getattr(judgment, name) for name in Judgment.__slots__}
    fields["verdicts"] = [{name: getattr(verdict, name) for name in Verdict.__slots__} for verdict in judgment.verdicts]
    fields["error"] = judgment.error.encode("utf-8", "replace").decode("utf-8")  # no file holds half a surrogate pair
    return json.dumps(fields, default=_plain)


def load_judgments(payload: Sequence[str], rows: int) -> list[Judgment]:
    """The judgments of a chunk of `rows` examples; raises RmbenchError where the payload does not fit."""
    return [_judgment(fields) for fields in _parsed(payload, rows)]


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


def _parsed(payload: Sequence[str], rows: int) -> list[dict[str, Any]]:
    if len(payload) != rows:
        raise RmbenchError(f"The journal keeps {len(payload)} rows for a batch of {rows}; delete it to start over.")
    return [json.loads(text) for text in payload]

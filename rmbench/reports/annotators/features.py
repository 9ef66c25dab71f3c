"""Features of pairs, "name=value": the groups of their rows, and how far their answers differ in properties."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.reports.annotators.labels import Labelled
from rmbench.reports.dissection.properties import Properties

__all__ = ["THIRDS", "Features", "features_of", "read_gains"]

Features = Mapping[str, Sequence[str | None]]
"""Name -> [P] the value of each pair; None where it has none."""

_MOST = 30
"""Values of a group that is set apart unasked."""
THIRDS = ("low", "middle", "high")


def features_of(pairs: Sequence[Labelled], by: Sequence[str], properties: Properties) -> Features:
    """The features of the pairs.

    Raises:
        RmbenchError: `by` names no group of the rows, or a property has not a figure for each candidate.
    """
    groups = {name for pair in pairs for name in pair.row.groups}
    for name in by:
        if name not in groups:
            raise RmbenchError(f'--by: "{name}" is no group of the rows.{did_you_mean(name, groups)}')
    found: dict[str, Sequence[str | None]] = {}
    for name in by or sorted(groups):
        values = [pair.row.groups.get(name) for pair in pairs]
        if by or 2 <= len({*values} - {None}) <= _MOST:
            found[name] = values
    names = list(next(iter(properties.values()))) if properties else []
    for name in names:
        apart = np.array([_apart(pair, name, properties) for pair in pairs])
        if len(set(apart[~np.isnan(apart)].tolist())) > 1:
            found[f"{name} difference"] = _thirds(apart)
    return found


def _apart(pair: Labelled, name: str, properties: Properties) -> float:
    """How far the two answers differ in a property; nan where it is unknown."""
    values = properties.get(pair.row.id, {}).get(name)
    if values is None:
        return math.nan
    if len(values) != pair.row.size:
        raise RmbenchError(
            f'row "{pair.row.id}" has {pair.row.size} candidates, and property "{name}" {len(values)} figures.'
        )
    one, other = values[pair.i], values[pair.j]
    return math.nan if one is None or other is None else abs(one - other)


def _thirds(apart: Floats) -> list[str | None]:
    """Equal figures are in one third, so that thirds may differ in size, or the middle be empty."""
    cuts = np.quantile(apart[~np.isnan(apart)], (1 / 3, 2 / 3))
    return [None if math.isnan(value) else THIRDS[int(np.searchsorted(cuts, value))] for value in apart.tolist()]


def read_gains(path: Path, features: Features) -> dict[str, float]:
    """The gains of a file by feature.

    Raises:
        RmbenchError: it is no JSON object of numbers, or names a feature that no pair has.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RmbenchError(f"{path}: cannot be read as JSON ({error}).") from error
    if not isinstance(found, dict) or not all(
        isinstance(gain, int | float) and not isinstance(gain, bool) and math.isfinite(gain) for gain in found.values()
    ):
        raise RmbenchError(f'{path}: expected an object of numbers, {{"category=Coding": 0.3}}.')
    known = {f"{name}={value}" for name, values in features.items() for value in values if value is not None}
    for name in found:
        if name not in known:
            raise RmbenchError(f'{path}: no pair has the feature "{name}".{did_you_mean(name, known)}')
    return {name: float(gain) for name, gain in found.items()}

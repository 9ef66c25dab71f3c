"""From a record's rows and their properties to weights, for the model and for people, per scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metrics.judging.votes import voted
from rmbench.metrics.properties.laplace import Posterior, laplace_map, laplace_posterior, similarity
from rmbench.metrics.rows.answers import in_dimension, margin
from rmbench.metrics.rows.gold import Compared, compared
from rmbench.metrics.rows.selection import selected_rows
from rmbench.metrics.uncertainty.aggregate import Floats, Ints
from rmbench.records.headline import headline_spec
from rmbench.records.store import read, read_table_of
from rmbench.reports.dissection.properties import Properties, of_texts, read_properties
from rmbench.tasks.asked import question_of
from rmbench.types import Example, Judged

__all__ = ["ALL", "PEOPLE", "Dissection", "Fit", "Scenario", "Settings", "alike", "dissection_of"]

ALL = "all rows"
PEOPLE = "people"


@dataclass(frozen=True, slots=True)
class Settings:
    """As `rmbench.reports.dissection.dissect` explains them."""

    by: str = ""
    method: Literal["posterior", "map"] = "posterior"
    scale: float = 0.1
    draws: int = 2000
    folds: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Fit:
    """How one judge of the pairs, the model or people, weighs each property."""

    weights: tuple[float, ...]
    low: tuple[float | None, ...]
    """[p] ends of the 95% credible intervals; None with "map"."""
    high: tuple[float | None, ...]
    r_hat: float | None
    """Above 1.05 the chains disagree: more draws are needed."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The pairs of all rows, or of one value of a group."""

    name: str
    pairs: int
    differ: tuple[int, ...]
    """[p] pairs whose answers differ in the property."""
    model: Fit
    people: Fit
    similarity: float | None
    """Pearson's r of the model's weights and people's."""


@dataclass(frozen=True, slots=True)
class Dissection:
    """What a model and the people of its rows prefer."""

    model: str
    task: str
    properties: tuple[str, ...]
    settings: Settings
    scenarios: tuple[Scenario, ...]
    """All rows first."""
    left_out: Mapping[str, int]
    """Why pairs have no part in the fit, and how many."""


@dataclass(frozen=True, slots=True)
class _Pair:
    row: Judged
    signs: tuple[float, ...]
    """[p] of the first answer's figure less the second's."""
    model: float
    """1: the model prefers the first answer; -1: the second."""
    people: float


def dissection_of(
    folder: Path, features: Path | None, examples: Mapping[str, Example] | None, settings: Settings
) -> Dissection:
    """See `rmbench.reports.dissection.dissect`."""
    record = read(folder)
    if record.kind == "published":
        raise RmbenchError(f"{folder}: the record holds figures that others published, and no rows.")
    if features is None and not examples:
        raise RmbenchError(
            f"{folder}: properties are counted in the rows' texts, which are not at hand. Name their source (--source, "
            "--data), or a file of properties (--features FILE)."
        )
    properties = read_properties(features) if features is not None else of_texts(examples or {})
    rows = [row for row, _ in read_table_of(folder, record)]
    if len({question_of(row) for row in rows}) < len(rows):
        raise RmbenchError(
            f"{folder}: its rows ask each question several times (--shots, --reference), and a fit takes rows as "
            "independent. Dissect a record in which each stands once."
        )
    spec = headline_spec(record)
    counted = [in_dimension(row, spec.dimension) for row in selected_rows(voted(rows, record.model.settings), spec)]
    if not any(row.id in properties for row in counted):
        hint = did_you_mean(next(iter(properties)), [row.id for row in counted])
        raise RmbenchError(f"{features}: none of its ids is that of a row of {folder}.{hint}")
    left_out: dict[str, int] = {}
    pairs = [pair for row in counted for pair in _pairs(row, compared(row, spec), properties, left_out)]
    if not pairs:
        raise RmbenchError(f"{folder}: no pair is left to fit: {left_out}.")
    return Dissection(
        model=f"{record.model.name}@{record.model.revision}",
        task=f"{record.task.id}@{record.task.version}",
        properties=tuple(next(iter(properties.values()))),
        settings=settings,
        scenarios=tuple(_scenario(name, of, settings) for name, of in _split(pairs, settings.by)),
        left_out=left_out,
    )


def _pairs(row: Judged, edges: Sequence[Compared], properties: Properties, left_out: dict[str, int]) -> Iterator[_Pair]:
    def count(why: str) -> None:
        left_out[why] = left_out.get(why, 0) + 1

    for edge in edges:
        apart = margin(row, edge.i, edge.j)
        if edge.tie:
            count("people tie them")
        elif row.id not in properties:
            count("no properties of the row")
        elif apart is None:
            count("no readable answer of the model")
        elif apart == 0:
            count("the model ties them")
        elif (signs := _signs(row, edge.i, edge.j, properties[row.id])) is None:
            count("a property is unknown")
        else:
            yield _Pair(row, signs, 1.0 if apart > 0 else -1.0, 1.0)


def _signs(row: Judged, i: int, j: int, figures: Mapping[str, tuple[float | None, ...]]) -> tuple[float, ...] | None:
    signs = []
    for name, values in figures.items():
        if len(values) != row.size:
            raise RmbenchError(
                f'row "{row.id}" has {row.size} candidates, and property "{name}" {len(values)} figures.'
            )
        first, second = values[i], values[j]
        if first is None or second is None:
            return None
        signs.append(float(first > second) - float(first < second))
    return tuple(signs)


def _split(pairs: Sequence[_Pair], by: str) -> Iterator[tuple[str, list[_Pair]]]:
    yield ALL, list(pairs)
    if not by:
        return
    groups = {name for pair in pairs for name in pair.row.groups}
    if by not in groups:
        raise RmbenchError(f'--by: "{by}" is no group of the rows.{did_you_mean(by, groups)}')
    values = sorted({pair.row.groups[by] for pair in pairs if by in pair.row.groups})
    for value in values:
        yield f"{by}={value}", [pair for pair in pairs if pair.row.groups.get(by) == value]


def _scenario(name: str, pairs: Sequence[_Pair], settings: Settings) -> Scenario:
    x = np.array([pair.signs for pair in pairs])
    model, people = (
        _fit(x, np.array([getattr(pair, side) for pair in pairs]), settings) for side in ("model", "people")
    )
    return Scenario(
        name=name,
        pairs=len(pairs),
        differ=tuple(int(n) for n in (x != 0).sum(axis=0)),
        model=model,
        people=people,
        similarity=similarity(np.array(model.weights), np.array(people.weights)),
    )


def _fit(x: Floats, y: Floats, settings: Settings) -> Fit:
    parts = [np.arange(len(y))] if settings.folds < 2 else list(_folds(len(y), settings))
    if settings.method == "map":
        modes = [laplace_map(x[part], y[part], scale=settings.scale) for part in parts]
        none = (None,) * x.shape[1]
        return Fit(tuple(map(float, np.mean(modes, axis=0))), none, none, None)
    whole = _posterior(x, y, settings)
    means = [_posterior(x[part], y[part], settings).mean for part in parts] if len(parts) > 1 else [whole.mean]
    weights, low, high = (tuple(map(float, each)) for each in (np.mean(means, axis=0), whole.low, whole.high))
    return Fit(weights, low, high, whole.r_hat)


def _posterior(x: Floats, y: Floats, settings: Settings) -> Posterior:
    return laplace_posterior(x, y, scale=settings.scale, draws=settings.draws, seed=settings.seed)


def _folds(n: int, settings: Settings) -> Iterator[Ints]:
    """The rows of each fit: all but one part, in a shuffled order."""
    if n < settings.folds:
        raise RmbenchError(f"--folds {settings.folds}: only {n} pairs are there to leave out.")
    order = np.random.default_rng(settings.seed).permutation(n)
    for part in np.array_split(order, settings.folds):
        yield np.setdiff1d(order, part)


def alike(dissections: Sequence[Dissection]) -> dict[tuple[str, str], float | None]:
    """(model, model) -> Pearson's r of their weights, the plain mean over the scenarios that both have (groups, where
    there are any; else all rows). People stand under `PEOPLE`, of the first record.

    Raises:
        RmbenchError: the models were fitted on other properties.
    """
    first = dissections[0]
    for other in dissections[1:]:
        if other.properties != first.properties:
            raise RmbenchError(f"{other.model} was fitted on other properties than {first.model}.")
    of = [(PEOPLE, {s.name: s.people for s in _compared(first)})]
    of += [(each.model, {s.name: s.model for s in _compared(each)}) for each in dissections]
    found: dict[tuple[str, str], float | None] = {}
    for k, (name, fits) in enumerate(of):
        for other_name, others in of[k + 1 :]:
            both = [scenario for scenario in fits if scenario in others]
            r = [similarity(np.array(fits[s].weights), np.array(others[s].weights)) for s in both]
            known = [value for value in r if value is not None]
            found[name, other_name] = float(np.mean(known)) if known and len(known) == len(r) else None
    return found


def _compared(each: Dissection) -> Sequence[Scenario]:
    return each.scenarios[1:] or each.scenarios

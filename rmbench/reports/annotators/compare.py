"""From three labels of each pair to agreements, over all pairs, by feature, and under mixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rmbench.errors import RmbenchError
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.records.store import read
from rmbench.reports.annotators.features import THIRDS, features_of, read_gains
from rmbench.reports.annotators.labels import Labelled, labelled_pairs
from rmbench.reports.annotators.mixes import chances_of_difference, gains_of, routed
from rmbench.reports.dissection.properties import Properties, of_texts, read_properties
from rmbench.reports.pairs import mean_of
from rmbench.reports.report import Estimate
from rmbench.types import Example

__all__ = ["Agreements", "Asked", "Comparison", "Mix", "comparison_of"]


@dataclass(frozen=True, slots=True)
class Asked:
    """As `rmbench.reports.annotators.compare_annotators` explains them."""

    ai: Path | tuple[str, ...]
    people: tuple[str, ...]
    by: tuple[str, ...]
    features: Path | None
    gains: Path | None
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Agreements:
    """How three kinds of labels agree on some pairs."""

    feature: str
    """"name=value"; "": all pairs."""
    pairs: int
    with_people: Estimate
    """The model."""
    with_ai: Estimate
    difference: Estimate
    """The model's agreement with people less that with the AI, pair by pair."""
    ai_with_people: Estimate
    sides_with_people: Estimate
    """Of the pairs that people and the AI label otherwise, the share on which the model agrees with people."""
    sides_with_ai: Estimate


@dataclass(frozen=True, slots=True)
class Mix:
    """A share of the pairs labelled by people, the others by the AI."""

    share: float
    model_at_random: float
    """The model's agreement with the labels where the share is drawn at random: the expected value."""
    model_routed: float
    """... where it is the pairs with the largest gains."""
    labels_at_random: float
    """How many of the mix's labels are people's."""
    labels_routed: float
    labels_at_best: float
    """... where every pair on which the two differ goes to people first."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model between people and AI labels."""

    model: str
    task: str
    ai: str
    whole: Agreements
    by_feature: tuple[Agreements, ...]
    mixes: tuple[Mix, ...]
    left_out: Mapping[str, int]
    """Why pairs have no part, and how many."""


def comparison_of(folder: Path, asked: Asked, examples: Mapping[str, Example] | None) -> Comparison:
    """See `rmbench.reports.annotators.compare_annotators`."""
    wrong = next((share for share in asked.shares if not 0 <= share <= 1), None)
    if wrong is not None:
        raise RmbenchError(f"shares: {wrong:g} is no share; each is a number from 0 to 1.")
    record = read(folder)
    pairs, left_out = labelled_pairs(folder, record, asked.people, asked.ai)
    features = features_of(pairs, asked.by, _properties(asked, examples))
    split = [
        (f"{name}={value}", [pair for pair, each in zip(pairs, values, strict=True) if each == value])
        for name, values in features.items()
        for value in sorted((each for each in {*values} if each is not None), key=_place)
    ]
    if asked.gains is not None:
        gains = gains_of(features, read_gains(asked.gains, features), len(pairs))
    else:
        gains = chances_of_difference(pairs, features)
    other = read(asked.ai).model if isinstance(asked.ai, Path) else None
    return Comparison(
        model=f"{record.model.name}@{record.model.revision}",
        task=f"{record.task.id}@{record.task.version}",
        ai=", ".join(asked.ai) if isinstance(asked.ai, tuple) else f"{other.name}@{other.revision}" if other else "",
        whole=_agreements("", pairs),
        by_feature=tuple(_agreements(name, of) for name, of in split),
        mixes=tuple(_mix(pairs, gains, share) for share in asked.shares),
        left_out=left_out,
    )


def _place(value: str) -> tuple[int, str]:
    """Thirds in their order, other values by name."""
    return (THIRDS.index(value) if value in THIRDS else len(THIRDS), value)


def _properties(asked: Asked, examples: Mapping[str, Example] | None) -> Properties:
    if asked.features is not None:
        return read_properties(asked.features)
    return of_texts(examples) if examples else {}


def _agreements(feature: str, pairs: Sequence[Labelled]) -> Agreements:
    people, ai, both = _agreed(pairs)
    apart = both == 0

    def mean(values: Floats, chosen: Floats) -> Estimate:
        return mean_of(values[chosen], [pairs[k].row for k in np.flatnonzero(chosen).tolist()])

    every = np.ones(len(pairs), dtype=bool)
    return Agreements(
        feature=feature,
        pairs=len(pairs),
        with_people=mean(people, every),
        with_ai=mean(ai, every),
        difference=_stretched(mean((people - ai + 1) / 2, every)),
        ai_with_people=mean(both, every),
        sides_with_people=mean(people, apart),
        sides_with_ai=mean(ai, apart),
    )


def _agreed(pairs: Sequence[Labelled]) -> tuple[Floats, Floats, Floats]:
    """[P] each: 1 where the model agrees with people, with the AI, and where the two agree."""
    found = np.array([(p.model == p.people, p.model == p.ai, p.ai == p.people) for p in pairs], dtype=np.float64)
    return found[:, 0], found[:, 1], found[:, 2]


def _stretched(half: Estimate) -> Estimate:
    """A mean of (d + 1) / 2 as one of d."""

    def back(value: float | None) -> float | None:
        return None if value is None else 2 * value - 1

    return replace(half, value=back(half.value), low=back(half.low), high=back(half.high))


def _mix(pairs: Sequence[Labelled], gains: Floats, share: float) -> Mix:
    people, ai, both = _agreed(pairs)
    by_gain = routed(gains, share)
    return Mix(
        share=share,
        model_at_random=float(np.mean(share * people + (1 - share) * ai)),
        model_routed=float(np.mean(by_gain * people + (1 - by_gain) * ai)),
        labels_at_random=float(np.mean(share + (1 - share) * both)),
        labels_routed=float(np.mean(by_gain + (1 - by_gain) * both)),
        labels_at_best=min(1.0, float(both.mean()) + share),
    )

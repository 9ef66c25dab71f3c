"""Weights that the user gives the objectives of a multi-objective reward model: the reward of a candidate is the sum
over m of w_m times its objective m, as in directional preference alignment (arXiv 2402.18571).

Judgments keep every objective, so another direction needs no forward pass.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from rmbench.errors import RmbenchError, did_you_mean

if TYPE_CHECKING:
    from rmbench.models.protocols import ModelFacts
    from rmbench.types import Judgment

__all__ = ["PART", "Direction", "Weights", "direction_in", "facts_in_direction", "parse_weights"]

Weights = Mapping[str, float] | Sequence[float]
"""By the objectives' names, 0 for those left out; or one for each, in the model's order."""

PART = "objectives"
"""Name of the judgments' part [K, M] and of the model's setting that names the M objectives, joined by commas."""
SETTING = "objective_weights"

Scalar = TypeVar("Scalar")


@dataclass(frozen=True, slots=True)
class Direction:
    """Weights of a model's objectives."""

    names: tuple[str, ...]
    """[M], in the model's order."""
    weights: tuple[float, ...]
    """[M]"""

    def __str__(self) -> str:
        """Weights other than 0 by name, in the model's order, for the record."""
        pairs = zip(self.names, self.weights, strict=True)
        return ",".join(f"{name}={_number(weight)}" for name, weight in pairs if weight)

    def reward(self, objectives: Sequence[float]) -> float:
        """The reward of one candidate's objectives, [M]."""
        return math.fsum(weight * objective for weight, objective in zip(self.weights, objectives, strict=True))

    def judgment(self, judgment: Judgment) -> Judgment:
        """The judgment with rewards in this direction instead of its own; a failed one stays as it is.

        Raises:
            RmbenchError: it has no objectives, or not one for each name.
        """
        if judgment.status != "ok":
            return judgment
        objectives = judgment.parts.get(PART)
        if objectives is None:
            raise RmbenchError(f"row {judgment.id!r} has no objectives, so there is nothing to weigh.")
        wrong = next((len(one) for one in objectives if len(one) != len(self.names)), None)
        if wrong is not None:
            raise RmbenchError(
                f"row {judgment.id!r} has {wrong} objectives, but the model names {len(self.names)}: "
                f"{', '.join(self.names)}."
            )
        rewards = tuple(self.reward(one) for one in objectives)
        return replace(judgment, rewards=rewards, directed=None)

    def revision(self, revision: str) -> str:
        """The model's revision with a suffix for the direction, so that its records lie in a folder of their own."""
        return f"{revision}-w{hashlib.sha256(self._spelled()).hexdigest()[:8]}"

    def fingerprint(self, fingerprint: str) -> str:
        """The model's in this direction; a model without one stays without."""
        return hashlib.sha256(fingerprint.encode() + self._spelled()).hexdigest() if fingerprint else ""

    def settings(self, settings: Mapping[str, Scalar]) -> dict[str, Scalar | str]:
        """The model's, with the direction."""
        return {**settings, SETTING: str(self)}

    def facts(self, facts: ModelFacts) -> ModelFacts:
        """The model's facts in this direction."""
        return replace(
            facts,
            revision=self.revision(facts.revision),
            settings=self.settings(facts.settings),
            fingerprint=self.fingerprint(facts.fingerprint),
        )

    def _spelled(self) -> bytes:
        return json.dumps([self.names, self.weights]).encode()


def direction_in(weights: Weights, settings: Mapping[str, object], model: str) -> Direction:
    """The direction in the objectives that a model's settings name.

    Raises:
        RmbenchError: the model has no objectives, or has a direction already; weights that do not fit.
    """
    objectives = settings.get(PART)
    if not isinstance(objectives, str) or not objectives:
        raise RmbenchError(f"{model} has no objectives to weigh: it gives a reward alone.")
    if SETTING in settings:
        raise RmbenchError(
            f"{model} has the direction {settings[SETTING]} already; rescore the records it was made from."
        )
    names = tuple(name.strip() for name in objectives.split(","))
    if isinstance(weights, Mapping):
        for name in weights:
            if name not in names:
                raise RmbenchError(
                    f"{model} has no objective {name!r}: it has {', '.join(names)}.{did_you_mean(name, names)}"
                )
        values = [weights.get(name, 0.0) for name in names]
    else:
        values = list(weights)
        if len(values) != len(names):
            raise RmbenchError(
                f"{len(values)} weights were given for the {len(names)} objectives of {model}: {', '.join(names)}."
            )
    if not all(map(math.isfinite, values)) or not any(values):
        raise RmbenchError(f"objective weights are finite numbers, not all of them 0; {weights} was given.")
    return Direction(names, tuple(map(float, values)))


def facts_in_direction(facts: ModelFacts, weights: Weights | None) -> ModelFacts:
    """The model's facts in the direction of the weights; None: as they are."""
    return facts if weights is None else direction_in(weights, facts.settings, facts.name).facts(facts)


def parse_weights(text: Weights | str) -> Weights:
    """`helpfulness=1,verbosity=-0.3`, or a number for each objective in the model's order: `1,0,-0.3`; or either as
    numbers already.

    Raises:
        RmbenchError: neither of them, or a name twice.
    """
    if not isinstance(text, str):
        try:
            return {**text} if isinstance(text, Mapping) else tuple(map(float, text))
        except (TypeError, ValueError) as error:
            raise RmbenchError(f"objective weights: {text!r} is neither numbers by name nor a list of them.") from error
    items = [item.strip() for item in text.split(",") if item.strip()]
    pairs = [item.rpartition("=") for item in items]
    if not items or len({bool(equals) for _, equals, _ in pairs}) != 1:
        raise RmbenchError(f"objective weights: {text!r} is neither name=number,name=number nor number,number.")
    numbers = [_parsed(value, text) for _, _, value in pairs]
    if not pairs[0][1]:
        return tuple(numbers)
    names = [name.strip() for name, _, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RmbenchError(f"objective weights: {text!r} weighs {twice!r} twice.")
    return dict(zip(names, numbers, strict=True))


def _parsed(value: str, text: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise RmbenchError(f"objective weights: {value.strip()!r} in {text!r} is no number.") from error


def _number(weight: float) -> str:
    return repr(weight).removesuffix(".0")

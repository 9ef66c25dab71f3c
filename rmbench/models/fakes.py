"""Fake models for testing a benchmark: their answers are known beforehand, since they read the gold.

`oracle` agrees with the annotators, `anti` says the opposite, `coin` gives a random number per candidate, `constant`
the same number for all, `broken` is the oracle that fails on about one row in ten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import ModelFacts
from rmbench.types import Edge, Example, Gold, Judgment

__all__ = ["FAKES", "Fake", "levels", "open_fake"]

FAKES = ("oracle", "anti", "coin", "constant", "broken")
_BROKEN_ONE_IN = 10
_MODALITIES = frozenset({"text", "image", "video"})


@dataclass(frozen=True)
class Fake:
    """A Responder that looks at the gold, never at the text."""

    kind: str
    """One of FAKES."""
    seed: int
    facts: ModelFacts

    def judge(self, task: str, example: Example) -> Judgment:
        """Rewards [K], and where the gold has ratings or labels a part [K, 1] per dimension: the rating, or the class.

        A relation that no rewards can express (a cycle) is answered by directed margins [K, K]. `oracle`, `anti` and
        `broken` fail on an example without gold.
        """
        size, dimensions = len(example.candidates), example.gold.dimensions
        if self.kind == "constant":
            return _answer(example, [0.0] * size, {name: [0.0] * size for name in dimensions})
        if self.kind == "coin":
            parts = {name: self._random(task, example, name) for name in dimensions}
            return _answer(example, self._random(task, example, ""), parts)
        if self.kind == "broken" and _number(self.seed, task, example.id, "broken") * _BROKEN_ONE_IN < 1:
            return Judgment(id=example.id, status="failed", error="fake:broken fails on about one row in ten")
        return self._from_gold(example, -1.0 if self.kind == "anti" else 1.0)

    def _random(self, task: str, example: Example, name: str) -> list[float]:
        """[K] uniform in [0, 1)."""
        return [_number(self.seed, task, example.id, name, k) for k in range(len(example.candidates))]

    def _from_gold(self, example: Example, sign: float) -> Judgment:
        gold, size = example.gold, len(example.candidates)
        if gold.ratings:
            columns = {name: [sign * row[d] for row in gold.ratings] for d, name in enumerate(gold.dimensions)}
            rewards = columns.get("overall") or [sign * sum(row) / len(row) for row in gold.ratings]
            return _answer(example, rewards, columns)
        if gold.labels:
            by_name = {name: [sign * label] * size for name, label in gold.labels.items()}
            return _answer(example, [sign * sum(gold.labels.values()) / len(gold.labels)] * size, by_name)
        if not gold.relation:
            return Judgment(id=example.id, status="failed", error=f"{self.facts.name}: the row has no gold to read")
        order = levels(gold, size)
        if order is not None:
            named = {edge.dimension: levels(of_dimension(gold, edge.dimension), size) for edge in gold.relation}
            parts = {name: [sign * level for level in found] for name, found in named.items() if name and found}
            return _answer(example, [sign * level for level in order], parts)
        directed = tuple(tuple(sign * margin for margin in row) for row in margins(gold, size))
        return Judgment(id=example.id, directed=directed, lengths=_lengths(example), truncated=(False,) * size)


def open_fake(kind: str, options: OpenOptions) -> Fake:
    """The fake called `kind`; raises RmbenchError where there is none."""
    if kind not in FAKES:
        raise RmbenchError(f"fake:{kind} is unknown: expected one of {', '.join(FAKES)}.{did_you_mean(kind, FAKES)}")
    options.check_model_args("fake", ())
    seed = options.seed if kind in ("coin", "broken") else 0
    digest = hashlib.sha256(f"fake:{kind}/{seed}/1".encode()).hexdigest()
    facts = ModelFacts(
        name=f"fake:{kind}",
        revision=digest[:8],
        family="fake",
        why=f'the model is called "fake:{kind}"',
        modalities=_MODALITIES,
        parameters=0,
        flags=("fake",),
        settings={"seed": seed} if kind in ("coin", "broken") else {},
        fingerprint=digest,
    )
    return Fake(kind, seed, facts)


def _answer(example: Example, rewards: list[float], parts: Mapping[str, list[float]]) -> Judgment:
    return Judgment(
        id=example.id,
        rewards=tuple(rewards),
        parts={name: tuple((value,) for value in values) for name, values in parts.items()},
        lengths=_lengths(example),
        truncated=(False,) * len(rewards),
    )


def _number(seed: int, *what: object) -> float:
    """A number in [0, 1) that depends on the arguments alone."""
    digest = hashlib.sha256(repr((seed, *what)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _lengths(example: Example) -> tuple[int, ...]:
    """[K] characters of each candidate's own text."""
    return tuple(len(candidate.text) for candidate in example.candidates)


def of_dimension(gold: Gold, dimension: str) -> Gold:
    """The gold with only the comparisons of one dimension."""
    return replace(gold, relation=tuple(edge for edge in gold.relation if edge.dimension == dimension))


def _plain(gold: Gold) -> list[Edge]:
    """The comparisons that name no dimension and no annotator, where there are such: what metrics take them for."""
    named = [edge for edge in gold.relation if not edge.dimension] or list(gold.relation)
    return [edge for edge in named if not edge.annotator] or named


def margins(gold: Gold, size: int) -> list[list[float]]:
    """[K, K] summed strengths of the comparisons, row against column; skew.

    Those without dimension and annotator count, or where each names one, all of them.
    """
    net = [[0.0] * size for _ in range(size)]
    for edge in _plain(gold):
        net[edge.i][edge.j] += edge.strength
        net[edge.j][edge.i] -= edge.strength
    return net


def levels(gold: Gold, size: int) -> list[float] | None:
    """[K] whole numbers that agree with every comparison, a higher one for the better candidate and equal ones for
    ties; None where there are none, because the comparisons are intransitive."""
    net = margins(gold, size)
    group = _tied_groups(gold, net, size)
    beats: dict[int, set[int]] = {group[k]: set() for k in range(size)}
    for i in range(size):
        for j in range(size):
            if net[i][j] > 0:
                beats[group[i]].add(group[j])
    heights: dict[int, float] = {}
    while len(heights) < len(beats):
        # A candidate stands one above the highest of those that it beats, once all of them have their place.
        ready = [g for g in beats if g not in heights and beats[g] <= heights.keys()]
        if not ready:
            return None
        heights.update({g: 1.0 + max((heights[loser] for loser in beats[g]), default=-1.0) for g in ready})
    return [heights[group[k]] for k in range(size)]


def _tied_groups(gold: Gold, net: list[list[float]], size: int) -> list[int]:
    """[K] the lowest candidate that each one is tied with, directly or through others."""
    group = list(range(size))
    for edge in _plain(gold):
        if net[edge.i][edge.j] == 0:
            kept, gone = sorted((group[edge.i], group[edge.j]))
            group = [kept if g == gone else g for g in group]
    return group

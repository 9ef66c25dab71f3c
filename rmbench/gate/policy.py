"""The settings of a gate: the margin, the error rate, and the least evidence that a decision needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rmbench.errors import RmbenchError

__all__ = ["GateError", "Policy"]


class GateError(RmbenchError):
    """Bad arguments to a gate, or folders it cannot compare: its exit code is 3, because 2 means inconclusive here."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of a gate.

    Raises:
        GateError: a value outside its range.
    """

    margin_points: float = 1.0
    """The loss that is tolerated, in percentage points (hundredths of the metric), above 0 and below 100."""
    alpha: float = 0.05
    """One-sided error rate: of passing a loss of the margin, and of a regression alarm when nothing got worse."""
    min_discordant_clusters: int = 8
    """Clusters with a row on which the two models differ, under which no regression is declared, and where rows cluster
    no pass either."""
    min_coverage: float = 1.0
    """Rows not failed / rows judged, on either side, under which a task is broken."""
    inconclusive: Literal["fail", "pass"] = "fail"
    """"pass": an inconclusive gate ends with exit code 0; the outcome keeps its name."""
    seed: int = 0
    """Of resampled intervals."""

    def __post_init__(self) -> None:
        for name, value, expected, valid in self._checks():
            if not valid:
                raise GateError(f"{name} must be {expected}, not {value}.")

    def _checks(self) -> Iterator[tuple[str, object, str, bool]]:
        margin = self.margin_points
        yield "margin_points", margin, "above 0 and below 100 percentage points", 0 < margin < 100
        yield "alpha", self.alpha, "above 0 and below .5", 0 < self.alpha < 0.5
        least = self.min_discordant_clusters
        yield "min_discordant_clusters", least, "0 or more", least >= 0
        yield "min_coverage", self.min_coverage, "between 0 and 1", 0 <= self.min_coverage <= 1
        yield "inconclusive", self.inconclusive, '"fail" or "pass"', self.inconclusive in ("fail", "pass")

    @property
    def margin(self) -> float:
        """The margin as a fraction of the metric."""
        return self.margin_points / 100

    @property
    def points(self) -> str:
        """The margin in words."""
        return "1 point" if self.margin_points == 1 else f"{self.margin_points:g} points"

    def remarks(self) -> list[str]:
        """Warnings of a margin that looks like a slip of units."""
        if self.margin_points < 0.1:
            fraction = f"If the fraction {self.margin_points:g} was meant, write {self.margin_points * 100:g}."
            return [f"No benchmark is large enough to resolve a margin of {self.margin_points:g} points. {fraction}"]
        if self.margin_points > 20:
            return [f"A margin of {self.margin_points:g} points lets almost any candidate pass."]
        return []

"""The parts of a report, as frozen plain data: `dataclasses.asdict` of a `Report` is JSON, and holds no text of a row.

A pair is one human comparison that prefers one of two answers; human ties are left out. Its margin is how much the
model puts the preferred answer above the other, in the model's own units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "QUANTILES",
    "Bin",
    "Calibration",
    "ConfidenceBin",
    "Coverage",
    "Disagreement",
    "Estimate",
    "GroupEstimate",
    "Length",
    "Margins",
    "Position",
    "Report",
    "Scale",
    "Ties",
]

Scale = Literal["reward", "margin", "rating", "verdict"]
"""What margins are made of: rewards, directed margins, a judge's ratings, or picks of the better answer."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95% interval; None where it is undefined, or a limit is infinite."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    """Pairs behind it; of a record's own values rows."""


@dataclass(frozen=True, slots=True)
class GroupEstimate:
    """The headline metric of a group of rows."""

    group: str
    """`name=value`."""
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which rows and comparisons the report rests on."""

    task_rows: int
    """Of the whole task version."""
    rows: int
    """Those judged that the headline metric counts."""
    uncompared: int
    """Rows of these without a comparison that prefers one of two answers."""
    human_ties: int
    """Comparisons in which people prefer neither, which are no pairs."""
    pairs: int
    unanswered: int
    """Pairs without a readable answer; ties and accuracies count them as wrong, the other parts leave them out."""
    reasons: Mapping[str, int]
    """Why, the commonest first: reason -> pairs; at most five."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Margins between `low` and `high`, the limit nearer to 0 included."""

    low: float
    high: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Margins:
    """How far the preferred answer is above the other one."""

    n: int
    mean: float
    sd: float
    quantiles: tuple[float, ...]
    """At `QUANTILES`."""
    right: tuple[float, ...]
    """Quantiles of the margins above 0; empty where there is none."""
    wrong: tuple[float, ...]
    """Quantiles of the absolute margins below 0; empty where there is none."""
    bins: tuple[Bin, ...]
    """A histogram without ties, an edge of which is 0: pairs left of it are wrong. What is beyond the outermost edges
    is in the outermost bins. Empty where all margins are 0."""
    ties: int


@dataclass(frozen=True, slots=True)
class ConfidenceBin:
    """Pairs on which the model is about equally sure."""

    low: float
    high: float
    confidence: float
    """The mean of sigmoid(|margin|)."""
    accuracy: Estimate
    """A tie is half right; n are the pairs that are in the bin at least in part."""
    pairs: float
    """Not always a whole number; see `rmbench.metrics.calibration.reliability`."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """sigmoid(margin) read as the probability that the answer is the preferred one."""

    n: int
    confidence: float
    """The mean of sigmoid(|margin|), of the side the model takes."""
    accuracy: float
    """A tie is half right."""
    ece: Estimate
    """Expected calibration error, at most 15 bins of equal mass."""
    brier: Estimate
    """The mean of (1 - sigmoid(margin))^2."""
    log_loss: Estimate
    """The mean of -ln sigmoid(margin); ln 2 = .693 is chance."""
    temperature: Estimate
    """T, at which sigmoid(margin / T) has the least log loss; None where no T is best."""
    temperature_note: str
    """Why T is None; else ""."""
    bins: tuple[ConfidenceBin, ...]


@dataclass(frozen=True, slots=True)
class Ties:
    """Pairs with equal scores, and accuracy by what a tie is worth. All pairs count; those without an answer are wrong.
    Of a judge asked in both orders a pair is tied where its answers cancel."""

    ties: int
    share: Estimate
    strict: Estimate
    """A tie is wrong."""
    half: Estimate
    """A tie is half right."""
    decided: Estimate
    """Ties are left out."""


@dataclass(frozen=True, slots=True)
class Length:
    """Accuracy (a tie is wrong) against the lengths of the answers, in tokens the model read (characters for models
    without tokens)."""

    n: int
    """Answered pairs whose lengths are known."""
    longer: Estimate
    """Accuracy where the preferred answer is longer."""
    equal: Estimate
    shorter: Estimate
    pearson: Estimate
    """Correlation of the margin with the preferred answer's length less the other's."""
    spearman: Estimate
    controlled: Estimate
    """Accuracy at equal lengths; see `rmbench.metrics.length`."""
    slope: Estimate
    """Change in the log-odds of being right for one SD more of the preferred answer's length."""
    unit: float | None
    """That SD; None without a fit."""
    note: str
    """Why there is no fit; else ""."""


@dataclass(frozen=True, slots=True)
class Position:
    """Pairs of answers that the model was shown in both orders; of a judge, each vote on them."""

    asked: int
    consistent: Estimate
    """Share with the same answer in both orders."""
    first: Estimate
    """Share in which the answer shown first is better in both orders."""
    second: Estimate
    right_first: Estimate
    """Accuracy (a tie is wrong) where the preferred answer is shown first."""
    right_second: Estimate


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A pair that the model orders against people."""

    id: str
    preferred: int
    """Index of the answer that people prefer."""
    other: int
    margin: float
    sds: float
    """The margin in standard deviations of all margins."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one record says of its model in depth."""

    model: str
    """`name@revision`."""
    task: str
    """`id@version`."""
    title: str
    finished: str
    """When the record was made, ISO 8601."""
    source_of_scores: str | None
    """Where others released the scores; None: the model was run."""
    flags: tuple[str, ...]
    metric: str
    """The headline's."""
    chance: float | None
    headline: Estimate
    groups: tuple[GroupEstimate, ...]
    scale: Scale | None
    """None where no pair was answered."""
    coverage: Coverage
    margins: Margins | None
    calibration: Calibration | None
    ties: Ties | None
    length: Length | None
    position: Position | None
    disagreements: tuple[Disagreement, ...] | None
    """The worst first, at most ten."""
    missing: Mapping[str, str]
    """Part that is None -> why, a sentence."""

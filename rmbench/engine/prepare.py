"""Windows made ready: encoded and planned, which needs neither the model's forward nor the stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rmbench.engine.encode import Window, encode_window
from rmbench.engine.helpers import Helpers
from rmbench.engine.interfaces import EngineOptions, Executor, Ledger, Progress, ScoreCache
from rmbench.engine.parts import units_of
from rmbench.engine.plan import Plan, PlanStatistics, plan
from rmbench.models.protocols import Encoded, Scorer, SharingScorer
from rmbench.types import Example, Judgment

__all__ = ["Planned", "Prepared", "Scored", "Scoring", "budget_of", "planned", "prepare"]

_PADDED_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Scoring:
    """What scoring a task needs in addition to its rows."""

    task_id: str
    scorer: Scorer
    render: Literal["chat", "raw"]
    options: EngineOptions
    ledger: Ledger
    executor: Executor
    progress: Progress
    cache: ScoreCache | None = None
    helpers: Helpers | None = None
    """Processes that encode; None: this one alone does."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The judgments of one window of examples, and how they were computed."""

    judgments: tuple[Judgment, ...]
    statistics: PlanStatistics
    budget: int
    """Tokens of a batch."""
    sharing: str
    """As in `Judging`."""
    halved: bool
    resumed: int
    """Batches taken from the ledger."""
    resumed_rows: int
    """Rows of these."""
    cached: int
    """Rows taken from the score cache."""
    remarks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and by what it was made."""

    plan: Plan
    budget: int
    share: bool
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A window encoded and planned: all that is done without the model's forward and the stores."""

    window: Window
    units: Sequence[Encoded]
    places: Sequence[range]
    """Of each row's units."""
    planned: Planned


def prepare(scoring: Scoring, examples: Sequence[Example], progress: Progress) -> Prepared:
    """Encode and plan a window of examples. It may run in another thread than the computing."""
    title = f"{scoring.task_id} (encoding)"
    window = encode_window(examples, scoring.scorer, scoring.render, title, progress, scoring.helpers)
    units, places = units_of(window.encoded)
    ready = all(unit.ids and not unit.kind for unit in units if not unit.error)
    share = scoring.options.share and ready and isinstance(scoring.scorer, SharingScorer)
    return Prepared(window, units, places, planned(scoring, units, share=share))


def planned(scoring: Scoring, units: Sequence[Encoded], *, share: bool, alone: bool = False) -> Planned:
    """A plan of a window's units. `share`: rows are in groups; `alone`: each is in a batch of its own."""
    budget = budget_of(scoring, share=share)
    rows = 1 if alone else scoring.options.batch_rows
    return Planned(plan(units, budget, rows, share=share), budget, share, alone)


def budget_of(scoring: Scoring, *, share: bool) -> int:
    """Tokens of a batch, of rows in groups or of padded ones."""
    scorer = scoring.scorer
    own = scorer.chunk_tokens if share and isinstance(scorer, SharingScorer) else _PADDED_TOKENS
    return scoring.options.batch_tokens or own

"""Tasks and their rows as the rest of the package sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from rmbench.metric_spec import MetricSpec
from rmbench.tasks.declaration.schema import Declaration, TaskFacts
from rmbench.types import Example

__all__ = ["Asked", "DataFileFacts", "Exclusion", "Loaded", "Media", "Task"]


class Task(TaskFacts):
    """A benchmark as the rest of the package sees it; `declaration` says how its rows are read."""

    metrics: tuple[MetricSpec, ...]
    """The first is the headline."""
    hub: str | None
    hub_revision: str | None
    git: str | None
    path: Path
    """The declaration file."""
    digest: str
    """sha256 of the declaration file."""
    fit_split: str | None
    """What a probe or a threshold is fitted on, judged before the task's own rows; None: nothing is fitted."""
    max_tokens: int | None
    """Longer rows, as the model counts, are excluded, from the fit split too; None: every length counts."""
    declaration: Declaration = Field(repr=False)


@dataclass(frozen=True, slots=True)
class DataFileFacts:
    """A file that rows came from."""

    name: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A row dropped by the benchmark's own rule."""

    id: str
    why: str


@dataclass(frozen=True, slots=True)
class Media:
    """The images and videos of the rows that are judged."""

    digest: str
    """sha256 over each medium's name and the sha256 of its bytes, in the order of the names."""
    files: int
    """Those whose bytes are here."""
    absent: tuple[str, ...]
    """Names of the others."""
    folder: str | None = None
    """Name of the folder that the user brought them in; None: the data set's own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How the rows of a task are asked otherwise than they stand, which makes a task of its own of them."""

    task: str
    """The id of the task whose rows they are."""
    shots: Sequence[int] = ()
    """Numbers of a rater's earlier choices put before each row."""
    layout: str = ""
    """How these are written."""
    reference: str = ""
    """Where each row's reference answer is given, once, and then withheld: "prompt" or "context"."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A task's rows as examples, and where they came from."""

    examples: tuple[Example, ...]
    source: Literal["hub", "sample", "folder"]
    total: int
    """Rows of the task version, the denominator of coverage; for samples the sample's rows."""
    files: tuple[DataFileFacts, ...] = ()
    missing: tuple[str, ...] = ()
    """Files or groups of the task version that are absent; not empty means `partial`."""
    excluded: tuple[Exclusion, ...] = ()
    digest: str = ""
    """sha256 over ids and texts of the examples, before any limit, and over the names of their media; without texts
    where some layout of the task lacks them."""
    limit: int | None = None
    group_totals: dict[str, int] = field(default_factory=dict)
    """`name=value` of each group -> its rows before any limit."""
    known_totals: dict[str, int] = field(default_factory=dict)
    """`name=value` of each group whose rows in the whole task version are known -> these: all groups where no row is
    missing, else those of the declaration's `[totals]`."""
    fit: tuple[Example, ...] = ()
    """The rows that probes and thresholds are fitted on; empty where the task has none or they are absent."""
    fit_digest: str = ""
    """sha256 over ids and content of `fit`, before any limit."""
    notes: tuple[str, ...] = ()
    """What is missing; of the rows drawn those that are duplicates or have empty or identical candidates, and what was
    done with them; an absent fit split."""
    media: Media | None = None
    """The images and videos of `examples`; None where they have none."""
    texts_digest: str = ""
    """What `digest` is for other tasks, where it covers no texts and they are here; else ""."""
    asked: Asked | None = None
    """None: the rows are asked as they stand."""
    without_texts: bool = False
    """Whether the rows are ids, groups and gold alone, whose prompts and candidates are empty."""

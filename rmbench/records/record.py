"""The record: one model on one task version, self-contained, so that boards and gates read nothing else."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from rmbench.records.facts import (
    AskedFacts,
    EnsembleFacts,
    Frozen,
    IntransitiveFacts,
    MemberFacts,
    OrderFacts,
    ProbingFacts,
)
from rmbench.types import Setting

__all__ = [
    "SCHEMA_VERSION",
    "AskedFacts",
    "CheckRecord",
    "Counts",
    "DataFacts",
    "DataFile",
    "EnsembleFacts",
    "Excluded",
    "FailedRow",
    "IntransitiveFacts",
    "JudgmentsFile",
    "MediaFacts",
    "MemberFacts",
    "ModelRecord",
    "OrderFacts",
    "ProbingFacts",
    "Record",
    "RunFacts",
    "TaskRecord",
    "ValueRecord",
]

SCHEMA_VERSION = 2
"""1: records without `digests`."""


def _plain(value: Any) -> Any:
    """A dataclass as what its JSON reads back as: objects and lists."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _in_order(names: Any) -> Any:
    """A set of names as a sorted list, so that equal records have equal bytes."""
    return sorted(names) if isinstance(names, frozenset) else names


def _counted(names: Any) -> Any:
    """How many names there are."""
    return len(names) if isinstance(names, tuple) else names


class TaskRecord(Frozen):
    """The task as it was when the record was made."""

    id: str
    version: int
    family: str
    modality: str
    shape: str
    title: str
    paper: str | None
    license: str | None
    verified: bool
    official: bool
    """False: the benchmark defines no metric and the first one is ours."""
    render: str
    n: int
    """Rows of the whole task version."""
    metrics: Annotated[list[dict[str, Any]], BeforeValidator(_plain)]
    """The metric declarations (`MetricSpec` as plain data); the first is the headline."""
    digest: str
    """sha256 of the declaration file."""


class CheckRecord(Frozen):
    """The outcome of `rmbench check` for the model."""

    passed: bool
    failed: list[str]
    """Names of the checks that failed."""
    date: str
    """When it was checked, ISO 8601, UTC."""


class ModelRecord(Frozen):
    """The model's facts; see `rmbench.models.protocols.ModelFacts`."""

    name: str
    revision: str
    family: str
    why: str
    answer_kind: Literal["reward", "verdict"]
    modalities: Annotated[list[str], BeforeValidator(_in_order)]
    parameters: int | None
    license: str | None
    trained_on: list[str]
    flags: list[str]
    settings: dict[str, Setting]
    fingerprint: str
    check: CheckRecord | None = None
    """None where this model, opened in this way, was not checked."""


class DataFile(Frozen):
    """A file that rows came from."""

    name: str
    sha256: str
    rows: int


class MediaFacts(Frozen):
    """The images and videos of the rows that were judged."""

    digest: str
    """sha256 over each one's name and content."""
    files: int
    """Those whose bytes were at hand."""
    absent: Annotated[int, BeforeValidator(_counted)]
    """Those whose bytes were not."""
    folder: str | None
    """Name of the folder that the user brought them in; None: the data set's own."""


class Excluded(Frozen):
    """A row dropped by the benchmark's own rule."""

    id: str
    why: str


class DataFacts(Frozen):
    """The data that was read, and how much of it was judged."""

    source: str
    """"hub", "sample" or "folder"; "published" where no rows were read."""
    hub: str | None
    revision: str | None
    digest: str
    """sha256 over the ids and content of the examples and over their media, so two records of one digest saw the same
    data."""
    files: list[DataFile]
    missing: list[str]
    """Files or groups of the task version that were absent."""
    excluded: list[Excluded]
    limit: int | None
    rows: int
    """Rows judged."""
    rows_digest: str | None = None
    """`digest` without media, and without texts where some layout of the task lacks them; None in records older than
    the field, whose `digest` is that."""
    media: MediaFacts | None = None
    """None where the rows show no images or videos, or the record is older than the field."""
    asked: AskedFacts | None = None
    """None where the rows were asked as they stand."""

    @property
    def digest_of_rows(self) -> str:
        """The digest of ids and texts, which records have in common whether or not media were at hand."""
        return self.rows_digest or self.digest


class Counts(Frozen):
    """Rows by their outcome."""

    judged: int
    failed: int
    unparsed: int
    truncated: int
    ties: int
    """Comparisons with exactly equal scores, or equal margins in both directions."""


class FailedRow(Frozen):
    """A row the model failed on."""

    id: str
    why: str


class ValueRecord(Frozen):
    """One reported number; see `rmbench.types.Value`."""

    metric: str
    group: str | None
    value: float | None
    low: float | None
    high: float | None
    n: int
    comparisons: int
    coverage: float | None
    chance: float | None
    flags: list[str]
    interval: str


class RunFacts(Frozen):
    """How the numbers were made. Two equal runs may differ in the times, `seconds` and `reused` only."""

    command: str
    """Secrets removed."""
    seed: int
    started: str
    finished: str
    seconds: float
    resumed: bool
    """True where a resumed run could not keep the first run's batches, so scores may differ by 1e-4."""
    reused: dict[str, int] = Field(default_factory=dict)
    """Rows that were not computed by this run: "cache", from the score cache; "journal", from a stopped run. Counted as
    `engine` counts `unique_rows`. Empty in records made before they were counted."""
    engine: dict[str, Setting]
    versions: dict[str, str]
    """Python, rmbench, torch, transformers, tokenizers, numpy."""
    platform: str
    source_of_scores: str | None = None
    """Where others released the scores or figures of this record: repository@commit and file, or a paper's table. None:
    the model was run here."""


class JudgmentsFile(Frozen):
    """The table beside the record."""

    file: str
    sha256: str
    rows: int


class Record(Frozen):
    """`record.json`."""

    schema_version: int = Field(default=SCHEMA_VERSION)
    kind: Literal["measured", "published"] = "measured"
    """"published": figures that others printed, copied as they are. Such a record has no rows, no intervals and no
    counts, and is neither ranked nor compared."""
    task: TaskRecord
    model: ModelRecord
    data: DataFacts
    run: RunFacts
    counts: Counts
    flags: list[str]
    """`sample`, `partial`, `limited`, `fake`, `demo`, `contaminated`, `failed_rows`, `unverified`, `released`,
    `published`."""
    results: list[ValueRecord]
    failed: list[FailedRow]
    judgments: JudgmentsFile | None
    """None where the record is published."""
    probing: ProbingFacts | None = None
    """None where hidden states were not read (inference-time probing)."""
    intransitive: IntransitiveFacts | None = None
    """None where the model gave rewards or verdicts, or no row has three candidates."""
    orders: OrderFacts | None = None
    """None where order does not matter to the model: it gave rewards, ratings, or margins that only change their sign;
    or where no pair was compared in both orders."""
    ensemble: EnsembleFacts | None = None
    """None where the model is no ensemble, or no row that all its members judged has two candidates."""
    digests: dict[str, str] | None = None
    """Key of this record -> sha256 over its value as canonical JSON, for all other keys; None until it is written."""

    @model_validator(mode="after")
    def _rows_belong_to_measured(self) -> Record:
        if self.kind == "measured" and self.judgments is None:
            raise ValueError("judgments: a measured record has a table of rows")
        if self.kind == "published" and self.judgments is not None:
            raise ValueError("judgments: a published record has no rows")
        if self.kind == "published" and not self.run.source_of_scores:
            raise ValueError("run.source_of_scores: a published record names its source")
        return self

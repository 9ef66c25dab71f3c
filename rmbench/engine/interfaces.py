"""What the engine needs from outside: somewhere to keep finished batches, and somebody to tell how far it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from rmbench.models.protocols import Encoded, Group, Scorer

if TYPE_CHECKING:
    from rmbench.engine.serialization import RowResult

__all__ = [
    "EngineOptions",
    "Executor",
    "Job",
    "Ledger",
    "MemoryLedger",
    "Progress",
    "ScoreCache",
    "Side",
    "SilentProgress",
]

Side = Literal["right", "left"]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How work is cut up. Scores do not depend on it beyond 1e-4 in fp32."""

    batch_tokens: int | None = None
    """Tokens of one batch, padding included; larger pays on a GPU only. None: 4,096 of padded rows, and what the model
    takes best of rows that share."""
    padding_side: Literal["right", "left"] = "right"
    window: int = 16
    """Questions to a judge that are under way at once."""
    batch_rows: int | None = None
    """An upper limit on the rows of a batch, beside the budget; None: the budget alone."""
    share: bool = True
    """Compute the common beginning of rows once, where the model can."""


class Ledger(Protocol):
    """Keeps finished batches across a crash. A batch is kept whole or not at all."""

    def done(self, task: str, plan_digest: str) -> Mapping[int, Sequence[str]]:
        """Batch index -> the JSON text of each of its rows, as committed."""
        ...

    def commit(self, task: str, plan_digest: str, index: int, payload: Sequence[str]) -> None:
        """Keep one batch, whole, before returning."""
        ...


class MemoryLedger:
    """Keeps batches as long as it lives itself."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], dict[int, tuple[str, ...]]] = {}

    def done(self, task: str, plan_digest: str) -> Mapping[int, Sequence[str]]:
        """What was committed."""
        return dict(self._kept.get((task, plan_digest), {}))

    def commit(self, task: str, plan_digest: str, index: int, payload: Sequence[str]) -> None:
        """Keep the batch in memory."""
        self._kept.setdefault((task, plan_digest), {})[index] = tuple(payload)


class ScoreCache(Protocol):
    """Keeps results of rows across runs and tasks."""

    def get(self, fingerprint: str, keys: Sequence[str]) -> Mapping[str, str]:
        """Key -> the JSON text of the row's result, for those that are kept."""
        ...

    def put(self, fingerprint: str, results: Mapping[str, str]) -> None:
        """Keep results by key. What cannot be kept (a full disk) is not an error."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """Some rows to compute together: what a chunk has left, complete in itself and picklable."""

    index: int
    """The chunk's."""
    rows: tuple[Encoded, ...]
    groups: tuple[Group, ...] = ()


class Executor(Protocol):
    """Where jobs are computed."""

    def run(self, scorer: Scorer, jobs: Sequence[Job], side: Side) -> Iterator[tuple[int, list[RowResult]]]:
        """Each job's index with a result per row, in the order in which they are done."""
        ...


class Progress(Protocol):
    """Is told of the work as it goes, from the thread that called the engine."""

    def start(self, task: str, rows: int, tokens: int) -> None:
        """A stretch of work begins, and the one before it is over. `tokens` is 0 where they are unknown."""
        ...

    def advance(self, rows: int, tokens: int) -> None:
        """So many more rows and tokens are done."""
        ...

    def cost(self, amount: float) -> None:
        """So much the work has cost until now, in the currency of the prices that the user named."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line."""
        ...

    def end(self) -> None:
        """Nothing more will come. Called by whoever made the progress, not by the engine."""
        ...


class SilentProgress:
    """Tells nobody."""

    def start(self, task: str, rows: int, tokens: int) -> None:
        """Ignore it."""

    def advance(self, rows: int, tokens: int) -> None:
        """Ignore it."""

    def cost(self, amount: float) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Ignore it."""

    def end(self) -> None:
        """Ignore it."""

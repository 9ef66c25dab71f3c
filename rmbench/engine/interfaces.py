"""What callers give the engine: options, a ledger of finished batches, a cache of results, an executor, progress."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from rmbench.errors import RmbenchError
from rmbench.models.protocols import Encoded, Group, Scorer

if TYPE_CHECKING:
    from rmbench.engine.serialization import RowResult

__all__ = [
    "LOOK_AGAIN",
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

LOOK_AGAIN = 0.05
"""Seconds after which an executor with free places asks again for a job."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How work is cut up. Scores do not depend on it beyond 1e-4 in fp32."""

    batch_tokens: int | None = None
    """Tokens of one batch, padding included; larger pays on a GPU only. None: 4,096 of padded rows, and what suits
    the model best of rows that share prefixes."""
    padding_side: Literal["right", "left"] = "right"
    window: int = 16
    """Questions to a judge that are under way at once."""
    batch_rows: int | None = None
    """An upper limit on the rows of a batch, in addition to the budget; None: the budget alone."""
    share: bool = True
    """Compute a prefix that rows share once, where the model can."""
    try_batches: bool = True
    """Find out on a few rows whether results depend on the rows beside them, and compute each row alone where so."""


class Ledger(Protocol):
    """Stores finished batches across a crash. A batch is stored whole or not at all."""

    def done(self, task: str, plan_digest: str) -> Mapping[int, Sequence[str]]:
        """Batch index -> the JSON text of each of its rows, as committed."""

    def commit(self, task: str, plan_digest: str, index: int, payload: Sequence[str]) -> None:
        """Store one batch, whole, before returning."""

    def damaged(self, why: str) -> RmbenchError:
        """The error of a batch that holds something else than what was committed."""


class MemoryLedger:
    """Stores batches in memory."""

    def __init__(self) -> None:
        self._batches: dict[tuple[str, str], dict[int, tuple[str, ...]]] = {}

    def done(self, task: str, plan_digest: str) -> Mapping[int, Sequence[str]]:
        """What was committed."""
        return dict(self._batches.get((task, plan_digest), {}))

    def commit(self, task: str, plan_digest: str, index: int, payload: Sequence[str]) -> None:
        """Store the batch."""
        self._batches.setdefault((task, plan_digest), {})[index] = tuple(payload)

    def damaged(self, why: str) -> RmbenchError:
        """It names no file."""
        return RmbenchError(f"the ledger is damaged ({why})")


class ScoreCache(Protocol):
    """Stores results of rows across runs and tasks."""

    def get(self, fingerprint: str, keys: Sequence[str]) -> Mapping[str, str]:
        """Key -> the JSON text of the row's result, for those that are stored."""

    def put(self, fingerprint: str, results: Mapping[str, str]) -> None:
        """Store results by key. What cannot be stored (a full disk) is not an error."""


@dataclass(frozen=True, slots=True)
class Job:
    """Some rows to compute together, complete in itself and picklable."""

    index: int
    """By which its results are known."""
    rows: tuple[Encoded, ...]
    groups: tuple[Group, ...] = ()


class Executor(Protocol):
    """Where jobs are computed."""

    @property
    def in_process(self) -> bool:
        """Whether jobs are computed by the scorer itself, so that nothing else may be tried on it meanwhile."""

    def run(
        self, scorer: Scorer, jobs: Iterable[Job | None], side: Side
    ) -> Generator[tuple[int, list[RowResult]], None, None]:
        """Each job's index with a result per row, in the order in which they are done.

        Jobs are taken one by one while there are places for them, in the caller's thread. None says that none is ready
        yet, while jobs are under way: it is asked again after the next result or after `LOOK_AGAIN` seconds.
        """


class Progress(Protocol):
    """Receives reports of the work, from the thread that called the engine."""

    def start(self, task: str, rows: int, tokens: int) -> None:
        """A stage of work begins, and the one before it is over. `tokens` is 0 where they are unknown."""

    def advance(self, rows: int, tokens: int) -> None:
        """More rows and tokens are done."""

    def cost(self, amount: float) -> None:
        """What the work has cost so far, in the currency of the prices that the user named."""

    def note(self, text: str) -> None:
        """A line for the user."""

    def end(self) -> None:
        """The work is over. Called by the owner of the progress, not by the engine."""


class SilentProgress:
    """Reports nothing."""

    def start(self, task: str, rows: int, tokens: int) -> None: ...

    def advance(self, rows: int, tokens: int) -> None: ...

    def cost(self, amount: float) -> None: ...

    def note(self, text: str) -> None: ...

    def end(self) -> None: ...

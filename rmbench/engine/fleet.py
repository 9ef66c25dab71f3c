"""What a pool of workers asks of the place where they run: processes of this machine, actors of a cluster."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rmbench.engine.apart import Question, Refused, pickled_apart
from rmbench.engine.batch import in_groups
from rmbench.engine.compute import LostRankError, compute, reason
from rmbench.engine.interfaces import Job, Side
from rmbench.errors import RmbenchError
from rmbench.models.abilities import HiddenStateScorer
from rmbench.models.checkpoint.ranks import is_rank
from rmbench.models.protocols import Responder, Scorer, SharingScorer
from rmbench.types import Setting

__all__ = [
    "Alive",
    "Answered",
    "CannotOpen",
    "Died",
    "Event",
    "Fleet",
    "Opened",
    "Opener",
    "Work",
    "Worker",
    "here",
]

Opener = Callable[[], Scorer | Responder]
"""Opens the model in a worker; picklable by name."""


@dataclass(frozen=True, slots=True)
class Work:
    """A job, and how it is computed."""

    job: Job
    side: Side
    hidden: bool
    """Whether hidden states are wanted beside the answers."""


@dataclass(frozen=True, slots=True)
class Alive:
    """A sign of life: the worker has started, or has computed or read something since the last one. A fleet that gives
    none has no worker given up for silence."""

    node: str
    """The machine's name."""
    pid: int


@dataclass(frozen=True, slots=True)
class Opened:
    """What a worker says once it has opened the model."""

    fingerprint: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """Of the model's facts."""
    node: str = ""
    """The machine's name."""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class CannotOpen:
    """What a worker says where the model cannot be opened; it is of no further use."""

    why: str
    node: str = ""
    told: str = ""
    """The text of the error, where it is one of ours."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a worker says of the work with this ticket; an error is one of every row."""

    ticket: int
    results: Any
    """A list with a `RowResult` per row of a job, what a `Question` asked for, or an RmbenchError."""


@dataclass(frozen=True, slots=True)
class Died:
    """A worker's process is gone, with all that it had been sent."""

    how: str
    """E.g. "exit code 1", "signal SIGKILL"."""
    memory: bool = False
    """It lacked memory for what it computed, and half of that may fit."""


Event = Alive | Opened | CannotOpen | Answered | Died


class Fleet(Protocol):
    """Workers by number. Each opens the model, says so, and then computes what it is sent in the order of sending."""

    @property
    def advice(self) -> str:
        """What to look at where workers die, one sentence or two."""

    def start(self) -> int:
        """Start a worker and return its number, which no other had; it opens the model meanwhile.

        Raises:
            RmbenchError: it can never start.
        """

    def send(self, worker: int, ticket: int, work: Work | Question) -> None:
        """Send work; that the worker has died is heard by `wait`."""

    def wait(self, timeout: float) -> Sequence[tuple[int, Event]]:
        """What workers said or that they died, as soon as there is something; nothing after so many seconds."""

    def end(self, worker: int) -> None:
        """End a worker at once, if it has not died; nothing more is heard of it."""

    def stop(self) -> None:
        """End all workers, and what belongs to them."""


class Worker:
    """What runs in a worker: the model, opened once."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._opened: Any = None

    def open(self) -> Opened | CannotOpen:
        """Open the model."""
        try:
            self._opened = self._opener()
        except Exception as error:
            return CannotOpen(reason(error), here(), str(error) if isinstance(error, RmbenchError) else "")
        facts = self._opened.facts
        return Opened(facts.fingerprint, dict(facts.settings), here(), os.getpid())

    def compute(self, work: Work | Question) -> Any:
        """What `Answered.results` is of this work. The sharing trial is repeated on the first job, and rows are
        computed one by one where it fails. After `Died` the process must end."""
        try:
            scorer = self._opened
            if work.hidden and isinstance(scorer, HiddenStateScorer):
                scorer = scorer.with_hidden()
            if isinstance(work, Question):
                return _answer(scorer, work)
            job, groups = work.job, work.job.groups
            if not groups or (
                isinstance(scorer, SharingScorer) and scorer.sharing([in_groups(job.rows, groups)]).shares
            ):
                return compute(scorer, job.rows, work.side, groups)
            return [result for row in job.rows for result in compute(scorer, [row], work.side)]
        except LostRankError as lost:
            return Died(lost.why, lost.memory)
        except RmbenchError as error:
            return error
        except Exception as error:
            return RmbenchError(f"a worker cannot compute: {reason(error)}")


def _answer(scorer: Any, question: Question) -> Any:
    if question.what == "apart":
        return pickled_apart(scorer)
    if question.what == "sharing":
        return scorer.sharing(question.batches)
    (batch,) = question.batches
    if batch.groups and not scorer.sharing(question.batches).shares:  # where another worker had the trial
        return Refused("rows in groups are not computed here")
    try:
        return dict(scorer.forward(batch))
    except RmbenchError:
        raise
    except Exception as error:
        if is_rank():
            raise LostRankError(reason(error), memory=False) from error
        return Refused(reason(error))


def here() -> str:
    """The name of this machine."""
    return socket.gethostname()

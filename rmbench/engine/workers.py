"""Worker processes: each opens the model and computes jobs; a row that kills its process fails alone."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait

from rmbench.engine.compute import reason
from rmbench.engine.interfaces import LOOK_AGAIN, Job, Side
from rmbench.engine.serialization import RowResult
from rmbench.engine.worker_process import Ready, WorkerProcess
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Group, Responder, Scorer

__all__ = ["Workers"]

Opener = Callable[[], Scorer | Responder]

_TRIES = 2
"""After this many deaths on a batch its rows are computed one by one; after this many on one row, the row fails."""
_MOST_DEATHS = 40
"""Of one call of `run`, since each costs another opening of the model."""


@dataclass(slots=True)
class _Piece:
    """Rows of a job that are computed together: all of them, or one."""

    job: Job
    places: range
    deaths: int = 0

    @property
    def as_job(self) -> Job:
        if len(self.places) == len(self.job.rows):
            return self.job
        alone = (Group(0, 1),) if self.job.groups else ()
        return Job(self.job.index, self.job.rows[self.places.start : self.places.stop], alone)


@dataclass(slots=True)
class _Worker:
    process: WorkerProcess
    ready: bool = False
    piece: _Piece | None = None


@dataclass(slots=True)
class _Work:
    """What is left to do, and the results so far, by the index of their job."""

    jobs: Iterator[Job | None]
    waiting: deque[_Piece] = field(default_factory=deque)
    """Pieces that a worker died on."""
    results: dict[int, list[RowResult | None]] = field(default_factory=dict)
    deaths: int = 0
    exhausted: bool = False

    def next(self) -> _Piece | None:
        """What to compute next; None: nothing yet, or nothing any more."""
        if self.waiting:
            return self.waiting.popleft()
        for job in self.jobs:
            return None if job is None else _Piece(job, range(len(job.rows)))
        self.exhausted = True
        return None

    def add(self, piece: _Piece, results: Sequence[RowResult]) -> list[RowResult] | None:
        """Store a piece's results; returns those of the whole job once there are no others to come."""
        index, size = piece.job.index, len(piece.job.rows)
        stored = self.results.setdefault(index, [None] * size)
        stored[piece.places.start : piece.places.stop] = results
        whole = [result for result in stored if result is not None]
        if len(whole) < size:
            return None
        del self.results[index]
        return whole

    def died(self, piece: _Piece, how: str) -> list[RowResult] | None:
        """After a worker's death on a piece: it waits again, whole or row by row; or its one row has failed."""
        piece.deaths += 1
        if piece.deaths < _TRIES:
            self.waiting.appendleft(piece)
        elif len(piece.places) > 1:
            self.waiting.extendleft(_Piece(piece.job, range(at, at + 1)) for at in reversed(piece.places))
        else:
            return self.add(piece, [RowResult(error=f"the worker process died twice on it ({how})")])
        return None


class Workers:
    """An `Executor` of N processes on this machine. Use it in a `with`; the processes live across tasks.

    A job needs nothing but itself, so the same jobs may go to other machines. The model of the calling process decides
    whether rows are in groups; a worker repeats the sharing trial on its first job, and computes such rows one by one
    where it fails.
    """

    def __init__(self, opener: Opener, count: int) -> None:
        """`opener` opens the model in a worker, and must be picklable by name; `count` is at least 1."""
        self.in_process = False
        self._opener = opener
        self._count = count
        self._payload = b""
        self._workers: list[_Worker] = []

    def __enter__(self) -> Workers:
        """Start the processes; they open the model while the caller goes on."""
        try:
            self._payload = pickle.dumps(self._opener)
        except Exception as error:
            raise RmbenchError(f"the model cannot be opened in worker processes: {reason(error)}") from error
        self._fill()
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            worker.process.hang_up()
        for worker in self._workers:
            worker.process.end()
        self._workers = []

    def run(
        self, scorer: Scorer, jobs: Iterable[Job | None], side: Side
    ) -> Generator[tuple[int, list[RowResult]], None, None]:
        """Compute jobs in the workers.

        A worker that dies is replaced, and what it computed goes to another one. After two deaths the rows of a batch
        are computed one by one; a row that kills two workers by itself fails.

        Raises:
            RmbenchError: a worker cannot open the model, dies before it has opened it, opens another one, or breaks
                the scorer's protocol; workers died too often.
        """
        work = _Work(iter(jobs))
        self._fill()
        try:
            while True:
                hungry = False
                for worker in self._workers:
                    if worker.ready and worker.piece is None:
                        worker.piece = work.next()
                        hungry = worker.piece is None
                        if worker.piece is not None:
                            worker.process.send((worker.piece.as_job, side, "hidden" in scorer.answers))
                if work.exhausted and not work.waiting and all(worker.piece is None for worker in self._workers):
                    return
                for worker in self._heard_of(LOOK_AGAIN if hungry and not work.exhausted else None):
                    done = self._hear(worker, work, scorer)
                    if done is not None:
                        yield done
        finally:
            self._drop_busy()

    def _fill(self) -> None:
        """Start the processes that are missing."""
        missing = self._count - len(self._workers)
        self._workers += [_Worker(WorkerProcess(self._payload, self._count)) for _ in range(missing)]

    def _drop_busy(self) -> None:
        """End the workers that still compute, after an error: nobody asks for their answers any more."""
        for worker in self._workers:
            if worker.piece is not None:
                worker.process.hang_up()
                worker.process.end(patience=0)
        self._workers = [worker for worker in self._workers if worker.piece is None]

    def _heard_of(self, timeout: float | None) -> list[_Worker]:
        """The workers that said something or died; waits until there is one, or until the time is over."""
        heard = set(wait([worker.process.pipe for worker in self._workers], timeout))
        return [worker for worker in self._workers if worker.process.pipe in heard]

    def _hear(self, worker: _Worker, work: _Work, scorer: Scorer) -> tuple[int, list[RowResult]] | None:
        """Take what a worker says, or its death; the index and the results of the job that is thereby done."""
        try:
            said = worker.process.receive()
        except (EOFError, OSError):
            how = worker.process.ended()
            self._check_death(worker, work, how)
            worker.process, worker.ready = WorkerProcess(self._payload, self._count), False
            said = None
        if isinstance(said, RmbenchError):
            raise said
        if isinstance(said, Ready):
            _check_model(said.fingerprint, scorer.facts.fingerprint)
            worker.ready = True
            return None
        piece, worker.piece = worker.piece, None
        if piece is None:
            return None  # it died between two jobs
        results = work.died(piece, how) if said is None else work.add(piece, said)
        return None if results is None else (piece.job.index, results)

    def _check_death(self, worker: _Worker, work: _Work, how: str) -> None:
        """Raise RmbenchError where another process in its place would die as well."""
        if not worker.ready:
            raise RmbenchError(
                f"a worker process died before it had opened the model ({how}). Is there memory for the model "
                f"{self._count + 1} times, in --workers {self._count} and in this process? Fewer workers need less."
            )
        work.deaths += 1
        if work.deaths >= _MOST_DEATHS:
            raise RmbenchError(
                f"worker processes died {work.deaths} times while they computed, the last one with {how}, so the run "
                "stops here. Is there enough memory? Fewer --workers or a smaller --batch-tokens need less."
            )


def _check_model(theirs: str, ours: str) -> None:
    if theirs != ours:
        raise RmbenchError(
            f"a worker process opened another model than this process (fingerprints {theirs[:8]} and {ours[:8]}). Were "
            "its files changed meanwhile?"
        )

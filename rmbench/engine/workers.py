"""Worker processes: each opens the model and computes jobs; a job whose worker dies is given to another."""

from __future__ import annotations

import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from rmbench.engine.compute import compute, reason
from rmbench.engine.interfaces import Job, Side
from rmbench.engine.serialization import RowResult
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Responder, Scorer

__all__ = ["Workers"]

Opener = Callable[[], Scorer | Responder]

_DEATHS = 2
"""After this many workers have died on a job it is given up."""


@dataclass(slots=True)
class _Worker:
    process: Any
    pipe: Connection
    job: Job | None = None


class Workers:
    """An `Executor` of N processes on this machine. Use it in a `with`; the processes live across tasks.

    A job needs nothing but itself, so the same jobs may go to other machines. The model of the calling process decides
    whether rows are in groups; a worker repeats the sharing trial on its first job, and computes such rows one by one
    where it fails.
    """

    def __init__(self, opener: Opener, count: int) -> None:
        """`opener` opens the model in a worker, and must be picklable; `count` is at least 1."""
        self._opener = opener
        self._count = count
        self._workers: list[_Worker] = []

    def __enter__(self) -> Workers:
        self._workers = [self._start() for _ in range(self._count)]
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers = []

    def run(self, scorer: Scorer, jobs: Sequence[Job], side: Side) -> Iterator[tuple[int, list[RowResult]]]:
        """Compute jobs in the workers.

        Raises:
            RmbenchError: a worker cannot open the model, or breaks the scorer's protocol.
        """
        waiting = deque(jobs)
        died: Counter[int] = Counter()
        left = len(jobs)
        while left:
            for worker in self._workers:
                if worker.job is None and waiting:
                    worker.job = waiting.popleft()
                    self._send(worker, worker.job, side, scorer)
            for worker in self._ready():
                job, worker.job = worker.job, None
                answer = self._receive(worker)
                if job is None:
                    continue
                if isinstance(answer, list):
                    left -= 1
                    yield job.index, answer
                    continue
                died[job.index] += 1
                if died[job.index] < _DEATHS:
                    waiting.appendleft(job)
                else:
                    left -= 1
                    yield (
                        job.index,
                        [RowResult(error=f"the worker process died twice on it ({answer})")] * len(job.rows),
                    )

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._opener, self._count), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _send(self, worker: _Worker, job: Job, side: Side, scorer: Scorer) -> None:
        try:
            worker.pipe.send((job, side, "hidden" in scorer.answers))
        except OSError:  # it died between two jobs; its silence is read below
            return

    def _ready(self) -> list[_Worker]:
        busy = [worker for worker in self._workers if worker.job is not None]
        ready = set(wait([worker.pipe for worker in busy]))
        return [worker for worker in busy if worker.pipe in ready]

    def _receive(self, worker: _Worker) -> list[RowResult] | str:
        """A job's results; where the worker died, how it ended, and a new one is started in its place."""
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(5)
            ended = f"exit code {worker.process.exitcode}"
            worker.pipe.close()
            fresh = self._start()
            worker.process, worker.pipe = fresh.process, fresh.pipe
            return ended
        if isinstance(answer, RmbenchError):
            raise answer
        results: list[RowResult] = answer
        return results


def _work(pipe: Connection, opener: Opener, count: int) -> None:
    """The worker process: open the model, then compute job after job until the pipe closes."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the calling process, which closes the pipe
    _take_share(count)
    try:
        scorer = opener()
    except Exception as error:
        _answer(pipe, RmbenchError(f"a worker cannot open the model: {reason(error)}"))
        return
    while True:
        try:
            job, side, hidden = pipe.recv()
        except (EOFError, OSError):
            return
        if not _answer(pipe, _results(scorer, job, side, hidden)):
            return


def _results(opened: Scorer | Responder, job: Job, side: Side, hidden: bool) -> list[RowResult] | RmbenchError:
    from rmbench.engine.batch import in_groups
    from rmbench.models.abilities import HiddenStateScorer
    from rmbench.models.protocols import SharingScorer

    scorer: Any = opened.with_hidden() if hidden and isinstance(opened, HiddenStateScorer) else opened
    groups = job.groups
    if groups and not (isinstance(scorer, SharingScorer) and scorer.sharing([in_groups(job.rows, groups)]).shares):
        return [result for row in job.rows for result in compute(scorer, [row], side)]
    try:
        return compute(scorer, job.rows, side, tuple(groups) or ())
    except RmbenchError as error:
        return error


def _answer(pipe: Connection, answer: object) -> bool:
    """Send; whether the other end was still open."""
    try:
        pipe.send(answer)
    except OSError:
        return False
    return True


def _take_share(count: int) -> None:
    """Use a worker's share of the cores, so that N workers do not start N times as many threads as there are cores."""
    import os
    import sys

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch = sys.modules.get("torch")
    if torch is None:
        os.environ["OMP_NUM_THREADS"] = str(max(1, cores // count))
    else:
        torch.set_num_threads(max(1, cores // count))

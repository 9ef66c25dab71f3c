"""Scores examples with a Scorer: one stream of jobs a task, from windows that are prepared ahead; results come back in
any order, and a window's judgments follow once its last job is done."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from time import monotonic

from rmbench.engine.ahead import Ahead
from rmbench.engine.computing import Computing
from rmbench.engine.encode import windows_of
from rmbench.engine.filling import Filling
from rmbench.engine.interfaces import Job, SilentProgress
from rmbench.engine.known import model_key
from rmbench.engine.prepare import Prepared, Scored, Scoring, prepare
from rmbench.engine.serialization import RowResult
from rmbench.engine.window_run import WindowRun
from rmbench.types import Example

__all__ = ["score"]

_AHEAD = 2
"""Windows that are prepared before the first of their jobs is asked for, at most."""


def score(scoring: Scoring, examples: Iterable[Example]) -> Iterator[Scored]:
    """The windows in their order, each as soon as it and those before it are done."""
    windows = windows_of(examples, pairs="pair" in scoring.scorer.answers)
    first = next(windows, None)
    if first is None:
        return
    prepared = prepare(scoring, first, scoring.progress)
    wanted = _WhileWanted()

    def make(examples: Sequence[Example]) -> Prepared:
        return prepare(scoring, examples, wanted)

    with Ahead(make, windows, _AHEAD, wanted.stop) as ahead, _Stream(scoring, prepared, ahead) as stream:
        del first, prepared
        while not stream.over:
            running = scoring.executor.run(scoring.scorer, stream.jobs(), scoring.options.padding_side)
            with contextlib.closing(running):
                for number, results in running:
                    stream.take(number, results)
                    yield from stream.finished()
            yield from stream.finished()


class _WhileWanted(SilentProgress):
    """Ends the encoding of a window that nobody wants any more, after Ctrl-C or an error; it would take seconds."""

    def __init__(self) -> None:
        self._stopped = False

    def stop(self) -> None:
        """It is wanted no longer."""
        self._stopped = True

    def advance(self, rows: int, tokens: int) -> None:
        """Some rows are encoded."""
        if self._stopped:
            raise _UnwantedError


class _UnwantedError(Exception):
    """Nobody takes what was being made."""


class _Stream:
    """The jobs of a task's windows, and the windows that are not done yet."""

    def __init__(self, scoring: Scoring, first: Prepared, ahead: Ahead[list[Example], Prepared]) -> None:
        self._scoring = scoring
        self._ahead = ahead
        self._computing = Computing()
        self._filling = Filling(scoring.cache, model_key(scoring.scorer))
        self._open: deque[WindowRun] = deque()
        self._run_of: dict[int, WindowRun] = {}
        """Number of a job under way -> its window."""
        self._numbered = 0
        self._exhausted = False
        self._wanting: float | None = None
        """When a job was first wanted that is not encoded yet; None while there are others."""
        self._begin(first)

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        self._filling.flush()

    @property
    def over(self) -> bool:
        """Whether every window is done."""
        return self._exhausted and not self._open

    def jobs(self) -> Iterator[Job | None]:
        """As an `Executor` takes them. They end early where windows are done and nothing is under way, so that their
        judgments can be handed over; asked again, they go on."""
        while True:
            run = next((run for run in self._open if run.has_jobs), None)
            if run is not None:
                if self._must_wait(run):
                    yield None
                elif not run.tried:
                    run.try_out()
                    self._open[0].show()
                else:
                    yield self._next_job(run)
            elif not self._run_of and self._open and self._open[0].complete:
                return
            elif self._exhausted:
                if not self._computing.awaited or not self._run_of:
                    return
                yield None  # a row that is awaited may fail, and is then computed once more
            elif self._run_of and not self._ahead.ready:
                self._wanting = self._wanting or monotonic()
                yield None
            else:
                self._begin(self._take())
                if self._run_of and self._open and not self._open[-1].has_jobs:
                    yield None  # nothing to compute in it: results of others come first

    def take(self, number: int, results: Sequence[RowResult]) -> None:
        """What a job gave."""
        self._run_of.pop(number).take(number, results)

    def finished(self) -> Iterator[Scored]:
        """The windows that are done, in their order."""
        while self._open and self._open[0].complete:
            run = self._open.popleft()
            if self._open:
                self._open[0].show()
            yield run.scored()

    def _take(self) -> Prepared | None:
        """The next window. How long the model was without jobs for want of it, or a part of the model's places, is said
        to those who can help."""
        wanted = self._wanting or monotonic()
        prepared = self._ahead.take()
        self._wanting = None
        if self._scoring.helpers is not None and prepared is not None:
            self._scoring.helpers.waited(monotonic() - wanted)
        return prepared

    def _begin(self, prepared: Prepared | None) -> None:
        if prepared is None:
            self._exhausted = True
            return
        self._filling.flush()
        self._open.append(WindowRun(self._scoring, prepared, self._computing, self._filling))
        self._open[0].show()

    def _must_wait(self, run: WindowRun) -> bool:
        """Whether the model must be free of other jobs: for trials, and where a forward may leave something in it."""
        return bool(self._run_of) and self._scoring.executor.in_process and (not run.tried or run.alone)

    def _next_job(self, run: WindowRun) -> Job:
        number = self._numbered = self._numbered + 1
        self._run_of[number] = run
        return run.next_job(number)

"""A pool of workers, wherever they run: who has what, and what follows when one dies, is late, or opened another model.
A row that kills its worker fails alone; no death loses a row."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rmbench.engine.apart import Question
from rmbench.engine.fleet import Answered, CannotOpen, Died, Event, Fleet, Opened, Work, here
from rmbench.engine.interfaces import LOOK_AGAIN, Job, Side
from rmbench.engine.pieces import Pace, Piece, Pieces
from rmbench.engine.same_model import check_same
from rmbench.engine.serialization import RowResult
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Scorer

__all__ = ["Pool"]

_PLACES = 2
"""Pieces that a worker has at a time, so that it need not wait for the next one."""
_OPENING_DEATHS = 2
"""Of a worker and those in its place, in a row: another one would die as well."""
_FIRST_DEATHS = 3
"""The same of all workers together, as long as none has opened the model."""
_ASKED = 2
"""Workers that a question is put to, where the first one dies on it."""
_MOST_DEATHS = 40
"""Of workers that compute, in one call of `run`, or twice the workers where these are more; each costs another opening
of the model."""
_LISTEN = 1.0
"""Seconds after which late pieces are looked for."""


@dataclass(slots=True)
class _Worker:
    """A place for a worker; one that dies is replaced by another."""

    number: int
    """The fleet's, of the worker that is in it now."""
    ready: bool = False
    late: bool = False
    """It has not answered for long, so what it has was given to others, and it gets nothing new."""
    since: float = 0.0
    """When the oldest of its pieces began."""
    pieces: deque[tuple[int, Piece]] = field(default_factory=deque)
    """Ticket and piece, in the order of sending, in which they are computed."""
    opening_deaths: int = 0

    def has(self, piece: Piece) -> bool:
        return any(piece is each for _, each in self.pieces)

    @property
    def has_room(self) -> bool:
        """Whether it may get another piece; a suspect has its worker for itself."""
        full = len(self.pieces) >= _PLACES or any(piece.suspect for _, piece in self.pieces)
        return self.ready and not self.late and not full


class Pool:
    """An `Executor` of N workers of a fleet. Use it in a `with`; the workers live across tasks.

    The rules, each of which a test holds:

    - A worker gets work only after it has said that the model is open, and that it is the caller's model.
    - A death is blamed on the oldest piece that the worker had; what was behind it is sent again, without blame. A
      piece blamed once is computed with nothing beside it in its worker, one blamed twice row by row, and a row blamed
      twice fails.
    - A worker that dies while it opens the model is no fault of a piece: twice in a row in one place ends the run.
    - A worker that says why it cannot open the model is left out, with a note; where all say so, the run ends.
    - A piece that takes far longer than others of its size is sent to a second worker, with what is behind it. The
      first answer counts.
    """

    in_process = False

    def __init__(
        self, fleet: Fleet, count: int, note: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`count` workers, at least 1; `note` takes lines for the user."""
        self._fleet = fleet
        self._count = count
        self._note = note
        self._clock = clock
        self._pace = Pace()
        self._workers: dict[int, _Worker] = {}
        """By number."""
        self._room: list[dict[int, _Worker]] = [{} for _ in range(_PLACES)]
        """Those that may get another piece, by how many they have, the longest waiting first."""
        self._refused: list[CannotOpen] = []
        self._heard: deque[tuple[int, Event]] = deque()
        """What one call of `run` had not come to when it ended is for the next one."""
        self._pieces = Pieces(iter(()))
        self._scorer: Scorer | None = None
        """The caller's, once there is one."""
        self._first: Opened | None = None
        """What the first worker said, where the caller has not opened the model."""
        self._asked = 0
        """The number of the worker that was asked last."""
        self._done: deque[tuple[int, list[RowResult]]] = deque()
        """Index and results of jobs that are done."""
        self._left_out = 0
        self._tickets = 0
        self._deaths = 0
        self._next_look = 0.0
        self._was_open = False

    def __enter__(self) -> Pool:
        """Start the workers; they open the model while the caller goes on."""
        try:
            self._fill()
        except BaseException:
            self._fleet.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in [each for each in self._workers.values() if not each.ready]:
            self._fleet.end(worker.number)  # it would open the model first
        self._fleet.stop()

    def run(
        self, scorer: Scorer, jobs: Iterable[Job | None], side: Side
    ) -> Generator[tuple[int, list[RowResult]], None, None]:
        """Compute jobs in the workers.

        Raises:
            RmbenchError: no worker can open the model, workers die before they have opened it, one opened another
                model or breaks the scorer's protocol; workers died too often.
        """
        pieces = self._pieces = Pieces(iter(jobs))
        self._scorer, self._deaths, whole = scorer, 0, False
        self._done.clear()
        if self._first is not None:
            self._check_model(self._first)
        self._fill()
        try:
            while True:
                pieces.none_ready = False
                self._hand_out(pieces, side, "hidden" in scorer.answers)
                yield from self._take_done()  # while jobs were made, something may have been asked
                if pieces.over:
                    whole = True
                    return
                hungry = pieces.none_ready and any(self._room)
                self._heard.extend(self._fleet.wait(LOOK_AGAIN if hungry else _LISTEN))
                while self._heard:
                    self._hear(*self._heard.popleft())
                    yield from self._take_done()
                self._look_for_late(pieces)
        finally:
            self._leave(whole)

    def ask(self, question: Question) -> Any:
        """What a worker answers.

        Raises:
            RmbenchError: as `run` does; a worker died on it twice.
        """
        for _ in range(_ASKED):
            worker = self._confidant()
            self._tickets += 1
            self._fleet.send(worker.number, self._tickets, question)
            answer: Answered | None = None
            while answer is None and worker.number in self._workers:
                for number, event in self._listen():
                    if isinstance(event, Answered) and event.ticket == self._tickets:
                        answer = event
                    else:
                        self._hear(number, event)
            if answer is not None:
                worker.since = self._clock()
                if isinstance(answer.results, RmbenchError):
                    raise answer.results
                return answer.results
        raise RmbenchError(f"workers died {_ASKED} times while they tried the model out. {self._fleet.advice}")

    def _confidant(self) -> _Worker:
        """The worker that was asked last, whose model has had the trials; else the ready one with the fewest pieces, as
        soon as there is one."""
        while not (ready := [worker for worker in self._workers.values() if worker.ready and not worker.late]):
            for number, event in self._listen():
                self._hear(number, event)
        found = min(ready, key=lambda worker: (worker.number != self._asked, len(worker.pieces)))
        self._asked = found.number
        return found

    def _listen(self) -> list[tuple[int, Event]]:
        """What has not been heard yet, in its order."""
        self._heard.extend(self._fleet.wait(0 if self._heard else _LISTEN))
        heard = list(self._heard)
        self._heard.clear()
        return heard

    def _take_done(self) -> Iterator[tuple[int, list[RowResult]]]:
        while self._done:
            yield self._done.popleft()

    def _fill(self) -> None:
        """Start the workers that are missing."""
        while len(self._workers) + self._left_out < self._count:
            self._add(_Worker(self._fleet.start()))

    def _add(self, worker: _Worker) -> None:
        self._workers[worker.number] = worker

    def _place(self, worker: _Worker) -> None:
        """Note whether a worker that changed has room; there may be a thousand, which are not asked each time."""
        for room in self._room:
            room.pop(worker.number, None)
        if worker.has_room and worker.number in self._workers:
            self._room[len(worker.pieces)][worker.number] = worker

    def _hand_out(self, pieces: Pieces, side: Side, hidden: bool) -> None:
        """Send pieces while there is room, to the workers with the fewest first."""
        for held, room in enumerate(self._room):
            for worker in [*room.values()] if pieces.some_left else ():
                piece = pieces.next(worker.has, free=not held)
                if piece is not None and (worker.number not in self._workers or worker.late):
                    pieces.send_again([piece])  # it died, or is late, since somebody was asked while the job was made
                elif piece is not None:
                    self._send(worker, piece, side, hidden)
                elif not pieces.some_left:
                    break

    def _send(self, worker: _Worker, piece: Piece, side: Side, hidden: bool) -> None:
        self._tickets += 1
        if not worker.pieces:
            worker.since = self._clock()
        worker.pieces.append((self._tickets, piece))
        piece.copies += 1
        self._place(worker)
        self._fleet.send(worker.number, self._tickets, Work(piece.as_job, side, hidden))

    def _hear(self, number: int, event: Event) -> None:
        """Take what a worker says, or its death."""
        worker = self._workers.get(number)
        if worker is None:
            return
        done = None
        match event:
            case Opened():
                self._check_model(event)
                worker.ready, worker.opening_deaths, self._was_open = True, 0, True
                self._say_refused()
            case CannotOpen():
                self._leave_out(worker, event)
            case Answered():
                done = self._take(worker, event, self._pieces)
            case Died():
                done = self._bury(worker, event, self._pieces)
        self._place(worker)
        if done is not None:
            self._done.append(done)

    def _check_model(self, opened: Opened) -> None:
        """Raise RmbenchError where a worker's model is not the others', or does not compute as they do."""
        if self._scorer is not None:
            facts = self._scorer.facts
            where = f"this process on {here()}" if self._first is None else f"the worker on {self._first.node}"
            check_same(opened, facts.fingerprint, facts.settings, where)
        elif self._first is not None:
            check_same(opened, self._first.fingerprint, self._first.settings, f"the worker on {self._first.node}")
        else:
            self._first = opened

    def _take(self, worker: _Worker, answer: Answered, pieces: Pieces) -> tuple[int, list[RowResult]] | None:
        if isinstance(answer.results, RmbenchError):
            raise answer.results
        piece = next((piece for ticket, piece in worker.pieces if ticket == answer.ticket), None)
        if piece is None:
            return None
        worker.pieces = deque(each for each in worker.pieces if each[0] != answer.ticket)
        piece.copies -= 1
        now = self._clock()
        self._pace.add(piece.tokens, now - worker.since)
        worker.since, worker.late = now, False
        return None if piece.done else pieces.add(piece, answer.results)

    def _bury(self, worker: _Worker, death: Died, pieces: Pieces) -> tuple[int, list[RowResult]] | None:
        """Put another worker into the place of one that died, and send again what it had."""
        held = [piece for _, piece in worker.pieces]
        self._remove(worker)
        self._check_death(worker, death)
        self._note(f"a worker died ({death.how}); another takes its place and its work")
        self._add(_Worker(self._fleet.start(), opening_deaths=worker.opening_deaths))
        for piece in held:
            piece.copies -= 1
        pieces.send_again([piece for piece in held[1:] if not piece.done and not piece.copies])
        return pieces.blame(held[0], death.how, halves=death.memory) if held else None

    def _check_death(self, worker: _Worker, death: Died) -> None:
        """Raise RmbenchError where workers die too often, so that others in their place would die as well."""
        if worker.ready:
            self._deaths += 1
            if self._deaths >= max(_MOST_DEATHS, 2 * self._count):
                raise RmbenchError(
                    f"workers died {self._deaths} times while they computed, the last one with {death.how}, so the run "
                    f"stops here. {self._fleet.advice} A smaller --batch-tokens needs less."
                )
            return
        worker.opening_deaths += 1
        together = worker.opening_deaths + sum(each.opening_deaths for each in self._workers.values())
        if worker.opening_deaths >= _OPENING_DEATHS or (not self._was_open and together >= _FIRST_DEATHS):
            raise RmbenchError(f"a worker died before it had opened the model ({death.how}). {self._fleet.advice}")

    def _leave_out(self, worker: _Worker, said: CannotOpen) -> None:
        """Go on without a worker that cannot open the model, as long as there are others."""
        self._remove(worker)
        self._left_out += 1
        self._refused.append(said)
        if not self._workers:
            alone = self._scorer is None and said.told  # nobody else has opened it
            raise RmbenchError(said.told if alone else f"a worker cannot open the model: {said.why}")
        self._say_refused()

    def _say_refused(self) -> None:
        """Note the workers that are left out; not before one is ready, since all of them may fail alike."""
        if self._refused and any(worker.ready for worker in self._workers.values()):
            for said in self._refused:
                self._note(f"a worker on {said.node} cannot open the model and is left out: {said.why}")
            self._refused.clear()

    def _look_for_late(self, pieces: Pieces) -> None:
        """Send what a late worker has to others as well."""
        now = self._clock()
        if now < self._next_look:
            return  # there may be a thousand workers, and as many answers a second
        self._next_look = now + _LISTEN
        for worker in self._workers.values():
            if not worker.pieces or worker.late:
                continue
            tokens = worker.pieces[0][1].tokens
            if self._pace.is_late(tokens, now - worker.since):
                worker.late = True
                self._place(worker)
                pieces.send_again([piece for _, piece in worker.pieces if not piece.done and piece.copies == 1])

    def _leave(self, whole: bool) -> None:
        """End the workers that still compute what nobody asks for any more: after an error all that do, else those that
        are late."""
        for worker in [each for each in self._workers.values() if each.late or (each.pieces and not whole)]:
            self._fleet.end(worker.number)
            self._remove(worker)

    def _remove(self, worker: _Worker) -> None:
        del self._workers[worker.number]
        self._place(worker)

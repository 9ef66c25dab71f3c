"""A pool of workers, wherever they run: who has what, and what follows when one dies, is late, or opened another model.
A row that kills its worker fails alone; no death loses a row."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field

from rmbench.engine.fleet import Answered, CannotOpen, Died, Event, Fleet, Opened, Work, here
from rmbench.engine.interfaces import LOOK_AGAIN, Job, Side
from rmbench.engine.pieces import Pace, Piece, Pieces
from rmbench.engine.serialization import RowResult
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Scorer
from rmbench.types import Setting

__all__ = ["Pool"]

_PLACES = 2
"""Pieces that a worker has at a time, so that it need not wait for the next one."""
_OPENING_DEATHS = 2
"""Of a worker and those in its place, in a row: another one would die as well."""
_FIRST_DEATHS = 3
"""The same of all workers together, as long as none has opened the model."""
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
        self._fleet.stop()

    def run(
        self, scorer: Scorer, jobs: Iterable[Job | None], side: Side
    ) -> Generator[tuple[int, list[RowResult]], None, None]:
        """Compute jobs in the workers.

        Raises:
            RmbenchError: no worker can open the model, workers die before they have opened it, one opened another
                model or breaks the scorer's protocol; workers died too often.
        """
        pieces, whole = Pieces(iter(jobs)), False
        self._deaths = 0
        self._fill()
        try:
            while True:
                pieces.none_ready = False
                self._hand_out(pieces, side, "hidden" in scorer.answers)
                if pieces.over:
                    whole = True
                    return
                hungry = pieces.none_ready and any(self._room)
                self._heard.extend(self._fleet.wait(LOOK_AGAIN if hungry else _LISTEN))
                while self._heard:
                    number, event = self._heard.popleft()
                    worker = self._workers.get(number)
                    if worker is None:
                        continue
                    done = self._hear(worker, event, pieces, scorer)
                    self._place(worker)
                    if done is not None:
                        yield done
                self._look_for_late(pieces)
        finally:
            self._leave(whole)

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
                if piece is not None:
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

    def _hear(
        self, worker: _Worker, event: Event, pieces: Pieces, scorer: Scorer
    ) -> tuple[int, list[RowResult]] | None:
        """Take what a worker says, or its death; the index and the results of the job that is thereby done."""
        match event:
            case Opened():
                _check_model(event, scorer)
                worker.ready, worker.opening_deaths, self._was_open = True, 0, True
                self._say_refused()
            case CannotOpen():
                self._leave_out(worker, event)
            case Answered():
                return self._take(worker, event, pieces)
            case Died():
                return self._bury(worker, event, pieces)
        return None

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
        return pieces.blame(held[0], death.how) if held else None

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
            raise RmbenchError(f"a worker cannot open the model: {said.why}")
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


def _check_model(opened: Opened, scorer: Scorer) -> None:
    """Raise RmbenchError where a worker's model is not the caller's, or does not compute as that one does."""
    facts = scorer.facts
    different = _first_difference(opened.settings, facts.settings)
    if opened.fingerprint == facts.fingerprint and not different:
        return
    there = f"the worker on {opened.node}" if opened.node else "a worker"
    why = different or "Were its files changed meanwhile?"
    raise RmbenchError(
        f"{there} opened another model than this process on {here()} (fingerprints {opened.fingerprint[:8]} and "
        f"{facts.fingerprint[:8]}). {why}"
    )


def _first_difference(theirs: Mapping[str, Setting], ours: Mapping[str, Setting]) -> str:
    """The first setting that differs, as a sentence, or ""; of a device its kind counts, not its number and name."""
    for name in sorted(theirs.keys() | ours.keys()):
        there, this = (str(settings.get(name, "not set")) for settings in (theirs, ours))
        if name == "device":
            there, this = (re.split("[ :]", device)[0] for device in (there, this))
        if there != this:
            advice = f" Say --{name} where they should agree." if name in ("device", "dtype", "attn") else ""
            return f"{name} is {there} there and {this} here.{advice}"
    return ""

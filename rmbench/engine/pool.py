"""A pool of workers, wherever they run: sends them pieces of work, hears them, and sends again what a worker loses."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from rmbench.engine.apart import Question
from rmbench.engine.fleet import Alive, Answered, CannotOpen, Died, Event, Fleet, Opened, Work
from rmbench.engine.interfaces import LOOK_AGAIN, Job, Side
from rmbench.engine.overdue import SILENT, Pace, is_silent
from rmbench.engine.pieces import Piece, Pieces
from rmbench.engine.places import Place, Places
from rmbench.engine.serialization import RowResult
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Scorer

__all__ = ["Pool"]

_ASKED = 2
"""Workers that a question is put to, where the first one dies on it."""
_LISTEN = 1.0
"""Seconds after which late and silent workers are looked for."""
_NO_PLACE = 60.0
"""Seconds after which the user is told of workers that have not started."""
_HANGS_OPENING = "It neither computed nor read: do the disk and the network answer that the model's files come from?"


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
    - A worker that should do something and does nothing for `SILENT` seconds is given up: as one that cannot open the
      model, or as one that died on what it had. So is one whose piece takes a hundred times as long as others.
    """

    in_process = False

    def __init__(
        self, fleet: Fleet, count: int, note: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`count` workers, at least 1; `note` takes lines for the user."""
        self._fleet = fleet
        self._note = note
        self._clock = clock
        self._pace = Pace()
        self._places = Places(fleet, count, note)
        self._heard: deque[tuple[int, Event]] = deque()
        """What one call of `run` had not come to when it ended is for the next one."""
        self._pieces = Pieces(iter(()))
        self._asked = 0
        """The number of the worker that was asked last."""
        self._done: deque[tuple[int, list[RowResult]]] = deque()
        """Index and results of jobs that are done."""
        self._tickets = 0
        self._next_look = 0.0
        self._tell_at = clock() + _NO_PLACE
        """When the user is told of workers that have not started."""

    def __enter__(self) -> Pool:
        """Start the workers; they open the model while the caller goes on."""
        try:
            self._places.fill()
        except BaseException:
            self._fleet.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for place in [each for each in self._places.by_number.values() if not each.ready]:
            self._fleet.end(place.number)  # it would open the model first
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
        whole = False
        self._done.clear()
        self._places.begin(scorer)
        try:
            while True:
                pieces.none_ready = False
                self._hand_out(pieces, side, "hidden" in scorer.answers)
                yield from self._take_done()  # while jobs were made, something may have been asked
                if pieces.over:
                    whole = True
                    return
                hungry = pieces.none_ready and any(self._places.with_room)
                self._heard.extend(self._fleet.wait(LOOK_AGAIN if hungry else _LISTEN))
                while self._heard:
                    self._hear(*self._heard.popleft())
                    yield from self._take_done()
                self._look_around()
        finally:
            self._leave(whole)

    def ask(self, question: Question) -> Any:
        """What a worker answers.

        Raises:
            RmbenchError: as `run` does; a worker died on it twice.
        """
        for _ in range(_ASKED):
            place = self._confidant()
            self._tickets += 1
            self._begins(place)
            place.asked = True
            self._fleet.send(place.number, self._tickets, question)
            answer: Answered | None = None
            while answer is None and place.number in self._places.by_number:
                for number, event in self._listen():
                    if isinstance(event, Answered) and event.ticket == self._tickets:
                        answer = event
                    else:
                        self._hear(number, event)
                if answer is None:
                    self._look_around()
            place.asked = False
            if answer is not None:
                place.since = self._clock()
                if isinstance(answer.results, RmbenchError):
                    raise answer.results
                return answer.results
        how = self._places.last_death
        raise RmbenchError(f"workers died {_ASKED} times while they tried the model out ({how}). {self._fleet.advice}")

    def _confidant(self) -> Place:
        """The worker that was asked last, whose model has had the trials; else the ready one with the fewest pieces, as
        soon as there is one."""
        while not (ready := [each for each in self._places.by_number.values() if each.ready and not each.late]):
            for number, event in self._listen():
                self._hear(number, event)
            self._look_around()
        found = min(ready, key=lambda place: (place.number != self._asked, len(place.pieces)))
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

    def _hand_out(self, pieces: Pieces, side: Side, hidden: bool) -> None:
        """Send pieces while there is room, to the workers with the fewest first."""
        for held, room in enumerate(self._places.with_room):
            for place in [*room.values()] if pieces.some_left else ():
                piece = pieces.next(place.has, free=not held)
                if piece is not None and (place.number not in self._places.by_number or place.late):
                    pieces.send_again([piece])  # it died, or is late, since somebody was asked while the job was made
                elif piece is not None:
                    self._send(place, piece, side, hidden)
                elif not pieces.some_left:
                    break

    def _send(self, place: Place, piece: Piece, side: Side, hidden: bool) -> None:
        self._tickets += 1
        self._begins(place)
        place.pieces.append((self._tickets, piece))
        piece.copies += 1
        self._places.changed(place)
        self._fleet.send(place.number, self._tickets, Work(piece.as_job, side, hidden))

    def _begins(self, place: Place) -> None:
        """A worker gets something to do; one that had nothing was silent for that reason."""
        if not place.pieces:
            place.since = self._clock()
            place.heard = None if place.heard is None else place.since

    def _hear(self, number: int, event: Event) -> None:
        """Take what a worker says, or its death."""
        place = self._places.by_number.get(number)
        if place is None:
            return
        place.heard = None if place.heard is None else self._clock()
        match event:
            case Alive():
                self._places.alive(place, event, self._clock())
            case Opened():
                self._places.opened(place, event)
            case CannotOpen():
                self._places.leave_out(place, event)
            case Answered():
                self._take(place, event)
            case Died():
                self._bury(place, event)
        self._places.changed(place)

    def _take(self, place: Place, answer: Answered) -> None:
        if isinstance(answer.results, RmbenchError):
            raise answer.results
        piece = next((piece for ticket, piece in place.pieces if ticket == answer.ticket), None)
        if piece is None:
            return
        place.pieces = deque(each for each in place.pieces if each[0] != answer.ticket)
        piece.copies -= 1
        now = self._clock()
        self._pace.add(piece.tokens, now - place.since)
        place.since, place.late = now, False
        if not piece.done:
            self._is_done(self._pieces.add(piece, answer.results))

    def _bury(self, place: Place, death: Died) -> None:
        """Put another worker into the place of one that died, and send again what it had."""
        held = [piece for _, piece in place.pieces]
        self._places.replace(place, death)
        for piece in held:
            piece.copies -= 1
        self._pieces.send_again([piece for piece in held[1:] if not piece.done and not piece.copies])
        if held:
            self._is_done(self._pieces.blame(held[0], death.how, halves=death.memory))

    def _is_done(self, job: tuple[int, list[RowResult]] | None) -> None:
        if job is not None:
            self._done.append(job)

    def _look_around(self) -> None:
        """Send what a late worker has to others as well, and give up those that do nothing any more."""
        now = self._clock()
        if now < self._next_look:
            return  # there may be a thousand workers, and as many answers a second
        self._next_look = now + _LISTEN
        for place in list(self._places.by_number.values()):
            if place.doing and is_silent(place.heard, now):
                self._give_up(place, f"gave no sign of life for {SILENT / 60:.0f} minutes")
            elif place.pieces:
                self._look_at(place, place.pieces[0][1].tokens, now - place.since)
        if now >= self._tell_at:
            self._tell_at = math.inf
            self._places.say_unstarted()

    def _look_at(self, place: Place, tokens: int, seconds: float) -> None:
        """Whether the oldest piece of a worker is late, or will never be done."""
        if self._pace.is_lost(tokens, seconds):
            self._give_up(place, f"did not come to an end in {seconds / 60:.0f} minutes")
        elif not place.late and self._pace.is_late(tokens, seconds):
            place.late = True
            self._places.changed(place)
            again = [piece for _, piece in place.pieces if not piece.done and piece.copies == 1]
            self._pieces.send_again(again)

    def _give_up(self, place: Place, why: str) -> None:
        """Do without a worker that hangs; what it had is given to others, as after its death."""
        self._fleet.end(place.number)
        why = f"{place.name} {why} while it {place.doing}"
        if place.ready:
            self._bury(place, Died(why))
        else:
            why = f"{why}. {_HANGS_OPENING}"
            self._places.leave_out(place, CannotOpen(why, place.node, why))

    def _leave(self, whole: bool) -> None:
        """End the workers that still compute what nobody asks for any more: after an error all that do, else those that
        are late."""
        for place in [each for each in self._places.by_number.values() if each.late or (each.pieces and not whole)]:
            self._fleet.end(place.number)
            self._places.remove(place)

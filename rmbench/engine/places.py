"""The places of a pool's workers: who is in each, what each has, and when what befalls workers ends the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from rmbench.engine.fleet import Alive, CannotOpen, Died, Fleet, Opened, here
from rmbench.engine.pieces import Piece
from rmbench.engine.same_model import check_same
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Scorer

__all__ = ["Place", "Places"]

_PIECES = 2
"""That a worker has at a time, so that it need not wait for the next one."""
_OPENING_DEATHS = 2
"""Of a worker and those in its place, in a row: another one would die as well."""
_FIRST_DEATHS = 3
"""The same of all workers together, as long as none has opened the model."""
_MOST_DEATHS = 40
"""Of workers that compute, in one call of `Pool.run`, or twice the workers where these are more; each costs another
opening of the model."""


@dataclass(slots=True)
class Place:
    """A place for a worker; one that dies is replaced by another."""

    number: int
    """The fleet's, of the worker that is in it now."""
    name: str = "a worker"
    """The worker's, for messages."""
    node: str = ""
    heard: float | None = None
    """When it gave its last sign of life; None: it has not started yet, as far as is known."""
    ready: bool = False
    late: bool = False
    """It has not answered for long, so what it has was given to others, and it gets nothing new."""
    since: float = 0.0
    """When the oldest of its pieces began."""
    pieces: deque[tuple[int, Piece]] = field(default_factory=deque)
    """Ticket and piece, in the order of sending, in which they are computed."""
    asked: bool = False
    """Whether it has a question to answer."""
    opening_deaths: int = 0

    def has(self, piece: Piece) -> bool:
        return any(piece is each for _, each in self.pieces)

    @property
    def has_room(self) -> bool:
        """Whether it may get another piece; a suspect has its worker for itself."""
        full = len(self.pieces) >= _PIECES or any(piece.suspect for _, piece in self.pieces)
        return self.ready and not self.late and not full

    @property
    def doing(self) -> str:
        """What its worker does, as the end of a sentence; "" where it has nothing to do."""
        if not self.ready:
            return "opened the model"
        if self.pieces:
            rows = len(self.pieces[0][1].places)
            return f"computed a batch of {rows} row{'s' if rows > 1 else ''}"
        return "tried the model out" if self.asked else ""


class Places:
    """As many places as there are workers, less those left out."""

    def __init__(self, fleet: Fleet, count: int, note: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._count = count
        self._note = note
        self.by_number: dict[int, Place] = {}
        self.with_room: list[dict[int, Place]] = [{} for _ in range(_PIECES)]
        """Those that may get another piece, by how many they have, the longest waiting first."""
        self.scorer: Scorer | None = None
        """The caller's, once there is one."""
        self._first: Opened | None = None
        """What the first worker said, where the caller has not opened the model."""
        self._refused: list[CannotOpen] = []
        self._left_out = 0
        self._deaths = 0
        self._was_open = False
        self.last_death = ""
        """How the worker died that died last."""

    def begin(self, scorer: Scorer) -> None:
        """A stream of jobs begins: count deaths anew, and start the workers that are missing."""
        self.scorer, self._deaths = scorer, 0
        if self._first is not None:
            self._check_model(self._first)
        self.fill()

    def fill(self) -> None:
        """Start the workers that are missing."""
        while len(self.by_number) + self._left_out < self._count:
            self._add()

    def changed(self, place: Place) -> None:
        """Note whether a place has room now; there may be a thousand, which are not asked each time."""
        for room in self.with_room:
            room.pop(place.number, None)
        if place.has_room and place.number in self.by_number:
            self.with_room[len(place.pieces)][place.number] = place

    def remove(self, place: Place) -> None:
        """There is no worker in it any more."""
        del self.by_number[place.number]
        self.changed(place)

    def alive(self, place: Place, sign: Alive, now: float) -> None:
        """A worker has given a sign of life."""
        place.heard, place.name, place.node = now, f"process {sign.pid} on {sign.node}", sign.node

    def say_unstarted(self) -> None:
        """Note how many workers have not started: a cluster may have no room for them."""
        waiting = sum(not place.ready and place.heard is None for place in self.by_number.values())
        if waiting:
            self._note(
                f"{waiting} of {self._count} workers have not started: there is no room for them in the cluster now. "
                "They join the run when there is."
            )

    def opened(self, place: Place, said: Opened) -> None:
        """A worker has opened the model; raises RmbenchError where it is not the others', or does not compute as they
        do."""
        self._check_model(said)
        place.ready, place.opening_deaths, self._was_open = True, 0, True
        self._say_refused()

    def leave_out(self, place: Place, said: CannotOpen) -> None:
        """Go on without a worker that cannot open the model; raises RmbenchError where there are no others."""
        self.remove(place)
        self._left_out += 1
        self._refused.append(said)
        if not self.by_number:
            alone = self.scorer is None and said.told  # nobody else has opened it
            raise RmbenchError(said.told if alone else f"a worker cannot open the model: {said.why}")
        self._say_refused()

    def replace(self, place: Place, death: Died) -> None:
        """Put another worker into the place of one that died; raises RmbenchError where workers die too often, so that
        others would die as well."""
        self.remove(place)
        self.last_death = death.how
        if place.ready:
            self._deaths += 1
        else:
            place.opening_deaths += 1
        self._check_deaths(place, death)
        self._note(f"a worker died ({death.how}); another takes its place and its work")
        self._add(place.opening_deaths)

    def _add(self, opening_deaths: int = 0) -> None:
        place = Place(self._fleet.start(), opening_deaths=opening_deaths)
        self.by_number[place.number] = place

    def _check_deaths(self, place: Place, death: Died) -> None:
        if place.ready:
            if self._deaths >= max(_MOST_DEATHS, 2 * self._count):
                raise RmbenchError(
                    f"workers died {self._deaths} times while they computed, the last one with {death.how}, so the run "
                    f"stops here. {self._fleet.advice} A smaller --batch-tokens needs less."
                )
            return
        together = place.opening_deaths + sum(each.opening_deaths for each in self.by_number.values())
        if place.opening_deaths >= _OPENING_DEATHS or (not self._was_open and together >= _FIRST_DEATHS):
            raise RmbenchError(f"a worker died before it had opened the model ({death.how}). {self._fleet.advice}")

    def _check_model(self, opened: Opened) -> None:
        if self.scorer is not None:
            facts = self.scorer.facts
            where = f"this process on {here()}" if self._first is None else f"the worker on {self._first.node}"
            check_same(opened, facts.fingerprint, facts.settings, where)
        elif self._first is not None:
            check_same(opened, self._first.fingerprint, self._first.settings, f"the worker on {self._first.node}")
        else:
            self._first = opened

    def _say_refused(self) -> None:
        """Note the workers that are left out; not before one is ready, since all of them may fail alike."""
        if self._refused and any(place.ready for place in self.by_number.values()):
            for said in self._refused:
                self._note(f"a worker on {said.node} cannot open the model and is left out: {said.why}")
            self._refused.clear()

"""Workers that are several processes each: every process holds a part of each layer's weights, and all of them compute
each job together."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rmbench.engine.apart import Question
from rmbench.engine.fleet import Alive, Answered, CannotOpen, Died, Event, Opened, Work
from rmbench.engine.fleet_processes import ProcessFleet
from rmbench.engine.serialization import RowResult
from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.ranks import RANK, RANKS, STORE
from rmbench.models.protocols import FloatArray, Sharing

__all__ = ["RankFleet"]

_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
_PATIENCE = 60.0
"""Seconds between the first and the last rank's answer, which come together unless one was lost on the way."""


class _Worker:
    """The processes of one worker, by rank, and what of theirs waits for that of the others."""

    def __init__(self, place: int, processes: Sequence[int], store: Path) -> None:
        self.place = place
        self.store = store
        """A folder of theirs."""
        self.processes = list(processes)
        self.opened: dict[int, Opened] = {}
        self.answers: dict[int, dict[int, Answered]] = {}
        """By ticket, then by rank."""
        self.since: dict[int, float] = {}
        """When the first rank gave its answer, by ticket."""


class RankFleet:
    """Workers of K processes of this machine, which are ranks of one group of torch.distributed.

    All ranks get the same work in the same order, and must come to the same answers, bit for bit: they add up the same
    parts. A rank that dies, or lacks memory, leaves the others waiting for it, so its worker dies as a whole.
    """

    def __init__(self, processes: ProcessFleet, ranks: int, gpus: Sequence[str] = ()) -> None:
        """
        Args:
            processes: where ranks are started; it has a place for each rank of each worker.
            ranks: processes of a worker, at least 2.
            gpus: CUDA_VISIBLE_DEVICES of each worker, with a GPU for each rank; (): no GPUs.
        """
        self._processes = processes
        self._ranks = ranks
        self._gpus = gpus
        self._workers: dict[int, _Worker] = {}
        self._started = 0

    @property
    def advice(self) -> str:
        """About memory."""
        return f"Is there memory for the model, of which each of {self._ranks} processes holds a part?"

    def start(self) -> int:
        """Start all ranks of a worker, in the first place that is free."""
        self._started += 1
        place = min(set(range(len(self._workers) + 1)) - {worker.place for worker in self._workers.values()})
        store = Path(tempfile.mkdtemp(prefix="rmbench-ranks-"))
        shared = {RANKS: str(self._ranks), STORE: str(store / "store"), "GLOO_SOCKET_IFNAME": _LOOPBACK}
        if self._gpus:
            shared["CUDA_VISIBLE_DEVICES"] = self._gpus[place % len(self._gpus)]
        started = [self._processes.start({**shared, RANK: str(rank)}) for rank in range(self._ranks)]
        self._workers[self._started] = _Worker(place, started, store)
        return self._started

    def send(self, worker: int, ticket: int, work: Work | Question) -> None:
        """To each rank."""
        for process in self._workers[worker].processes:
            self._processes.send(process, ticket, work)

    def wait(self, timeout: float) -> Sequence[tuple[int, Event]]:
        """What all ranks of a worker say together, or what one of them cannot."""
        found: list[tuple[int, Event]] = []
        for process, event in self._processes.wait(timeout):
            number = next((number for number, each in self._workers.items() if process in each.processes), None)
            if number is not None and (said := self._of_all(number, process, event)) is not None:
                found.append((number, said))
        for number, worker in list(self._workers.items()):
            if any(time.monotonic() - since > _PATIENCE for since in worker.since.values()):
                self.end(number)
                found.append((number, Died(f"some of its ranks had not answered {_PATIENCE:.0f} s after the others")))
        return found

    def end(self, worker: int) -> None:
        """Kill all ranks of a worker."""
        ended = self._workers.pop(worker, None)
        if ended is None:
            return
        for process in ended.processes:
            self._processes.end(process)
        shutil.rmtree(ended.store, ignore_errors=True)

    def stop(self) -> None:
        """End all."""
        self._processes.stop()
        for worker in list(self._workers):
            self.end(worker)

    def _of_all(self, number: int, process: int, event: Event) -> Event | None:
        worker = self._workers[number]
        rank = worker.processes.index(process)
        match event:
            case Alive():
                return event  # the others may wait for this rank
            case Opened():
                worker.opened[rank] = event
                return _together(worker.opened) if len(worker.opened) == self._ranks else None
            case Answered():
                answers = worker.answers.setdefault(event.ticket, {})
                answers[rank] = event
                worker.since.setdefault(event.ticket, time.monotonic())
                if isinstance(event.results, RmbenchError):
                    return event  # it ends the run, and the others may wait for this rank for ever
                if len(answers) < self._ranks:
                    return None
                del worker.answers[event.ticket], worker.since[event.ticket]
                return _agreed(answers)
            case Died() | CannotOpen():
                self.end(number)
                return Died(f"rank {rank}: {event.how}", event.memory) if isinstance(event, Died) else event


def _together(opened: dict[int, Opened]) -> Opened:
    """What rank 0 says, or the first other rank that opened another model, at which the pool stops."""
    first = opened[0]
    return next((each for each in opened.values() if each.fingerprint != first.fingerprint), first)


def _agreed(answers: dict[int, Answered]) -> Answered:
    first = answers[0]
    for rank, answer in answers.items():
        if not _equal(answer.results, first.results):
            return Answered(
                first.ticket,
                RmbenchError(f"ranks 0 and {rank} of a worker computed different things for the same rows."),
            )
    return first


def _equal(one: Any, other: Any) -> bool:
    """Whether two ranks give the same numbers, or the same verdict of a trial; a model without its weights is rank 0's
    alone."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same_row, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return _same_arrays(one, other)
    if isinstance(one, Sharing) and isinstance(other, Sharing):
        return one.shares == other.shares
    return type(one) is type(other)


def _same_row(one: RowResult, other: RowResult) -> bool:
    if one.error or other.error:
        return one.error == other.error
    return _same_arrays(one.values, other.values)


def _same_arrays(one: Mapping[str, FloatArray], other: Mapping[str, FloatArray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(values, other[name]) for name, values in one.items())

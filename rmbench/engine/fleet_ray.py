"""Workers as actors of a Ray cluster, on this machine or on several. Ray is imported here alone, inside functions."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmbench.engine.apart import Question
from rmbench.engine.compute import reason
from rmbench.engine.fleet import Alive, Answered, CannotOpen, Died, Event, Opener, Work, Worker, here
from rmbench.engine.pulse import BEAT, Pulse
from rmbench.engine.ray_cluster import checked_resources, import_ray, join_ray, own_folder, start_ray
from rmbench.errors import RmbenchError

__all__ = ["RayFleet"]

_SIGNS = "signs"
"""The group of an actor's calls that has a thread of its own."""


class RayFleet:
    """One actor a worker, placed by Ray. Where no address is named, a local Ray is started and ended with the fleet; a
    program that has called `ray.init` itself keeps the Ray it has. An actor that dies is not restarted by Ray, which
    would give it the same job again, but replaced by the pool."""

    def __init__(self, opener: Opener, count: int, address: str | None, gpus: int | None, cpus: int | None) -> None:
        """
        Args:
            opener: opens the model in a worker; picklable.
            count: how many workers there will be.
            address: HOST:PORT of a cluster; "auto": the one that RAY_ADDRESS names, or that runs on this machine;
                None: Ray is started on this machine, for this fleet alone.
            gpus: of a worker; None: one, where the cluster has GPUs.
            cpus: cores of a worker; None: its share of this machine, or one of a cluster.

        Raises:
            RmbenchError: Ray is not installed, the cluster does not answer, or no node of it has what a worker asks
                for.
        """
        self._ray = import_ray()
        self._opener = opener
        self._actors: dict[int, Any] = {}
        self._calls: dict[Any, tuple[int, int | None]] = {}
        """Reference -> worker and ticket; None: its opening."""
        self._signs: dict[Any, int] = {}
        """Reference of the call that returns with the next sign of life -> worker."""
        self._started = 0
        self._folder: Path | None = None
        self._ours = not self._ray.is_initialized()
        try:
            if self._ours and address is None:
                self._folder = own_folder()
                start_ray(self._ray, self._folder, max(os.cpu_count() or 1, count * (cpus or 1)))
            elif self._ours and address is not None:
                join_ray(self._ray, address)
            share = max(1, (os.cpu_count() or 1) // count) if address is None else 1
            self._asked = checked_resources(self._ray, gpus, cpus or share, patient=self._folder is None)
        except BaseException:
            self.stop()
            raise
        self._actor = self._ray.remote(
            num_cpus=self._asked["CPU"],
            num_gpus=self._asked.get("GPU", 0),
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={_SIGNS: 1},
        )(_Actor)

    @property
    def advice(self) -> str:
        """About memory and nodes."""
        return "Is there memory for the model on every node? Fewer --workers, or more --cpus-per-worker, need less."

    def start(self) -> int:
        """Start an actor; where no node has room for it now, it waits for one."""
        self._started += 1
        actor = self._actors[self._started] = self._actor.remote(self._opener, str(Path.cwd()))
        self._calls[actor.open.remote()] = (self._started, None)
        self._await_sign(self._started, 0.0)  # given as soon as it has a place
        return self._started

    def send(self, worker: int, ticket: int, work: Work | Question) -> None:
        """Call the actor."""
        self._calls[self._actors[worker].compute.remote(work)] = (worker, ticket)

    def wait(self, timeout: float) -> Sequence[tuple[int, Event]]:
        """All that has come, in the order of the calls."""
        calls = [*self._calls, *self._signs]  # a death is heard after the answers before it
        if not calls:
            time.sleep(timeout)
            return []
        if not self._ray.wait(calls, timeout=timeout)[0]:
            return []
        ready = set(self._ray.wait(calls, num_returns=len(calls), timeout=0)[0])
        events = []
        for call in calls:
            if call in ready and call in self._calls:
                worker, ticket = self._calls.pop(call)
                events.append((worker, self._event(call, worker, ticket)))
            elif call in ready and call in self._signs:
                worker = self._signs.pop(call)
                events.append((worker, self._event(call, worker, None)))
                if worker in self._actors:
                    self._await_sign(worker, BEAT)
        return events

    def end(self, worker: int) -> None:
        """Kill an actor."""
        self._forget(worker)
        if worker in self._actors:
            self._ray.kill(self._actors.pop(worker))

    def stop(self) -> None:
        """Kill all actors; a Ray that was started here ends, and its folder goes."""
        if self._ray.is_initialized():
            for actor in self._actors.values():
                self._ray.kill(actor)
            if self._ours:
                self._ray.shutdown()
        self._actors.clear()
        self._calls.clear()
        self._signs.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _event(self, call: Any, worker: int, ticket: int | None) -> Event:
        errors = self._ray.exceptions
        try:
            said = self._ray.get(call)
        except (errors.ActorUnschedulableError, errors.RuntimeEnvSetupError) as error:
            raise RmbenchError(f"--executor ray: {reason(error)}") from error
        except errors.RayTaskError as error:  # what the work or the opener names cannot be imported there
            why = _cause(error)
            return (
                CannotOpen(why) if ticket is None else Answered(ticket, RmbenchError(f"a worker cannot compute: {why}"))
            )
        except errors.RayError as error:
            self._forget(worker)
            self._actors.pop(worker, None)
            return Died(_how(error))
        return said if ticket is None else Answered(ticket, said)

    def _forget(self, worker: int) -> None:
        """The calls of a worker that is gone."""
        self._calls = {call: whose for call, whose in self._calls.items() if whose[0] != worker}
        self._signs = {call: whose for call, whose in self._signs.items() if whose != worker}

    def _await_sign(self, worker: int, seconds: float) -> None:
        call = self._actors[worker].alive.options(concurrency_group=_SIGNS).remote(seconds)
        self._signs[call] = worker


class _Actor(Worker):
    """A worker in the folder of the caller, where it is there too, so that relative paths mean the same."""

    def __init__(self, opener: Opener, folder: str) -> None:
        with contextlib.suppress(OSError):
            os.chdir(folder)
        super().__init__(opener)
        self._pulse = Pulse()

    def alive(self, seconds: float) -> Alive:
        """Return once the process has done something in so many seconds; in a thread beside the one that computes."""
        while seconds:
            time.sleep(seconds)
            if self._pulse.beats():
                break
        return Alive(here(), os.getpid())


def _cause(error: Exception) -> str:
    """The cause of a task's failure, without Ray's trace."""
    cause = getattr(error, "cause", None)
    return reason(cause if isinstance(cause, BaseException) else error)


def _how(error: Exception) -> str:
    """How an actor died, from Ray's words."""
    found = re.search(r"exit detail: (.*?)(?:\. |$)", str(error)) or re.search(r"is dead because (.*?)\.", str(error))
    return " ".join(found[1].split()) if found else type(error).__name__

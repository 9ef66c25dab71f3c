"""Workers as actors of a Ray cluster, on this machine or on several. Ray is imported here alone, inside functions."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rmbench.engine.apart import Question
from rmbench.engine.compute import reason
from rmbench.engine.fleet import Answered, CannotOpen, Died, Event, Opener, Work, Worker
from rmbench.errors import RmbenchError

__all__ = ["RayFleet"]

_REACHED = 5.0
"""Seconds after which an address that does not answer is given up."""
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How a client of HTTP/2 begins (RFC 9113, 3.4), with empty settings; a cluster answers with its own."""
_SETTINGS = 4
"""The type of that frame, its fourth byte."""
_JOINED = 10.0
"""Seconds in which a node with what a worker asks for may join the cluster."""
_FOLDER = "rmbench-ray-"
_LONGEST = 30
"""Characters of the folder that temporary files are in; Ray's sockets lie deep in it, and their paths are bounded."""
_STORE_BYTES = 200_000_000
"""Of Ray's object store on this machine; jobs and results are a few kilobytes each."""


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
        self._ray = _import_ray()
        self._opener = opener
        self._actors: dict[int, Any] = {}
        self._calls: dict[Any, tuple[int, int | None]] = {}
        """Reference -> worker and ticket; None: its opening."""
        self._started = 0
        self._folder: Path | None = None
        self._ours = not self._ray.is_initialized()
        try:
            if self._ours:
                self._connect(address, count, cpus)
            self._asked = self._resources(count, gpus, cpus, local=address is None)
            self._check_resources()
        except BaseException:
            self.stop()
            raise
        self._actor = self._ray.remote(
            num_cpus=self._asked["CPU"], num_gpus=self._asked.get("GPU", 0), max_restarts=0, max_task_retries=0
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
        return self._started

    def send(self, worker: int, ticket: int, work: Work | Question) -> None:
        """Call the actor."""
        self._calls[self._actors[worker].compute.remote(work)] = (worker, ticket)

    def wait(self, timeout: float) -> Sequence[tuple[int, Event]]:
        """All that has come, in the order of the calls."""
        calls = list(self._calls)
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

    def _connect(self, address: str | None, count: int, cpus: int | None) -> None:
        with contextlib.suppress(AttributeError):  # prints each death of an actor to stdout; the pool notes it
            self._ray._private.worker.print_to_stdstream = lambda *_, **__: None
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        if address is None:
            self._folder = _own_folder()
            cores = max(os.cpu_count() or 1, count * (cpus or 1))
            given = {"num_cpus": cores, "object_store_memory": _STORE_BYTES, "_temp_dir": str(self._folder)}
            self._ray.init(address="local", **given, **quiet)
            return
        if address != "auto":
            _check_answers(address)
        try:
            self._ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise RmbenchError(f"--ray-address {address}: the cluster cannot be joined: {reason(error)}") from error

    def _resources(self, count: int, gpus: int | None, cpus: int | None, *, local: bool) -> dict[str, int]:
        """What a worker asks for."""
        if gpus is None:
            gpus = 1 if self._ray.cluster_resources().get("GPU", 0) >= 1 else 0
        share = max(1, (os.cpu_count() or 1) // count) if local else 1
        return {"CPU": cpus or share} | ({"GPU": gpus} if gpus else {})

    def _check_resources(self) -> None:
        """Raise RmbenchError where no node could ever take a worker: Ray itself would wait for one without a word."""
        until = time.monotonic() + (_JOINED if self._folder is None else 0)
        while True:
            nodes = [node for node in self._ray.nodes() if node["Alive"]]
            if any(_has(node["Resources"], self._asked) for node in nodes):
                return
            if time.monotonic() >= until:
                break
            time.sleep(0.5)
        present = "; ".join(f"{node['NodeManagerHostname']}: {_spelled(node['Resources'])}" for node in nodes)
        raise RmbenchError(
            f"no node of the Ray cluster has what a worker asks for ({_spelled(self._asked)}). Present: "
            f"{present or 'no node'}. See --gpus-per-worker and --cpus-per-worker."
        )


class _Actor(Worker):
    """A worker in the folder of the caller, where it is there too, so that relative paths mean the same."""

    def __init__(self, opener: Opener, folder: str) -> None:
        with contextlib.suppress(OSError):
            os.chdir(folder)
        super().__init__(opener)


def _import_ray() -> Any:
    """Ray, told to send nothing to its makers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise RmbenchError("--executor ray needs Ray, which is not installed: pip install 'rmbench[ray]'") from error
    return ray


def _own_folder() -> Path:
    """A folder for a local Ray, short enough for its sockets; what killed runs left there is removed."""
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > _LONGEST:
        parent = Path("/tmp")  # noqa: S108 (mkdtemp makes a folder of our own)
    for left in parent.glob(f"{_FOLDER}*-*"):
        pid = left.name.removeprefix(_FOLDER).partition("-")[0]
        if pid.isdecimal() and not _is_alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=parent))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _check_answers(address: str) -> None:
    """Raise RmbenchError where nobody listens: Ray tries for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise RmbenchError(f"--ray-address must be HOST:PORT or auto, not {address!r}.")
    try:
        with socket.create_connection((host, int(port)), _REACHED) as connection:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return
            connection.sendall(_GREETING)
            answer = connection.recv(9)
    except (OSError, OverflowError) as error:
        why = reason(error)
    else:
        if len(answer) > 3 and answer[3] == _SETTINGS:
            return
        why = "it is no Ray cluster"
    raise RmbenchError(
        f"--ray-address {address}: nothing answers there ({why}). Is the cluster up, and is this the address that "
        "`ray start --head` printed?"
    )


def _has(resources: Mapping[str, float], asked: Mapping[str, float]) -> bool:
    return all(resources.get(name, 0) >= amount for name, amount in asked.items())


def _spelled(resources: Mapping[str, float]) -> str:
    return ", ".join(
        f"{resources.get(name, 0):g} {name}" for name in ("CPU", "GPU") if name == "CPU" or name in resources
    )


def _cause(error: Exception) -> str:
    """The cause of a task's failure, without Ray's trace."""
    cause = getattr(error, "cause", None)
    return reason(cause if isinstance(cause, BaseException) else error)


def _how(error: Exception) -> str:
    """How an actor died, from Ray's words."""
    found = re.search(r"exit detail: (.*?)(?:\. |$)", str(error)) or re.search(r"is dead because (.*?)\.", str(error))
    return " ".join(found[1].split()) if found else type(error).__name__

"""Workers as processes of this machine."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait

from rmbench.engine.apart import Question
from rmbench.engine.compute import reason
from rmbench.engine.fleet import Alive, Answered, CannotOpen, Died, Event, Opener, Work, Worker, here
from rmbench.engine.pulse import BEAT, Pulse
from rmbench.errors import RmbenchError

__all__ = ["ProcessFleet", "work"]

_PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = {path!r}
from rmbench.engine.fleet_processes import work
work({pipe}, {cpus}, {beat})
"""
"""Ctrl-C is for the calling process, which closes the pipe. Nothing of the caller's own script is run: a script without
`if __name__ == "__main__":` would start itself again, which is why this is no `multiprocessing.Process`."""

_PATIENCE = 5.0
"""Seconds that a process has to end by itself."""


class ProcessFleet:
    """Processes of this interpreter, each with a pipe to this one, with its share of the cores, and with its own GPUs
    where it is given some."""

    def __init__(self, opener: Opener, count: int, cpus: int | None = None, gpus: Sequence[str] = ()) -> None:
        """
        Args:
            opener: opens the model in a worker; picklable by name.
            count: how many such processes share the machine.
            cpus: cores of each; None: its share of this process's.
            gpus: for each of them, what CUDA_VISIBLE_DEVICES is; (): as it is in this process.

        Raises:
            RmbenchError: the opener cannot be sent to another process.
        """
        try:
            self._opener = pickle.dumps(opener)
        except Exception as error:
            raise RmbenchError(f"the model cannot be opened in worker processes: {reason(error)}") from error
        self._count = count
        self._cpus = cpus or max(1, _cores() // count)
        self._gpus = gpus
        self._started = 0
        self._new: list[int] = []
        """Processes whose start was not told yet."""
        self._processes: dict[int, _Process] = {}

    @property
    def advice(self) -> str:
        """About memory."""
        times = f"{self._count} times, once for each of --workers {self._count}"
        return f"Is there memory for the model {times}? Fewer workers need less."

    def start(self, environment: Mapping[str, str] | None = None) -> int:
        """Start a process, in the first place that is free; `environment` is added to this process's."""
        self._started += 1
        place = min(set(range(self._count)) - {process.place for process in self._processes.values()})
        added = {"CUDA_VISIBLE_DEVICES": self._gpus[place]} if self._gpus else {}
        self._processes[self._started] = _Process(self._opener, self._cpus, place, {**added, **(environment or {})})
        self._new.append(self._started)
        return self._started

    def send(self, worker: int, ticket: int, work: Work | Question) -> None:
        """Through the pipe, which a thread of the process empties while it computes."""
        self._processes[worker].send((ticket, work))

    def wait(self, timeout: float) -> Sequence[tuple[int, Event]]:
        """At most one event of each process; a process is alive as soon as it was started."""
        if self._new:
            told, self._new = self._new, []
            return [
                (number, Alive(here(), self._processes[number].pid)) for number in told if number in self._processes
            ]
        number_of = {process.pipe: number for number, process in self._processes.items()}
        heard = wait(list(number_of), timeout)
        return [(number_of[pipe], self._event(number_of[pipe])) for pipe in heard if isinstance(pipe, Connection)]

    def end(self, worker: int) -> None:
        """Kill a process."""
        process = self._processes.pop(worker, None)
        if process is not None:
            process.hang_up()
            process.end(patience=0)

    def stop(self) -> None:
        """Hang up, wait a little for those that compute, then kill them."""
        for process in self._processes.values():
            process.hang_up()
        for process in self._processes.values():
            process.end()
        self._processes.clear()

    def _event(self, worker: int) -> Event:
        process = self._processes[worker]
        try:
            event: Event = process.pipe.recv()
        except (EOFError, OSError):
            del self._processes[worker]
            return Died(process.ended())
        return event


class _Process:
    """A process that opens the model, and this process's end of the pipe to it."""

    def __init__(self, opener: bytes, cpus: int, place: int, added: Mapping[str, str]) -> None:
        self.place = place
        self.pipe, theirs = Pipe()
        with theirs:
            program = _PROGRAM.format(path=sys.path, pipe=theirs.fileno(), cpus=cpus, beat=BEAT)
            command = [sys.executable, "-c", program]
            self._process = subprocess.Popen(  # noqa: S603 (this interpreter)
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env={**os.environ, **added}
            )
        with suppress(OSError):
            self.pipe.send_bytes(opener)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def send(self, said: object) -> None:
        """Say something; that the process has died is heard by `recv`."""
        with suppress(OSError):
            self.pipe.send(said)

    def hang_up(self) -> None:
        """Close the pipe, after which the process ends by itself."""
        self.pipe.close()

    def end(self, patience: float = _PATIENCE) -> None:
        """Wait for its end, at most `patience` seconds; then kill it."""
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ended(self) -> str:
        """How a process that died ended: "exit code 1", "signal SIGKILL"."""
        self.hang_up()
        self.end()
        code = self._process.returncode
        return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def work(handle: int, cpus: int, beat: float) -> None:
    """The worker process: open the model, say so, then compute until the pipe closes. Every `beat` seconds it says that
    it is alive, if it has done something."""
    caller = _Caller(Connection(handle))
    threading.Thread(target=caller.beat, args=(beat,), daemon=True).start()
    _take_share(cpus)
    try:
        worker = Worker(caller.pipe.recv())
    except Exception as error:  # what it names cannot be imported here
        caller.tell(CannotOpen(reason(error), here()))
        return
    # The caller never waits until there is room in the pipe, which would be for ever where this process waits likewise.
    threading.Thread(target=caller.listen, daemon=True).start()
    if not caller.tell(worker.open()):
        return
    while (one := caller.asked.get()) is not None:
        ticket, work = one
        said = worker.compute(work)
        if isinstance(said, Died):
            caller.tell(said)
            os._exit(1)  # a library's threads may wait for the other ranks
        if not caller.tell(Answered(ticket, said)):
            return


class _Caller:
    """A worker process's end of the pipe."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.asked: queue.SimpleQueue[tuple[int, Work | Question] | None] = queue.SimpleQueue()
        """What is to be computed; None: the pipe has closed."""
        self._one_at_a_time = threading.Lock()

    def listen(self) -> None:
        """Take what the caller sends."""
        try:
            while True:
                self.asked.put(self.pipe.recv())
        except (EOFError, OSError):
            self.asked.put(None)

    def beat(self, seconds: float) -> None:
        """Say time and again that this process lives, while it does something."""
        pulse, open_ = Pulse(), True
        while open_:
            time.sleep(seconds)
            open_ = not pulse.beats() or self.tell(Alive(here(), os.getpid()))

    def tell(self, said: object) -> bool:
        """Send; whether the other end was still open."""
        try:
            with self._one_at_a_time:
                self.pipe.send(said)
        except OSError:
            return False
        return True


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _take_share(cpus: int) -> None:
    """Use a worker's share of the cores, so that N workers do not start N times as many threads as there are cores."""
    torch = sys.modules.get("torch")
    if torch is None:
        os.environ["OMP_NUM_THREADS"] = str(cpus)
    else:
        torch.set_num_threads(cpus)

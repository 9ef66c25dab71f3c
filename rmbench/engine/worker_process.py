"""One worker process: how it is started, spoken with and ended; and what runs in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any

from rmbench.engine.batch import in_groups
from rmbench.engine.compute import compute, reason
from rmbench.engine.interfaces import Job, Side
from rmbench.engine.serialization import RowResult
from rmbench.errors import RmbenchError
from rmbench.models.abilities import HiddenStateScorer
from rmbench.models.protocols import Responder, Scorer, SharingScorer

__all__ = ["Ready", "WorkerProcess", "work"]


@dataclass(frozen=True, slots=True)
class Ready:
    """What a worker says once it has opened the model."""

    fingerprint: str


_PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = {path!r}
from rmbench.engine.worker_process import work
work({pipe}, {count})
"""
"""Ctrl-C is for the calling process, which closes the pipe. Nothing of the caller's own script is run: a script without
`if __name__ == "__main__":` would start itself again, which is why this is no `multiprocessing.Process`."""


class WorkerProcess:
    """A process of this interpreter that opens the model, and this process's end of the pipe to it."""

    def __init__(self, opener: bytes, count: int) -> None:
        """`opener` is pickled and opens the model; `count` is how many such processes share the machine."""
        self.pipe, theirs = Pipe()
        with theirs:
            program = _PROGRAM.format(path=sys.path, pipe=theirs.fileno(), count=count)
            command = [sys.executable, "-c", program]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])  # noqa: S603 (this interpreter)
        with suppress(OSError):
            self.pipe.send_bytes(opener)

    def send(self, said: object) -> None:
        """Say something; that a process has died is heard by `receive`."""
        with suppress(OSError):
            self.pipe.send(said)

    def receive(self) -> Any:
        """What it says next; raises EOFError or OSError where it died."""
        return self.pipe.recv()

    def hang_up(self) -> None:
        """Close the pipe, after which the process ends by itself."""
        self.pipe.close()

    def end(self, patience: float = 5.0) -> None:
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


def work(handle: int, count: int) -> None:
    """The worker process: open the model, say that it is open, then compute job after job until the pipe closes."""
    pipe = Connection(handle)
    _take_share(count)
    try:
        scorer = pipe.recv()()
    except Exception as error:
        _answer(pipe, RmbenchError(f"a worker cannot open the model: {reason(error)}"))
        return
    if not _answer(pipe, Ready(scorer.facts.fingerprint)):
        return
    while True:
        try:
            job, side, hidden = pipe.recv()
        except (EOFError, OSError):
            return
        if not _answer(pipe, _results(scorer, job, side, hidden)):
            return


def _results(opened: Scorer | Responder, job: Job, side: Side, hidden: bool) -> list[RowResult] | RmbenchError:
    groups = job.groups
    try:
        scorer: Any = opened.with_hidden() if hidden and isinstance(opened, HiddenStateScorer) else opened
        if not groups or (isinstance(scorer, SharingScorer) and scorer.sharing([in_groups(job.rows, groups)]).shares):
            return compute(scorer, job.rows, side, groups)
        return [result for row in job.rows for result in compute(scorer, [row], side)]
    except RmbenchError as error:
        return error
    except Exception as error:
        return RmbenchError(f"a worker cannot compute: {reason(error)}")


def _answer(pipe: Connection, answer: object) -> bool:
    """Send; whether the other end was still open."""
    try:
        pipe.send(answer)
    except OSError:
        return False
    return True


def _take_share(count: int) -> None:
    """Use a worker's share of the cores, so that N workers do not start N times as many threads as there are cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch = sys.modules.get("torch")
    if torch is None:
        os.environ["OMP_NUM_THREADS"] = str(max(1, cores // count))
    else:
        torch.set_num_threads(max(1, cores // count))

"""Processes that encode rows, for models that compute them faster than one process encodes them."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from types import TracebackType

from rmbench.engine.compute import reason
from rmbench.engine.rows import RowMaker
from rmbench.models.protocols import Encoded, Request

__all__ = ["Helpers", "help_encoding"]

_PATIENCE = 5.0
"""Seconds that the model has waited for rows to be encoded, in all, before there are helpers: about what they take to
start. A run that is not kept waiting so long, as any small one, has none."""
_MOST = 8
"""Helpers; they encode some 8 million tokens a second, and the driver takes no more from them."""

_PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = {path!r}
from rmbench.engine.helpers import help_encoding
help_encoding({pipe})
"""
"""Ctrl-C is for the calling process, which closes the pipe. Nothing of the caller's own script is run."""

_LOOK_AROUND = 0.2
"""Seconds that rows are waited for at a time."""
_LATE = 60.0
"""Seconds after which a helper that has not answered is given up; a chunk takes less than one, or some where rows are
very long."""


class Helpers:
    """Helpers that start once encoding has kept the model waiting, and end with the `with`. What they cannot do is done
    in this process, so that rows are the same with any number of them, or none."""

    def __init__(self, note: Callable[[str], None], patience: float = _PATIENCE, count: int | None = None) -> None:
        """
        Args:
            note: takes lines for the user.
            patience: seconds of waiting before they start.
            count: how many; None: half as many as this process may use cores, which on one core is none.
        """
        self._note = note
        self._patience = patience
        self._count = min(_MOST, _cores() // 2) if count is None else count
        self._waited = 0.0
        self._maker: RowMaker | None = None
        """Whose rows are being made."""
        self._started = False
        self._helpers: list[_Helper] = []

    def __enter__(self) -> Helpers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def waited(self, seconds: float) -> None:
        """The model had nothing to compute for so long, since rows were being encoded."""
        self._waited += seconds

    def rows(self, maker: RowMaker, chunks: Sequence[Sequence[Request]]) -> Iterator[list[Encoded]]:
        """The rows of each chunk, in order. In between an empty list, where none was done for a while, so that the
        caller may look around."""
        self._serve(maker)
        left = dict(enumerate(chunks))
        busy: dict[Connection, tuple[_Helper, int, float]] = {}
        done: dict[int, list[Encoded]] = {}
        try:
            for number in range(len(chunks)):
                while number not in done:
                    self._hand_out(left, busy)
                    if number in left:
                        done[number] = maker.rows(left.pop(number))
                        continue
                    heard = wait(list(busy), _LOOK_AROUND)
                    for pipe in heard:
                        helper, at, _ = busy.pop(pipe)  # type: ignore[call-overload]
                        made = helper.hear()
                        self._look_at(helper)
                        done[at] = made if isinstance(made, list) else maker.rows(chunks[at])
                    for at in self._give_up_late(busy):
                        done[at] = maker.rows(chunks[at])
                    if not heard:
                        yield []
                yield done.pop(number)
        finally:
            for helper, *_ in busy.values():  # their answers are no longer wanted
                self._lose(helper)

    def _serve(self, maker: RowMaker) -> None:
        """Have helpers for these rows, if they are worth it."""
        if not maker.alone or maker != self._maker:
            self._end()
            self._maker, self._waited, self._started = maker if maker.alone else None, 0.0, False
        if self._started or not maker.alone or not self._count or self._waited < self._patience:
            return
        self._started = True
        try:
            sent = pickle.dumps(maker)
            self._helpers = [_Helper(sent) for _ in range(self._count)]
        except Exception as error:
            self._note(f"rows are encoded in one process: {reason(error)}")
            return
        self._note(f"{maker.model}: rows are encoded in {self._count} more processes, since the model waits for them")

    def _hand_out(self, left: dict[int, Sequence[Request]], busy: dict[Connection, tuple[_Helper, int, float]]) -> None:
        """Give a chunk to each helper that is ready and has none."""
        for helper in list(self._helpers):
            if helper.pipe in busy or not left or not helper.ready():
                self._look_at(helper)
                continue
            number = min(left)
            helper.send(left.pop(number))
            busy[helper.pipe] = helper, number, monotonic()

    def _give_up_late(self, busy: dict[Connection, tuple[_Helper, int, float]]) -> list[int]:
        """The chunks of helpers that have not answered for too long, which are done without from here on."""
        late = [pipe for pipe, (_, _, since) in busy.items() if monotonic() - since > _LATE]
        chunks = []
        for pipe in late:
            helper, at, _ = busy.pop(pipe)
            self._note(f"a process that encodes rows has not answered for {_LATE:.0f} s; it is done without")
            self._lose(helper)
            chunks.append(at)
        return chunks

    def _look_at(self, helper: _Helper) -> None:
        """Leave out a helper whose process is over."""
        if helper.over:
            self._note(f"a process that encodes rows has ended ({helper.over}); it is done without")
            self._lose(helper)

    def _lose(self, helper: _Helper) -> None:
        helper.end()
        if helper in self._helpers:
            self._helpers.remove(helper)

    def _end(self) -> None:
        while self._helpers:
            self._helpers.pop().end()


class _Helper:
    """A process that makes rows, and this process's end of the pipe to it."""

    def __init__(self, maker: bytes) -> None:
        self.pipe, theirs = Pipe()
        self.over = ""
        """How its process ended; "" while it goes on."""
        self._is_ready = False
        own = {"CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
        with theirs:
            program = _PROGRAM.format(path=sys.path, pipe=theirs.fileno())
            self._process = subprocess.Popen(  # noqa: S603 (this interpreter)
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **own},
            )
        self._to_say: SimpleQueue[object] = SimpleQueue()
        # Not this thread, which would wait for ever for a process that does not listen.
        self._sender = Thread(target=_send, args=(self.pipe, self._to_say), daemon=True)
        self._sender.start()
        self.send(maker)

    def ready(self) -> bool:
        """Whether it has opened its encoder."""
        if not self._is_ready and not self.over and self.pipe.poll():
            self._is_ready = self.hear() is True
        return self._is_ready and not self.over

    def send(self, said: object) -> None:
        """Say something; whether the process still listens is heard by `hear`."""
        self._to_say.put(said)

    def hear(self) -> object:
        """What it says: True once, when it is ready, then the rows of each chunk; None for those that it cannot make,
        and where it has ended. What keeps it from getting ready is in `over`."""
        try:
            said = self.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            self._has_ended()
            return None
        if isinstance(said, str):
            self.over = said
        return said

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        self._to_say.put(None)
        self._sender.join()  # it writes to the pipe, which has nobody at the other end now
        self.pipe.close()

    def _has_ended(self) -> None:
        self._process.kill()
        code = self._process.wait()
        self.over = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _send(pipe: Connection, to_say: SimpleQueue[object]) -> None:
    with suppress(OSError):
        while (said := to_say.get()) is not None:
            pipe.send(said)


def help_encoding(handle: int) -> None:
    """The helper process: make rows until the pipe closes."""
    pipe = Connection(handle)
    with suppress(EOFError, OSError):
        try:
            maker: RowMaker = pickle.loads(pipe.recv())  # noqa: S301 (of the process that started this one)
        except Exception as error:
            pipe.send(reason(error))
            return
        pipe.send(True)
        while True:
            chunk = pipe.recv()
            try:
                made = maker.rows(chunk)
            except Exception:  # it is raised where the caller makes these rows itself
                made = None
            pipe.send(made)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""A local server process: started in its own process group, waited for until it is ready, and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.models.options import silent
from rmbench.untrusted.masking import mask

__all__ = ["LocalServer", "free_port"]

_NOTE_EVERY = 30.0
_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL: a server may hang for ever while it stops."""
_TAIL = 40

# A watchdog process: once this process has ended, however it ended, the watchdog's standard input closes; it then stops
# the server's process group and removes the log.
_WATCHDOG = f"""
import os, shutil, signal, sys, time
sys.stdin.read()
for number, pause in ((signal.SIGTERM, {_GRACE}), (signal.SIGKILL, 0)):
    try:
        os.killpg(int(sys.argv[1]), number)
    except ProcessLookupError:
        break
    time.sleep(pause)
shutil.rmtree(sys.argv[2], ignore_errors=True)
"""


class LocalServer:
    """A running server; `start` returns one that is ready."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], port: int) -> None:
        self.port = port
        self._folder = tempfile.TemporaryDirectory(prefix="rmbench-server-", ignore_cleanup_errors=True)
        self._log = Path(self._folder.name) / "server.log"
        with self._log.open("wb") as log:
            try:
                self._process = subprocess.Popen(  # noqa: S603 (the program that the user chose)
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=dict(environment),
                    start_new_session=True,
                )
            except OSError as error:
                self._folder.cleanup()
                raise RmbenchError(f"{command[0]} cannot be started: {error}") from error
        self._watchdog = subprocess.Popen(  # noqa: S603 (this interpreter)
            [sys.executable, "-c", _WATCHDOG, str(self._process.pid), self._folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._stopped = False

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        port: int,
        *,
        seconds: float = 600.0,
        note: Callable[[str], None] = silent,
    ) -> LocalServer:
        """Start a server and wait until /health answers 200.

        Args:
            command: the program and its arguments, which make it listen on 127.0.0.1 and the port.
            environment: all of its environment.
            port: where it will answer.
            seconds: how long to wait.
            note: called every 30 s with a line while it is still starting.

        Raises:
            RmbenchError: it ends, or is not ready in time; the message holds the end of its log.
        """
        server = cls(command, environment, port)
        try:
            server._wait(seconds, note)
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def group(self) -> int:
        """The id of its process group."""
        return self._process.pid

    def tail(self) -> str:
        """The end of its log, under a heading."""
        try:
            lines = mask(self._log.read_text("utf-8", "replace")).splitlines()
        except OSError:
            return ""
        shown = ["".join(letter for letter in line if letter.isprintable())[:300] for line in lines[-_TAIL:]]
        return "\n".join(["The end of the server's log:", *shown]) if shown else "The server's log is empty."

    def stop(self) -> None:
        """SIGTERM, 5 s, SIGKILL to the whole group; a second call does nothing."""
        if self._stopped:
            return
        self._stopped = True
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._watchdog.kill()
        self._watchdog.communicate()
        self._folder.cleanup()

    def _wait(self, seconds: float, note: Callable[[str], None]) -> None:
        began = noted = time.monotonic()
        while not self._healthy():
            waited = time.monotonic() - began
            if self._process.poll() is not None:  # whatever the status: a dead engine ends with 0
                code = self._process.returncode
                raise RmbenchError(f"The server ended before it was ready (exit status {code}).\n{self.tail()}")
            if waited > seconds:
                raise RmbenchError(f"The server was not ready within {seconds:.0f} s.\n{self.tail()}")
            if time.monotonic() - noted > _NOTE_EVERY:
                noted = time.monotonic()
                note(f"waiting for the server to start: {waited:.0f} s")
            time.sleep(0.5)

    def _healthy(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}/health", timeout=5) as response:
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on right now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])

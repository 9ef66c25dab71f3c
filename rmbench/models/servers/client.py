"""Requests to one or several servers: sent again where that may help, shared out, and broken off at once on demand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from rmbench.errors import RmbenchError, UnreachableError
from rmbench.models.servers.failures import AgainError, GoneError, RefusedError
from rmbench.models.servers.key import Key
from rmbench.models.servers.pool import Patience, Pool, Server, is_here, server_at
from rmbench.models.servers.wire import Sent, Wire

__all__ = ["AgainError", "Client", "Patience", "RefusedError", "StoppedError"]

Result = TypeVar("Result")
Read = Callable[[Any], Result]
"""Takes parsed JSON. Raises AgainError where it is not what was asked for."""


class StoppedError(Exception):
    """The client was closed while the request was under way."""


def _silent(_: str) -> None:
    """Tell nobody."""


class Client:
    """Sends requests for as many threads as like to call it. Each waits for its own; all are carried by one thread."""

    def __init__(
        self,
        base_urls: Sequence[str],
        key: Key,
        *,
        patience: Patience | None = None,
        note: Callable[[str], None] = _silent,
        explain: Callable[[], str] = str,
    ) -> None:
        """
        Args:
            base_urls: at least one; see `server_at`.
            key: sent to every one of them.
            patience: time limits.
            note: told when a server is dropped. Called from another thread.
            explain: what more there is to say when no server is left, such as the end of a log.

        Raises:
            RmbenchError: an address is none, or the packages of the extra `judge` are missing.
        """
        _require_retries()
        self.patience = patience or Patience()
        self.key = key
        self.sent_again = 0
        """Attempts after the first ones, of all requests."""
        servers = tuple(server_at(url) for url in dict.fromkeys(base_urls))
        self._pool = Pool(servers, self.patience)
        self._wire = Wire(key, self.patience, proxies=not all(map(is_here, servers)))
        self._note, self._explain = note, explain
        self._closed = False
        self._closing = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="judge-client", daemon=True)
        self._thread.start()

    @property
    def servers(self) -> Sequence[Server]:
        """All of them, dropped ones included."""
        return self._pool.servers

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        read: Read[Result],
        server: Server | None = None,
        attempts: int | None = None,
    ) -> Result:
        """What `read` makes of the answer to a POST of JSON.

        Args:
            path: "/v1/chat/completions", or a route of the server's own such as "/tokenize".
            body: plain data.
            read: takes the parsed answer; it may ask for another attempt.
            server: the one to ask; None: whichever has the least to do.
            attempts: another number than the client's own.

        Raises:
            AgainError: every attempt failed; the last reason.
            RefusedError: the server will not answer this request.
            RmbenchError: no request will ever be answered: a wrong key, an unknown model, no server left.
            StoppedError: the client was closed.
        """
        return self._wait(self._retried(Sent("POST", path, json.dumps(body).encode()), read, server, attempts))

    def get(self, path: str, read: Read[Result], server: Server) -> Result:
        """What `read` makes of the answer to a GET; raises as `post` does."""
        return self._wait(self._retried(Sent("GET", path), read, server, None))

    def close(self) -> None:
        """Break off what is under way and let go of all connections; a second call does nothing."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        if not self._thread.is_alive():
            self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        with self._closing:
            if self._closed:
                work.close()
                raise StoppedError("the client was closed")
            future: Future[Result] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError as error:
            raise StoppedError("the client was closed") from error
        except BaseException:  # Ctrl-C in the thread that waits
            future.cancel()
            raise

    async def _shut(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._wire.close()

    async def _retried(self, sent: Sent, read: Read[Result], only: Server | None, most: int | None) -> Result:
        import stamina

        attempts = stamina.retry_context(
            on=AgainError,
            attempts=most or self.patience.attempts,
            timeout=None,
            wait_initial=self.patience.first_wait,
            wait_max=self.patience.longest_wait,
            wait_jitter=self.patience.first_wait,
        )
        async for attempt in attempts:
            with attempt:
                self.sent_again += attempt.num > 1
                return await self._attempt(sent, read, only)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, sent: Sent, read: Read[Result], only: Server | None) -> Result:
        """Send it until a server takes it. Neither looking for one that can be reached nor waiting where a server asks
        for it is an attempt."""
        began = self._loop.time()
        while True:
            server = await self._choose(only)
            try:
                return read(await self._counted(server, sent))
            except GoneError as error:
                self._pool.unreachable(server, str(error))
                self._tell(server)
                if not server.dropped:
                    await asyncio.sleep(min(self.patience.first_wait, self.patience.unreachable))
            except AgainError as error:
                if error.pause is None:
                    raise
                if self._loop.time() - began + error.pause > self.patience.longest_pause:
                    raise RefusedError(f"{error}; it asks to be left alone for {error.pause:,.0f} s more") from None
                server.begin_pause(max(error.pause, self.patience.first_wait))
                self.sent_again += 1

    async def _choose(self, only: Server | None) -> Server:
        """A server that may be asked now; raises RmbenchError where none is left."""
        while True:
            if not self._pool.alive or (only is not None and only.dropped):
                raise UnreachableError(self._nobody())
            server, pause = self._pool.next(only)
            if pause <= 0:
                return server
            # Not all at the very moment at which the server is ready again.
            await asyncio.sleep(pause + random.random() * self.patience.first_wait)

    async def _counted(self, server: Server, sent: Sent) -> Any:
        """The answer, the server's figures kept."""
        server.in_flight += 1
        try:
            data = await self._wire.send(server, sent)
        except AgainError as error:
            if error.pause is None:
                self._pool.broke(server, str(error))
                self._tell(server)
            raise
        except (RefusedError, RmbenchError):
            server.succeeded()
            raise
        finally:
            server.in_flight -= 1
        server.succeeded()
        return data

    def _tell(self, server: Server) -> None:
        if server.dropped and not server.told:
            server.told = True
            left = len(self._pool.alive)
            self._note(f"{server.api} is dropped: {server.dropped}; {left} of {len(self.servers)} servers left")

    def _nobody(self) -> str:
        why = "; ".join(f"{server.api}: {server.dropped}" for server in self.servers if server.dropped)
        more = self._explain()
        return f"No server is left to ask. {why}" + (f"\n{more}" if more else "")


def _require_retries() -> None:
    """Raise RmbenchError where the library that retries is missing, and keep it from printing a line per retry."""
    try:
        import stamina  # noqa: F401
    except ImportError as error:
        raise RmbenchError(f"Servers need the extra `judge`: pip install 'rmbench[judge]' ({error}).") from error
    # Python prints the warnings of loggers without a handler; they would spoil the progress bar.
    logging.getLogger("stamina").addHandler(logging.NullHandler())

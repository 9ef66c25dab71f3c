"""A client of one or several servers: retries with back-off, load balancing, fail-over, and immediate cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from rmbench.errors import RmbenchError, UnreachableError
from rmbench.models.options import silent
from rmbench.models.servers.errors import AccountError, ConnectError, DeniedError, RejectedError, RetryableError
from rmbench.models.servers.key import ApiKey
from rmbench.models.servers.pool import RetryPolicy, Server, ServerPool, is_local, parse_base_url
from rmbench.models.servers.transport import HttpRequest, Transport

__all__ = ["Client", "ClientClosedError"]

Result = TypeVar("Result")
Parse = Callable[[Any], Result]
"""Takes parsed JSON. Raises RetryableError where it is not what was requested."""


class ClientClosedError(Exception):
    """The client was closed while the request was in flight."""


class Client:
    """Sends requests for any number of threads. Each waits for its own; one event loop in a thread carries them all."""

    def __init__(
        self,
        base_urls: Sequence[str],
        key: ApiKey,
        *,
        policy: RetryPolicy | None = None,
        query: str = "",
        note: Callable[[str], None] = silent,
        diagnostics: Callable[[], str] = str,
    ) -> None:
        """
        Args:
            base_urls: at least one; see `parse_base_url`.
            key: sent to every one of them.
            policy: time-outs and retries.
            query: of each request, encoded, such as "api-version=1".
            note: called with a line when a server is dropped, from another thread.
            diagnostics: returns more for the error when no server is left, such as the end of a log.

        Raises:
            RmbenchError: an address is invalid, or the packages of the extra `judge` are missing.
        """
        _require_stamina()
        self.policy = policy or RetryPolicy()
        self.key = key
        self.retries = 0
        """Attempts after the first ones, of all requests."""
        servers = tuple(parse_base_url(url) for url in dict.fromkeys(base_urls))
        self._pool = ServerPool(servers, self.policy)
        self._transport = Transport(key, self.policy, proxies=not all(map(is_local, servers)), query=query)
        self._note, self._diagnostics = note, diagnostics
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
        parse: Parse[Result],
        server: Server | None = None,
        attempts: int | None = None,
        *,
        optional: bool = False,
    ) -> Result:
        """The parsed response to a POST of JSON.

        Args:
            path: "/v1/chat/completions", or a route of the server's own such as "/tokenize".
            body: plain data.
            parse: takes the response's JSON; a RetryableError of it makes another attempt.
            server: the one to send to; None: the one with the least load.
            attempts: overrides the policy's number.
            optional: a route or a field that the server may lack: its failures are no sign that the server is broken,
                and on a route that it never served no Retry-After is waited for.

        Raises:
            RetryableError: every attempt failed; the last reason.
            RejectedError: the server will not answer this request.
            RmbenchError: no request will ever be answered: a wrong key, an unknown model, no server left.
            ClientClosedError: the client was closed.
        """
        request = HttpRequest("POST", path, json.dumps(body).encode(), optional)
        return self._wait(self._retried(request, parse, server, attempts))

    def get(
        self,
        path: str,
        parse: Parse[Result],
        server: Server,
        attempts: int | None = None,
        *,
        optional: bool = False,
    ) -> Result:
        """The parsed response to a GET; arguments and errors as of `post`."""
        return self._wait(self._retried(HttpRequest("GET", path, None, optional), parse, server, attempts))

    def ask_each(self, ask: Callable[[Server], Result], failure: str) -> Iterator[Result]:
        """The result of `ask` for one server after the other, without those that are dropped meanwhile.

        Args:
            ask: sends requests to the server that it is given.
            failure: what it means when one fails, for the message, e.g. "does not list its models".

        Raises:
            RmbenchError: a server that is not dropped fails, or every server is dropped.
        """
        problem = RmbenchError("There is no server to ask: pass --base-url.")
        answered = False
        for server in self.servers:
            try:
                result = ask(server)
            except (RetryableError, RejectedError, ClientClosedError) as error:
                raise RmbenchError(f"{server.api} {failure}: {error}") from error
            except RmbenchError as error:
                if not server.dropped:
                    raise
                problem = error
            else:
                answered = True
                yield result
        if not answered:
            raise problem

    def close(self) -> None:
        """Break off what is in flight and close all connections; a second call does nothing."""
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
                raise ClientClosedError("the client was closed")
            future: Future[Result] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError as error:
            raise ClientClosedError("the client was closed") from error
        except BaseException:  # Ctrl-C in the waiting thread
            future.cancel()
            raise

    async def _shut(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._transport.close()

    async def _retried(
        self, request: HttpRequest, parse: Parse[Result], only: Server | None, attempts: int | None
    ) -> Result:
        import stamina

        async for attempt in stamina.retry_context(
            on=RetryableError,
            attempts=attempts or self.policy.attempts,
            timeout=None,
            wait_initial=self.policy.first_wait,
            wait_max=self.policy.longest_wait,
            wait_jitter=self.policy.first_wait,
        ):
            with attempt:
                self.retries += attempt.num > 1
                return await self._attempt(request, parse, only)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, request: HttpRequest, parse: Parse[Result], only: Server | None) -> Result:
        """Send it until a server takes it. Failing to connect and pausing for `Retry-After` are no attempts."""
        began = self._loop.time()
        while True:
            server = await self._choose(only)
            try:
                return parse(await self._send(server, request))
            except ConnectError as error:
                self._pool.connect_failed(server, str(error))
                self._report_drop(server)
                if not server.dropped:
                    await asyncio.sleep(min(self.policy.first_wait, self.policy.unreachable))
            except RetryableError as error:
                if error.pause is None or (request.optional and request.path not in server.served):
                    raise
                if error.pause > self.policy.longest_pause:
                    raise AccountError(
                        f"{server.url(request.path)} asks to wait {error.pause:,.0f} s (Retry-After): {error}. What is "
                        "answered is kept; the same command goes on with the rest."
                    ) from None
                if self._loop.time() - began + error.pause > self.policy.longest_pause:
                    raise RejectedError(f"{error}; its Retry-After is {error.pause:,.0f} s") from None
                server.begin_pause(max(error.pause, self.policy.first_wait))
                self.retries += 1

    async def _choose(self, only: Server | None) -> Server:
        """A server that is ready; raises UnreachableError where none is left."""
        while True:
            if not self._pool.alive or (only is not None and only.dropped):
                raise UnreachableError(self._unreachable_message())
            server, pause = self._pool.next(only)
            if pause <= 0:
                return server
            # Jitter, so that not all requests are sent at the moment the pause ends.
            await asyncio.sleep(pause + random.random() * self.policy.first_wait)

    async def _send(self, server: Server, request: HttpRequest) -> Any:
        """The response's JSON; updates the server's state."""
        server.in_flight += 1
        try:
            data = await self._transport.send(server, request)
        except RetryableError as error:
            if error.pause is None and not request.optional:
                self._pool.request_failed(server, str(error))
                self._report_drop(server)
            raise
        except DeniedError as error:
            server.succeeded()
            raise self._denied(server, request, error) from None
        except (RejectedError, RmbenchError):
            server.succeeded()
            raise
        finally:
            server.in_flight -= 1
        server.succeeded()
        server.served.add(request.path)
        server.denials = 0
        return data

    def _denied(self, server: Server, request: HttpRequest, error: DeniedError) -> Exception:
        """A denial of one request where others on its path were answered, unless the key is denied again and again."""
        server.denials += error.status == 401
        if request.path not in server.served or server.denials >= self.policy.denied_after:
            return RmbenchError(error.of_all)
        return RejectedError(str(error))

    def _report_drop(self, server: Server) -> None:
        if server.dropped and not server.drop_reported:
            server.drop_reported = True
            left = len(self._pool.alive)
            self._note(f"{server.api} is dropped: {server.dropped}; {left} of {len(self.servers)} servers left")

    def _unreachable_message(self) -> str:
        reasons = "; ".join(f"{server.api}: {server.dropped}" for server in self.servers if server.dropped)
        more = self._diagnostics()
        return f"No server is reachable. {reasons}" + (f"\n{more}" if more else "")


def _require_stamina() -> None:
    """Raise RmbenchError where the retry library is missing, and keep it from printing a line per retry."""
    try:
        import stamina  # noqa: F401
    except ImportError as error:
        raise RmbenchError(f"Servers need the extra `judge`: pip install 'rmbench[judge]' ({error}).") from error
    # Python prints the warnings of loggers without a handler; they would spoil the progress bar.
    logging.getLogger("stamina").addHandler(logging.NullHandler())

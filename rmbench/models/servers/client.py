"""A client of one or several servers: retries with back-off, load balancing, fail-over, and immediate cancellation."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """Sends requests for any number of threads; each sends and waits for its own."""

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
            RmbenchError: an address is invalid.
        """
        self.policy = policy or RetryPolicy()
        self.key = key
        self.retries = 0
        """Attempts after the first ones, of all requests."""
        servers = tuple(parse_base_url(url) for url in dict.fromkeys(base_urls))
        self._pool = ServerPool(servers, self.policy)
        self._transport = Transport(key, self.policy, proxies=not all(map(is_local, servers)), query=query)
        self._note, self._diagnostics = note, diagnostics
        self._changed = threading.Condition()
        """Held by who changes the state of servers; notified where a request has ended."""
        self._stopped = threading.Event()

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
        return self._retried(request, parse, server, attempts)

    def get(
        self,
        path: str,
        parse: Parse[Result],
        server: Server,
        attempts: int | None = None,
        *,
        optional: bool = False,
        text: bool = False,
    ) -> Result:
        """The parsed response to a GET; arguments and errors as of `post`. `text`: it is text and no JSON."""
        return self._retried(HttpRequest("GET", path, None, optional, text), parse, server, attempts)

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

    def limit(self, most: int) -> None:
        """Have at most so many requests under way from now on; fewer at a server that is overloaded (`Window`)."""
        with self._changed:
            self._pool.limit(most)
            self._changed.notify_all()

    @property
    def has_room(self) -> bool:
        """Whether fewer requests are under way than `limit` allows."""
        return self._pool.has_room

    def close(self) -> None:
        """Break off what is in flight and close all connections; a second call does nothing."""
        with self._changed:
            self._stopped.set()
            self._changed.notify_all()
        self._transport.close()

    def _retried(self, request: HttpRequest, parse: Parse[Result], only: Server | None, attempts: int | None) -> Result:
        last = attempts or self.policy.attempts
        for number in itertools.count(1):
            try:
                return self._attempt(request, parse, only)
            except RetryableError:
                if number == last:
                    raise
            wait = self.policy.first_wait * 2 ** min(number - 1, 16) + random.uniform(0, self.policy.first_wait)
            self._rest(min(wait, self.policy.longest_wait))
            with self._changed:
                self.retries += 1
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, request: HttpRequest, parse: Parse[Result], only: Server | None) -> Result:
        """Send it until a server takes it. Failing to connect and pausing for `Retry-After` are no attempts."""
        began = time.monotonic()
        while True:
            server, halved = self._choose(only)
            try:
                return parse(self._send(server, request, halved))
            except ConnectError as error:
                with self._changed:
                    self._pool.connect_failed(server, str(error))
                self._report_drop(server)
                if not server.dropped:
                    self._rest(min(self.policy.first_wait, self.policy.unreachable))
            except RetryableError as error:
                if error.pause is None or (request.optional and request.path not in server.served):
                    raise
                if error.pause > self.policy.longest_pause:
                    raise AccountError(
                        f"{server.url(request.path)} asks to wait {error.pause:,.0f} s (Retry-After): {error}. What is "
                        "answered is kept; the same command goes on with the rest."
                    ) from None
                if time.monotonic() - began + error.pause > self.policy.longest_pause:
                    raise RejectedError(f"{error}; its Retry-After is {error.pause:,.0f} s") from None
                with self._changed:
                    server.begin_pause(max(error.pause, self.policy.first_wait))
                    self.retries += 1

    def _choose(self, only: Server | None) -> tuple[Server, int]:
        """A server that is ready and has room, with the request counted as under way; and how often its window was
        halved before. Raises UnreachableError where none is left."""
        while True:
            with self._changed:
                while True:
                    self._check_open()
                    if not self._pool.alive or (only is not None and only.dropped):
                        raise UnreachableError(self._unreachable_message())
                    server, pause = self._pool.next(only)
                    if server is not None:
                        break
                    self._changed.wait()
                if pause <= 0:
                    server.in_flight += 1
                    return server, 0 if server.window is None else server.window.halved
            # Jitter, so that not all requests are sent at the moment the pause ends.
            self._rest(pause + random.random() * self.policy.first_wait)

    def _send(self, server: Server, request: HttpRequest, halved: int) -> Any:
        """The response's JSON; updates the server's state."""
        failure: Exception | None = None
        try:
            data = self._transport.send(server, request)
        except Exception as error:
            failure = error
        with self._changed:
            server.in_flight -= 1
            self._check_open()
            if failure is None:
                server.succeeded()
                server.served.add(request.path)
                server.denials = 0
                grown = 0 if server.window is None else server.window.answered()
                self._changed.notify(1 + grown)
                return data
            self._changed.notify()
            if isinstance(failure, RetryableError):
                if failure.overloaded and not request.optional and server.window is not None:
                    server.window.overloaded(halved)
                if failure.pause is None and not request.optional:
                    self._pool.request_failed(server, str(failure))
            elif not isinstance(failure, ConnectError):
                server.succeeded()
            if isinstance(failure, DeniedError):
                failure = self._denied(server, request, failure)
        self._report_drop(server)
        raise failure

    def _rest(self, seconds: float) -> None:
        """Wait; raises ClientClosedError where the client is closed meanwhile."""
        if self._stopped.wait(seconds):
            self._check_open()

    def _check_open(self) -> None:
        if self._stopped.is_set():
            raise ClientClosedError("the client was closed")

    def _denied(self, server: Server, request: HttpRequest, error: DeniedError) -> Exception:
        """A denial of one request where others on its path were answered, unless the key is denied again and again."""
        server.denials += error.status == 401
        if request.path not in server.served or server.denials >= self.policy.denied_after:
            return RmbenchError(error.of_all)
        return RejectedError(str(error))

    def _report_drop(self, server: Server) -> None:
        with self._changed:
            if not server.dropped or server.drop_reported:
                return
            server.drop_reported = True
            left = len(self._pool.alive)
            self._changed.notify_all()  # who waits for room looks at the others, or gives up
        self._note(f"{server.api} is dropped: {server.dropped}; {left} of {len(self.servers)} servers left")

    def _unreachable_message(self) -> str:
        reasons = "; ".join(f"{server.api}: {server.dropped}" for server in self.servers if server.dropped)
        more = self._diagnostics()
        return f"No server is reachable. {reasons}" + (f"\n{more}" if more else "")

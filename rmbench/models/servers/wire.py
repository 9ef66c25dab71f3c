"""One request to one server: sent within its time, and every way to fail told apart."""

from __future__ import annotations

import asyncio
import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rmbench.models.servers.connection import Connection, Response, Route, route_to
from rmbench.models.servers.failures import AgainError, GoneError, failure_of
from rmbench.models.servers.key import Key
from rmbench.models.servers.pool import Patience, Server

__all__ = ["Sent", "Wire"]

_MOST_THREADS = 4096


@dataclass(frozen=True, slots=True)
class Sent:
    """What is sent."""

    method: str
    path: str
    """See `Server.url`."""
    body: bytes | None = None
    """JSON."""


class Wire:
    """Connections to servers, kept open between requests. Lives in one event loop.

    Each request under way has a thread that blocks on its connection: the standard library's client takes a third of
    the time of those that are asynchronous throughout, and with many requests at once that time is what there is too
    little of.
    """

    def __init__(self, key: Key, patience: Patience, *, proxies: bool) -> None:
        """`proxies`: whether the environment's proxies lead to the servers; none leads to one's own machine."""
        self._key, self._patience, self._proxies = key, patience, proxies
        self._tls = ssl.create_default_context()
        self._threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="judge-request")
        self._routes: dict[str, Route] = {}
        self._idle: dict[Route, list[Connection]] = {}

    async def send(self, server: Server, sent: Sent) -> Any:
        """Parsed JSON of a 2xx answer.

        Raises:
            GoneError: no connection could be made.
            AgainError: a time-out, a broken connection, a failure of the server, an answer that is no JSON.
            RefusedError, RmbenchError: see `failure_of`.
        """
        try:
            async with asyncio.timeout(self._patience.timeout):
                response = await self._exchange(server, sent)
        except TimeoutError:
            raise AgainError(f"no answer within {self._patience.timeout:g} s") from None
        except GoneError as error:
            raise GoneError(self._key.hide(str(error))) from None
        except AgainError as error:
            raise AgainError(self._key.hide(str(error))) from None
        text, headers = response.body, response.headers
        if not 200 <= response.status < 300:
            said = self._key.hide(text)
            raise failure_of(response.status, headers, said, url=server.api, variable=self._key.variable)
        kind = headers.get("content-type", "")
        if "json" not in kind:
            raise AgainError(self._key.hide(f"the answer is no JSON but {kind[:80] or 'of no type'!r}"))
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise AgainError(f"the answer is broken JSON of {len(text)} letters") from None

    def close(self) -> None:
        """Let go of idle connections. Those in use end with the tasks that use them."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()
        self._threads.shutdown(wait=False)

    async def _exchange(self, server: Server, sent: Sent) -> Response:
        url = server.url(sent.path)
        route = self._routes.get(server.api) or route_to(url, proxies=self._proxies)
        self._routes[server.api] = route
        connection = self._take(route)
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **self._key.headers}
        parts = urlsplit(url)
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, connection.exchange, sent.method, parts.path, sent.body, headers
        )
        try:
            response = await work
        except asyncio.CancelledError:  # too late, or the client is being closed
            connection.abort()
            raise
        self._idle.setdefault(route, []).append(connection)
        return response

    def _take(self, route: Route) -> Connection:
        """An open connection, or a new one."""
        kept = self._idle.get(route, [])
        while kept:
            connection = kept.pop()
            if connection.usable:
                return connection
            connection.close()
        return Connection(route, self._tls, connect=self._patience.connect, timeout=self._patience.timeout)

"""HTTP requests to servers over kept-open connections, with a time-out and a distinct error for each way to fail."""

from __future__ import annotations

import asyncio
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rmbench.models.servers.bodies import json_of, text_of
from rmbench.models.servers.connection import Connection, Response, Route, route_to
from rmbench.models.servers.errors import ConnectError, RetryableError, error_for_status, error_in_body
from rmbench.models.servers.key import ApiKey
from rmbench.models.servers.pool import RetryPolicy, Server
from rmbench.untrusted.masking import masked

__all__ = ["HttpRequest", "Transport"]

_MOST_THREADS = 4096


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, to whichever server takes it."""

    method: str
    path: str
    """See `Server.url`."""
    body: bytes | None = None
    """JSON."""
    optional: bool = False
    """See `Client.post`."""


class Transport:
    """A pool of connections. Lives in one event loop.

    Each request in flight has a thread that blocks on its connection: the standard library's client takes a third of
    the time of fully asynchronous ones, and with many requests in flight that time is the bottleneck.
    """

    def __init__(self, key: ApiKey, policy: RetryPolicy, *, proxies: bool, query: str = "") -> None:
        """`proxies`: whether the environment's proxies are used; `query`: of each request, encoded."""
        self._key, self._policy, self._proxies = key, policy, proxies
        self._query = f"?{query}" if query else ""
        self._tls = ssl.create_default_context()
        self._threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="judge-request")
        self._routes: dict[str, Route] = {}
        self._idle: dict[Route, list[Connection]] = {}

    async def send(self, server: Server, request: HttpRequest) -> Any:
        """Parsed JSON of a 2xx response.

        Raises:
            ConnectError: no connection could be made.
            RetryableError: a time-out, a broken connection, a server error, a response that is not JSON.
            DeniedError, RejectedError, RmbenchError: see `error_for_status` and `error_in_body`.
        """
        hide = self._key.hide
        try:
            async with asyncio.timeout(self._policy.timeout):
                response = await self._exchange(server, request)
        except TimeoutError:
            raise RetryableError(f"no response within {self._policy.timeout:g} s") from None
        except (ConnectError, RetryableError) as error:
            raise type(error)(hide(str(error))) from None
        headers, url, variable = response.headers, server.url(request.path), self._key.variable
        text = text_of(response.body, headers.get("content-encoding", ""))
        if not 200 <= response.status < 300:
            raise error_for_status(response.status, headers, hide(text), url=url, variable=variable)
        try:
            data = masked(json_of(text))
        except (ValueError, RecursionError):
            kind = hide(headers.get("content-type", ""))[:80] or "of no type"
            raise RetryableError(f"the response is broken JSON of {len(text)} characters ({kind})") from None
        if (instead := error_in_body(data, hide(text), url=url, variable=variable)) is not None:
            raise instead
        return data

    def close(self) -> None:
        """Close idle connections. Those in use end with the tasks that use them."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()
        self._threads.shutdown(wait=False)

    async def _exchange(self, server: Server, request: HttpRequest) -> Response:
        url = server.url(request.path)
        route = self._routes.get(server.api) or route_to(url, proxies=self._proxies)
        self._routes[server.api] = route
        connection = self._take(route)
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **self._key.headers}
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, connection.exchange, request.method, urlsplit(url).path + self._query, request.body, headers
        )
        try:
            response = await work
        except asyncio.CancelledError:  # timed out, or the client is being closed
            connection.abort()
            raise
        self._idle.setdefault(route, []).append(connection)
        return response

    def _take(self, route: Route) -> Connection:
        """An open idle connection, or a new one."""
        idle = self._idle.get(route, [])
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return Connection(route, self._tls, connect=self._policy.connect, timeout=self._policy.timeout)

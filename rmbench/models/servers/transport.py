"""HTTP requests to servers over kept-open connections, with a time-out and a distinct error for each way to fail."""

from __future__ import annotations

import ssl
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
    text: bool = False
    """Whether the response is text and no JSON."""


class Transport:
    """A pool of connections. Each thread that sends waits on a connection of its own: handing requests from thread to
    thread would take longer than sending them."""

    def __init__(self, key: ApiKey, policy: RetryPolicy, *, proxies: bool, query: str = "") -> None:
        """`proxies`: whether the environment's proxies are used; `query`: of each request, encoded."""
        self._key, self._policy, self._proxies = key, policy, proxies
        self._query = f"?{query}" if query else ""
        self._tls = ssl.create_default_context()
        # Threads share these; each of their operations is one of the interpreter's, which no other thread divides.
        self._routes: dict[str, Route] = {}
        self._idle: dict[Route, list[Connection]] = {}
        self._in_use: set[Connection] = set()
        self._closed = False

    def send(self, server: Server, request: HttpRequest) -> Any:
        """Parsed JSON, or the text, of a 2xx response.

        Raises:
            ConnectError: no connection could be made.
            RetryableError: a time-out, a broken connection, a server error, a response that is not JSON.
            DeniedError, RejectedError, RmbenchError: see `error_for_status` and `error_in_body`.
        """
        hide = self._key.hide
        try:
            response = self._exchange(server, request)
        except ConnectError as error:
            raise ConnectError(hide(str(error))) from None
        except RetryableError as error:
            raise RetryableError(hide(str(error)), timed_out=error.timed_out) from None
        headers, url, variable = response.headers, server.url(request.path), self._key.variable
        text = text_of(response.body, headers.get("content-encoding", ""))
        if not 200 <= response.status < 300:
            raise error_for_status(response.status, headers, hide(text), url=url, variable=variable)
        if request.text:
            return hide(text)
        try:
            data = masked(json_of(text))
        except (ValueError, RecursionError):
            kind = hide(headers.get("content-type", ""))[:80] or "of no type"
            raise RetryableError(f"the response is broken JSON of {len(text)} characters ({kind})") from None
        if (instead := error_in_body(data, hide(text), url=url, variable=variable)) is not None:
            raise instead
        return data

    def close(self) -> None:
        """Break off what is under way and close all connections."""
        self._closed = True
        for connection in list(self._in_use):
            connection.abort()
        for connections in self._idle.values():
            while connections:
                connections.pop().close()

    def _exchange(self, server: Server, request: HttpRequest) -> Response:
        url = server.url(request.path)
        route = self._routes.get(server.api) or route_to(url, proxies=self._proxies)
        self._routes[server.api] = route
        connection = self._take(route)
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **self._key.headers}
        self._in_use.add(connection)
        try:
            if self._closed:
                connection.abort()
            response = connection.exchange(request.method, urlsplit(url).path + self._query, request.body, headers)
        finally:
            self._in_use.discard(connection)
        self._idle.setdefault(route, []).append(connection)
        return response

    def _take(self, route: Route) -> Connection:
        """An open idle connection, the last one that was used, or a new one."""
        idle = self._idle.get(route, [])
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread took it
                break
            if connection.usable:
                return connection
            connection.close()
        return Connection(route, self._tls, connect=self._policy.connect, timeout=self._policy.timeout)

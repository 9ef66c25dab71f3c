"""Several servers that share the load: which one gets the next request, and which are dropped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from rmbench.errors import RmbenchError
from rmbench.models.servers.window import Window

__all__ = ["RetryPolicy", "Server", "ServerPool", "is_local", "parse_base_url"]

_ROUTES = ("/chat/completions", "/completions")
"""Ends of addresses that documentation shows and that are no part of the base."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Time-outs, retries and back-off; times are in seconds."""

    timeout: float = 600.0
    """For one request, from the first byte sent to the last one read."""
    connect: float = 10.0
    """For a connection."""
    attempts: int = 8
    """Times that a request is sent before its question fails."""
    first_wait: float = 0.5
    """Before the second attempt; twice as long before each further one, plus random jitter."""
    longest_wait: float = 30.0
    longest_pause: float = 600.0
    """Total time that one request waits because of `Retry-After`."""
    unreachable: float = 15.0
    """The last server is dropped after refusing connections for this long; one of several is dropped at once."""
    broken: float = 120.0
    """A server that has only failed for this long is dropped, after at least `broken_after` failures."""
    broken_after: int = 20
    denied_after: int = 10
    """So many requests in a row whose key a server does not accept, after it accepted it, end the run."""


@dataclass(slots=True)
class Server:
    """One server and its state, which only who holds the client's lock changes."""

    api: str
    """Base of the OpenAI protocol's routes, e.g. "http://127.0.0.1:8000/v1"."""
    root: str
    """Base of the server's own routes: the same without "/v1"."""
    in_flight: int = 0
    failures: int = 0
    """Consecutive ones."""
    failing_since: float = 0.0
    """When the first of them came, by the monotonic clock."""
    answered: bool = False
    """Whether it ever did."""
    served: set[str] = field(default_factory=set)
    """The paths on which it ever answered with what was requested."""
    denials: int = 0
    """Consecutive requests whose key it does not accept (401), on paths that it served before."""
    paused_until: float = 0.0
    """It asked for a pause until then (`Retry-After`), by the monotonic clock."""
    dropped: str = ""
    """Why it gets no more requests; "" while it does."""
    drop_reported: bool = False
    window: Window | None = None
    """How many requests it is sent at a time; None: as many as there are."""

    @property
    def has_room(self) -> bool:
        """Whether it may be sent another request now."""
        return self.window is None or self.in_flight < self.window.size

    def url(self, path: str) -> str:
        """The address of a route: paths that begin with "/v1/" are the protocol's, all others the server's own."""
        return self.api + path[3:] if path.startswith("/v1/") else self.root + path

    def begin_pause(self, seconds: float) -> None:
        """Send it nothing for this long."""
        self.paused_until = max(self.paused_until, time.monotonic() + seconds)

    def succeeded(self) -> None:
        """Count an answer; a rejection is one too."""
        self.failures, self.answered = 0, True

    def failed(self) -> float:
        """Count a failure; returns seconds since the first consecutive one."""
        now = time.monotonic()
        self.failures += 1
        if self.failures == 1:
            self.failing_since = now
        return now - self.failing_since


@dataclass(slots=True)
class ServerPool:
    """The servers of a client."""

    servers: Sequence[Server]
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    most: int | None = None
    """Requests on their way at a time, to all servers together; None: as many as there are."""

    def limit(self, most: int) -> None:
        """Send at most so many requests at a time, to each server fewer where it is overloaded."""
        self.most = most
        for server in self.servers:
            server.window = Window(most)

    @property
    def has_room(self) -> bool:
        """Whether fewer than `most` requests are on their way."""
        return self.most is None or sum(server.in_flight for server in self.servers) < self.most

    @property
    def alive(self) -> list[Server]:
        """Those that still get requests."""
        return [server for server in self.servers if not server.dropped]

    def next(self, only: Server | None = None) -> tuple[Server | None, float]:
        """The server for the next request, and the seconds until it is ready; None: as soon as a request has ended. At
        least one must be alive.

        It is the one with the fewest requests in flight; if all are paused, the one whose pause ends first. A
        consecutive failure counts as a request in flight, or else a server that fails at once would draw all work.
        """
        now = time.monotonic()
        candidates = self.alive if only is None else [only]
        ready = [server for server in candidates if server.paused_until <= now]
        if ready and only is None:
            ready = [server for server in ready if server.has_room] if self.has_room else []
            if not ready:
                return None, 0.0
        if ready:
            return min(ready, key=lambda server: server.in_flight + server.failures), 0.0
        first = min(candidates, key=lambda server: server.paused_until)
        return first, first.paused_until - now

    def connect_failed(self, server: Server, reason: str) -> None:
        """Count a connection that could not be made, and drop the server if the policy says so."""
        lasted = server.failed()
        others = any(one is not server for one in self.alive)
        if others or not server.answered or lasted >= self.policy.unreachable:
            server.dropped = server.dropped or reason

    def request_failed(self, server: Server, reason: str) -> None:
        """Count a request that failed, and drop the server if the policy says so."""
        lasted = server.failed()
        if server.failures >= self.policy.broken_after and lasted >= self.policy.broken:
            server.dropped = server.dropped or f"{server.failures} failures in a row, the last one: {reason}"


def parse_base_url(base_url: str) -> Server:
    """The server at a `--base-url`, with or without "/v1" or a route such as "/chat/completions" at its end.

    Raises:
        RmbenchError: it is no http address, or holds what may be a secret (a password, a query).
    """
    try:
        parts = urlsplit(base_url.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        valid = valid and parts.path.isascii() and parts.path.isprintable() and " " not in parts.path
    except ValueError:
        valid = False
    if not valid:
        raise RmbenchError("--base-url takes an address such as http://127.0.0.1:8000/v1 or https://host/v1.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise RmbenchError(
            f"--base-url for {parts.hostname}: an address with a user, a password or a query would end up in logs; "
            "keys come from the environment (--api-key-env, --header-env), a version of the API from --query."
        )
    path = parts.path.rstrip("/")
    for route in _ROUTES:
        path = path.removesuffix(route)
    address = f"{parts.scheme}://{parts.netloc}{path}"
    return Server(address, address.removesuffix("/v1")) if path else Server(address + "/v1", address)


def is_local(server: Server) -> bool:
    """Whether a server runs on this machine, which is never reached through a proxy."""
    host = urlsplit(server.api).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")

"""Several servers that share the work: who gets the next request, and who is dropped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from rmbench.errors import RmbenchError

__all__ = ["Patience", "Pool", "Server", "is_here", "server_at"]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, all in seconds."""

    timeout: float = 600.0
    """For one request, from the first byte sent to the last one read."""
    connect: float = 10.0
    """For a connection."""
    attempts: int = 8
    """Times that a request is sent before its question fails."""
    first_wait: float = 0.5
    """Before the second attempt; twice as long before each further one, and a random part more."""
    longest_wait: float = 30.0
    longest_pause: float = 600.0
    """That a request waits, all in all, because servers ask to be left alone."""
    unreachable: float = 15.0
    """A last server that refuses connections for so long is dropped; one of several is at once."""
    broken: float = 120.0
    """A server that has given nothing but failures for so long is dropped, if there were `broken_after` of them."""
    broken_after: int = 20


@dataclass(slots=True)
class Server:
    """One server and how it is doing. Only the thread of the client's event loop touches the figures."""

    api: str
    """Where the routes of the OpenAI protocol are, e.g. "http://127.0.0.1:8000/v1"."""
    root: str
    """Where the server's own routes are: the same without "/v1"."""
    in_flight: int = 0
    failures: int = 0
    """In a row."""
    failing_since: float = 0.0
    """When the first of them came, by the monotonic clock."""
    answered: bool = False
    """Whether it ever did."""
    paused_until: float = 0.0
    """It asked to be left alone until then, by the monotonic clock."""
    dropped: str = ""
    """Why it gets no more requests; "" while it does."""
    told: bool = False
    """Whether somebody was told so."""

    def url(self, path: str) -> str:
        """The address of a route: paths that begin with "/v1/" are the protocol's, all others the server's own."""
        return self.api + path[3:] if path.startswith("/v1/") else self.root + path

    def begin_pause(self, seconds: float) -> None:
        """Leave it alone for so long."""
        self.paused_until = max(self.paused_until, time.monotonic() + seconds)

    def succeeded(self) -> None:
        """It answered, be it with a refusal."""
        self.failures, self.answered = 0, True

    def failed(self) -> float:
        """It failed; seconds since the first failure in a row."""
        now = time.monotonic()
        self.failures += 1
        if self.failures == 1:
            self.failing_since = now
        return now - self.failing_since


@dataclass(slots=True)
class Pool:
    """The servers of a client."""

    servers: Sequence[Server]
    patience: Patience = field(default_factory=Patience)

    @property
    def alive(self) -> list[Server]:
        """Those that still get requests."""
        return [server for server in self.servers if not server.dropped]

    def next(self, only: Server | None = None) -> tuple[Server, float]:
        """The server with the least in flight of those that may be asked now, and 0; or, where all pause, the one whose
        pause ends first and the seconds until then. There must be one alive.

        A failure in a row counts as a request in flight, else a server that fails at once would draw all work.
        """
        now = time.monotonic()
        asked = self.alive if only is None else [only]
        ready = [server for server in asked if server.paused_until <= now]
        if ready:
            return min(ready, key=lambda server: server.in_flight + server.failures), 0.0
        first = min(asked, key=lambda server: server.paused_until)
        return first, first.paused_until - now

    def unreachable(self, server: Server, reason: str) -> None:
        """Count a connection that could not be made."""
        lasted = server.failed()
        others = any(one is not server for one in self.alive)
        if others or not server.answered or lasted >= self.patience.unreachable:
            server.dropped = server.dropped or reason

    def broke(self, server: Server, reason: str) -> None:
        """Count a request that came to nothing."""
        lasted = server.failed()
        if server.failures >= self.patience.broken_after and lasted >= self.patience.broken:
            server.dropped = server.dropped or f"{server.failures} failures in a row, the last one: {reason}"


def server_at(base_url: str) -> Server:
    """The server that `--base-url` names, with or without the "/v1" at its end.

    Raises:
        RmbenchError: it is no http address, or holds what may be a secret (a password, a query).
    """
    try:
        parts = urlsplit(base_url.strip())
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        named = named and parts.path.isascii() and parts.path.isprintable() and " " not in parts.path
    except ValueError:
        named = False
    if not named:
        raise RmbenchError("--base-url takes an address such as http://127.0.0.1:8000/v1 or https://host/v1.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise RmbenchError(
            f"--base-url for {parts.hostname}: an address with a user, a password or a query would end up in logs; "
            "keys come from the environment (--api-key-env)."
        )
    address = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    if not parts.path.rstrip("/"):
        return Server(address + "/v1", address)
    return Server(address, address.removesuffix("/v1"))


def is_here(server: Server) -> bool:
    """Whether a server runs on this machine, where no proxy leads."""
    host = urlsplit(server.api).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")

"""What `--model openai:NAME` and its like ask for: the kind, the name and the checked settings, and clients by them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.models.options import OpenOptions
from rmbench.models.servers.client import Client
from rmbench.models.servers.key import read_api_key, read_headers
from rmbench.models.servers.pool import RetryPolicy
from rmbench.models.servers.process import LocalServer
from rmbench.models.servers.usage import Usage
from rmbench.types import Setting

__all__ = ["BackendSettings", "ServerRequest", "closed_on_error"]

_SECRET = re.compile(r"key|token|secret|password|sig", re.IGNORECASE)


class BackendSettings(BaseModel):
    """`--model-args` about servers."""

    model_config = ConfigDict(extra="forbid")

    price_in: float = Field(default=0.0, ge=0)
    """Of a million prompt tokens."""
    price_out: float = Field(default=0.0, ge=0)
    """Of a million completion tokens."""
    timeout: float = Field(default=600.0, gt=0)
    """Seconds for one request."""
    attempts: int = Field(default=8, ge=1)
    constrain: bool | None = None
    """Whether replies are constrained to the protocol's grammar. None: where the server supports it; not in batches."""
    served_name: str | None = None
    """The model's name at the server; None: as in --model, or for `served:` the only one that the server lists."""
    start_seconds: float = Field(default=600.0, gt=0)
    """Time-out for the start of a server of ours."""


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A model that the user asks for, before it is opened."""

    kind: str
    """"openai", "vllm", "served" or "judge-file"."""
    name: str
    """What follows the kind: a model's name at a server, a folder, card or hub id, or a file."""
    options: OpenOptions
    settings: BackendSettings

    def client(self, urls: tuple[str, ...], diagnostics: Callable[[], str] = str) -> Client:
        """A client with the user's key, time-out and number of attempts."""
        policy = RetryPolicy(timeout=self.settings.timeout, attempts=self.settings.attempts)
        key = read_api_key(self.options.api_key_env, read_headers(self.options.header_env))
        query = urlencode(self.query)
        return Client(urls, key, policy=policy, query=query, note=self.options.note, diagnostics=diagnostics)

    @property
    def query(self) -> list[tuple[str, str]]:
        """Names and values of the requests' query; RmbenchError where one is no pair, or looks like a secret."""
        pairs = []
        for pair in self.options.query:
            name, equals, value = pair.partition("=")
            if not equals or not name.strip():
                raise RmbenchError(f"--query {name}: expected KEY=VALUE, such as api-version=2024-10-21.")
            if _SECRET.search(name):
                raise RmbenchError(f"--query {name}: the query is in the record; secrets go by --header-env.")
            pairs.append((name.strip(), value.strip()))
        return pairs

    @property
    def recorded(self) -> dict[str, Setting]:
        """How servers are addressed, for the record."""
        query = ", ".join(f"{name}={value}" for name, value in self.query)
        return {"query": query} if query else {}

    def usage(self) -> Usage:
        """A new count at the user's prices; RmbenchError where a cost is to end the run and there are none."""
        settings, most = self.settings, self.options.max_cost
        if most is not None and not (settings.price_in or settings.price_out):
            raise RmbenchError("--max-cost needs prices: --model-args price_in=...,price_out=... of a million tokens.")
        return Usage(settings.price_in, settings.price_out, most)


@contextlib.contextmanager
def closed_on_error(client: Client, server: LocalServer | None = None) -> Iterator[None]:
    """Close the client and stop the server where a model could not be opened, Ctrl-C included."""
    try:
        yield
    except BaseException:
        client.close()
        if server is not None:
            server.stop()
        raise

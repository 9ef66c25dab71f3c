"""What `--model openai:NAME` and its like ask for: the kind, the name and the checked settings, and clients by them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from rmbench.models.options import OpenOptions
from rmbench.models.servers.client import Client
from rmbench.models.servers.key import read_api_key
from rmbench.models.servers.pool import RetryPolicy
from rmbench.models.servers.process import LocalServer
from rmbench.models.servers.usage import Usage

__all__ = ["BackendSettings", "ServerRequest", "closed_on_error"]


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
        key = read_api_key(self.options.api_key_env)
        return Client(urls, key, policy=policy, note=self.options.note, diagnostics=diagnostics)

    def usage(self) -> Usage:
        """A new count at the user's prices."""
        return Usage(self.settings.price_in, self.settings.price_out)


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

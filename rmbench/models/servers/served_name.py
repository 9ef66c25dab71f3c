"""The model's name and the server's kind, as `/v1/models` and `/version` list them. Servers may lack both routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from rmbench.errors import RmbenchError, UnreachableError, did_you_mean
from rmbench.models.servers.client import Client
from rmbench.models.servers.errors import AccountError, RejectedError, RetryableError
from rmbench.models.servers.pool import Server
from rmbench.models.servers.requests import MODELS
from rmbench.models.servers.wire import ListedModels, Version, read

__all__ = ["Listing", "check_name", "listing"]

Found = TypeVar("Found")

_ATTEMPTS = 2
_LONGEST_NAME = 80
_GGUF = ".gguf"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a server says of itself."""

    models: Sequence[str]
    """() where it does not say."""
    kind: str
    """Kind and version, e.g. "vllm 0.32.0"."""


def listing(client: Client, server: Server) -> Listing:
    """A server's listing; never an error, since it may lack both routes."""
    listed = _optional(client, server, MODELS, lambda data: read(ListedModels, data))
    models = listed.data if listed is not None else []
    owner = next((model.owned_by for model in models[:1] if model.owned_by), "")
    version = _optional(client, server, "/version", lambda data: read(Version, data).version)
    kind = f"{owner[:_LONGEST_NAME] or 'unknown'} {(version or '')[:_LONGEST_NAME]}".strip()
    return Listing([model.id for model in models], kind)


def check_name(server: Server, model: str, models: Sequence[str], note: Callable[[str], None]) -> bool:
    """Whether the server lists a model of this name, or lists none at all.

    A server that answers to any name would be measured under a wrong one: if it lists one model alone, another name is
    an error. Those that list several may answer to more names than they list, which is a note. llama.cpp lists the path
    of its GGUF file, whose name is the model's.

    Raises:
        RmbenchError: the server has one model, which is called otherwise.
    """
    names = [_named(one) for one in models]
    if not models or model in models or _named(model) in names:
        return True
    if len(models) == 1:
        (name,) = names
        raise RmbenchError(
            f"{server.api} serves {name!r} and not {model!r}; name it: --model openai:{name}, or --model-args "
            f"served_name={name} to keep your name for it."
        )
    near = did_you_mean(model, models)
    note(f"{server.api}: {model!r} is none of the {len(models)} models that it lists, though it answers.{near}")
    return False


def _named(model: str) -> str:
    """A model's name without the folder and the ending of a GGUF file."""
    file = model.replace("\\", "/").rpartition("/")[2]
    return file[: -len(_GGUF)] if file.lower().endswith(_GGUF) else model


def _optional(client: Client, server: Server, path: str, parse: Callable[[Any], Found]) -> Found | None:
    """What the route returns; None where there is none, in whatever way the server says so."""
    try:
        return client.get(path, parse, server, _ATTEMPTS, optional=True)
    except (UnreachableError, AccountError):
        raise
    except (RejectedError, RetryableError, RmbenchError):
        return None

"""`--model openai:...`, `vllm:...`, `served:...` and `judge-file:...` as models."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.checkpoint.opening import CARD_ARGS
from rmbench.models.judges.build import DEFAULT_PROTOCOL, JUDGE_ARGS, make_judge
from rmbench.models.options import OpenOptions
from rmbench.models.servers.batch_files import Constraints, Unasked, read_answers
from rmbench.models.servers.capabilities import probe
from rmbench.models.servers.client import Client, Patience
from rmbench.models.servers.generation import Backend
from rmbench.models.servers.key import key_from
from rmbench.models.servers.openai import ServerBackend
from rmbench.models.servers.usage import Usage

if TYPE_CHECKING:
    from rmbench.models.card import Card
    from rmbench.models.judges.responder import JudgeResponder
    from rmbench.models.protocols import Responder, Scorer
    from rmbench.models.servers.process import LocalServer

__all__ = ["KINDS", "Asked", "BackendSettings", "check_protocol", "closed_on_error", "judge_at", "open_asked"]

KINDS = ("openai", "vllm", "served", "judge-file")
"""What `--model` begins with, where somebody else computes."""


class BackendSettings(BaseModel):
    """What `--model-args` may say of a server."""

    model_config = ConfigDict(extra="forbid")

    price_in: float = Field(default=0.0, ge=0)
    """Of a million tokens read."""
    price_out: float = Field(default=0.0, ge=0)
    """Of a million tokens written."""
    timeout: float = Field(default=600.0, gt=0)
    """Seconds for one request."""
    attempts: int = Field(default=8, ge=1)
    constrain: bool | None = None
    """Whether answers are held to the protocol's grammar. None: where the server offers it; in batch files not."""
    served_name: str | None = None
    """What the server calls the model; None: as --model does, or for `served:` the one that it lists."""
    start_seconds: float = Field(default=600.0, gt=0)
    """How long a server that we start may take."""


@dataclass(frozen=True, slots=True)
class Asked:
    """All that the user said."""

    kind: str
    rest: str
    """What stands behind the kind."""
    options: OpenOptions
    settings: BackendSettings

    def client(self, urls: tuple[str, ...], explain: Callable[[], str] = str) -> Client:
        """A client with the user's key and patience."""
        patience = Patience(timeout=self.settings.timeout, attempts=self.settings.attempts)
        key = key_from(self.options.api_key_env)
        return Client(urls, key, patience=patience, note=self.options.note, explain=explain)

    @property
    def usage(self) -> Usage:
        """Counts from nothing, at the user's prices."""
        return Usage(self.settings.price_in, self.settings.price_out)


def open_asked(kind: str, rest: str, options: OpenOptions) -> Scorer | Responder:
    """The model that servers or files answer for.

    Args:
        kind: one of KINDS.
        rest: `openai:` the model's name at the server; `vllm:` and `served:` a folder, card or hub id; `judge-file:`
            a file of answers.
        options: the user's.

    Raises:
        RmbenchError: a setting that does not exist or does not go with the kind, or nothing answers.
    """
    if not rest:
        raise RmbenchError(f"--model {kind}: expected something behind the colon, such as {kind}:NAME.")
    asked = Asked(kind, rest, options, _settings(kind, options.model_args))
    _check_options(asked)
    if kind == "judge-file":
        return _from_file(asked, Path(rest), "")
    if options.responses_in is not None:
        return _from_file(asked, options.responses_in, rest)
    if options.requests_out is not None:
        constraints = Constraints(structured=bool(asked.settings.constrain))
        return _judge(asked, Unasked(rest, asked.settings.served_name or rest, constraints))
    if kind == "openai":
        return _at_servers(asked)
    from rmbench.models.served.vllm import open_checkpoint

    return open_checkpoint(asked)


def _at_servers(asked: Asked) -> JudgeResponder:
    name = asked.settings.served_name or asked.rest
    check_protocol(asked, asked.rest, None)
    client = asked.client(asked.options.base_url)
    with closed_on_error(client):
        return judge_at(asked, client, name, asked.rest)


@contextlib.contextmanager
def closed_on_error(client: Client, server: LocalServer | None = None) -> Iterator[None]:
    """Leave nothing open or running where a model could not be opened, Ctrl-C included."""
    try:
        yield
    except BaseException:
        client.close()
        if server is not None:
            server.stop()
        raise


def check_protocol(asked: Asked, name: str, card: Card | None) -> None:
    """Raise RmbenchError for what is wrong with the protocol or its settings, before anything is asked or started."""
    _judge(asked, Unasked(name, name), card)


def judge_at(
    asked: Asked,
    client: Client,
    model: str,
    name: str,
    *,
    more: Mapping[str, str | int | float | bool | None] | None = None,
    card: Card | None = None,
    stop: Callable[[], None] | None = None,
    why: str = "",
) -> JudgeResponder:
    """The judge behind a client's servers, once they were asked what they offer.

    Args:
        asked: what the user said.
        client: to the servers.
        model: as they call it.
        name: as people call it.
        more: further settings for the record.
        card: the model's, if it has one.
        stop: ends a server that is ours.
        why: one line: what decided that this is a judge.
    """
    abilities = probe(client, model, constrain=asked.settings.constrain is not False)
    backend = ServerBackend(client, model, abilities, name, more or {}, asked.usage, asked.options.note, stop)
    return _judge(asked, backend, card, why)


def _judge(asked: Asked, backend: Backend, card: Card | None = None, why: str = "") -> JudgeResponder:
    why = why or f"--model {asked.kind}: asks it for verdicts"
    if card is None:
        return make_judge(backend, DEFAULT_PROTOCOL, asked.options, why=why)
    judge = make_judge(backend, str(card.settings.get("protocol", DEFAULT_PROTOCOL)), asked.options, why=why)
    facts = replace(
        judge.facts,
        parameters=card.parameters,
        license=card.license,
        trained_on=card.trained_on,
        flags=card.flags,
    )
    return replace(judge, facts=facts)


def _from_file(asked: Asked, file: Path, name: str) -> JudgeResponder:
    constraints = Constraints(structured=bool(asked.settings.constrain))
    return _judge(asked, read_answers(file, name, constraints))


def _settings(kind: str, given: Mapping[str, str]) -> BackendSettings:
    own = BackendSettings.model_fields
    known = (*own, *CARD_ARGS) if kind == "served" else (*own, *JUDGE_ARGS, *(CARD_ARGS if kind == "vllm" else ()))
    for key in given:
        if key not in known:
            raise RmbenchError(
                f"--model-args: {kind}: has no setting {key!r} (it has {', '.join(known)}).{did_you_mean(key, known)}"
            )
    try:
        return BackendSettings.model_validate({key: value for key, value in given.items() if key in own})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise RmbenchError(f"--model-args {problem['loc'][0]}={problem['input']}: {problem['msg']}.") from error


def _check_options(asked: Asked) -> None:
    """Raise RmbenchError for an option that the kind has no use for, or lacks."""
    options, kind = asked.options, asked.kind
    files = [name for name in ("requests_out", "responses_in") if getattr(options, name) is not None]
    if len(files) == 2:
        raise RmbenchError("--requests-out writes questions and --responses-in reads answers: one run does one.")
    if files and kind not in ("openai", "vllm"):
        raise RmbenchError(f"--{files[0].replace('_', '-')} goes with --model openai:NAME or vllm:NAME, not {kind}:.")
    asks = not files and kind in ("openai", "served")
    if asks and not options.base_url:
        raise RmbenchError(f"--model {kind}:{asked.rest} needs --base-url, the server's address; it may be repeated.")
    if options.base_url and not asks:
        raise RmbenchError(
            f"--base-url goes with --model openai:NAME or served:MODEL, where servers are asked, not {kind}:."
        )

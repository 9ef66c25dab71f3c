"""Judges behind servers or batch files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.card import Card
from rmbench.models.judges.build import DEFAULT_PROTOCOL, make_judge
from rmbench.models.judges.request_fields import is_nested
from rmbench.models.judges.responder import JudgeResponder
from rmbench.models.judges.settings import JUDGE_ARGS
from rmbench.models.options import OpenOptions
from rmbench.models.served.request import ServerRequest
from rmbench.models.servers.backend import ServerBackend
from rmbench.models.servers.batch_files import BatchWriterBackend, read_responses
from rmbench.models.servers.capabilities import Capabilities
from rmbench.models.servers.capability_check import check_capabilities
from rmbench.models.servers.client import Client
from rmbench.models.servers.generation import Backend
from rmbench.types import Setting

__all__ = ["check_protocol", "judge_at", "judge_for_batch", "judge_of_batch"]


def check_protocol(request: ServerRequest, name: str, card: Card | None) -> int:
    """How many images a question may show, 0 where the protocol shows none.

    Raises:
        RmbenchError: a wrong protocol or a wrong setting of it, before a server is started or asked.
    """
    pictures = _judge(request, BatchWriterBackend(name, name), card).prompt.pictures
    return 0 if pictures is None else pictures.max_images


def judge_at(
    request: ServerRequest,
    client: Client,
    model: str,
    name: str,
    *,
    extra_settings: Mapping[str, Setting] | None = None,
    card: Card | None = None,
    stop: Callable[[], None] | None = None,
    why: str = "",
) -> JudgeResponder:
    """The judge behind a client's servers, once their capabilities are known.

    Args:
        request: what the user asked for.
        client: to the servers.
        model: as they call it.
        name: as people call it.
        extra_settings: for the record.
        card: the model's, if it has one.
        stop: stops a server that is ours.
        why: one line: what decided that this is a judge.
    """
    usage, note = request.usage(), request.options.note
    trial = _judge(request, BatchWriterBackend(name, model), card).trial_question()
    constrain = request.settings.constrain is not False
    capabilities = check_capabilities(client, model, trial, constrain=constrain, note=note)
    backend = ServerBackend(client, model, capabilities, name, extra_settings or {}, usage, note, stop)
    return _judge(request, backend, card, why)


def judge_for_batch(request: ServerRequest) -> JudgeResponder:
    """A judge whose questions are written into a batch file."""
    model = request.settings.served_name or request.name
    return _one_turn(_judge(request, BatchWriterBackend(request.name, model, _batch_capabilities(request))))


def judge_of_batch(request: ServerRequest, file: Path, name: str) -> JudgeResponder:
    """A judge whose replies are in a batch's file; `name` as in `read_responses`."""
    return _one_turn(_judge(request, read_responses(file, name, _batch_capabilities(request))))


def _one_turn(judge: JudgeResponder) -> JudgeResponder:
    """The judge; raises RmbenchError where its second question holds its reply to the first."""
    if judge.protocol.turns > 1:
        raise RmbenchError(
            f"protocol {judge.protocol.name}: it asks in {judge.protocol.turns} turns, which batch files cannot hold: "
            "ask a server (--base-url)."
        )
    return judge


def _batch_capabilities(request: ServerRequest) -> Capabilities:
    return Capabilities.of_batch(structured=bool(request.settings.constrain))


def _with_card(options: OpenOptions, card: Card | None) -> OpenOptions:
    """The user's settings, and those of the card that the user does not give."""
    of_card = {} if card is None else {key: value for key, value in card.settings.items() if key != "protocol"}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in of_card.items()}
    for key in texts:
        if card is not None and key not in JUDGE_ARGS and not is_nested(key):
            raise RmbenchError(
                f'{card.path}: key "settings": a judge has no setting {key!r}.{did_you_mean(key, JUDGE_ARGS)}'
            )
    return replace(options, model_args={**texts, **options.model_args})


def _judge(request: ServerRequest, backend: Backend, card: Card | None = None, why: str = "") -> JudgeResponder:
    protocol = DEFAULT_PROTOCOL if card is None else str(card.settings.get("protocol", DEFAULT_PROTOCOL))
    why = why or f"--model {request.kind}: asks it for verdicts"
    judge = make_judge(backend, protocol, _with_card(request.options, card), why=why)
    if card is None:
        return judge
    facts = replace(
        judge.facts,
        parameters=card.parameters,
        license=card.license,
        trained_on=card.trained_on,
        flags=card.flags,
    )
    return replace(judge, facts=facts)

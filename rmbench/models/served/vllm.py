"""A checkpoint behind vLLM: a server that we start, or for scalar models one that runs already."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import digest_files, read_json
from rmbench.models.options import OpenOptions
from rmbench.models.served.open import Asked, check_protocol, closed_on_error, judge_at
from rmbench.models.servers.client import Client
from rmbench.models.servers.key import key_from
from rmbench.models.servers.process import LocalServer, free_port
from rmbench.models.servers.vllm_command import Machine, Runner, serve_command, serve_environment, this_machine
from rmbench.models.servers.vllm_program import find_program

if TYPE_CHECKING:
    from rmbench.models.card import Card
    from rmbench.models.checkpoint.opening import Opening
    from rmbench.models.judges.responder import JudgeResponder
    from rmbench.models.locate import Located
    from rmbench.models.served.scorer import ServedScorer

__all__ = ["open_checkpoint"]


def open_checkpoint(asked: Asked) -> JudgeResponder | ServedScorer:
    """The model of a folder, card or hub id.

    A sequence classifier is a scalar model behind the pooling endpoints; anything else is a language model, and judges.

    Raises:
        RmbenchError: there is no such model or no `vllm`, or the server does not start; with the end of its log.
    """
    from rmbench.models.families.registry import opening_of
    from rmbench.models.locate import locate
    from rmbench.models.served.open_scalar import is_classifier

    found = locate(asked.rest, asked.options)
    if found is None:
        raise RmbenchError(f"--model {asked.kind}:{asked.rest}: expected a folder, a card's name or a hub id.")
    config = read_json(found.folder / "config.json")
    if is_classifier(config.get("architectures") or ()):
        opening = opening_of(found, asked.options)
        return _scalar_at_servers(asked, opening) if asked.kind == "served" else _scalar_started(asked, opening)
    if asked.kind == "served":
        raise RmbenchError(f"{found.folder} is no sequence classifier; a judge at a server is --model openai:NAME.")
    return _judge_started(asked, found, config)


def _scalar_at_servers(asked: Asked, opening: Opening) -> ServedScorer:
    from rmbench.models.served.open_scalar import check_servable, encoder_of, open_served

    check_servable(opening)
    text, pad = encoder_of(opening)
    client = asked.client(asked.options.base_url)
    with closed_on_error(client):
        return open_served(opening, text, pad, client, {}, asked.settings.served_name)


def _scalar_started(asked: Asked, opening: Opening) -> ServedScorer:
    from rmbench.models.served.open_scalar import check_servable, encoder_of, open_served

    check_servable(opening)
    text, pad = encoder_of(opening)
    # Templates are ours, and rows are cut by us: the server is told to take what we send.
    options = replace(asked.options, max_length=text.max_length, template=None)
    machine = this_machine(options.device)
    dtype = _dtype(options, machine, opening.card)
    if dtype == "auto":  # a pooling server's own rule would make float16 of float32
        dtype = _stored(opening.checkpoint.config)
    server, client = _start(asked, opening.checkpoint.folder, opening.name, "pooling", options, machine, dtype)
    with closed_on_error(client, server):
        settings = {"dtype": dtype, "device": _device(machine)}
        return open_served(opening, text, pad, client, settings, opening.name, server.stop)


def _judge_started(asked: Asked, found: Located, config: Mapping[str, Any]) -> JudgeResponder:
    card = found.card
    if card is not None and card.family != "judge":
        raise RmbenchError(f'{card.path}: key "family" says "{card.family}"; run that model in this process.')
    check_protocol(asked, found.name, card)
    options = asked.options
    machine = this_machine(options.device)
    dtype = _dtype(options, machine, card)
    server, client = _start(asked, found.folder, found.name, "generate", options, machine, dtype)
    with closed_on_error(client, server):
        more: dict[str, str | int | float | bool | None] = {
            "backend": "vllm",
            "dtype": dtype,
            "device": _device(machine),
            "max_length": options.max_length,
            "template": hashlib.sha256(options.template.read_bytes()).hexdigest() if options.template else None,
            "files": found.commit or digest_files(found.folder),
        }
        why = f"config.json names {', '.join(config.get('architectures') or ['no class'])}, which writes text"
        return judge_at(asked, client, found.name, found.name, more=more, card=card, stop=server.stop, why=why)


def _start(
    asked: Asked, folder: Path, name: str, runner: Runner, options: OpenOptions, machine: Machine, dtype: str
) -> tuple[LocalServer, Client]:
    """The server, ready, and a client to it."""
    program = find_program(options.vllm_bin)
    key = key_from(options.api_key_env)
    port = free_port()
    command = serve_command(program.path, folder, name, port, runner, options, machine, dtype)
    program.check_flags(word for word in command if word.startswith("--"))
    options.note(f"starting {shlex.join(command)}")
    server = LocalServer.start(
        command, serve_environment(machine, key), port, seconds=asked.settings.start_seconds, note=options.note
    )
    try:
        return server, asked.client((server.url,), server.tail)
    except BaseException:
        server.stop()
        raise


def _dtype(options: OpenOptions, machine: Machine, card: Card | None) -> str:
    """The user's word, then float32 on a CPU, then the card's."""
    if options.dtype != "auto":
        return options.dtype
    if not machine.gpus:
        return "float32"
    return card.dtype if card is not None else "auto"


def _stored(config: Mapping[str, Any]) -> str:
    """The dtype that config.json names; float32 where it names none."""
    named = config.get("dtype") or config.get("torch_dtype")
    return named if named in ("float32", "bfloat16", "float16") else "float32"


def _device(machine: Machine) -> str:
    return f"cuda x {machine.gpus}" if machine.gpus > 1 else "cuda" if machine.gpus else "cpu"

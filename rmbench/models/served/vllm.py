"""Opens a checkpoint behind vLLM: on a server that is started for it, or for scalar models on a running one."""

from __future__ import annotations

import contextlib
import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import digest_files, read_json
from rmbench.models.options import OpenOptions
from rmbench.models.served.judge import check_protocol, judge_at
from rmbench.models.served.request import ServerRequest, closed_on_error
from rmbench.models.servers.client import Client
from rmbench.models.servers.key import read_api_key
from rmbench.models.servers.process import LocalServer, free_port
from rmbench.models.servers.vllm_command import (
    Machine,
    Runner,
    parallel,
    serve_command,
    serve_environment,
    this_machine,
)
from rmbench.models.servers.vllm_program import find_program
from rmbench.types import Setting

if TYPE_CHECKING:
    from rmbench.models.card import Card
    from rmbench.models.checkpoint.opening import Opening
    from rmbench.models.judges.responder import JudgeResponder
    from rmbench.models.locate import Located
    from rmbench.models.served.scorer import ServedScorer
    from rmbench.models.served.seeing import ServedVisionScorer

__all__ = ["open_checkpoint"]


def open_checkpoint(request: ServerRequest) -> JudgeResponder | ServedScorer | ServedVisionScorer:
    """The model of a folder, card or hub id: a sequence classifier, or a vision-language reward model, is a scalar
    model behind the pooling endpoints, any other model a judge.

    Raises:
        RmbenchError: there is no such model or no `vllm`, or the server does not start; with the end of its log.
    """
    from rmbench.models.families.registry import opening_of
    from rmbench.models.locate import locate
    from rmbench.models.served.open_scalar import is_classifier

    located = locate(request.name, request.options)
    if located is None:
        raise RmbenchError(f"--model {request.kind}:{request.name}: expected a folder, a card's name or a hub id.")
    _check_whole(request, located)
    config = read_json(located.folder / "config.json")
    if is_classifier(config.get("architectures") or ()):
        opening = opening_of(located, request.options)
        return _scalar_at_servers(request, opening) if request.kind == "served" else _scalar_started(request, opening)
    if _sees_and_scores(located, config, request.options):
        opening = opening_of(located, request.options)
        return _seeing_at_servers(request, opening) if request.kind == "served" else _seeing_started(request, opening)
    if request.kind == "served":
        raise RmbenchError(f"{located.folder} is no sequence classifier; a judge at a server is --model openai:NAME.")
    return _judge_started(request, located, config)


def _sees_and_scores(located: Located, config: Mapping[str, Any], options: OpenOptions) -> bool:
    """Whether it is a vision-language reward model. What cannot be read here is a judge's, which the server reads."""
    from rmbench.models.families.vl.matching import BACKBONES
    from rmbench.models.located import read_located
    from rmbench.models.served.open_seeing import sees_and_scores

    if config.get("model_type") not in BACKBONES:
        return False
    try:
        checkpoint = read_located(located, options)
    except RmbenchError:
        return False
    return sees_and_scores(checkpoint)


def _check_whole(request: ServerRequest, located: Located) -> None:
    """Raise RmbenchError for what this process reads and a vLLM server is not given: adapters and GGUF files."""
    from rmbench.models.checkpoint.gguf import gguf_in
    from rmbench.models.checkpoint.read_adapter import is_adapter

    file = gguf_in(located.folder) if located.weights is None else located.folder / located.weights
    here = f"leave out {request.kind}: to read it in this process"
    if file is not None and file.suffix == ".gguf":
        raise RmbenchError(
            f"{file} is a GGUF file, and vLLM is given folders in Hugging Face layout: {here}, or serve the file by "
            "llama.cpp and ask that server by --model openai:NAME --base-url URL."
        )
    if located.weights is None and is_adapter(located.folder):
        raise RmbenchError(
            f"{located.folder} holds an adapter, and a server is given whole models: {here}, or save the merged model "
            "(peft's merge_and_unload) and name that folder."
        )


def _scalar_at_servers(request: ServerRequest, opening: Opening) -> ServedScorer:
    from rmbench.models.served.open_scalar import check_servable, encoder_of, open_scorer

    check_servable(opening)
    text, pad = encoder_of(opening)
    client = request.client(request.options.base_url)
    with closed_on_error(client):
        return open_scorer(opening, text, pad, client, request.recorded, request.settings.served_name)


def _scalar_started(request: ServerRequest, opening: Opening) -> ServedScorer:
    from rmbench.models.served.open_scalar import check_servable, encoder_of, open_scorer

    check_servable(opening)
    text, pad = encoder_of(opening)
    # Rendering and truncation are done here, so the server gets neither a template nor a shorter limit.
    options = replace(request.options, max_length=text.max_length, template=None)
    machine = this_machine(options.device)
    dtype = _dtype(options, machine, opening.card)
    if dtype == "auto":  # a pooling server's own rule would turn float32 into float16
        dtype = _stored(opening.checkpoint.config)
    server, client = _start(request, opening.checkpoint.folder, opening.name, "pooling", options, machine, dtype)
    with closed_on_error(client, server):
        settings = {"dtype": dtype, "device": _device(machine)}
        return open_scorer(opening, text, pad, client, settings, opening.name, server.stop)


def _seeing_at_servers(request: ServerRequest, opening: Opening) -> ServedVisionScorer:
    from rmbench.models.served.open_seeing import open_seeing_scorer, read_seeing

    seeing = read_seeing(opening)
    client = request.client(request.options.base_url)
    with closed_on_error(client):
        return open_seeing_scorer(opening, seeing, client, request.recorded, request.settings.served_name)


def _seeing_started(request: ServerRequest, opening: Opening) -> ServedVisionScorer:
    from rmbench.models.served.classifier_folder import write_classifier
    from rmbench.models.served.open_seeing import open_seeing_scorer, read_seeing
    from rmbench.models.served.seeing import MOST_IMAGES

    seeing = read_seeing(opening)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="rmbench-classifier-")))
        write_classifier(opening.checkpoint, seeing.weight, seeing.head, folder)
        template = folder / "rmbench-template.jinja"
        template.write_text(seeing.text.template.text, encoding="utf-8")
        options = replace(request.options, max_length=seeing.text.max_length, template=template)
        machine = this_machine(options.device)
        dtype = _dtype(options, machine, opening.card)
        if dtype == "auto":  # as for other scalar models
            dtype = _stored(opening.checkpoint.config)
        server, client = _start(
            request, folder, opening.name, "pooling", options, machine, dtype, MOST_IMAGES, "classify"
        )
        with closed_on_error(client, server):
            settings = {"dtype": dtype, "device": _device(machine)}
            scorer = open_seeing_scorer(opening, seeing, client, settings, opening.name)
        stack.callback(server.stop)  # before the folder goes
        return replace(scorer, stop=stack.pop_all().close)


def _judge_started(request: ServerRequest, located: Located, config: Mapping[str, Any]) -> JudgeResponder:
    card = located.card
    if card is not None and card.family != "judge":
        raise RmbenchError(f'{card.path}: key "family" says "{card.family}"; run that model in this process.')
    images = check_protocol(request, located.name, card)
    options = request.options
    machine = this_machine(options.device)
    dtype = _dtype(options, machine, card)
    server, client = _start(request, located.folder, located.name, "generate", options, machine, dtype, images)
    with closed_on_error(client, server):
        settings: dict[str, Setting] = {
            "backend": "vllm",
            "dtype": dtype,
            "device": _device(machine),
            "max_length": options.max_length,
            "template": hashlib.sha256(options.template.read_bytes()).hexdigest() if options.template else None,
            "files": located.commit or digest_files(located.folder),
        }
        why = f"config.json names {', '.join(config.get('architectures') or ['no class'])}, which writes text"
        return judge_at(
            request, client, located.name, located.name, extra_settings=settings, card=card, stop=server.stop, why=why
        )


def _start(
    request: ServerRequest,
    folder: Path,
    name: str,
    runner: Runner,
    options: OpenOptions,
    machine: Machine,
    dtype: str,
    images: int = 0,
    convert: str | None = None,
) -> tuple[LocalServer, Client]:
    """The server, ready, and a client of it."""
    program = find_program(options.vllm_bin)
    key = read_api_key(options.api_key_env)
    port = free_port()
    spread = parallel(machine, folder, dtype)
    if spread.why:
        options.note(f"{name}: {spread.why}")
    command = serve_command(program.path, folder, name, port, runner, options, machine, spread, dtype, images, convert)
    program.check_flags(word for word in command if word.startswith("--"))
    options.note(f"starting {shlex.join(command)}")
    server = LocalServer.start(
        command, serve_environment(machine, key), port, seconds=request.settings.start_seconds, note=options.note
    )
    try:
        return server, request.client((server.url,), server.tail)
    except BaseException:
        server.stop()
        raise


def _dtype(options: OpenOptions, machine: Machine, card: Card | None) -> str:
    """The user's, then float32 on a CPU, then the card's."""
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

"""Opens `--model openai:...`, `vllm:...`, `served:...` and `judge-file:...`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.checkpoint.opening import CARD_ARGS
from rmbench.models.judges.request_fields import is_nested
from rmbench.models.judges.responder import JudgeResponder
from rmbench.models.judges.settings import JUDGE_ARGS
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Responder, Scorer
from rmbench.models.served.judge import check_protocol, judge_at, judge_for_batch, judge_of_batch
from rmbench.models.served.request import BackendSettings, ServerRequest, closed_on_error
from rmbench.validation import validated

__all__ = ["open_served"]


def open_served(kind: str, name: str, options: OpenOptions) -> Scorer | Responder:
    """The model that servers or batch files answer for.

    Args:
        kind: "openai", "vllm", "served" or "judge-file".
        name: `openai:` the model's name at the server; `vllm:` and `served:` a folder, card or hub id; `judge-file:`
            a file of replies.
        options: the user's.

    Raises:
        RmbenchError: a setting that does not exist or does not fit the kind, or no server answers.
    """
    if not name:
        raise RmbenchError(f"--model {kind}: expected something after the colon, such as {kind}:NAME.")
    request = ServerRequest(kind, name, options, _settings(kind, options.model_args))
    _check_options(request)
    if kind == "judge-file":
        return judge_of_batch(request, Path(name), "")
    if options.responses_in is not None:
        return judge_of_batch(request, options.responses_in, name)
    if options.requests_out is not None:
        return judge_for_batch(request)
    if kind == "openai":
        return _at_servers(request)
    from rmbench.models.served.vllm import open_checkpoint

    return open_checkpoint(request)


def _at_servers(request: ServerRequest) -> JudgeResponder:
    check_protocol(request, request.name, None)
    client = request.client(request.options.base_url)
    with closed_on_error(client):
        model = request.settings.served_name or request.name
        return judge_at(request, client, model, request.name, extra_settings=request.recorded)


def _settings(kind: str, args: Mapping[str, str]) -> BackendSettings:
    own = BackendSettings.model_fields
    known = (*own, *CARD_ARGS) if kind == "served" else (*own, *JUDGE_ARGS, *(CARD_ARGS if kind == "vllm" else ()))
    for key in args:
        if key not in known and not (kind != "served" and is_nested(key)):
            raise RmbenchError(
                f"--model-args: {kind}: has no setting {key!r} (it has {', '.join(known)}).{did_you_mean(key, known)}"
            )
    return validated(BackendSettings, {key: value for key, value in args.items() if key in own}, "--model-args")


def _check_options(request: ServerRequest) -> None:
    """Raise RmbenchError for an option that the kind does not take, or for one that is missing."""
    options, kind = request.options, request.kind
    files = {"--requests-out": options.requests_out, "--responses-in": options.responses_in}
    files = {flag: file for flag, file in files.items() if file is not None}
    if len(files) == 2:
        raise RmbenchError("--requests-out writes questions and --responses-in reads answers: one run does one.")
    if files and kind not in ("openai", "vllm"):
        raise RmbenchError(f"{next(iter(files))} goes with --model openai:NAME or vllm:NAME, not {kind}:.")
    takes_url = not files and kind in ("openai", "served")
    if takes_url and not options.base_url:
        raise RmbenchError(f"--model {kind}:{request.name} needs --base-url, the server's address; it may be repeated.")
    if options.max_cost is not None and (files or kind not in ("openai", "vllm")):
        raise RmbenchError(f"--max-cost goes with judges at servers, openai: and vllm: models, not {kind}:.")
    for flag, given in {"--query": options.query, "--header-env": options.header_env}.items():
        if given and not takes_url:
            raise RmbenchError(f"{flag} goes with --base-url, to openai: and served: models.")
    if options.base_url and not takes_url:
        raise RmbenchError(
            f"--base-url goes with --model openai:NAME or served:MODEL, which use a running server, not {kind}:."
        )

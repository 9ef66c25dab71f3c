"""Opens the model that `--model` names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.library import explained
from rmbench.models.checkpoint.ranks import has_joined, is_rank
from rmbench.models.fakes import open_fake
from rmbench.models.introspect import tokenizer_of
from rmbench.models.locate import EXTERNAL_KINDS, Located, has_weights, is_external, locate
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Responder, Scorer
from rmbench.models.text.special import LiteralTokenizer

__all__ = ["OpenOptions", "check_gpus", "open_model", "opens_apart"]


def open_model(
    spec: str | Callable[..., Any] | Scorer | Responder, options: OpenOptions | None = None
) -> Scorer | Responder:
    """The model that `spec` names, ready to answer.

    Args:
        spec: a folder in Hugging Face layout; the name of a bundled model or of a model card; a hub id
            `org/name[@revision]`; `scores:FILE`; `baseline:length|shorter|overlap|type-token|relevance`;
            `fake:oracle|anti|coin|constant|broken`; `openai:NAME` (a judge at the servers of `base_url`), `vllm:MODEL`
            (a server is started for it), `served:MODEL` (a scalar model at those servers), `judge-file:FILE` (answers
            of a batch); a callable that takes a list of conversations (lists of {"role",
            "content"}) and returns a reward each; or a Scorer or a Responder. In names that are not paths or hub ids an
            underscore reads as a hyphen.
        options: how to open it.

    Raises:
        RmbenchError: there is no such model, or it cannot be opened.
    """
    options = options or OpenOptions()
    if options.name is not None and (isinstance(spec, (str, Scorer, Responder)) or not callable(spec)):
        theirs = spec if isinstance(spec, str) else type(spec).__name__
        raise RmbenchError(f"name={options.name!r} is for a Python function; {theirs} has a name of its own.")
    check_gpus(spec, options)
    model = _opened(spec, options)
    if is_rank() and not has_joined():
        raise RmbenchError(
            f"--tensor-parallel: {model.facts.name} ({model.facts.family}) has no weights that can be split."
        )
    if options.special_tokens == "text" and not _reads_marks(model):
        raise RmbenchError(f"--special-tokens text: {model.facts.name} reads no text by a tokenizer in this process.")
    return model


def check_gpus(spec: object, options: OpenOptions) -> None:
    """Raise RmbenchError for --gpus-per-worker with a model whose weights are not placed here."""
    if options.gpus_per_worker is not None and not (isinstance(spec, str) and has_weights(spec)):
        name = spec if isinstance(spec, str) else "a model that was opened already"
        raise RmbenchError(f"--gpus-per-worker: {name} has no weights that are placed on GPUs here; leave it out.")


def opens_apart(found: Located | None, options: OpenOptions) -> bool:
    """Whether a process that leaves the computing to workers may do without the model's weights: it has a scalar head
    and reads text.

    Raises:
        RmbenchError: as `open_model` does, for what is wrong before any weight is read.
    """
    from rmbench.models.families.registry import family_of

    if found is None:
        return False
    with explained(found.folder):
        checkpoint, family = family_of(found, options)
    in_one_file = checkpoint.tokenizer_path.is_file()  # what is noted while such a tokenizer is read is for the user
    return family.name == "scalar" and not in_one_file


def _reads_marks(model: Scorer | Responder) -> bool:
    """Whether a run can mark special tokens for the model's tokenizer."""
    text = model.facts.modalities <= {"text"}
    return isinstance(model, Scorer) and text and isinstance(tokenizer_of(model), LiteralTokenizer)


def _opened(spec: str | Callable[..., Any] | Scorer | Responder, options: OpenOptions) -> Scorer | Responder:
    if not isinstance(spec, str):
        return _open_object(spec, options)
    _check_server_options(spec, options)
    found = locate(spec, options)
    if found is not None:
        return _open_checkpoint(found, options)
    if options.base_model is not None:
        raise RmbenchError(f"--base-model {options.base_model} goes with the folder of an adapter, not with {spec}.")
    kind, _, rest = spec.partition(":")
    return _open_kind(kind, rest, options)


def _check_server_options(spec: str, options: OpenOptions) -> None:
    """Raise RmbenchError for an option of servers with a model that has none."""
    given = options.of_servers()
    if given and not is_external(spec):
        kinds = ":..., ".join(EXTERNAL_KINDS[:-1])
        raise RmbenchError(f"--{given[0].replace('_', '-')} goes with --model {kinds}:... alone, not {spec}.")


def _open_object(spec: Any, options: OpenOptions) -> Scorer | Responder:
    if isinstance(spec, (Scorer, Responder)):
        return spec
    if not callable(spec):
        raise RmbenchError(f"A model is a name or a callable, not {type(spec).__name__}.")
    from rmbench.models.callables import open_callable

    return open_callable(spec, options)


def _open_kind(kind: str, rest: str, options: OpenOptions) -> Scorer | Responder:
    if kind == "scores":
        from rmbench.models.scores.scorer import open_scores

        return open_scores(Path(rest), options)
    if is_external(f"{kind}:"):
        from rmbench.models.served.open import open_served

        return open_served(kind.replace("_", "-"), rest, options)
    if kind == "fake":
        return open_fake(rest.replace("_", "-"), options)
    from rmbench.models.baselines.open import open_baseline

    return open_baseline(rest.replace("_", "-"), options)


def _open_checkpoint(found: Located, options: OpenOptions) -> Scorer | Responder:
    from rmbench.models.families.registry import families, opening_of

    with explained(found.folder):
        opening = opening_of(found, options)
        return families()[opening.family.name].open(opening)

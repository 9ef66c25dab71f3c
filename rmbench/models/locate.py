"""Where the files of a model lie: a folder, a bundled model, a model card's repository or a hub id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rmbench import resources
from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.checkpoint.denoiser_lora import lora_file
from rmbench.models.checkpoint.run_folder import name_of, with_weights
from rmbench.models.fakes import FAKES
from rmbench.models.options import OpenOptions

if TYPE_CHECKING:
    from rmbench.models.card import Card

__all__ = ["EXTERNAL_KINDS", "Located", "has_weights", "in_folder", "is_external", "locate", "on_hub"]

_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?")
_PATH = re.compile(r"\.{0,2}/|~|.*/$|[^:@]*/[^@]*/")
"""What a folder's path begins with, ends with or has two of, and a hub id has not."""
EXTERNAL_KINDS = ("openai", "vllm", "served", "judge-file")
"""Kinds whose answers come from a server or from a file of answers."""
_KINDS = ("scores", "baseline", "fake", *EXTERNAL_KINDS)


@dataclass(frozen=True, slots=True)
class Located:
    """The files of a model on disk."""

    folder: Path
    name: str
    """The model's name in messages and records."""
    commit: str | None
    """The hub commit, which pins the files; None: they are hashed."""
    card: Card | None
    weights: str | None = None
    """The one file of weights that is meant, where somebody names it."""


def locate(spec: str, options: OpenOptions) -> Located | None:
    """The files that `spec` names, downloaded where they are on the hub; None: it names no checkpoint but a kind of
    model and what that kind takes (`scores:FILE`, `openai:NAME` ...).

    Raises:
        RmbenchError: there is no such model, or it cannot be downloaded.
    """
    if spec.startswith("ensemble:"):
        raise RmbenchError(f"{spec!r}: an ensemble combines judgments of whole tasks, so only `rmbench run` takes it.")
    if not has_weights(spec):
        return None
    if spec and Path(spec).is_dir() and ("/" in spec or not _is_ours(spec)):
        return in_folder(Path(spec), options)
    if Path(spec).is_file() and (Path(spec).suffix == ".gguf" or _is_lora(Path(spec))):
        return Located(Path(spec).parent, Path(spec).stem, None, None, Path(spec).name)
    return _by_name(spec, options)


def has_weights(spec: str) -> bool:
    """Whether `spec` would name a checkpoint, and no kind of model that has no weights on this machine."""
    kind, colon, _ = spec.partition(":")
    return not colon or kind.replace("_", "-") not in _KINDS


def _is_lora(file: Path) -> bool:
    """Whether a file is a LoRA of a diffusion model, which other programs leave under any name."""
    return file.suffix == ".safetensors" and lora_file(file.parent, file.name) is not None


def is_external(spec: object) -> bool:
    """Whether the model's answers come from a server or a file."""
    return isinstance(spec, str) and ":" in spec and spec.partition(":")[0].replace("_", "-") in EXTERNAL_KINDS


def _bundled() -> list[str]:
    folder = resources.bundled_models()
    return sorted(path.parent.name for path in folder.glob("*/config.json")) if folder.is_dir() else []


def _is_ours(spec: str) -> bool:
    from rmbench.models.card import cards

    name = spec.replace("_", "-")
    return name in _bundled() or name in cards()


def in_folder(folder: Path, options: OpenOptions) -> Located:
    """The files of a folder, or of the only checkpoint of a training run; raises RmbenchError as `locate`."""
    if options.revision:
        raise RmbenchError(f"--revision {options.revision}: {folder} is a folder, and folders have no revisions.")
    taken = with_weights(folder, options.note)
    return Located(taken, name_of(taken), None, None)


def _by_name(spec: str, options: OpenOptions) -> Located:
    """A bundled model, a card's name or a hub id."""
    from rmbench.models.card import card_for, cards

    known = cards()
    name = spec.replace("_", "-")
    if name in _bundled():
        return Located(resources.bundled_models() / name, name, None, known.get(name))
    if name in known:
        card = known[name]
        if card.hub is None:
            raise RmbenchError(f"The model {name} has a card, {card.path}, but is not bundled in this installation.")
        return on_hub(card.hub, options.revision or card.revision, card, options)
    if _PATH.match(spec):
        raise RmbenchError(
            f"{spec}: {'is a file, not a folder' if Path(spec).exists() else 'there is no such folder'}."
        )
    hub = _HUB_ID.fullmatch(spec)
    if hub is None:
        raise RmbenchError(_unknown(spec, [*known, *_bundled()]))
    card_of_hub = card_for(hub[1])
    if options.revision and hub[2] and options.revision != hub[2]:
        raise RmbenchError(f"--revision {options.revision} contradicts {spec}.")
    pinned = card_of_hub.revision if card_of_hub else None
    return on_hub(hub[1], options.revision or hub[2] or pinned, card_of_hub, options)


def _unknown(spec: str, names: list[str]) -> str:
    from rmbench.models.baselines.surface import BASELINES

    kinds = ["scores:FILE", *(f"baseline:{kind}" for kind in BASELINES), *(f"fake:{kind}" for kind in FAKES)]
    near = did_you_mean(spec.replace("_", "-"), [*names, *kinds])
    return (
        f"{spec!r} is no folder, bundled model, model card or hub id (org/name), nor openai:NAME, vllm:MODEL, "
        f"served:MODEL, scores:FILE, baseline:{'|'.join(BASELINES)} or fake:{'|'.join(FAKES)}.{near}"
    )


def on_hub(hub: str, revision: str | None, card: Card | None, options: OpenOptions, option: str = "--model") -> Located:
    """The files of a hub repository, downloaded where they are not in the cache; raises RmbenchError as `locate`, which
    says by which option a copy would be named."""
    from rmbench.models.checkpoint.hub import download

    weights = card.weights if card else None
    found = download(hub, revision, code=options.trust_remote_code, weights=weights, option=option)
    return Located(found.folder, f"{hub}/{weights}" if weights else hub, found.commit, card)

"""What `--model` says into a model, and why it is what it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench import resources
from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.fakes import FAKES, open_fake
from rmbench.models.options import ASKING, OpenOptions
from rmbench.models.protocols import Responder, Scorer

if TYPE_CHECKING:
    from rmbench.models.card import Card
    from rmbench.models.checkpoint.opening import Opening

__all__ = ["Located", "OpenOptions", "is_asked", "locate", "open_model", "opening_of"]

_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?")
_ASKED = ("openai", "vllm", "served", "judge-file")
"""Kinds that servers or files of answers answer for."""
_KINDS = ("scores", "baseline", "fake", *_ASKED)


@dataclass(frozen=True, slots=True)
class Located:
    """Where the files of a model lie."""

    folder: Path
    name: str
    """As people call the model."""
    commit: str | None
    """The hub commit, which pins the files; None: they are hashed."""
    card: Card | None


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
            "content"}) and returns a reward each; or what is a Scorer or a Responder already. In names of ours an
            underscore reads as a hyphen.
        options: how to open it.

    Raises:
        RmbenchError: nothing is called so, or it cannot be opened.
    """
    options = options or OpenOptions()
    if not isinstance(spec, str):
        return _open_object(spec, options)
    _check_asking(spec, options)
    found = locate(spec, options)
    if found is not None:
        return _open_checkpoint(found, options)
    kind, _, rest = spec.partition(":")
    return _open_kind(kind, rest, options)


def locate(spec: str, options: OpenOptions) -> Located | None:
    """The files that `spec` names, downloaded where they are on the hub; None: it names no checkpoint but a kind of
    model and what that kind takes (`scores:FILE`, `openai:NAME` ...).

    Raises:
        RmbenchError: nothing is called so, or the hub does not give it.
    """
    if spec.startswith("ensemble:"):
        raise RmbenchError(f"{spec!r}: an ensemble combines judgments of whole tasks, so only `rmbench run` takes it.")
    kind, colon, _ = spec.partition(":")
    if colon and kind.replace("_", "-") in _KINDS:
        return None
    if spec and Path(spec).is_dir() and ("/" in spec or not _is_ours(spec)):
        return _in_folder(Path(spec), options)
    return _by_name(spec, options)


def is_asked(spec: object) -> bool:
    """Whether servers or files answer for what `--model` names."""
    return isinstance(spec, str) and ":" in spec and spec.partition(":")[0].replace("_", "-") in _ASKED


def _check_asking(spec: str, options: OpenOptions) -> None:
    """Raise RmbenchError for an option about servers beside a model that needs none."""
    given = [name for name in ASKING if getattr(options, name)]
    if given and not is_asked(spec):
        raise RmbenchError(
            f"--{given[0].replace('_', '-')} goes with --model {':..., '.join(_ASKED[:-1])}:... alone, not {spec}."
        )


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
    if is_asked(f"{kind}:"):
        from rmbench.models.served.open import open_asked

        return open_asked(kind.replace("_", "-"), rest, options)
    if kind == "fake":
        return open_fake(rest.replace("_", "-"), options)
    from rmbench.models.baselines import open_baseline

    return open_baseline(rest.replace("_", "-"), options)


def _bundled() -> list[str]:
    folder = resources.bundled_models()
    return sorted(path.parent.name for path in folder.glob("*/config.json")) if folder.is_dir() else []


def _is_ours(spec: str) -> bool:
    from rmbench.models.card import cards

    name = spec.replace("_", "-")
    return name in _bundled() or name in cards()


def _in_folder(folder: Path, options: OpenOptions) -> Located:
    if options.revision:
        raise RmbenchError(f"--revision {options.revision}: {folder} is a folder, and folders have no revisions.")
    return Located(folder, folder.resolve().name, None, None)


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
        return _on_hub(card.hub, options.revision or card.revision, card, options)
    hub = _HUB_ID.fullmatch(spec)
    if hub is None:
        raise RmbenchError(_unknown(spec, [*known, *_bundled()]))
    card_of_hub = card_for(hub[1])
    if options.revision and hub[2] and options.revision != hub[2]:
        raise RmbenchError(f"--revision {options.revision} contradicts {spec}.")
    pinned = card_of_hub.revision if card_of_hub else None
    return _on_hub(hub[1], options.revision or hub[2] or pinned, card_of_hub, options)


def _unknown(spec: str, names: list[str]) -> str:
    from rmbench.models.baselines import BASELINES

    kinds = ["scores:FILE", *(f"baseline:{kind}" for kind in BASELINES), *(f"fake:{kind}" for kind in FAKES)]
    near = did_you_mean(spec.replace("_", "-"), [*names, *kinds])
    return (
        f"{spec!r} is no folder, bundled model, model card or hub id (org/name), nor scores:FILE, "
        f"baseline:{'|'.join(BASELINES)} or fake:{'|'.join(FAKES)}.{near}"
    )


def _on_hub(hub: str, revision: str | None, card: Card | None, options: OpenOptions) -> Located:
    from rmbench.models.checkpoint.hub import download

    weights = card.weights if card else None
    found = download(hub, revision, code=options.trust_remote_code, weights=weights)
    return Located(found.folder, f"{hub}/{weights}" if weights else hub, found.commit, card)


def _open_checkpoint(found: Located, options: OpenOptions) -> Scorer | Responder:
    from rmbench.models.families.registry import families

    opening = opening_of(found, options)
    return families()[opening.family.name].open(opening)


def opening_of(found: Located, options: OpenOptions) -> Opening:
    """A folder as the family that its content shows. A hub commit pins the files; without one they are hashed.

    Raises:
        RmbenchError: the files are broken, fit no family, or contradict the card or an option.
    """
    from rmbench.models.card import Card
    from rmbench.models.checkpoint.opening import Opening
    from rmbench.models.checkpoint.read import digest_files, read_checkpoint
    from rmbench.models.families.registry import decide, families
    from rmbench.models.families.scalar.family import family_of_card

    folder, card = found.folder, found.card
    weights = card.weights if card else None
    checkpoint = read_checkpoint(folder, allow_pickle=options.allow_pickle, weights=weights)
    known = families()
    asked, by = _asked(card, options)
    if card is not None and card.head is not None and asked is None:
        family = family_of_card(card, checkpoint)
    else:
        family = decide(checkpoint, asked, by, known)
    if card is not None and card.family != family.name:
        raise RmbenchError(
            f'{card.path}: key "family" says "{card.family}", but the checkpoint is {family.name}: {family.why}.'
        )
    if options.ref_model is not None and family.name != "implicit":
        raise RmbenchError(f"--ref-model {options.ref_model}: a {family.name} model has no reference, {family.why}.")
    digest = found.commit or digest_files(folder)
    card = card or Card(name="none", family=family.name, verified=False)
    return Opening(found.name, found.commit or digest[:8], digest, checkpoint, family, card, options)


def _asked(card: Card | None, options: OpenOptions) -> tuple[str | None, str]:
    """The family or layout that somebody names, and who."""
    if options.adapter is not None:
        return options.adapter, "--adapter"
    if options.ref_model is not None:
        return "implicit", "--ref-model asks for"
    if card is not None and card.layout is not None:
        return card.layout, f'{card.path.name}: key "layout"'
    if card is not None and card.family == "implicit":  # which no checkpoint shows by itself
        return "implicit", f'{card.path.name}: key "family"'
    return None, "--adapter"

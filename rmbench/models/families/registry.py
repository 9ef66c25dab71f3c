"""The registry of families, and the decision which of them a checkpoint belongs to: by its configuration and its tensor
names, never by its own name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.card import Card
from rmbench.models.checkpoint.opening import Family, Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.checkpoint.unused import unmerged
from rmbench.models.locate import Located
from rmbench.models.located import digest_of, read_located
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Responder, Scorer

__all__ = ["Family", "Fit", "ModelFamily", "adapters", "decide", "families", "family_of", "opening_of"]

ENTRY_POINTS = "rmbench.models"
"""The group of entry points in which other packages declare families of their own."""

_BUILT_IN = {
    "scalar": "rmbench.models.families.scalar.family:SCALAR",
    "gpm": "rmbench.models.families.gpm.family:GPM",
    "implicit": "rmbench.models.families.implicit.family:IMPLICIT",
    "pairwise": "rmbench.models.families.pairwise.family:PAIRWISE",
    "clip": "rmbench.models.families.vision.clip.family:CLIP",
    "blip": "rmbench.models.families.vision.blip.family:BLIP",
    "vqa": "rmbench.models.families.vqa.family:VQA",
    "diffusion": "rmbench.models.families.diffusion.family:DIFFUSION",
    "mps": "rmbench.models.families.vision.mps.family:MPS",
    "vl-scalar": "rmbench.models.families.vl.family:VL_SCALAR",
    "judge": "rmbench.models.judges.local.family:LOCAL_JUDGE",
}
"""Name -> where the family is; it is imported when a checkpoint is looked at."""


_REFERENCED = ("implicit", "diffusion")
"""Families whose rewards may have a reference."""


@runtime_checkable
class ModelFamily(Protocol):
    """A family of models. A package adds one by an object of this shape and an entry point in `rmbench.models`."""

    @property
    def name(self) -> str:
        """Its name in `--adapter`, cards and records."""

    @property
    def layouts(self) -> Sequence[str]:
        """The names of its layouts, which `--adapter` and cards take as well."""

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        """The layouts that the checkpoint has. With `layout` only that one is looked at, by the tensors alone: the user
        or the card names what config.json does not. Without it the configuration must agree."""

    def open(self, opening: Opening) -> Scorer | Responder:
        """The model. Raises RmbenchError for whatever is missing or wrong."""


@runtime_checkable
class ExplainingFamily(ModelFamily, Protocol):
    """A family that can say why a layout does not fit."""

    def lacks(self, checkpoint: Checkpoint, layout: str | None) -> str:
        """Explain why a checkpoint does not fit.

        Args:
            checkpoint: what its files say.
            layout: the layout that somebody named; None: the one that config.json names.

        Returns:
            A sentence, or "" where there is nothing to say.
        """


@runtime_checkable
class TensorLayouts(ModelFamily, Protocol):
    """A family some of whose layouts cannot be recognised by their tensors."""

    @property
    def tensor_layouts(self) -> Sequence[str]:
        """The layouts that can be: those that the family's bare name may stand for."""


def families() -> Mapping[str, ModelFamily]:
    """All families by name: ours, then those that installed packages add.

    Raises:
        RmbenchError: a package's entry point cannot be loaded, is no family, or takes a name that is taken.
    """
    from importlib.metadata import entry_points

    found: dict[str, ModelFamily] = {}
    for name, place in _BUILT_IN.items():
        module, _, attribute = place.partition(":")
        found[name] = getattr(importlib.import_module(module), attribute)
    for point in entry_points(group=ENTRY_POINTS):
        who = f"the entry point {point.name} = {point.value} ({ENTRY_POINTS})"
        try:
            loaded = point.load()
            family = loaded() if isinstance(loaded, type) else loaded
        except Exception as error:  # a plug-in may fail in any way
            raise RmbenchError(f"{who} cannot be loaded: {type(error).__name__}: {error}") from error
        if not isinstance(family, ModelFamily):
            raise RmbenchError(f"{who} is no model family: it needs name, layouts, fits and open.")
        taken = sorted({family.name, *family.layouts} & {*found, *adapters(found)})
        if taken:
            raise RmbenchError(f"{who} calls its family or a layout {taken[0]!r}, a name that is taken.")
        found[family.name] = family
    return found


def adapters(known: Mapping[str, ModelFamily]) -> dict[str, tuple[ModelFamily, str | None]]:
    """What `--adapter` takes: a family's name, or one of its layouts."""
    taken: dict[str, tuple[ModelFamily, str | None]] = {}
    for family in known.values():
        taken |= {layout: (family, layout) for layout in family.layouts}
    return taken | {family.name: (family, None) for family in known.values()}


def decide(
    checkpoint: Checkpoint, asked: str | None = None, by: str = "--adapter", known: Mapping[str, ModelFamily] = {}
) -> Family:
    """The family of a checkpoint.

    Args:
        checkpoint: what its files say.
        asked: a family or a layout that somebody names because the configuration does not say it.
        by: who does, for messages.
        known: the families there are; empty: all.

    Raises:
        RmbenchError: nothing fits, or more than one thing does; the message says what was found.
    """
    known = known or families()
    names = adapters(known)
    if asked is not None and asked not in names:
        raise RmbenchError(
            f"{by} {asked} is unknown: expected one of {', '.join(sorted(names))}.{did_you_mean(asked, names)}"
        )
    fits = _fits(checkpoint, asked, known)
    if len(fits) != 1:
        raise RmbenchError(_refusal(checkpoint, asked, by, fits, known))
    family, fit = fits[0]
    named = ", ".join(checkpoint.architectures)
    ground = f"{by} {asked}" if asked else f"config.json names {named}" if named else "no class is named"
    return Family(family.name, fit.layout, f"{ground}, {fit.why}")


def _fits(checkpoint: Checkpoint, asked: str | None, known: Mapping[str, ModelFamily]) -> list[tuple[ModelFamily, Fit]]:
    if asked is None:
        return [(family, fit) for family in known.values() for fit in family.fits(checkpoint, None)]
    family, layout = adapters(known)[asked]
    recognisable = family.tensor_layouts if isinstance(family, TensorLayouts) else family.layouts
    layouts = [layout] if layout else recognisable
    named = [(family, fit) for name in layouts for fit in family.fits(checkpoint, name)]
    sure = [(family, fit) for fit in family.fits(checkpoint, None)]
    # A family's name settles the family; which of its layouts it is, the configuration may still tell.
    return sure if layout is None and len(sure) == 1 else named


def _refusal(
    checkpoint: Checkpoint,
    asked: str | None,
    by: str,
    fits: Sequence[tuple[ModelFamily, Fit]],
    known: Mapping[str, ModelFamily],
) -> str:
    """Why no family was chosen, with everything that was looked at."""
    named = ", ".join(checkpoint.architectures) or "no architecture"
    found = checkpoint.heads()
    shown = ", ".join(f"{name} {list(checkpoint.tensors[name].shape)}" for name in found[:8]) or "none"
    start = f"{checkpoint.folder}: config.json names {named}; head tensors found: {shown}. "
    firsts = {name.partition(".")[0] for name in checkpoint.tensors}
    if found and len(firsts) == 1:  # the backbone's names and the head's begin alike
        prefix = f"{firsts.pop()}."
        start += f"All tensors have the prefix {prefix!r}: if a wrapper put it there, save the model without it. "
    if len(fits) > 1:
        ways = "; ".join(f"{fit.layout} ({fit.why})" for _, fit in fits)
        return start + f"It could be read in {len(fits)} ways, so it is ambiguous: {ways}. Pass --adapter with one."
    start += "" if checkpoint.source else unmerged(checkpoint.tensors)
    told = [family.lacks(checkpoint, asked) for family in known.values() if isinstance(family, ExplainingFamily)]
    start += "".join(f"{one} " for one in told if one)
    if asked is not None:
        return start + f"{by} {asked} does not fit: the tensors of that layout are not there."
    could = [fit for family in known.values() for layout in family.layouts for fit in family.fits(checkpoint, layout)]
    # Where there is a head, a layout that reads another tensor would give another number.
    others = [fit.layout for fit in could if not found or any(f"{name} [" in fit.why for name in found)]
    for file, tensors in checkpoint.heads_beside().items():
        shown = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in list(tensors.items())[:4])
        readers = sorted({fit.layout for fit in could if file in fit.why})
        way = f"pass --adapter {' or '.join(readers)}" if readers else "declare its layout, see docs/models.md"
        return start + f"A head lies next to the weights in {file} ({shown}): if it gives the reward, {way}."
    if any(name.endswith("ForCausalLM") for name in checkpoint.architectures) and not found:
        ways = f" ({', '.join(sorted(set(others)))})" if others else ""
        reference = "--ref-model base (its base as the reference)" if checkpoint.source else "--ref-model"
        return start + (
            "This is a language model without a reward head. If its log-probabilities are the reward, pass --adapter "
            f"implicit, and {reference} where there is a reference{ways}."
        )
    if not found:
        way = f" If it is no such model, pass --adapter with one of {', '.join(sorted(set(others)))}." if others else ""
        invented = "A scalar reward model has a head, score.weight or classifier.weight; loading would invent one."
        if checkpoint.source is not None:
            invented += (
                " Here neither the adapter nor its base has one; peft saves it where the trainer names it in "
                "modules_to_save."
            )
        return start + invented + way
    if others:
        return start + (
            "The class and the head do not fit together. If you know what it is, pass --adapter with one of "
            f"{', '.join(sorted(set(others)))}."
        )
    return start + "No layout known here has these tensors; a new one is declared in a TOML file, see docs/models.md."


def opening_of(found: Located, options: OpenOptions) -> Opening:
    """A folder as the family that its content shows. A hub commit pins the files; without one they are hashed.

    Raises:
        RmbenchError: the files are broken, fit no family, or contradict the card or an option.
    """
    checkpoint, family = family_of(found, options)
    digest = digest_of(found, checkpoint)
    card = found.card or Card(name="none", family=family.name, verified=False)
    return Opening(found.name, found.commit or digest[:8], digest, checkpoint, family, card, options)


def family_of(found: Located, options: OpenOptions) -> tuple[Checkpoint, Family]:
    """A folder and its family, without a look at the weights themselves; raises RmbenchError as `opening_of` does."""
    from rmbench.models.families.scalar.family import family_of_card

    card, checkpoint = found.card, read_located(found, options)
    known = families()
    asked, by = _named_family(card, checkpoint, options)
    if card is not None and card.head is not None and asked is None:
        family = family_of_card(card, checkpoint)
    else:
        family = decide(checkpoint, asked, by, known)
    if card is not None and card.family != family.name:
        raise RmbenchError(
            f'{card.path}: key "family" says "{card.family}", but the checkpoint is {family.name}: {family.why}.'
        )
    if options.ref_model is not None and family.name not in _REFERENCED:
        raise RmbenchError(f"--ref-model {options.ref_model}: a {family.name} model has no reference, {family.why}.")
    if checkpoint.source is not None:
        family = replace(family, why=f"{family.why}; {checkpoint.source.why}")
    return checkpoint, family


def _named_family(card: Card | None, checkpoint: Checkpoint, options: OpenOptions) -> tuple[str | None, str]:
    """The family or layout that an option or the card names, and which of them does."""
    if options.adapter is not None:
        return options.adapter, "--adapter"
    if options.ref_model is not None:
        return "diffusion" if "_class_name" in checkpoint.config else "implicit", "--ref-model asks for"
    if card is not None and card.layout is not None:
        return card.layout, f'{card.path.name}: key "layout"'
    if card is not None and card.family == "implicit":  # which no checkpoint shows by itself
        return "implicit", f'{card.path.name}: key "family"'
    return None, "--adapter"

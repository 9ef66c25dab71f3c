"""Recognises checkpoints of scalar reward models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.errors import RmbenchError
from rmbench.models.card import Card
from rmbench.models.checkpoint.opening import Family, Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.scalar.heads.declarations import CARD, Declaration, declaration_of, layouts
from rmbench.models.families.scalar.heads.matching import agrees, begun, lacking, shown, unwanted
from rmbench.models.families.scalar.heads.schema import Layout
from rmbench.models.families.scalar.marks import STOCK
from rmbench.models.protocols import Scorer

__all__ = ["SCALAR", "family_of_card"]


_STOCK_CLASS = re.compile(r"\w+ForSequenceClassification")


@dataclass(frozen=True, slots=True)
class ScalarFamily:
    """Scalar reward models as a family."""

    name: str = "scalar"

    @property
    def layouts(self) -> Sequence[str]:
        """Stock classifiers, then the declared ones."""
        return (*STOCK, *layouts())

    @property
    def tensor_layouts(self) -> Sequence[str]:
        """The layouts that the family's name may stand for; a twin has to be named, or to have its class."""
        return (*STOCK, *(name for name, declared in layouts().items() if not declared.data.get("twin", False)))

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        declared = _declared_fits(checkpoint, layout)
        if layout is None and declared:
            return declared  # a stock class with a head of its own beside the stock one
        return (*_stock_fits(checkpoint, layout), *declared)

    def lacks(self, checkpoint: Checkpoint, layout: str | None) -> str:
        """Why the layout that is asked for, or that config.json names, does not fit; "" where there is nothing to
        say."""
        told = []
        for name, declared in layouts().items():
            filled = _filled(declared, checkpoint)
            if isinstance(filled, str):
                told += [f"{name}: {filled}"] if layout == name else []
            elif layout == name or (layout is None and _is_meant(filled, checkpoint)):
                missing, other = lacking(filled, checkpoint), unwanted(filled, checkpoint)
                told += [f"{name} lacks {', '.join(missing)}"] if missing else []
                told += [f"{name} has no {', '.join(other)}"] if other else []
        return f"The layout {'; the layout '.join(told)}." if told else ""

    def open(self, opening: Opening) -> Scorer:
        layout = opening.family.layout
        if layout in STOCK:
            from rmbench.models.families.scalar.open import open_stock

            return open_stock(opening)
        from rmbench.models.families.scalar.open_declared import open_declared

        return open_declared(opening, declaration_of(opening.card) if layout == CARD else layouts()[layout])


def family_of_card(card: Card, checkpoint: Checkpoint) -> Family:
    """The family of a checkpoint whose card declares its head.

    Raises:
        RmbenchError: the declaration is wrong, or the checkpoint has not what it names.
    """
    declared = declaration_of(card)
    if card.family != SCALAR.name:
        raise RmbenchError(
            f'{card.path}: key "head": only scalar models have one, and key "family" is "{card.family}".'
        )
    layout = declared.layout(checkpoint.config)
    wrong = lacking(layout, checkpoint) + unwanted(layout, checkpoint)
    if wrong:
        raise RmbenchError(f"{declared.where} does not fit {checkpoint.folder}: see {', '.join(wrong)}.")
    return Family(SCALAR.name, CARD, f'{card.path.name}: key "head", {shown(layout, checkpoint)}')


def _stock_fits(checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
    named = checkpoint.architectures
    if layout is None and not (len(named) == 1 and _STOCK_CLASS.fullmatch(named[0])):
        return ()
    found = {name: stock.head_of(checkpoint) for name, stock in STOCK.items() if layout in (None, name)}
    return tuple(Fit(name, _ground(checkpoint, head)) for name, head in found.items() if head)


def _ground(checkpoint: Checkpoint, head: str) -> str:
    shape = checkpoint.tensors[head].shape
    if len(shape) != 2:
        raise RmbenchError(f"{checkpoint.folder}: {head} has shape {list(shape)}, expected [labels, hidden size].")
    return f"the checkpoint holds {head} {list(shape)}"


def _declared_fits(checkpoint: Checkpoint, layout: str | None) -> list[Fit]:
    fits = []
    for name, declared in layouts().items():
        if layout not in (None, name):
            continue
        filled = _filled(declared, checkpoint)
        if isinstance(filled, str) or (layout is None and not agrees(filled, checkpoint)):
            continue
        if not lacking(filled, checkpoint) and not unwanted(filled, checkpoint):
            unsure = "" if filled.verified else " (the layout is unverified)"
            fits.append(Fit(name, shown(filled, checkpoint) + unsure))
    return fits


def _is_meant(layout: Layout, checkpoint: Checkpoint) -> bool:
    """Whether the class is this layout's by its very name and no other's, or some of the tensors are there."""
    by_name = bool(set(layout.architectures) & set(checkpoint.architectures)) and not layout.without
    return agrees(layout, checkpoint) and (by_name or begun(layout, checkpoint))


def _filled(declared: Declaration, checkpoint: Checkpoint) -> Layout | str:
    """The layout of this checkpoint, or why it has none."""
    try:
        return declared.layout(checkpoint.config)
    except RmbenchError as error:
        return str(error)


SCALAR = ScalarFamily()

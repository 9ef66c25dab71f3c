"""The declared heads: one TOML file each in `layouts/`, and the `[head]` table of a model card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.card import Card
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.scalar.heads.placeholders import filled, sample
from rmbench.models.families.scalar.heads.schema import Layout
from rmbench.validation import read_toml, validated

__all__ = ["CARD", "Declaration", "declaration_of", "digest_of", "layouts", "load_declaration"]

CARD = "card"
"""The name of a layout that a model card brings."""

_FOLDER = Path(__file__).resolve().parent / "layouts"


@dataclass(frozen=True)
class Declaration:
    """A layout whose placeholders wait for a checkpoint's config.json."""

    where: str
    """File, and key where it is not the whole file, for messages."""
    data: Mapping[str, Any]

    def plain(self) -> Layout:
        """The layout with the placeholders' defaults."""
        return validated(Layout, sample(self.data), self.where)

    def layout(self, config: Mapping[str, Any]) -> Layout:
        """The layout of a checkpoint.

        Raises:
            RmbenchError: config.json lacks a key, or has a value that the declaration cannot take.
        """
        return validated(Layout, filled(self.data, config), f"{self.where}, filled from config.json")


def load_declaration(path: Path) -> Declaration:
    """One layout file; raises RmbenchError that names the file, the key and the nearest right spelling."""
    data = read_toml(path)
    declared = Declaration(str(path), data)
    if declared.plain().name != path.stem:
        raise RmbenchError(f'{path}: key "name": "{data["name"]}" must be the file\'s name, "{path.stem}".')
    return declared


def layouts(folder: Path = _FOLDER) -> Mapping[str, Declaration]:
    """All declared layouts by name; raises RmbenchError for the first that is wrong."""
    return _layouts(folder)


@cache
def _layouts(folder: Path) -> Mapping[str, Declaration]:
    return {path.stem: load_declaration(path) for path in sorted(folder.glob("*.toml"))}


def declaration_of(card: Card) -> Declaration:
    """The layout in a card's `[head]`, which has the card's own name, source and word on what is verified; raises
    RmbenchError as `load_declaration` does."""
    if card.head is None:
        raise RmbenchError(f'{card.path}: key "head" is not there.')
    given = {"source": f"the model card {card.path.name}", "verified": card.verified, **card.head, "name": CARD}
    declared = Declaration(f'{card.path}: key "head"', given)
    declared.plain()
    return declared


def digest_of(layout: Layout, checkpoint: Checkpoint) -> str:
    """sha256 over a layout and the files that hold heads alone, which the checkpoint's own digest may leave out."""
    digest = hashlib.sha256(json.dumps(layout.model_dump(mode="json"), sort_keys=True).encode())
    for spec in (layout.score, layout.gate):
        if spec is not None and spec.file is not None:
            with (checkpoint.folder / (checkpoint.beside(spec.file) or spec.file)).open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()

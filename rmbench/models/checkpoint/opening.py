"""What a family opens: a checkpoint with its card, the user's options, and the decision for the family."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.card import Card
from rmbench.models.checkpoint.quantised import quantisation
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import ModelFacts
from rmbench.types import Setting
from rmbench.validation import validated

__all__ = ["CARD_ARGS", "Family", "Fit", "NoSettings", "Opening"]

Settings = TypeVar("Settings", bound=BaseModel)


class NoSettings(BaseModel):
    """The settings of a layout that has none."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Fit:
    """A layout that a checkpoint has."""

    layout: str
    """Which of the family's layouts."""
    why: str
    """The evidence, e.g. "the checkpoint holds score.weight [1, 64]"."""


@dataclass(frozen=True, slots=True)
class Family:
    """The decision for a family, and its reason."""

    name: str
    layout: str
    why: str
    """One line."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A checkpoint that was read and whose family was decided."""

    name: str
    """The model's name in messages and records."""
    revision: str
    """The hub commit, or the start of the files' digest."""
    digest: str
    """What pins the files: the hub commit, or sha256 over their content."""
    checkpoint: Checkpoint
    family: Family
    card: Card
    """The model's card; the defaults of one where it has none."""
    options: OpenOptions
    """The user's; they go before the card."""

    def settings(self, schema: type[Settings]) -> Settings:
        """The family's own settings: defaults of `schema`, then the card's [settings], then --model-args.

        Raises:
            RmbenchError: a setting that the family does not have, or a value it does not take, with the nearest one.
        """
        known = tuple(schema.model_fields)
        for source, given in (
            (f'{self.card.path}: key "settings"', self.card.settings),
            ("--model-args", self._args()),
        ):
            for key in given:
                if key not in known:
                    has = f"it has {', '.join(known)}" if known else "it has none"
                    near = did_you_mean(key, (*known, *CARD_ARGS))
                    raise RmbenchError(f"{source}: a {self.family.layout} model has no setting {key!r} ({has}).{near}")
        return validated(schema, {**self.card.settings, **self._args()}, f"{self.name}: settings")

    def _args(self) -> Mapping[str, str]:
        """--model-args without those that every text model has, which are keys of the card."""
        return {key: value for key, value in self.options.model_args.items() if key not in CARD_ARGS}

    def facts(
        self, settings: Mapping[str, Setting], parameters: int | None, *, modalities: Sequence[str] = ("text",)
    ) -> ModelFacts:
        """The model's facts for the record; `settings` is everything that changes a number."""
        if self.checkpoint.source is not None:
            settings = {**settings, **self.checkpoint.source.settings}
        elif named := quantisation(self.checkpoint.config):
            settings = {**settings, "quantisation": named}
        if self.options.ignore_tensors:
            settings = {**settings, "ignore_tensors": ", ".join(self.options.ignore_tensors)}
        if self.options.special_tokens != "parsed":
            settings = {**settings, "special_tokens": self.options.special_tokens}
        pinned = {
            "files": self.digest,
            "family": self.family.name,
            "layout": self.family.layout,
            "settings": dict(settings),
        }
        return ModelFacts(
            name=self.name,
            revision=self.revision + self.options.variant,
            family=self.family.name,
            why=self.family.why,
            modalities=frozenset(modalities),
            parameters=parameters,
            license=self.card.license,
            trained_on=self.card.trained_on,
            flags=self.card.flags,
            settings={"layout": self.family.layout, **settings},
            fingerprint=hashlib.sha256(json.dumps(pinned, sort_keys=True).encode()).hexdigest(),
        )


CARD_ARGS = ("bos", "goal", "head_dtype", "pooling", "system_message", "truncation_side")
"""The `--model-args` of every text model; each replaces the card's key of that name."""

"""Model cards: a public model as data, one TOML each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from rmbench import resources
from rmbench.errors import RmbenchError
from rmbench.models.options import dtype_spelled
from rmbench.validation import problem, read_toml, validated

__all__ = ["Card", "card_for", "cards", "load_card"]


_SPELLED = BeforeValidator(dtype_spelled)


def _number(value: Any) -> Any:
    """A number that may be spelled as text, as `--model-args` gives it."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return value
    if not 1 <= found <= 10:
        raise ValueError(f"{value}: expected a number from 1 to 10")
    return found


class Card(BaseModel):
    """What a checkpoint does not declare itself, or declares wrongly."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    """What `--model` takes; the file's name without `.toml`."""
    hub: str | None = Field(default=None, pattern=r"^[\w.-]+/[\w.-]+$")
    """Hub id; None for a model that is bundled under `name`."""
    revision: str | None = None
    """The hub commit that the card speaks of; None: whatever the hub's main branch holds."""
    weights: str | None = Field(default=None, pattern=r"^[\w-][\w.-]*$")
    """The weights' file, where the hub's repository holds several checkpoints or none under a usual name."""
    family: str
    layout: str | None = None
    """Which of the family's layouts, where the checkpoint does not show it."""
    settings: Mapping[str, str | int | float | bool | list[str] | list[float]] = Field(default={})
    """The family's own settings, as `--model-args` takes them."""
    head: Mapping[str, Any] | None = None
    """A scalar model's head where no layout fits it; see docs/models.md."""
    template: str = "tokenizer"
    """"tokenizer", or the text of a Jinja chat template."""
    systems: str | None = None
    """The set of system messages that the model was trained with (`rmbench.models.text.system_messages`)."""
    system_message: str = ""
    """What goes before a conversation that has no system message: one of `systems` by name, or a file; "": nothing."""
    goal: Annotated[float | None, BeforeValidator(_number)] = None
    """The quality that every conversation asks for, on a scale of 1 to 10 (arXiv 2410.08067); None: none is stated.
    `system_message` is then the wording, with `{goal}` in it."""
    bos: Literal["one", "none", "double"] = "one"
    """How many BOS tokens a row begins with. "one" is one where the tokenizer or its template writes a BOS at all."""
    head_dtype: Annotated[Literal["model", "float32", "bfloat16", "float16"], _SPELLED] = "model"
    """In what the head's weights are multiplied; "model": as the backbone."""
    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float16"], _SPELLED] = "auto"
    """The dtype of the published numbers; "auto": the checkpoint's on a GPU. A CPU computes in float32 anyway."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    max_length: int | None = Field(default=None, ge=1)
    """Tokens a row may have; None: the model's own limit."""
    truncation_side: Literal["left", "right"] | None = None
    """Which end of a long row is cut off; None: as tokenizer_config.json says, else left, so that the answer stays."""
    pooling: Literal["mask", "upstream"] = "mask"
    """Which state a scalar head reads: the one that the mask says, or the one that the rule behind the published
    numbers says, where they differ (pad token inside or at the end of a text)."""
    license: str | None = None
    parameters: int | None = Field(default=None, ge=0)
    trained_on: tuple[str, ...] = Field(default=(), strict=False)
    """Task ids or names of data sets that the model saw in training, as far as they are public."""
    flags: tuple[str, ...] = Field(default=(), strict=False)
    """"demo" marks the bundled model."""
    verified: bool
    """True: the real weights were run through this card and gave published figures."""
    example_scores: tuple[float, ...] = Field(default=(), strict=False)
    """Scores that the model's authors print for their example, in its order; `rmbench check` computes them again."""
    notes: str = ""
    path: Path = Field(default=Path(), exclude=True)
    """The card's file."""

    @field_validator("pooling")
    @classmethod
    def _scalar_heads_alone_pool(cls, pooling: str, info: ValidationInfo) -> str:
        family = info.data.get("family", "scalar")
        if pooling == "upstream" and family != "scalar":
            raise ValueError(f"only scalar models have such a rule, and this one is {family}")
        return pooling


def load_card(path: Path) -> Card:
    """One card; raises RmbenchError that names the file, the key and the nearest right spelling."""
    data = read_toml(path)
    if "path" in data:
        raise problem(path, "path", "unknown key.")
    card = validated(Card, {**data, "path": path}, path)
    if card.name != path.stem:
        raise problem(path, "name", f'"{card.name}" must be the file\'s name, "{path.stem}".')
    return card


def cards() -> Mapping[str, Card]:
    """All cards by name, in the order of names, read again where a file has changed; raises RmbenchError for the first
    that is wrong."""
    files = sorted((resources.leaderboards() / "models").glob("*.toml"), key=lambda path: path.stem)
    return _cards(tuple((path, (facts := path.stat()).st_mtime_ns, facts.st_size) for path in files))


@lru_cache(maxsize=1)
def _cards(files: tuple[tuple[Path, int, int], ...]) -> Mapping[str, Card]:
    """See `cards`. Files with the times of their last change and their sizes: two hundred of them take longer to parse
    than a row of a board takes to make."""
    found = {path.stem: load_card(path) for path, _, _ in files}
    hubs: dict[tuple[str, str | None], Card] = {}
    for card in found.values():
        if card.hub is None:
            continue
        first = hubs.setdefault((card.hub.lower(), card.weights), card)
        if first is not card:
            raise problem(card.path, "hub", f"{card.hub} has a card already, {first.path}.")
    return MappingProxyType(found)


def card_for(hub: str) -> Card | None:
    """The card of a hub id, if it has one. Hub ids ignore case.

    Raises:
        RmbenchError: the repository holds several checkpoints, each with a card of its own.
    """
    own = [card for card in cards().values() if card.hub and card.hub.lower() == hub.lower()]
    if len(own) > 1:
        raise RmbenchError(f"{hub} holds several checkpoints; name the card: {', '.join(card.name for card in own)}.")
    return own[0] if own else None

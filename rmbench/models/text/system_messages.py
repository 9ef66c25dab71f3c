"""System messages that models were trained with, by name: the sets in `systems/`, one of which a model's card names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.card import Card
from rmbench.untrusted.files import MIB, read_text
from rmbench.validation import read_toml, validated

__all__ = ["SystemMessages", "goal_text", "system_message", "system_messages"]

_GOAL = "Answer so that a strict judge would give the answer {goal} of 10 points."
"""Our wording of a stated quality."""
_FOLDER = Path(__file__).resolve().parent / "systems"


class SystemMessages(BaseModel):
    """A set of system messages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1)
    """Where they are from, and under which license they may be copied."""
    messages: Mapping[str, str] = Field(min_length=1)
    """Name -> text."""


@cache
def system_messages() -> Mapping[str, SystemMessages]:
    """All sets by name."""
    files = sorted(_FOLDER.glob("*.toml"))
    return {path.stem: validated(SystemMessages, read_toml(path), path) for path in files}


def system_message(card: Card) -> str:
    """The text that goes before conversations without a system message: `card.system_message` among those of the set
    that the card names, else the content of the file of that name; "" where the card has none.

    Raises:
        RmbenchError: the card names no known set, or the message is neither in it nor a file.
    """
    known: Mapping[str, str] = {}
    if card.systems is not None:
        if card.systems not in system_messages():
            near = did_you_mean(card.systems, system_messages())
            raise RmbenchError(
                f'{card.path}: key "systems": {card.systems!r} is none of {", ".join(system_messages())}.{near}'
            )
        known = system_messages()[card.systems].messages
    asked = card.system_message
    if not asked or asked in known:
        return known.get(asked, "")
    if Path(asked).is_file():
        text = read_text(Path(asked), MIB, f"system_message {asked}:")
        if not text.strip():
            raise RmbenchError(f"system_message {asked}: the file is empty.")
        return text
    named = f"none of {', '.join(known)}, nor a file" if known else "no file, and the model has none by name"
    raise RmbenchError(f"system_message={asked}: {named}.{did_you_mean(asked, known)}")


def goal_text(card: Card) -> str:
    """The text that asks every conversation for the quality `card.goal`, in our wording or that of its system message;
    "" where the card states none.

    Raises:
        RmbenchError: the system message has no place for the goal.
    """
    if card.goal is None:
        return ""
    wording = system_message(card) or _GOAL
    if "{goal}" not in wording:
        raise RmbenchError(
            f"goal={card.goal:g}: system_message={card.system_message} is its wording and lacks {{goal}}."
        )
    return wording.replace("{goal}", f"{card.goal:g}")

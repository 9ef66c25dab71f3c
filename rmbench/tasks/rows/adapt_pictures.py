"""Row transforms for preferences about one image: an answer against another, and one image against another."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["povid_pair", "realign_margins", "rlhfv_pair"]

_MARK = re.compile(r"\s*<image>\s*")
"""Where LLaVA's texts show the image, which its code moves to the front."""
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
_SIDES = ("question", "chosen", "rejected")


def rlhfv_pair(row: Mapping[str, Any]) -> dict[str, Any]:
    """RLHF-V: `text`, a JSON text or an object -> `question`, `chosen` and `rejected`.

    Raises ValueError where one of the three is missing or no text.
    """
    held = row["text"]
    if isinstance(held, str):
        try:
            held = json.loads(held)
        except (ValueError, RecursionError) as error:
            raise ValueError(f'column "text" is not JSON ({error})') from None
    if not isinstance(held, Mapping) or not all(isinstance(held.get(key), str) for key in _SIDES):
        raise ValueError(f'column "text": expected an object with the texts {", ".join(_SIDES)}')
    return {**row, **{key: held[key] for key in _SIDES}}


def povid_pair(row: Mapping[str, Any]) -> dict[str, Any]:
    """POVID: `conversations` and `rejected_conversations` about `image` -> `prompt`, the turns before the last with the
    image first, `chosen` and `rejected`.

    Raises ValueError where a conversation does not end with an answer, or the two differ before it.
    """
    prompt, chosen = _dialogue(row, "conversations", "image")
    other, rejected = _dialogue(row, "rejected_conversations", "image")
    if prompt != other:
        raise ValueError('column "rejected_conversations" differs from "conversations" before the last answer')
    return {**row, "prompt": prompt, "chosen": chosen, "rejected": rejected}


def realign_margins(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Re-Align: conversations `chosen` and `rejected` about `image`, with a `retrieved_image` -> two rows: of `margin`
    "text", the chosen answer against the rejected one, both given the image; and of "visual", the chosen answer given
    the image against itself given the retrieved one. Each side has a prompt of its own.

    Raises ValueError where a conversation does not end with an answer, or the two differ before it.
    """
    prompt, chosen = _dialogue(row, "chosen", "image")
    other, rejected = _dialogue(row, "rejected", "image")
    if prompt != other:
        raise ValueError('column "rejected" differs from "chosen" before the last answer')
    elsewhere, _ = _dialogue(row, "chosen", "retrieved_image")
    shown = {**row, "chosen_prompt": prompt, "chosen": chosen}
    return [
        {**shown, "margin": "text", "rejected_prompt": prompt, "rejected": rejected},
        {**shown, "margin": "visual", "rejected_prompt": elsewhere, "rejected": chosen},
    ]


def _dialogue(row: Mapping[str, Any], column: str, image: str) -> tuple[list[dict[str, Any]], str]:
    """The turns before the last, with the image before the first text, and the last, which is the answer."""
    turns = row.get(column)
    if not isinstance(turns, list | tuple) or len(turns) < 2:
        raise ValueError(f'column "{column}": expected a list of a question and an answer at least')
    read = [_turn(column, turn) for turn in turns]
    roles = [role for role, _ in read]
    if roles != ["user", "assistant"] * (len(read) // 2):
        raise ValueError(f'column "{column}": expected questions and answers in turn, found {", ".join(roles)}')
    messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in read[:-1]]
    messages[0]["content"] = [{"type": "image", "image": row[image]}, {"type": "text", "text": messages[0]["content"]}]
    return messages, read[-1][1]


def _turn(column: str, turn: Any) -> tuple[str, str]:
    """The role of a turn in either of the two layouts, and its text without the image's mark."""
    if isinstance(turn, Mapping):
        role, text = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        if isinstance(text, str) and isinstance(role, str) and role in _ROLES:
            return _ROLES[role], _MARK.sub(" ", text).strip()
    raise ValueError(f'column "{column}": expected turns of role and content or from and value, found {turn!r:.80}')

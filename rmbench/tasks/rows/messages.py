"""A column's list of chat messages as a conversation: roles, content as a text or in parts, further keys."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from rmbench.errors import did_you_mean
from rmbench.tasks.declaration.columns import TextRule
from rmbench.tasks.rows.fields import RawRow, as_text, kind_of, lookup, pick, text
from rmbench.tasks.rows.tools import without_filled
from rmbench.types import Conversation, Message, Part

__all__ = ["conversation"]

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
"""Role of a row -> the role that chat templates know: `developer` is the newer name of `system`."""
_SHAREGPT = {"human": "user", "gpt": "assistant", "observation": "tool", "function_response": "tool"}
"""Roles of the older layout {from, value}, where they differ."""
_TEXT_PARTS = ("text", "input_text", "output_text")
_CALLS = ("tool_calls", "function_call")


def conversation(row: RawRow, rule: TextRule) -> Conversation:
    """The rule's text as one user message, or its list of {role, content} as it is."""
    if rule.form != "messages":
        return (Message.of("user", text(row, rule)),)
    name = pick(row, rule)
    turns = lookup(row, name)
    if not isinstance(turns, list | tuple) or not turns:
        raise row.error(f'column "{name}": expected a list of messages, found {kind_of(turns)}.')
    return tuple(_message(row, f"{name}[{i}]", turn, rule.ignore_keys) for i, turn in enumerate(turns))


def _message(row: RawRow, name: str, turn: Any, ignored: Collection[str]) -> Message:
    if not isinstance(turn, Mapping):
        raise row.error(f'column "{name}": expected a message with role and content, found {kind_of(turn)}.')
    turn = {key: value for key, value in turn.items() if key not in ignored}
    if {"from", "value"} <= turn.keys() and not {"role", "content"} & turn.keys():
        role = turn.pop("from")
        turn = {"role": _SHAREGPT.get(str(role), role), "content": turn.pop("value"), **turn}
    extra = {key: without_filled(row, value) for key, value in turn.items() if key not in ("role", "content")}
    extra = {key: value for key, value in extra.items() if value not in (None, "", [], {})}
    bare = turn.get("content") is None and any(key in extra for key in _CALLS)
    for key in ("role", "content"):
        if key not in turn and not (key == "content" and bare):
            near = did_you_mean(key, map(str, turn))
            raise row.error(f'column "{name}": the message has no "{key}".{near}')
    role = turn["role"]
    if not isinstance(role, str) or role not in _ROLES:
        near = did_you_mean(role, _ROLES) if isinstance(role, str) else ""
        raise row.error(f'column "{name}": {role!r} is no role ({", ".join(_ROLES)}).{near}')
    parts = () if bare else _parts(row, f"{name}.content", turn["content"])
    return Message(
        _ROLES[role], parts, tuple((key, _as_json(row, f"{name}.{key}", each)) for key, each in extra.items())
    )


def _parts(row: RawRow, name: str, content: Any) -> tuple[Part, ...]:
    """A text, or a list of parts {type, text}."""
    if not isinstance(content, list | tuple):
        return (Part(text=as_text(row, name, content)),)
    if not content:
        raise row.error(f'column "{name}": expected a text or a list of parts, found an empty list.')
    return tuple(_part(row, f"{name}[{place}]", part) for place, part in enumerate(content))


def _part(row: RawRow, name: str, part: Any) -> Part:
    if not isinstance(part, Mapping):
        raise row.error(f'column "{name}": expected a part with type and text, found {kind_of(part)}.')
    filled = sorted(key for key, value in part.items() if key not in ("type", "text") and value is not None)
    if part.get("type") not in _TEXT_PARTS or filled:
        what = f"of type {part.get('type')!r}" if part.get("type") not in _TEXT_PARTS else f'with "{filled[0]}"'
        raise row.error(
            f'column "{name}": a part {what}, where only text is read. Images and videos are declared by '
            "`prompt_media` under [columns]."
        )
    return Part(text=as_text(row, f"{name}.text", part.get("text")))


def _as_json(row: RawRow, name: str, value: Any) -> str:
    try:
        spelled = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise row.error(f'column "{name}": {kind_of(value)} cannot be written as JSON.') from None
    return as_text(row, name, spelled)

"""A column's list of chat messages as a conversation: roles, content as a text or in parts, further keys."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.media_change import Change
from rmbench.tasks.declaration.columns import TextRule
from rmbench.tasks.rows.fields import RawRow, as_text, kind_of, lookup, pick, text
from rmbench.tasks.rows.media import media_part
from rmbench.tasks.rows.tools import without_filled
from rmbench.tasks.rows.transcripts import transcript
from rmbench.types import Conversation, Message, Part

__all__ = ["conversation"]

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
"""Role of a row -> the role that chat templates know: `developer` is the newer name of `system`."""
_SHAREGPT = {"human": "user", "gpt": "assistant", "observation": "tool", "function_response": "tool"}
"""Roles of the older layout {from, value}, where they differ."""
_TEXT_PARTS = ("text", "input_text", "output_text")
_MEDIA_PARTS: Mapping[str, tuple[Literal["image", "video"], str]] = {
    "image": ("image", "image"),
    "image_url": ("image", "image_url"),
    "input_image": ("image", "image_url"),
    "video": ("video", "video"),
    "video_url": ("video", "video_url"),
    "input_video": ("video", "video_url"),
}
"""Type of a part -> what it shows, and the usual key that holds it."""
_HELD_BY = ("url", "path", "base64")
"""Keys that transformers' chat templates take too."""
_Roots: TypeAlias = Sequence[str] | None
_SETTINGS = ("detail", "fps", "min_pixels", "max_pixels", "resized_height", "resized_width", "nframes")
"""Keys of such parts that speak to other programs; sizes and frames are the model's to declare."""
_CALLS = ("tool_calls", "function_call")


def conversation(row: RawRow, rule: TextRule, roots: Sequence[str] | None = None) -> Conversation:
    """The rule's text as one user message, or its list of {role, content} as it is, one such message, the JSON text of
    either, or a transcript.

    Args:
        row: where the column is.
        rule: the column.
        roots: folders below the data set's folder in which images and videos of messages are looked for; None: messages
            hold text alone.
    """
    if rule.form != "messages":
        return (Message.of("user", text(row, rule)),)
    name = pick(row, rule)
    turns = lookup(row, name)
    if isinstance(turns, str):
        spoken = transcript(as_text(row, name, turns))
        if spoken:
            return spoken
        turns = _parsed(row, name, turns)
    if isinstance(turns, Mapping):
        turns = [turns]
    if not isinstance(turns, list | tuple) or not turns:
        raise row.error(f'column "{name}": expected a list of messages, found {kind_of(turns)}.')
    return tuple(_message(row, f"{name}[{i}]", turn, rule.ignore_keys, roots) for i, turn in enumerate(turns))


def _parsed(row: RawRow, name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        what = f"expected a list of messages or its JSON text, found {kind_of(text)}"
        raise row.error(f'column "{name}": {what}.') from None


def _message(row: RawRow, name: str, turn: Any, ignored: Collection[str], roots: _Roots) -> Message:
    if not isinstance(turn, Mapping):
        raise row.error(f'column "{name}": expected a message with role and content, found {kind_of(turn)}.')
    turn = {key: value for key, value in turn.items() if key not in ignored}
    role, content = turn.get("role"), turn.get("content")
    if len(turn) == 2 and isinstance(role, str) and role in _ROLES and isinstance(content, str):  # nearly every message
        return Message.of(_ROLES[role], as_text(row, f"{name}.content", content))
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
    parts = () if bare else _parts(row, f"{name}.content", turn["content"], roots)
    return Message(
        _ROLES[role], parts, tuple((key, _as_json(row, f"{name}.{key}", each)) for key, each in extra.items())
    )


def _parts(row: RawRow, name: str, content: Any, roots: _Roots) -> tuple[Part, ...]:
    """A text, or a list of parts: {type, text}, or one with an image or a video."""
    if not isinstance(content, list | tuple):
        return (Part(text=as_text(row, name, content)),)
    if not content:
        raise row.error(f'column "{name}": expected a text or a list of parts, found an empty list.')
    return tuple(_part(row, f"{name}[{place}]", part, roots) for place, part in enumerate(content))


def _part(row: RawRow, name: str, part: Any, roots: _Roots) -> Part:
    if not isinstance(part, Mapping):
        raise row.error(f'column "{name}": expected a part with type and text, found {kind_of(part)}.')
    given = part.get("type")
    if roots is not None and isinstance(given, str) and given in _MEDIA_PARTS:
        return _medium(row, name, part, *_MEDIA_PARTS[given], roots)
    filled = sorted(key for key, value in part.items() if key not in ("type", "text") and value is not None)
    if given not in _TEXT_PARTS or filled:
        what = f"of type {given!r}" if given not in _TEXT_PARTS else f'with "{filled[0]}"'
        more = (
            " Images and videos are read in tasks whose `modality` is image or video, as parts of messages or by "
            "`prompt_media` under [columns]."
        )
        shows = given in _MEDIA_PARTS
        raise row.error(f'column "{name}": a part {what}, where only text is read.{more if shows else ""}')
    return Part(text=as_text(row, f"{name}.text", part.get("text")))


def _medium(
    row: RawRow, name: str, part: Mapping[str, Any], kind: Literal["image", "video"], key: str, roots: Sequence[str]
) -> Part:
    """An image or a video in a message: bytes, base64, a `data:` address, or the name of a file; with "change", how it
    is changed before it is shown."""
    usual = key
    key = next((each for each in (usual, kind, *_HELD_BY) if part.get(each) not in (None, "")), usual)
    value = part.get(key)
    if isinstance(value, Mapping) and "url" in value:
        value = value["url"]
    if key == "base64":
        value = {"bytes": value}
    strange = sorted(
        other
        for other, held in part.items()
        if other not in ("type", key, "change", *_SETTINGS) and held not in (None, "")
    )
    if strange:
        raise row.error(f'column "{name}": a part that shows {kind}s with "{strange[0]}", which is not read.')
    if value is None:
        raise row.error(
            f'column "{name}": the part has no "{usual}". Where another column holds the {kind}s, declare it by '
            "`prompt_media` under [columns]."
        )
    shown = media_part(row, f"{name}.{key}", value, kind, roots)
    return replace(shown, change=_change(row, f"{name}.change", part.get("change")))


def _change(row: RawRow, name: str, spelled: Any) -> str:
    """How the part's medium is changed before it is shown; "" where it is not."""
    if spelled in (None, ""):
        return ""
    try:
        return str(Change.of(as_text(row, name, spelled)))
    except RmbenchError as error:
        raise row.error(f'column "{name}": {error}') from None


def _as_json(row: RawRow, name: str, value: Any) -> str:
    try:
        spelled = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise row.error(f'column "{name}": {kind_of(value)} cannot be written as JSON.') from None
    return as_text(row, name, spelled)

"""Bodies of responses as JSON, whatever their headers say: servers and gateways send plain JSON under other types,
behind a byte order mark or comments, compressed though nobody asked, or as a stream of events."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["json_of", "text_of"]

_LARGEST = 64 * 2**20
"""Bytes of an unpacked body."""
_GZIP, _ZLIB = b"\x1f\x8b", ("deflate",)


def text_of(body: bytes, encoding: str = "") -> str:
    """A body as text: unpacked where it is gzip, or deflate by its `Content-Encoding`; what is no UTF-8 replaced.

    A body that is larger when unpacked is cut, and thus broken JSON.
    """
    if body.startswith(_GZIP) or encoding.strip().lower() in _ZLIB:
        with contextlib.suppress(zlib.error):  # its bytes are no JSON either, which is said where it is read
            body = zlib.decompressobj(32 + zlib.MAX_WBITS).decompress(body, _LARGEST)
    return body.decode("utf-8-sig", "replace")


def json_of(text: str) -> Any:
    """The JSON of a body: of a chat that is streamed though nobody asked, its pieces joined to a whole response.

    Raises:
        ValueError, RecursionError: it holds none.
    """
    try:
        return json.loads(text)
    except ValueError:
        lines = [line for line in text.split("\n") if not line.startswith(":")]
        events = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
        if not events:  # comments that keep a connection open, before the JSON itself
            return json.loads("\n".join(lines))
        return _joined([json.loads(event) for event in events if event != "[DONE]"])


def _joined(events: Sequence[Any]) -> Any:
    """One response from the events of a stream; an event that is a whole one, or an error, as it is. A stream that ends
    without a finish reason was cut off, which servers call "abort"."""
    texts: dict[tuple[str, str], list[str]] = {}
    positions: list[Any] = []
    finish, usage = None, None
    for event in events:
        if not isinstance(event, dict) or event.get("error"):
            return event
        usage = event.get("usage") or usage
        for piece in _first_choices(event):
            if "message" in piece:
                return event
            finish = piece.get("finish_reason") or finish
            logprobs = piece.get("logprobs")
            listed = logprobs.get("content") if isinstance(logprobs, dict) else None
            positions += listed if isinstance(listed, list) else []
            delta = piece.get("delta")
            pairs = {("message", key): text for key, text in delta.items()} if isinstance(delta, dict) else {}
            pairs["choice", "text"] = piece.get("text")
            for place, text in pairs.items():
                if isinstance(text, str) and place != ("message", "role"):
                    texts.setdefault(place, []).append(text)
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish or "abort"}
    message: dict[str, Any] = {}
    for (owner, key), pieces in texts.items():
        (choice if owner == "choice" else message)[key] = "".join(pieces)
    if "text" not in choice:
        choice["message"] = message
    if positions:
        choice["logprobs"] = {"content": positions}
    return {"choices": [choice], "usage": usage}


def _first_choices(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    choices = event.get("choices")
    for one in choices if isinstance(choices, list) else ():
        if isinstance(one, dict) and one.get("index", 0) == 0:
            yield one

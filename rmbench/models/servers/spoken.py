"""What a reply says, in the many shapes that servers give it: content as text, as parts or not at all, reasoning under
several names, refusals, and finish reasons in the spelling of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rmbench.models.servers.errors import RetryableError, error_message
from rmbench.models.servers.generation import REFUSED
from rmbench.models.servers.wire import Choice, Message, Part, read

__all__ = ["Spoken", "spoken"]

_STOP = frozenset("stop eos eos_token end end_turn stop_sequence complete completed done".split())
_LENGTH = frozenset("length max_tokens max_output_tokens max_length model_length model_context_window_exceeded".split())
_FILTERED = frozenset(
    "content_filter content_filtered safety recitation blocklist prohibited_content spii sensitive".split()
)
_BROKEN = frozenset("abort aborted cancelled error server_error network_error timeout load unload".split())
"""The server failed while it wrote, or was not ready: another attempt may succeed."""
_DEEPEST = 8
"""Of lists and objects in each other that may hold text of reasoning."""
_LONGEST_REASON = 40


@dataclass(frozen=True, slots=True)
class Spoken:
    """The text of a reply and how it ended."""

    text: str
    reasoning: str
    finish: str
    """As in `Reply.finish`."""
    assumed: bool = False
    """Whether the server gave no finish reason."""


def spoken(choice: Choice) -> Spoken:
    """What one choice says; RetryableError where there is nothing, or it is unfinished."""
    reasoning, refusal, called = "", "", False
    text: str | None = choice.text
    if choice.message is not None:
        text, reasoning, refusal = _of_message(choice.message)
        called = not text and bool(choice.message.tool_calls)
    finish = _finish(choice)
    if finish is None and (choice.error or (text is None and not refusal and not called)):
        why = f": {error_message(choice.error)}" if choice.error else ""
        raise RetryableError(f"the response's choices[0] has no text in message.content and no finish_reason{why}")
    if finish in _BROKEN:
        why = f": {error_message(choice.error)}" if choice.error else ""
        raise RetryableError(f"the response was not finished: choices[0].finish_reason is {finish!r}{why}")
    if choice.message is None and choice.text is None:
        raise RetryableError("the response's choices[0] has neither a message nor a text")
    if refusal and not text:
        return Spoken(refusal, reasoning, REFUSED)
    if called and finish in (None, "stop"):
        finish = "tool_calls"
    return Spoken(text or "", reasoning, finish or "stop", finish is None)


def _finish(choice: Choice) -> str | None:
    """The finish reason: "stop", "length", "content_filter", REFUSED, or as the server spells it; None for none."""
    reason = choice.finish_reason
    if reason is None or reason == "":
        return None
    if not isinstance(reason, str):
        shown = reason if isinstance(reason, int) else "no text"
        raise RetryableError(f"choices[0].finish_reason is {str(shown)[:_LONGEST_REASON]!r}; expected a text")
    known = reason.strip().lower()
    for name, spellings in (("stop", _STOP), ("length", _LENGTH), ("content_filter", _FILTERED)):
        if known in spellings:
            return name
    return known if known in (*_BROKEN, REFUSED) else reason[:_LONGEST_REASON]


def _of_message(message: Message) -> tuple[str | None, str, str]:
    """Text (None where there is no content), reasoning and refusal."""
    texts: list[str] = []
    reasoned: list[str] = []
    refusals = [message.refusal] if isinstance(message.refusal, str) else []
    for place, part in enumerate(_parts(message.content)):
        if isinstance(part, str):
            texts.append(part)
            continue
        one = read(Part, part, f"the response's choices[0].message.content[{place}]")
        if one.refusal:
            refusals.append(one.refusal)
        elif one.thinking is not None or one.reasoning is not None or one.type in ("thinking", "reasoning"):
            reasoned += _texts([one.thinking, one.reasoning, one.text])
        elif one.text is not None:
            texts.append(one.text)
    own = [message.reasoning, message.reasoning_content, message.reasoning_details]
    reasoning = "".join(reasoned) or next(filter(None, ("".join(_texts([value])) for value in own)), "")
    return None if message.content is None else "".join(texts), reasoning, "".join(refusals)


def _parts(content: object) -> list[object]:
    if isinstance(content, dict) and not content.keys() & {"text", "thinking", "reasoning", "refusal"}:
        raise RetryableError("the response's choices[0].message.content is an object without a text")
    return content if isinstance(content, list) else [] if content is None else [content]


def _texts(values: Iterable[object], depth: int = 0) -> Iterator[str]:
    """The texts in what a server gives as reasoning; anything else there is ignored, for no verdict is read from it."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif depth < _DEEPEST and isinstance(value, list):
            yield from _texts(value, depth + 1)
        elif depth < _DEEPEST and isinstance(value, dict):
            yield from _texts([value.get(key) for key in ("thinking", "reasoning", "text", "summary")], depth + 1)

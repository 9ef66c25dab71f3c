"""Messages with their tool calls in plain text, for what reads conversations without a chat template: judges' prompts
and baselines."""

from __future__ import annotations

from rmbench.types import TOOLS, Conversation, Message, bare_text

__all__ = ["HEADERS", "plain_blocks", "plain_text"]

_CALLS = ("tool_calls", "function_call")
_OF_TOOL_TURNS = ("name", "tool_call_id")
HEADERS = tuple(f"[{word}]" for word in ("system", "user", "assistant", "tool", TOOLS, *_CALLS)) + tuple(
    f"[tool {key}=" for key in _OF_TOOL_TURNS
)
"""How a line begins that a prompt writes before what a turn says, in brackets."""


def plain_blocks(message: Message) -> list[tuple[str, str]]:
    """What a message says: (header, text) of its content, and of its tool calls as JSON. The header of a tool's turn
    says whose answer it is, as in `tool name="sum" tool_call_id="c1"`.

    Raises:
        ValueError: the message has a further key, which has no plain text.
    """
    extra = dict(message.extra)
    calls = [(key, extra.pop(key)) for key in _CALLS if key in extra]
    named = [f" {key}={extra.pop(key)}" for key in _OF_TOOL_TURNS if message.role == "tool" and key in extra]
    text = bare_text(Message(message.role, message.parts, tuple(extra.items())))
    return [*([("".join([message.role, *named]), text)] if text or not calls else []), *calls]


def plain_text(conversation: Conversation) -> str:
    """The texts and tool calls of a conversation, joined by newlines, headers left out; raises ValueError as
    `plain_blocks` does."""
    return "\n".join(text for message in conversation for _, text in plain_blocks(message))

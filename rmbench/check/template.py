"""The text of the model's own tokens: it contains every message, once, in order."""

from __future__ import annotations

import json
from dataclasses import replace

from rmbench.check.probes import PLAIN
from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.check.subject import Subject
from rmbench.check.tokens import decode, pairs_of_probes, squeezed, why_no_text
from rmbench.models.protocols import Request
from rmbench.models.text.special import LiteralTokenizer, special_strings
from rmbench.models.text.template import ChatTemplate, TemplateRefusedError
from rmbench.types import TOOLS, Conversation, Message

__all__ = ["template"]

_EXAMPLE = "turns"

_THOUGHT = "Two and two can be counted on one hand."


def template(subject: Subject) -> CheckResult:
    """Decoded tokens hold every message once and in order; the text of one probe is shown with its special tokens. For
    a model that reads two conversations in one row, in a format of its own, every message appears once or twice. The
    line says where the template drops an answer's reasoning, as its authors may have meant it to, and which keys beside
    role and content it does not read."""
    name = "template"
    why = why_no_text(subject)
    rows = [] if why else [one for one in pairs_of_probes(subject, PLAIN) if not one[2].truncated]
    if not rows:
        return not_run(name, why or "every plain probe is truncated")
    texts = {probe: decode(subject.tokenizer, row) for probe, _, row in reversed(rows)}
    text = texts.get(_EXAMPLE) or next(iter(texts.values()))
    for probe, request, row in rows:
        decoded = decode(subject.tokenizer, row)
        problem = _in_a_pair(decoded, request) if request.against else _in_order(decoded, request)
        if problem:
            return failed(name, f"{probe}: {problem}", {"rows": len(rows)}, text=decoded)
    source = str(subject.facts.settings.get("template") or "the model's own")
    how = "with both responses in each" if rows[0][1].against else "once and in order"
    line = f"{len(rows)} rows hold every message, {how} (template: {source})"
    line += _unread_tools(subject) + _unread_keys(subject) + _dropped_reasoning(subject) + _special_tokens(subject)
    return passed(name, line, {"rows": len(rows)}, text=text)


def _dropped_reasoning(subject: Subject) -> str:
    """What the template leaves of a <think> block before an answer, where it leaves less than all, or ""."""
    if subject.text is None:
        return ""
    reply = Message.of("assistant", f"<think>{_THOUGHT}</think>It is four.")
    last = (Message.of("user", "What is two and two?"), reply)
    earlier = (*last, Message.of("user", "And doubled?"), Message.of("assistant", "Eight."))
    places = {"the last message": last, "an earlier message": earlier}
    dropping = [place for place, turns in places.items() if _drops_thought(subject.text.template, turns)]
    if not dropping:
        return ""
    return (
        f"; it drops reasoning before </think> in {' and '.join(dropping)}, which runs count as template_dropped_text"
    )


def _special_tokens(subject: Subject) -> str:
    """How the model reads special tokens that messages spell; "" where its tokenizer has none."""
    if not special_strings(subject.tokenizer):
        return ""
    if isinstance(subject.tokenizer, LiteralTokenizer):
        return "; special tokens that messages spell are read as text"
    return "; special tokens that messages spell are parsed (--special-tokens text reads them as text)"


def _unread_tools(subject: Subject) -> str:
    """Whether the template leaves tools out, or ""."""
    tools = Message.of_tools(
        [{"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {}}}]
    )
    turns = (tools, Message.of("user", "What is two and two?"), Message.of("assistant", "It is four."))
    unread = subject.text is not None and not subject.text.template.reads(TOOLS, turns)
    return "; it leaves tools out, which runs count as template_ignored_tools" if unread else ""


def _unread_keys(subject: Subject) -> str:
    """The common keys of messages that the template does not read, or ""."""
    if subject.text is None:
        return ""
    calls = json.dumps([{"type": "function", "id": "call00001", "function": {"name": "add", "arguments": {"a": 2}}}])
    caller = replace(Message.of("assistant", ""), extra=(("tool_calls", calls),))
    asked = Message.of("user", "What is two and two?")
    texts = {role: Message.of(role, "It is four.") for role in ("assistant", "tool")}
    probes = {
        "tool_calls": (asked, caller),
        "tool_call_id": (asked, caller, replace(texts["tool"], extra=(("tool_call_id", '"call00001"'),))),
        "reasoning_content": (asked, replace(texts["assistant"], extra=(("reasoning_content", f'"{_THOUGHT}"'),))),
        "name": (asked, replace(texts["assistant"], extra=(("name", '"Ada"'),))),
    }
    unread = [key for key, turns in probes.items() if not subject.text.template.reads(key, turns)]
    return f"; of messages' further keys it does not read {', '.join(unread)}" if unread else ""


def _drops_thought(chat: ChatTemplate, turns: Conversation) -> bool:
    request = Request(turns, len(turns) - 1)
    try:
        return squeezed(_THOUGHT) not in squeezed(chat.render(request))
    except TemplateRefusedError:
        return False


def _in_order(decoded: str, request: Request) -> str:
    """The fault in the text of one conversation, or ""."""
    text, previous = squeezed(decoded), 0
    for message in request.conversation:
        content = squeezed(message.text)
        count = text.count(content)
        if content and count != 1:
            return f"a message of the {message.role} occurs {count} times in the text: {message.text[:40]!r}"
        place = text.find(content)
        if place < previous:
            return f"a message of the {message.role} precedes the one it follows: {message.text[:40]!r}"
        previous = place
    return ""


def _in_a_pair(decoded: str, request: Request) -> str:
    """The fault in the text of two conversations, or ""."""
    text = squeezed(decoded)
    for message in (*request.conversation, *(request.against or ())):
        count = text.count(squeezed(message.text))
        if not 1 <= count <= 2:
            return f"a message of the {message.role} occurs {count} times in the text: {message.text[:40]!r}"
    return ""

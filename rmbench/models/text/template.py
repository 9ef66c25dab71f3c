"""Chat templates: a whole conversation rendered as text."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.protocols import Request
from rmbench.models.text.template_cost import cost_of
from rmbench.models.text.template_worker import TemplateLimitError, render_apart
from rmbench.types import TOOLS, Conversation, Message, bare_text

__all__ = ["ChatTemplate"]

Turns = Sequence[Mapping[str, Any]]
"""Messages as a template takes them."""

Tools = Sequence[Mapping[str, Any]] | None
"""Definitions of functions as a template takes them; None where a conversation has none."""

_FIXED_DATE = datetime(2024, 7, 26)
"""What a template that asks for today gets, so that scores do not change overnight: the date that Llama 3.1's own
template falls back to."""

_TODAY = re.compile(r"""strftime_now\s*\(\s*("[^"'\\]*"|'[^"'\\]*')\s*\)""")
_ASKS = re.compile(r"\bstrftime_now\b(?!\s+is\s+(not\s+)?defined)")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)

_NAMES_ONLY = ("id", "type", "tool_call_id")
"""Keys whose values name a call or its kind."""

_REASONING = ("reasoning_content", "reasoning", "thinking")

_REASON = 500
"""Characters of what a template says that are kept."""

_PROBE = [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}]


class TemplateRefusedError(Exception):
    """The template does not take this conversation."""


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja chat template bound to a tokenizer, whose special tokens it may use."""

    tokenizer: Any
    text: str
    source: str
    """"tokenizer", "card", or the name of the file it was read from: the user's, or a processor's."""
    generation_prompt: bool = False
    """Whether texts end with the header of an answer to come, where the template has one."""
    system: str = ""
    """The system message of conversations that have none; "": they keep none."""
    system_name: str = ""
    """What it is called, for the record."""
    goal: str = ""
    """What asks every conversation for a quality: before its system message, as one where it has none, or before its
    first user message where the template takes no system message; "": nothing does."""
    goal_name: str = ""
    """The quality, for the record."""
    tool_use: str = ""
    """The template of conversations with tools, where the tokenizer has one for them; "": the same."""

    @property
    def settings(self) -> Mapping[str, str]:
        """For the record."""
        facts = {"template": self.source, "template_sha256": hashlib.sha256(self.text.encode()).hexdigest()}
        if self.tool_use:
            facts["tool_use_template_sha256"] = hashlib.sha256(self.tool_use.encode()).hexdigest()
        if self.system:
            facts |= {
                "system_message": self.system_name,
                "system_message_sha256": hashlib.sha256(self.system.encode()).hexdigest(),
            }
        if self.goal:
            facts |= {
                "goal": self.goal_name,
                "goal_sha256": hashlib.sha256(self.goal.encode()).hexdigest(),
                "goal_in": "system" if self._takes_system else "user",
            }
        dated = _TODAY.search(self.text) or _TODAY.search(self.tool_use)
        return facts | ({"template_date": f"{_FIXED_DATE:%Y-%m-%d}"} if dated else {})

    def render(self, request: Request) -> str:
        """The text of a request, with `generation_prompt` followed by the header of the next answer.

        Raises:
            TemplateRefusedError: the template raises, or it leaves a system message or a key of messages out.
        """
        if request.render == "raw":
            return "".join([f"{self.goal}\n\n" if self.goal else "", *map(_bare, request.conversation)])
        turns, tools = self._asked(request.conversation)
        text = self._rendered(turns, tools)
        for turn in turns:
            if turn["role"] == "system" and not _holds(text, str(turn["content"] or "")):
                raise TemplateRefusedError("the chat template drops the system message")
        for key in dict.fromkeys(key for message in request.conversation for key, _ in message.extra):
            if self._leaves_out(key, turns, tools, text) and not self._may_leave_out(key, request):
                raise TemplateRefusedError(
                    f'the chat template does not read the key "{key}" of messages (`ignore_keys` of the task\'s column '
                    "leaves annotations out)"
                )
        return text

    def drops_text(self, request: Request, text: str) -> bool:
        """Whether the text that `render` gave for a request lacks some of a message's, further keys included. Of tools
        see `ignores_tools`."""
        pieces = (piece for message in request.conversation if message.role != TOOLS for piece in _pieces(message))
        return request.render == "chat" and not all(_holds(text, piece) for piece in pieces)

    def ignores_tools(self, request: Request, text: str) -> bool:
        """Whether the text that `render` gave for a request with tools is the same without them."""
        turns, tools = self._asked(request.conversation)
        if request.render != "chat" or tools is None:
            return False
        if self.tool_use:
            return "tools" not in self.tool_use
        try:
            return "tools" not in self.text or self._rendered(turns, None) == text
        except TemplateRefusedError:
            return False

    def reads(self, key: str, conversation: Conversation) -> bool:
        """Whether the text of a conversation differs without a key of its messages, or with "tools" without its
        tools."""
        turns, tools = self._asked(conversation)
        try:
            text = self._rendered(turns, tools)
            if key == TOOLS:
                return not self.ignores_tools(Request(conversation, len(conversation)), text)
            return not self._leaves_out(key, turns, tools, text)
        except TemplateRefusedError:
            return False

    def _asked(self, conversation: Conversation) -> tuple[Turns, Tools]:
        """The turns, with the system message of conversations that have none, and the tools."""
        tools = next((json.loads(message.text) for message in conversation if message.role == TOOLS), None)
        turns = [message.as_dict for message in conversation if message.role != TOOLS]
        if self.system and not any(message.role == "system" for message in conversation):
            turns = [{"role": "system", "content": self.system}, *turns]
        return self._with_goal(turns), tools

    def _with_goal(self, turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The turns, the first of which states the goal."""
        if not self.goal:
            return turns
        role = "system" if self._takes_system else "user"
        at = next((k for k, turn in enumerate(turns) if turn["role"] == role), None)
        if at is None:
            return [{"role": role, "content": self.goal}, *turns]
        told = {**turns[at], "content": f"{self.goal}\n\n{turns[at]['content']}"}
        return [*turns[:at], told, *turns[at + 1 :]]

    @cached_property
    def _takes_system(self) -> bool:
        """Whether a system message reaches the text."""
        try:
            return _holds(self._apply([{"role": "system", "content": self.goal}, *_PROBE]), self.goal)
        except TemplateRefusedError:
            return False

    def _leaves_out(self, key: str, turns: Turns, tools: Tools, text: str) -> bool:
        """Whether the text of these turns is the same without the key."""
        without = [{name: each[name] for name in each if name != key} for each in turns]
        try:
            return self._rendered(without, tools) == text
        except TemplateRefusedError:
            return False

    def _may_leave_out(self, key: str, request: Request) -> bool:
        """A template that reads reasoning may drop that of earlier turns by intent, which counts as dropped text."""
        answers = request.conversation[request.prompt_messages :]
        held = any(key in dict(message.extra) for message in answers)
        return key in _REASONING and key in self.text and not held

    def _rendered(self, turns: Turns, tools: Tools) -> str:
        """The text of turns. Where content is null, templates differ in whether they take None or an empty text."""
        if all(turn["content"] is not None for turn in turns):
            return self._apply(turns, tools)
        empty = [{**turn, "content": "" if turn["content"] is None else turn["content"]} for turn in turns]
        try:
            text = self._apply(turns, tools)
        except (TemplateRefusedError, TypeError):
            return self._apply(empty, tools)
        return min(text, self._apply(empty, tools), key=lambda each: each.count("None")) if "None" in text else text

    def _apply(self, turns: Turns, tools: Tools = None) -> str:
        """The text of turns; in a process of its own where the template may make too much of them."""
        from jinja2.exceptions import TemplateError

        template = _on_a_fixed_date((tools is not None and self.tool_use) or self.text)
        cost = cost_of(template)
        try:
            if cost is not None and cost.fits(turns, tools) and self._tokens_are_short:
                text: str = self.tokenizer.apply_chat_template(
                    list(turns),
                    tools=None if tools is None else list(tools),
                    chat_template=template,
                    tokenize=False,
                    add_generation_prompt=self.generation_prompt,
                )
            else:
                tokens = self.tokenizer.special_tokens_map
                text = render_apart(template, turns, tokens, tools=tools, generation_prompt=self.generation_prompt)
        except TemplateError as error:
            raise TemplateRefusedError(f"the chat template refuses the conversation: {str(error)[:_REASON]}") from error
        except TemplateLimitError as error:
            raise TemplateRefusedError(f"the chat template {error}") from error
        return text

    @cached_property
    def _tokens_are_short(self) -> bool:
        """Whether the tokenizer's special tokens, which templates write, are no texts of their own."""
        return sum(map(len, getattr(self.tokenizer, "special_tokens_map", {}).values())) <= _REASON

    def check(self) -> None:
        """Raise RmbenchError where the template cannot render a question and its answer, leaves one out, or makes its
        text depend on the day in a way that cannot be seen beforehand."""
        if any(_ASKS.search(_COMMENT.sub("", _on_a_fixed_date(text))) for text in (self.text, self.tool_use)):
            raise RmbenchError(
                f"The chat template ({self.source}) makes its text depend on the day: write its date out, and pass it "
                "by --template FILE."
            )
        try:
            text = self._apply(_PROBE)
        except Exception as error:  # a template is untrusted and may fail in any way
            raise RmbenchError(
                f"The chat template ({self.source}) cannot render a question and an answer: {error}"
            ) from error
        for turn in _PROBE:
            if turn["content"] not in text:
                raise RmbenchError(f"The chat template ({self.source}) leaves the {turn['role']}'s turn out.")


def _on_a_fixed_date(text: str) -> str:
    """The template with a fixed date in place of today's."""
    return _TODAY.sub(lambda asked: repr(_FIXED_DATE.strftime(asked[1][1:-1])), text)


def _holds(text: str, content: str) -> bool:
    """Whether the text holds a message's, white space apart, as it is or written as JSON."""
    if content.strip() in text:
        return True
    packed = "".join(text.split())
    spelled = json.dumps(content, ensure_ascii=False)[1:-1]
    return any("".join(form.split()) in packed for form in (content, spelled))


def _bare(message: Message) -> str:
    try:
        return bare_text(message)
    except ValueError as error:
        raise TemplateRefusedError(str(error)) from None


def _pieces(message: Message) -> Iterator[str]:
    """The texts of a message: its content, and those of its further keys but for ids and types, which templates drop
    without harm."""
    yield message.text
    for key, value in message.extra:
        if key not in _NAMES_ONLY:
            yield from _strings(json.loads(value))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for key, each in value.items() if key not in _NAMES_ONLY for text in _strings(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in _strings(each))

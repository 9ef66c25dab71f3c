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
from rmbench.types import Conversation, Message, bare_text

__all__ = ["ChatTemplate"]

Turns = Sequence[Mapping[str, Any]]
"""Messages as a template takes them."""

_FIXED_DATE = datetime(2024, 7, 26)
"""What a template that asks for today gets, so that scores do not change overnight: the date that Llama 3.1's own
template falls back to."""

_TODAY = re.compile(r"""strftime_now\(\s*("[^"'\\]*"|'[^"'\\]*')\s*\)""")

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

    @property
    def settings(self) -> Mapping[str, str]:
        """For the record."""
        facts = {"template": self.source, "template_sha256": hashlib.sha256(self.text.encode()).hexdigest()}
        if self.system:
            facts |= {
                "system_message": self.system_name,
                "system_message_sha256": hashlib.sha256(self.system.encode()).hexdigest(),
            }
        return facts | ({"template_date": f"{_FIXED_DATE:%Y-%m-%d}"} if _TODAY.search(self.text) else {})

    def render(self, request: Request) -> str:
        """The text of a request, with `generation_prompt` followed by the header of the next answer.

        Raises:
            TemplateRefusedError: the template raises, or it leaves a system message or a key of messages out.
        """
        if request.render == "raw":
            return "".join(map(_bare, request.conversation))
        turns = [message.as_dict for message in request.conversation]
        if self.system and not any(message.role == "system" for message in request.conversation):
            turns = [{"role": "system", "content": self.system}, *turns]
        text = self._rendered(turns)
        for turn in turns:
            if turn["role"] == "system" and not _holds(text, str(turn["content"] or "")):
                raise TemplateRefusedError("the chat template drops the system message")
        for key in dict.fromkeys(key for message in request.conversation for key, _ in message.extra):
            if self._leaves_out(key, turns, text) and not self._may_leave_out(key, request):
                raise TemplateRefusedError(
                    f'the chat template does not read the key "{key}" of messages (`ignore_keys` of the task\'s column '
                    "leaves annotations out)"
                )
        return text

    def drops_text(self, request: Request, text: str) -> bool:
        """Whether the text that `render` gave for a request lacks some of a message's, further keys included."""
        pieces = (piece for message in request.conversation for piece in _pieces(message))
        return request.render == "chat" and not all(_holds(text, piece) for piece in pieces)

    def reads(self, key: str, conversation: Conversation) -> bool:
        """Whether the text of a conversation differs without a key of its messages."""
        turns = [message.as_dict for message in conversation]
        try:
            return not self._leaves_out(key, turns, self._rendered(turns))
        except TemplateRefusedError:
            return False

    def _leaves_out(self, key: str, turns: Turns, text: str) -> bool:
        """Whether the text of these turns is the same without the key."""
        try:
            return self._rendered([{name: each[name] for name in each if name != key} for each in turns]) == text
        except TemplateRefusedError:
            return False

    def _may_leave_out(self, key: str, request: Request) -> bool:
        """A template that reads reasoning may drop that of earlier turns by intent, which counts as dropped text."""
        answers = request.conversation[request.prompt_messages :]
        held = any(key in dict(message.extra) for message in answers)
        return key in _REASONING and key in self.text and not held

    def _rendered(self, turns: Turns) -> str:
        """The text of turns. Where content is null, templates differ in whether they take None or an empty text."""
        if all(turn["content"] is not None for turn in turns):
            return self._apply(turns)
        empty = [{**turn, "content": "" if turn["content"] is None else turn["content"]} for turn in turns]
        try:
            text = self._apply(turns)
        except (TemplateRefusedError, TypeError):
            return self._apply(empty)
        return min(text, self._apply(empty), key=lambda each: each.count("None")) if "None" in text else text

    def _apply(self, turns: Turns) -> str:
        """The text of turns; in a process of its own where the template may make too much of them."""
        from jinja2.exceptions import TemplateError

        template = _on_a_fixed_date(self.text)
        cost = cost_of(template)
        try:
            if cost is not None and cost.fits(turns) and self._tokens_are_short:
                text: str = self.tokenizer.apply_chat_template(
                    list(turns),
                    chat_template=template,
                    tokenize=False,
                    add_generation_prompt=self.generation_prompt,
                )
            else:
                tokens = self.tokenizer.special_tokens_map
                text = render_apart(template, turns, tokens, generation_prompt=self.generation_prompt)
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
        if "strftime_now(" in _on_a_fixed_date(self.text):
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

"""Renders a protocol's prompt for an example.

A template is Jinja in a sandbox. It may use:

- `question`: the prompt's text; of several messages, the conversation with a line "[user]" and so on before each turn,
  "[tools]" before the definitions of functions and "[tool_calls]" before an assistant's calls, both as JSON.
- `answers`: the candidates in the order shown, each with `label` ("A" or "1"), `number` (from 1), `text` and `question`
  (its own prompt where candidates differ in it, else the same as above). `answer` is the first.
- `rubric`, `reference`, `passages`: from the example's context or the user's file; "" where there is none.
- `context`: all of the example's context by name.

All of these are text from a benchmark and are quoted (`rmbench.models.judges.quoting`) unless the user, or the
example's own context `marks`, asks for raw text. A candidate's text is never rendered as a template.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rmbench.errors import RmbenchError
from rmbench.models.judges.declaration import JudgeProtocol
from rmbench.models.judges.quoting import Quoting, reserved_marks
from rmbench.models.plain import plain_blocks
from rmbench.models.protocols import REFERENCE_KEYS
from rmbench.types import Conversation, Example

__all__ = ["Prompt", "PromptError"]

Quote = Callable[[str], str]
_CONTEXT = {
    "rubric": ("rubric", "criteria"),
    "reference": REFERENCE_KEYS,
    "passages": ("passages", "documents", "knowledge", "context"),
}
"""Template variable -> names of the context in tasks; the first that exists is used."""


class PromptError(Exception):
    """The protocol has no prompt for this example; the message says why."""


@dataclass(frozen=True)
class Prompt:
    """The prompt of one protocol."""

    protocol: JudgeProtocol
    templates: tuple[Template, ...]
    quoting: Quoting
    quoted: bool
    """Whether marks are quoted, unless the example's context `marks` says "quoted" or "raw"."""
    rubric: str
    """The user's own, which replaces the example's; "" where there is none."""

    @classmethod
    def of(cls, protocol: JudgeProtocol, *, quoted: bool = True, rubric: str = "") -> Prompt:
        """The protocol's prompt; raises RmbenchError where a template is not valid Jinja."""
        # Prompts are plain text for a model: nothing in them is markup to escape.
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
        )
        try:
            templates = tuple(environment.from_string(text) for text in protocol.template_texts)
        except TemplateError as error:
            raise RmbenchError(f"protocol {protocol.name}: a template is wrong: {error}") from error
        return cls(protocol, templates, Quoting.of(reserved_marks(protocol)), quoted, rubric)

    def messages(self, example: Example, shown: Sequence[int]) -> tuple[Mapping[str, str], ...]:
        """The messages that show the candidates in this order.

        Raises:
            PromptError: too many candidates, a missing context, or a template that fails on this example.
        """
        if len(shown) > self.protocol.most:
            raise PromptError(f"{len(shown)} candidates; {self.protocol.name} shows {self.protocol.most} at most")
        variables = self._variables(example, shown)
        for name in self.protocol.needs:
            if not variables[name]:
                raise PromptError(f"{self.protocol.name} needs a {name}, and the row has none")
        roles = [message.role for message in self.protocol.message]
        try:
            texts = [template.render(variables) for template in self.templates]
        except Exception as error:  # a template may be the user's, and fail in any way
            raise PromptError(f"a template of {self.protocol.name} fails: {error}") from error
        return tuple(
            {"role": "user" if role == "raw" else role, "content": text}
            for role, text in zip(roles, texts, strict=True)
            if text or role != "system"
        )

    def _variables(self, example: Example, shown: Sequence[int]) -> dict[str, Any]:
        quoted = example.context.get("marks", "quoted" if self.quoted else "raw") == "quoted"
        quote: Quote = self.quoting.quote if quoted else str
        context = {name: quote(text) for name, text in example.context.items()}
        question = _text(example.prompt, quote)
        answers = []
        for place, k in enumerate(shown):
            candidate = example.candidates[k]
            own = question if candidate.prompt is None else _text(candidate.prompt, quote)
            label = self.protocol.verdict.label(place)
            text = _text(candidate.messages, quote, bare="assistant")
            answers.append({"label": label, "number": place + 1, "text": text, "question": own})
        named = {name: next((context[key] for key in keys if context.get(key)), "") for name, keys in _CONTEXT.items()}
        named["rubric"] = self.rubric or named["rubric"]
        return {"question": question, "answers": answers, "answer": answers[0], "context": context, **named}


def _text(conversation: Conversation, quote: Quote, bare: str = "user") -> str:
    """A conversation's text; where it is a single turn of the role `bare`, without its role."""
    try:
        blocks = [block for message in conversation for block in plain_blocks(message)]
    except ValueError as error:
        raise PromptError(str(error)) from None
    alone = len(conversation) == 1 and blocks[0][0] == bare
    texts = [f"[{quote(header)}]\n{quote(text)}" for header, text in blocks]
    return "\n\n".join([quote(blocks[0][1]), *texts[1:]] if alone else texts)

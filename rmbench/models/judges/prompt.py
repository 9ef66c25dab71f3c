"""Renders a protocol's prompt for an example.

A template is Jinja in a sandbox. It may use:

- `question`: the prompt's text; of several messages, the conversation with a line "[user]" and so on before each turn,
  "[tools]" before the definitions of functions and "[tool_calls]" before an assistant's calls, both as JSON.
- `answers`: the candidates in the order shown, each with `label` ("A" or "1"), `number` (from 1), `text` and `question`
  (its own prompt where candidates differ in it, else the same as above). `answer` is the first.
- `rubric`, `reference`, `passages`, `facts` (of people, of an image, a line each): from the example's context or, of a
  rubric, the user's file; "" where there is none.
- `shots`: earlier choices of the row's rater, with their images and videos where the protocol shows any.
- `context`: all of the example's context by name.
- `declared`: the protocol's `variables`.
- `media`: the prompt's images and videos, in order, where the protocol shows any; of each answer, `media` are its own
  and `question_media` those of its own prompt. `content`, of the prompt and of each answer, is text and media in order.
  What stands before, between and behind them becomes text parts of the message.

All of these are text from a benchmark and are quoted (`rmbench.models.judges.quoting`) unless the user, or the
example's own context `marks`, asks for raw text. A candidate's text is never rendered as a template.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rmbench.errors import RmbenchError
from rmbench.media import MediaError, media_of
from rmbench.models.judges.declaration import JudgeProtocol
from rmbench.models.judges.media import ContentPart, MediaMarks, Pictures, split_at_marks
from rmbench.models.judges.quoting import Quoting, reserved_marks
from rmbench.models.plain import plain_blocks
from rmbench.models.servers.generation import images_in
from rmbench.types import REFERENCE_KEYS, Conversation, Example, Part

__all__ = ["Prompt", "PromptError"]

Quote = Callable[[str], str]
_CONTEXT = {
    "rubric": ("rubric", "criteria"),
    "reference": REFERENCE_KEYS,
    "passages": ("passages", "documents", "knowledge", "context"),
    "facts": ("oracle_facts",),
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
    pictures: Pictures | None = None
    """Encodes images and videos; None where the protocol shows none."""

    @classmethod
    def of(
        cls, protocol: JudgeProtocol, *, quoted: bool = True, rubric: str = "", pictures: Pictures | None = None
    ) -> Prompt:
        """The protocol's prompt; raises RmbenchError where a template is not valid Jinja."""
        # Prompts are plain text for a model: nothing in them is markup to escape.
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
        )
        try:
            templates = tuple(environment.from_string(text) for text in protocol.template_texts)
        except TemplateError as error:
            raise RmbenchError(f"protocol {protocol.name}: a template is wrong: {error}") from error
        pictures = Pictures.of(protocol.media) if protocol.media and pictures is None else pictures
        return cls(protocol, templates, Quoting.of(reserved_marks(protocol)), quoted, rubric, pictures)

    @property
    def shows_shots(self) -> bool:
        """Whether a rater's earlier choices beside the prompt are shown."""
        return any("shots" in text for text in self.protocol.template_texts)

    def messages(
        self, example: Example, shown: Sequence[int], seen: dict[str, tuple[ContentPart, ...]] | None = None
    ) -> tuple[Mapping[str, Any], ...]:
        """The messages that show the candidates in this order; the content of one with media is a list of parts.

        Args:
            example: the row.
            shown: its candidates.
            seen: pictures that were encoded before, by content; added to. None: pictures are encoded for this once.

        Raises:
            PromptError: too many candidates, a missing context, or a template that fails on this example.
            MediaError: an image or a video that cannot be shown.
        """
        rendered = self.rendered(example, shown)
        seen = {} if seen is None else seen
        messages = tuple({"role": role, "content": self._content(pieces, seen)} for role, pieces in rendered)
        count = images_in(messages)
        if self.pictures is not None and count > self.pictures.max_images:
            most = self.pictures.max_images
            raise MediaError(f"{count} images and frames in one question are more than max_images={most}")
        return messages

    def rendered(self, example: Example, shown: Sequence[int]) -> list[tuple[str, list[str | Part]]]:
        """Role and content of each message: texts and media in order, nothing decoded.

        Raises:
            PromptError: as `messages`.
        """
        if len(shown) > self.protocol.most:
            raise PromptError(f"{len(shown)} candidates; {self.protocol.name} shows {self.protocol.most} at most")
        marks = MediaMarks()
        variables = self._variables(example, shown, marks)
        for name in self.protocol.needs:
            if not variables[name]:
                raise PromptError(f"{self.protocol.name} needs a {name}, and the row has none")
        roles = [message.role for message in self.protocol.message]
        try:
            texts = [template.render(variables) for template in self.templates]
        except Exception as error:  # a template may be the user's, and fail in any way
            raise PromptError(f"a template of {self.protocol.name} fails: {error}") from error
        pieces: list[tuple[str, list[str | Part]]] = [
            ("user" if role == "raw" else role, split_at_marks(text, marks) if marks.parts else [text])
            for role, text in zip(roles, texts, strict=True)
            if text or role != "system"
        ]
        if self.pictures is not None:
            self._check_shown(example, shown, [piece for _, each in pieces for piece in each])
        return pieces

    def _content(
        self, pieces: Sequence[str | Part], seen: dict[str, tuple[ContentPart, ...]]
    ) -> str | tuple[ContentPart, ...]:
        """A text alone as it is; else parts."""
        if self.pictures is None or not any(isinstance(piece, Part) for piece in pieces):
            return "".join(piece for piece in pieces if isinstance(piece, str))
        parts: list[ContentPart] = []
        for piece in pieces:
            if isinstance(piece, str):
                parts.append({"type": "text", "text": piece})
            else:
                parts += self.pictures.parts(piece, seen)
        return tuple(parts)

    def _check_shown(self, example: Example, shown: Sequence[int], pieces: Sequence[str | Part]) -> None:
        """Raise PromptError where a medium of the row is not shown, or none is where the protocol needs one."""
        declared = self.protocol.media
        candidates = [example.candidates[k] for k in shown]
        of_prompt = media_of(example.prompt)
        of_shots = media_of(example.shots)
        of_answers = [media_of((*(one.prompt or ()), *one.messages)) for one in candidates]
        if declared is not None and declared.of == "prompt" and not of_prompt:
            raise PromptError(f"{self.protocol.name} shows an image or a video of the prompt, and the row has none")
        if declared is not None and declared.of == "candidates" and not all(of_answers):
            raise PromptError(f"{self.protocol.name} compares images or videos, and a candidate has none")
        wanted = Counter((*of_prompt, *of_shots, *(part for each in of_answers for part in each)))
        missing = wanted - Counter(piece for piece in pieces if isinstance(piece, Part))
        if missing:
            part = next(iter(missing))
            raise PromptError(f"the template of {self.protocol.name} does not show the {part.kind} {part.name}")

    def _variables(self, example: Example, shown: Sequence[int], marks: MediaMarks) -> dict[str, Any]:
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
            if self.pictures is not None:
                answers[-1]["media"] = marks.of(candidate.messages)
                answers[-1]["question_media"] = marks.of(candidate.prompt or ())
                answers[-1]["content"] = _text(marks.inside(candidate.messages), quote, bare="assistant")
        named: dict[str, Any] = {
            name: next((context[key] for key in keys if context.get(key)), "") for name, keys in _CONTEXT.items()
        }
        named["rubric"] = self.rubric or named["rubric"]
        shots = example.shots if self.pictures is None else marks.inside(example.shots)
        named["shots"] = "".join(quote(message.text) for message in shots).strip()
        if self.pictures is not None:
            named["media"] = marks.of(example.prompt)
            named["content"] = _text(marks.inside(example.prompt), quote)
        named["declared"] = self.protocol.variables
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

"""Rows that hold a reference answer beside the answer, as POLAR reads them: prompt and reference, a mark, prompt and
answer. Texts are bare, without a chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rmbench.models.protocols import Encoded, Request
from rmbench.models.text.tokens import TextRow
from rmbench.types import REFERENCE_KEYS, Conversation, bare_text

__all__ = ["ReferenceEncoder", "ReferenceText"]


class ReferenceText(BaseModel):
    """How such a row is put together, as a declaration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    between: str = Field(min_length=1)
    """A special token between the two halves."""
    joined: str = "\n"
    """What joins a prompt and its answer, and the messages of each."""
    most: int = Field(ge=1)
    """Tokens of the reference, and of the answer, that are kept; they lose their end."""
    spared: int = Field(ge=0)
    """Tokens of a row's length that upstream keeps free for what it puts between the texts."""


@dataclass(frozen=True)
class ReferenceEncoder:
    """Reads an example's reference and a candidate as one row.

    Upstream's rule to the letter: a text is tokenised with the tokenizer's special tokens around it, cut, and decoded
    without any special token, also one that the text spells.
    """

    tokenizer: Any
    form: ReferenceText
    max_length: int | None
    """Tokens a row may have; None: prompts are never cut."""
    ending: tuple[int, ...]
    """What every row ends with; its state is the score's."""

    @property
    def settings(self) -> Mapping[str, str | int | None]:
        """For the record."""
        return {
            "template": "reference and answer",
            "max_length": self.max_length,
            "longest_answer": self.form.most,
            "ending": " ".join(map(str, self.ending)),
        }

    def rows(self, requests: Sequence[Request]) -> list[TextRow | Encoded]:
        """A row for each request; one without a reference answer carries that as its error."""
        return [self._row(request) for request in requests]

    def _row(self, request: Request) -> TextRow | Encoded:
        context = request.example.context if request.example is not None else {}
        reference = next((context[key] for key in REFERENCE_KEYS if context.get(key)), "")
        if not reference:
            return Encoded(key="", size=0, error="the model compares with a reference answer, and the row has none")
        try:
            prompt = self._joined(request.conversation[: request.prompt_messages])
            answer = self._joined(request.conversation[request.prompt_messages :])
        except ValueError as error:
            return Encoded(key="", size=0, error=str(error))
        whole = self._text(prompt, reference, answer)
        kept = [self._kept(reference), self._kept(answer)]
        tokens = self._ids(prompt)
        room = len(tokens)
        if self.max_length is not None:
            room = (self.max_length - self.form.spared - sum(len(ids) for ids, _ in kept)) // 2
        if room < 1:
            return Encoded(key="", size=0, error=f"max_length {self.max_length} leaves no room for the prompt")
        halves = [self._decoded(tokens[-room:]), *(self._decoded(ids) for ids, _ in kept)]
        body = tuple(self._ids(self._text(*halves)))
        dropped = sum(cut for _, cut in kept)
        return TextRow(whole, (), body, self.ending, 2 * max(len(tokens) - room, 0), dropped)

    def _text(self, prompt: str, reference: str, answer: str) -> str:
        first, second = (prompt + self.form.joined + text for text in (reference, answer))
        return first + self.form.between + second

    def _joined(self, conversation: Conversation) -> str:
        return self.form.joined.join(map(bare_text, conversation))

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, verbose=False)["input_ids"])

    def _kept(self, text: str) -> tuple[list[int], int]:
        """The tokens that are kept of a text, and how many are not."""
        ids = self._ids(text)
        return ids[: self.form.most], max(len(ids) - self.form.most, 0)

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

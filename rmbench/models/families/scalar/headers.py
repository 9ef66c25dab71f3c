"""Where an answer begins: the tokens of a rendered conversation before its last message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from rmbench.models.protocols import Encoded, Request
from rmbench.models.text.template import TemplateRefusedError
from rmbench.models.text.tokens import TextEncoder, TextRow
from rmbench.types import Message

__all__ = ["tokens_before_answers"]

_PRIVATE = range(0xE000, 0xF8FF)
"""Characters without a meaning, which no template treats in a way of its own."""


def tokens_before_answers(
    text: TextEncoder, requests: Sequence[Request], rows: Sequence[TextRow | Encoded]
) -> list[tuple[int, ...]]:
    """Per row the tokens of its text before the last message, as `TextRow.body` has them before anything is cut.

    They are the template's and the prompt's alone: the conversation is rendered once more with another answer, and the
    text before the answer is what both have in common. Empty for a row that has an error or no such text.
    """
    befores = [
        "" if isinstance(row, Encoded) else _text_before_answer(text, request, row.text)
        for request, row in zip(requests, rows, strict=True)
    ]
    return text.bodies(befores)


def _text_before_answer(text: TextEncoder, request: Request, whole: str) -> str:
    unused = next(letter for letter in map(chr, _PRIVATE) if letter not in whole)
    answer = Message.of(request.conversation[-1].role, unused)
    try:
        other = text.template.render(replace(request, conversation=(*request.conversation[:-1], answer)))
    except TemplateRefusedError:
        return ""  # then no header is found, which the row says
    same = (first == second for first, second in zip(whole, other, strict=False))
    return whole[: sum(takewhile(bool, same))]

"""Rows of token ids as text again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rmbench.check.subject import Subject
from rmbench.models.protocols import Encoded, Request

__all__ = ["decode", "leading", "pairs_of_probes", "squeezed", "why_no_text"]


def why_no_text(subject: Subject) -> str:
    """Why the tokens of the model cannot be checked, or ""."""
    if subject.scorer is None:
        return f"a {subject.facts.family} model reads no token ids"
    if "text" not in subject.facts.modalities:
        return "the model reads images, not conversations"
    if not any(row.ids and not row.error for row in subject.encoded):
        return "its rows have no token ids"
    return "" if subject.tokenizer is not None else "the model exposes no tokenizer, so its token ids cannot be decoded"


def decode(tokenizer: Any, row: Encoded) -> str:
    """The row as text, with its special tokens."""
    decoded: str = tokenizer.decode(list(row.ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return decoded


def squeezed(text: str) -> str:
    """Text without white space and case, which some tokenizers do not preserve."""
    return re.sub(r"\s+", "", text).casefold()


def leading(ids: Sequence[int], token: int) -> int:
    """The length of the run of this token at the start."""
    return next((place for place, other in enumerate(ids) if other != token), len(ids))


def pairs_of_probes(subject: Subject, names: Sequence[str]) -> list[tuple[str, Request, Encoded]]:
    """(probe, request, row) of these probes, for rows that have token ids."""
    by_prompt = {id(one.prompt[0]): one.id for one in subject.examples if one.id in names}
    return [
        (by_prompt[id(request.conversation[0])], request, row)
        for request, row in zip(subject.requests, subject.encoded, strict=True)
        if id(request.conversation[0]) in by_prompt and row.ids and not row.error
    ]

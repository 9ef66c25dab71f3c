"""Rendered text into token ids: once, with the declared number of BOS tokens, cut on the declared side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from rmbench.errors import RmbenchError
from rmbench.models.protocols import TEMPLATE_DROPPED_TEXT, TEMPLATE_IGNORED_TOOLS, Encoded, Request
from rmbench.models.text.template import ChatTemplate, TemplateRefusedError
from rmbench.models.text.words import WordTokenizer, word_tokenizer

__all__ = ["TextEncoder", "TextRow", "affixes"]

Bos = Literal["one", "none", "double"]
Side = Literal["left", "right"]

_BOS_COUNT = {"none": 0, "one": 1, "double": 2}


class _Spelled(dict[int, str]):
    """Token id -> its decimal digits, each spelled once: rows are hashed by them."""

    def __missing__(self, token: int) -> str:
        self[token] = spelled = str(token)
        return spelled


_SPELLED = _Spelled()


@dataclass(frozen=True, slots=True)
class TextRow:
    """One conversation as tokens, with where they come from."""

    text: str
    """As rendered; "" where no template did it."""
    before: tuple[int, ...]
    """BOS or [CLS], as declared."""
    body: tuple[int, ...]
    """The text's own tokens that were kept, without a BOS that the template wrote."""
    after: tuple[int, ...]
    """[SEP] or EOS that the tokenizer puts behind."""
    dropped_left: int
    """Tokens of the text that were cut off before `body`."""
    dropped_right: int
    """Tokens of the text that were cut off behind it."""
    remarks: tuple[str, ...] = ()
    """Remarks on the text, which `encoded` passes on."""

    @property
    def ids(self) -> tuple[int, ...]:
        """[T], what the model reads."""
        return (*self.before, *self.body, *self.after)

    @property
    def truncated(self) -> bool:
        """Whether anything was cut off."""
        return self.dropped_left + self.dropped_right > 0

    def encoded(self, payload: object = None, remarks: tuple[str, ...] = ()) -> Encoded:
        """The row for the engine; a payload that is not None must have a `repr` that says all of it, and is part of
        the key."""
        ids = self.ids
        spelled = " ".join(map(_SPELLED.__getitem__, ids)) + ("" if payload is None else f" {payload!r}")
        key = hashlib.sha256(spelled.encode()).hexdigest()
        digest = hashlib.sha256(self.text.encode()).hexdigest() if self.text else ""
        remarks = (*self.remarks, *remarks)
        cut = (self.dropped_left, self.dropped_right)
        return Encoded(key, len(ids), ids, self.truncated, payload, remarks=remarks, text_digest=digest, cut=cut)


@dataclass(frozen=True)
class TextEncoder:
    """How one model reads conversations."""

    tokenizer: Any
    template: ChatTemplate
    bos: Bos
    max_length: int | None
    """Tokens a row may have, special tokens included; None: no limit is known."""
    truncation_side: Side
    prefix: tuple[int, ...]
    """What the tokenizer puts before bare text: BOS or [CLS]."""
    suffix: tuple[int, ...]
    """What it puts behind: [SEP], or an EOS."""
    encoder: bool
    """True for models that read special tokens of the tokenizer around templated text too ([CLS] ... [SEP])."""
    ending: tuple[int, ...] = ()
    """What every row ends with, whatever its template; it is added unless it stands there, and never cut off."""
    vocabulary: int | None = None
    """How many token ids the model has embeddings for, where that is known."""

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """Rows for the engine, whose key is the hash of their ids."""
        return [row if isinstance(row, Encoded) else row.encoded() for row in self.rows(requests)]

    def rows(self, requests: Sequence[Request]) -> list[TextRow | Encoded]:
        """Render and tokenise in one call of the tokenizer; a row that the template refuses carries the reason, as the
        Encoded with an error that it will stay."""
        entries = [self._text(request) for request in requests]
        texts = [text for text in entries if isinstance(text, str)]
        bodies = iter(self._ids(texts))
        return [
            self._row(text, next(bodies), request)
            if isinstance(text, str)
            else Encoded(key="", size=0, error=str(text))
            for text, request in zip(entries, requests, strict=True)
        ]

    def bodies(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of rendered texts, or of their starts, as `TextRow.body` has them before anything is cut."""
        return [tuple(self._begin(body)[1]) for body in self._ids(texts)]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text and of the special tokens in it, none added."""
        if not texts:
            return []
        if self._words is not None:
            return self._words(texts)
        ids: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    @cached_property
    def _words(self) -> WordTokenizer | None:
        return word_tokenizer(self.tokenizer)

    @property
    def settings(self) -> Mapping[str, str | int | None]:
        """For the record."""
        return {
            **self.template.settings,
            "bos": self.bos,
            "max_length": self.max_length,
            "truncation_side": self.truncation_side,
            **({"ending": " ".join(map(str, self.ending))} if self.ending else {}),
        }

    def _text(self, request: Request) -> str | TemplateRefusedError:
        try:
            return self.template.render(request)
        except TemplateRefusedError as refusal:
            return refusal

    def _row(self, text: str, body: list[int], request: Request) -> TextRow | Encoded:
        before, body = self._begin(body)
        after, body = self._end(body, request)
        if not body:
            return Encoded(key="", size=0, error="the conversation has no text to read")
        room = len(body) if self.max_length is None else self.max_length - len(before) - len(after)
        if room < 1:
            return Encoded(key="", size=0, error=f"max_length {self.max_length} leaves no room for text")
        kept = body[-room:] if self.truncation_side == "left" else body[:room]
        dropped = len(body) - len(kept)
        left = dropped if self.truncation_side == "left" else 0
        outside = max((max(kept), *before, *after)) if self.vocabulary is not None else -1
        if self.vocabulary is not None and outside >= self.vocabulary:
            token = self.tokenizer.convert_ids_to_tokens(outside)
            return Encoded(
                key="",
                size=0,
                error=f"token {outside} ({token!r}) is outside the model's {self.vocabulary:,} embeddings",
            )
        remarks = [TEMPLATE_DROPPED_TEXT] if self.template.drops_text(request, text) else []
        remarks += [TEMPLATE_IGNORED_TOOLS] if self.template.ignores_tools(request, text) else []
        return TextRow(text, tuple(before), tuple(kept), tuple(after), left, dropped - left, tuple(remarks))

    def _begin(self, body: list[int]) -> tuple[list[int], list[int]]:
        """Special tokens before the text, and the text without those that the template wrote."""
        bos = self.tokenizer.bos_token_id
        if self.encoder or bos is None:
            prefix = list(self.prefix)
            return prefix, body[len(prefix) :] if prefix and body[: len(prefix)] == prefix else body
        written = 0
        while written < len(body) and body[written] == bos:
            written += 1
        used = written > 0 or bos in self.prefix
        count = _BOS_COUNT[self.bos] if used or self.bos != "one" else 0
        others = [token for token in self.prefix if token != bos]
        return [bos] * count + others, body[written:]

    def _end(self, body: list[int], request: Request) -> tuple[list[int], list[int]]:
        """Special tokens after the text; a decoder's template ends the conversation itself."""
        suffix = [] if not self.encoder and request.render == "chat" else list(self.suffix)
        for written in (list(self.ending), suffix):
            body = body[: -len(written)] if written and body[-len(written) :] == written else body
        return [*suffix, *self.ending], body


def affixes(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens that a tokenizer puts before and after bare text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a", add_special_tokens=True)["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return tuple(whole[:start]), tuple(whole[start + len(bare) :])
    raise RmbenchError(f"The tokenizer reads a text with special tokens as {whole}, which does not hold {bare}.")

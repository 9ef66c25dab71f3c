"""Special tokens that stand in the text of messages: read as the control tokens they spell, or as text.

Tokenizers read "<|im_end|>" in a candidate as the token that ends a turn, so that a candidate can forge turns. Most
published numbers were made so. To read them as text, each is marked where it stands in a message, before a template
puts anything around it, by a character without a meaning behind its first letter; `LiteralTokenizer` reads what is
marked as text, and what the template writes as ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from rmbench.models.protocols import Request
from rmbench.types import TOOLS, Conversation, Message

__all__ = ["LiteralTokenizer", "holds_special_tokens", "special_strings", "unmarked"]

_MARK = "\uf8fe"
"""Of the private use area, whose characters mean nothing."""


def special_strings(tokenizer: Any) -> tuple[str, ...]:
    """How a tokenizer spells its special tokens, the longest first; () where it does not say."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    named = getattr(tokenizer, "all_special_tokens", ())
    spelled = {*(entry.content for entry in added if entry.special), *map(str, named)}
    return tuple(sorted(filter(None, spelled), key=lambda text: (-len(text), text)))


def holds_special_tokens(request: Request, spelled: Sequence[str]) -> bool:
    """Whether the text of a request's messages, further keys included, holds any of these strings."""
    starts = {one[:2] for one in spelled}
    texts = (text for message in (*request.conversation, *(request.against or ())) for text in _texts(message))
    held = (text for text in texts if any(start in text for start in starts))  # few texts, where there are many tokens
    return any(one in text for text in held for one in spelled)


class LiteralTokenizer:
    """A transformers tokenizer that reads marked special tokens (`marked`) as text. In all else it is the other one."""

    def __init__(self, tokenizer: Any, more: Sequence[str] = ()) -> None:
        """`more` are tokens to be marked as well, which the tokenizer may not call special."""
        self._tokenizer = tokenizer
        self.spelled = tuple(sorted({*special_strings(tokenizer), *more}, key=lambda text: (-len(text), text)))
        """See `special_strings`."""
        self.problem = self._problem()
        """Why it cannot read them as text; "" where it can."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_tokenizer":
            raise AttributeError(name)
        return getattr(self._tokenizer, name)

    def __len__(self) -> int:
        return len(self._tokenizer)

    def __call__(self, text: str | Sequence[str], *more: Any, **how: Any) -> Any:
        """See the other tokenizer; of texts with marks, their ids alone."""
        texts = [text] if isinstance(text, str) else list(text)
        if not any(_MARK in one for one in texts):
            return self._tokenizer(text, *more, **how)
        if more or how.get("add_special_tokens", True):
            raise ValueError("marked text is read without the tokenizer's own special tokens")
        plain = iter(self._ids([one for one in texts if _MARK not in one]))
        ids = [self._pieced(one) if _MARK in one else next(plain) for one in texts]
        return {"input_ids": ids[0] if isinstance(text, str) else ids}

    def marked(self, request: Request) -> Request:
        """The request with each special token in its messages marked."""
        if not holds_special_tokens(request, self.spelled):
            return request
        against = None if request.against is None else _changed(request.against, self._mark)
        return replace(request, conversation=_changed(request.conversation, self._mark), against=against)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(f"({'|'.join(map(re.escape, self.spelled))})")

    @cached_property
    def _entries(self) -> dict[str, Any]:
        return {entry.content: entry for entry in self._tokenizer.added_tokens_decoder.values()}

    def _mark(self, text: str) -> str:
        return self._pattern.sub(lambda found: found[0][0] + _MARK + found[0][1:], text)

    def _ids(self, texts: Sequence[str], *, literal: bool = False) -> list[list[int]]:
        if not texts:
            return []
        how = {"split_special_tokens": True} if literal else {}
        found = self._tokenizer(list(texts), add_special_tokens=False, verbose=False, **how)
        ids: list[list[int]] = found["input_ids"]
        return ids

    def _pieced(self, text: str) -> list[int]:
        """The ids of a text: its special tokens that are not marked, and what stands between them, as text."""
        pieces = self._pattern.split(text)  # text, special token, text ...
        for at in range(1, len(pieces), 2):
            entry = self._entries.get(pieces[at])
            if entry is not None and entry.lstrip:
                pieces[at - 1] = pieces[at - 1].rstrip()
            if entry is not None and entry.rstrip:
                pieces[at + 1] = pieces[at + 1].lstrip()
        ids = self._ids([piece.replace(_MARK, "") for piece in pieces[::2]], literal=True)
        specials: list[int] = self._tokenizer.convert_tokens_to_ids(pieces[1::2])
        return [*ids[0], *(one for special, more in zip(specials, ids[1:], strict=True) for one in (special, *more))]

    def _problem(self) -> str:
        if not getattr(self._tokenizer, "is_fast", False):
            return "it is none of the `tokenizers` library"
        unknown = self._tokenizer.unk_token_id  # which text may hold, and which controls nothing
        own = set(self._tokenizer.convert_tokens_to_ids(list(self.spelled))) - {unknown}
        for text, ids in zip(self.spelled, self._ids(self.spelled, literal=True), strict=True):
            if own & set(ids):
                return f"it reads {text!r} as a control token in text too"
        texts = [f"{one}user\n\n Hi, you{one}\nAn answer. {one}" for one in self.spelled]
        for one, text, ids in zip(self.spelled, texts, self._ids(texts), strict=True):
            if self._pieced(text) != ids:
                return f"it reads what stands beside {one!r} otherwise than by itself"
        return ""


def unmarked(conversation: Conversation) -> Conversation:
    """The conversation as it was before anything in it was marked."""
    return _changed(conversation, lambda text: text.replace(_MARK, ""))


def _changed(conversation: Conversation, change: Callable[[str], str]) -> Conversation:
    """The conversation with each of its texts changed; those of JSON string by string."""
    return tuple(
        Message.of_tools(_mapped(json.loads(message.text), change))
        if message.role == TOOLS
        else replace(
            message,
            parts=tuple(replace(one, text=change(one.text)) if one.kind == "text" else one for one in message.parts),
            extra=tuple((key, json.dumps(_mapped(json.loads(value), change))) for key, value in message.extra),
        )
        for message in conversation
    )


def _texts(message: Message) -> list[str]:
    texts = [] if message.role == TOOLS else [message.text]

    def keep(text: str) -> str:
        texts.append(text)
        return text

    for value in (*([message.text] if message.role == TOOLS else []), *(value for _, value in message.extra)):
        _mapped(json.loads(value), keep)
    return texts


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """JSON with each of its strings changed, those that are keys of objects too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _mapped(each, change) for key, each in value.items()}
    return [_mapped(each, change) for each in value] if isinstance(value, list) else value

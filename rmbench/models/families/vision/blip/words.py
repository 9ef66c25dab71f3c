"""Texts into the tokens of a model that reads them beside an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["CutWords", "Words"]


class Words(Protocol):
    """Texts into ids."""

    @property
    def most(self) -> int:
        """Tokens of a text that are read."""

    @property
    def pad_id(self) -> int:
        """Stands behind short rows, unread."""

    def __call__(self, text: str) -> tuple[tuple[int, ...], bool]:
        """The ids of a text, special ones included, and whether tokens were cut off."""


@dataclass(frozen=True)
class CutWords:
    """A tokenizer's ids, of a long text the first ones and the last, which ends it."""

    tokenizer: Any
    most: int

    @property
    def pad_id(self) -> int:
        """See `Words.pad_id`."""
        return int(self.tokenizer.pad_token_id or 0)

    def __call__(self, text: str) -> tuple[tuple[int, ...], bool]:
        """See `Words`."""
        whole: list[int] = self.tokenizer(text, verbose=False)["input_ids"]
        if len(whole) <= self.most:
            return tuple(whole), False
        return (*whole[: self.most - 1], whole[-1]), True

"""What a run costs: requests, tokens and money."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

__all__ = ["Usage"]


@dataclass(slots=True)
class Usage:
    """Counts the tokens that servers report. Added to from several threads."""

    price_in: float = 0.0
    """Of a million prompt tokens, in any currency."""
    price_out: float = 0.0
    """Of a million completion tokens."""
    replies: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Count a reply."""
        with self._lock:
            self.replies += 1
            self.prompt_tokens += prompt_tokens
            self.answer_tokens += answer_tokens

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.answer_tokens

    @property
    def cost(self) -> float | None:
        """In the currency of the prices; None without prices."""
        if not (self.price_in or self.price_out):
            return None
        return (self.prompt_tokens * self.price_in + self.answer_tokens * self.price_out) / 1e6

    def summary(self, retries: int = 0) -> str:
        """All of it in one line."""
        retried = f" ({retries:,} retries)" if retries else ""
        cost = "" if self.cost is None else f", cost {self.cost:,.4f}"
        tokens = f"{self.prompt_tokens:,} prompt tokens, {self.answer_tokens:,} completion tokens"
        return f"{self.replies:,} replies{retried}, {tokens}{cost}"

"""What a run has cost: requests, tokens and money."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from rmbench.models.servers.generation import Reply

__all__ = ["Usage"]


@dataclass(slots=True)
class Usage:
    """Counts what servers say they read and wrote. Added to from several threads."""

    price_in: float = 0.0
    """Of a million tokens read, in whatever currency."""
    price_out: float = 0.0
    """Of a million tokens written."""
    replies: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, reply: Reply) -> None:
        """Count a reply that came."""
        with self._lock:
            self.replies += 1
            self.prompt_tokens += reply.prompt_tokens
            self.answer_tokens += reply.answer_tokens

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.prompt_tokens + self.answer_tokens

    @property
    def cost(self) -> float | None:
        """In the currency of the prices; None where none was given."""
        if not (self.price_in or self.price_out):
            return None
        return (self.prompt_tokens * self.price_in + self.answer_tokens * self.price_out) / 1e6

    def line(self, sent_again: int = 0) -> str:
        """All of it as one line."""
        again = f" ({sent_again:,} sent again)" if sent_again else ""
        tokens = f"{self.prompt_tokens:,} tokens read, {self.answer_tokens:,} written"
        return f"{self.replies:,} answers{again}, {tokens}" + ("" if self.cost is None else f", cost {self.cost:,.4f}")

"""What a run costs: requests, tokens and money."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from rmbench.errors import RmbenchError

__all__ = ["CostLimitError", "Usage"]


class CostLimitError(RmbenchError):
    """The run has cost as much as the user allows."""

    exit_code = 3


@dataclass(slots=True)
class Usage:
    """Counts the tokens that servers report. Added to from several threads."""

    price_in: float = 0.0
    """Of a million prompt tokens, in any currency."""
    price_out: float = 0.0
    """Of a million completion tokens."""
    most: float | None = None
    """The cost at which no more questions are asked."""
    replies: int = 0
    uncounted: int = 0
    """Replies of which the server gives no numbers of tokens."""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Count a reply."""
        with self._lock:
            self.replies += 1
            self.uncounted += not (prompt_tokens or answer_tokens)
            self.prompt_tokens += prompt_tokens
            self.answer_tokens += answer_tokens

    def add_discarded(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Count the tokens of a response that was no reply and was asked for again."""
        with self._lock:
            self.prompt_tokens += prompt_tokens
            self.answer_tokens += answer_tokens

    def check(self, name: str) -> None:
        """Raise CostLimitError where the next question must not be asked."""
        if self.most is None:
            return
        if self.uncounted:
            raise CostLimitError(f"{name}: --max-cost: the server does not say how many tokens its replies take.")
        if self.cost is not None and self.cost >= self.most:
            raise CostLimitError(
                f"{name}: --max-cost {self.most:g} is reached: {self.cost:,.4f} for {self.replies:,} replies. They are "
                "kept; the same command goes on with the rest, and counts its cost anew."
            )

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
        if not self.tokens:
            return f"{self.replies:,} replies{retried}; the server does not say how many tokens they took"
        cost = "" if self.cost is None else f", cost {self.cost:,.4f}"
        tokens = f"{self.prompt_tokens:,} prompt tokens, {self.answer_tokens:,} completion tokens"
        tokens += f" (without {self.uncounted:,} replies whose tokens the server does not count)" * bool(self.uncounted)
        return f"{self.replies:,} replies{retried}, {tokens}{cost}"

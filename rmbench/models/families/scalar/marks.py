"""The head tensors of the library's sequence classifiers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rmbench.models.checkpoint.read import Checkpoint

__all__ = ["STOCK", "Stock"]


@dataclass(frozen=True, slots=True)
class Stock:
    """A sequence classifier of the library, which needs no declaration of its own."""

    head: str
    """A regular expression over the whole name of the head's weight, [labels, H]."""
    pooling: str
    """"last token" by the engine's mask, or "own", as the model's class does it (encoders)."""

    def head_of(self, checkpoint: Checkpoint) -> str:
        """The head's weight; "" where the checkpoint has none or several."""
        found = [name for name in checkpoint.tensors if re.fullmatch(self.head, name)]
        return found[0] if len(found) == 1 else ""


STOCK = {
    "stock": Stock(r"score\.weight", "last token"),
    "stock-encoder": Stock(r"classifier(\.out_proj)?\.weight", "own"),
}

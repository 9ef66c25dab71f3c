"""Prompts into CLIP's tokens: lower-cased byte pairs between a start and an end token, cut before the end token."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.loading import load_tokenizer
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators
from rmbench.models.options import OpenOptions

__all__ = ["ClipTokens", "bundled_tokens", "saved_tokens"]

_LONGEST_TOKEN = 24
"""Characters of the longest token of CLIP's vocabulary."""
_FILES = ("tokenizer.json", "vocab.json")


@dataclass(frozen=True)
class ClipTokens:
    """How one model's texts become tokens."""

    tokenizer: Any
    context: int
    """Tokens a text may have, start and end included."""
    source: str
    """Whose tokenizer it is, for the record."""

    def __call__(self, text: str) -> tuple[tuple[int, ...], bool]:
        """The text's ids, start and end included, at most `context`; and whether tokens were cut off."""
        body = self._body(text)
        start, end = self._ends()
        room = self.context - 2
        return (start, *body[:room], end), len(body) > room

    def _body(self, text: str) -> list[int]:
        if not hasattr(self.tokenizer, "clean_fn"):
            ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            return ids
        # Whatever stands behind the longest text that could fill the context is cut off anyway, and splitting a word
        # of a million letters would take minutes.
        cleaned = self.tokenizer.clean_fn(text)[: self.context * (_LONGEST_TOKEN + 1)]
        kept: list[int] = self.tokenizer.encode(cleaned)
        return kept

    def _ends(self) -> tuple[int, int]:
        if hasattr(self.tokenizer, "sot_token_id"):
            return self.tokenizer.sot_token_id, self.tokenizer.eot_token_id
        return self.tokenizer.bos_token_id, self.tokenizer.eos_token_id


def bundled_tokens(context: int, vocabulary: int, *, clean: str = "lower") -> ClipTokens:
    """open_clip's copy of OpenAI's vocabulary, for a text tower with this number of embeddings.

    Raises:
        RmbenchError: open_clip is not installed, or the tower has fewer embeddings.
    """
    tokenizer = _open_clip_tokenizer(clean)
    if tokenizer.vocab_size > vocabulary:
        raise RmbenchError(
            f"The text tower has {vocabulary:,} embeddings and CLIP's vocabulary {tokenizer.vocab_size:,} tokens: the "
            "model was made for another tokenizer, which open_clip's configuration does not name."
        )
    return ClipTokens(tokenizer, context, f"open_clip's CLIP vocabulary, {clean}")


@lru_cache(maxsize=4)
def _open_clip_tokenizer(clean: str) -> Any:
    declare_missing_operators()
    try:
        from open_clip.tokenizer import SimpleTokenizer
    except ImportError as error:
        raise RmbenchError(f"open_clip is not installed: pip install 'rmbench[clip]' ({error}).") from error
    return SimpleTokenizer(clean=clean)


def saved_tokens(checkpoint: Checkpoint, options: OpenOptions, context: int, vocabulary: int) -> ClipTokens:
    """The tokenizer next to the weights; CLIP's vocabulary as open_clip ships it where there is none.

    Raises:
        RmbenchError: the tokenizer has no start or end token, or more tokens than the tower has embeddings.
    """
    if not any(name in checkpoint.files for name in _FILES):
        return bundled_tokens(context, vocabulary)
    tokenizer = load_tokenizer(checkpoint, options)
    if tokenizer.bos_token_id is None or tokenizer.eos_token_id is None:
        raise RmbenchError(f"{checkpoint.folder}: CLIP's tokenizer needs a start and an end token.")
    if len(tokenizer) > vocabulary:
        raise RmbenchError(
            f"{checkpoint.folder}: the tokenizer has {len(tokenizer):,} tokens, the text tower {vocabulary:,}."
        )
    return ClipTokens(tokenizer, context, "the checkpoint's")

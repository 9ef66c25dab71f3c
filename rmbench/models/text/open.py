"""Opening text models: template, special tokens, length and padding, resolved from options, card and tokenizer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from rmbench.models.card import Card
from rmbench.models.checkpoint.loading import reads_pad_id, warm
from rmbench.models.checkpoint.opening import CARD_ARGS, Opening
from rmbench.models.checkpoint.read import Checkpoint, read_json
from rmbench.models.protocols import Batch, Encoded, Scorer
from rmbench.models.text.system_messages import goal_text, system_message
from rmbench.models.text.template_source import resolve_template
from rmbench.models.text.tokens import TextEncoder, affixes
from rmbench.validation import validated

__all__ = [
    "card_of",
    "length_and_side",
    "own_length",
    "pad_id",
    "text_encoder",
    "throwaway",
    "vocabulary_of",
    "warmed",
]

Warm = TypeVar("Warm", bound=Scorer)

_SANE_LENGTH = 10**9
"""Tokenizers without a limit of their own say a number far above this."""


def card_of(opening: Opening) -> Card:
    """The card with those of `--model-args` that are keys of every text model's card in their places."""
    card = opening.card
    given = {key: value for key, value in opening.options.model_args.items() if key in CARD_ARGS}
    return validated(Card, {**card.model_dump(), "path": card.path, **given}, "--model-args")


def text_encoder(opening: Opening, tokenizer: Any, *, encoder: bool = False) -> TextEncoder:
    """How the model reads conversations: the user's options, then the card, then the tokenizer.

    `encoder` marks models that read the tokenizer's special tokens around templated text too ([CLS] ... [SEP]).
    """
    card, options = card_of(opening), opening.options
    prefix, suffix = affixes(tokenizer)
    length, side = length_and_side(opening, tokenizer)
    template = resolve_template(tokenizer, options.template, card.template, opening.name)
    if card.goal is not None:
        template = replace(template, goal=goal_text(card), goal_name=f"{card.goal:g}")
    else:
        template = replace(template, system=system_message(card), system_name=Path(card.system_message).name)
    return TextEncoder(
        tokenizer=tokenizer,
        template=template,
        bos=card.bos,
        max_length=length,
        truncation_side=side,
        prefix=prefix,
        suffix=suffix,
        encoder=encoder,
        vocabulary=vocabulary_of(opening.checkpoint),
    )


def length_and_side(opening: Opening, tokenizer: Any) -> tuple[int | None, Literal["left", "right"]]:
    """How many tokens a row may have (None: no limit is known), and the end at which it is cut."""
    card, checkpoint = card_of(opening), opening.checkpoint
    length = opening.options.max_length or card.max_length or own_length(tokenizer, checkpoint)
    return length, card.truncation_side or _own_side(checkpoint)


def own_length(tokenizer: Any, checkpoint: Checkpoint) -> int | None:
    """The model's number of positions, or the tokenizer's limit where it is lower; None where neither says one."""
    config = checkpoint.config
    table = config.get("max_position_embeddings") or config.get("n_positions")
    if not table and isinstance(config.get("text_config"), dict):
        table = config["text_config"].get("max_position_embeddings")
    if isinstance(table, int) and reads_pad_id(config.get("model_type")):
        table -= int(config.get("pad_token_id") or 0) + 1
    limit = tokenizer.model_max_length
    known = [value for value in (table, limit) if isinstance(value, int) and 0 < value < _SANE_LENGTH]
    return min(known, default=None)


def _own_side(checkpoint: Checkpoint) -> Literal["left", "right"]:
    """The side in tokenizer_config.json, else left: the response is at the end."""
    file = checkpoint.tokenizer_path / "tokenizer_config.json"
    declared = read_json(file).get("truncation_side") if file.exists() else None
    return "right" if declared == "right" else "left"


def pad_id(tokenizer: Any, checkpoint: Checkpoint) -> int:
    """Any id of the vocabulary will do for decoders; encoders look at it for their positions."""
    size = vocabulary_of(checkpoint)
    for candidate in (checkpoint.config.get("pad_token_id"), tokenizer.pad_token_id, tokenizer.eos_token_id):
        if isinstance(candidate, int) and candidate >= 0 and (size is None or candidate < size):
            return candidate
    return 0


def vocabulary_of(checkpoint: Checkpoint) -> int | None:
    """How many token ids the model has embeddings for; None where config.json leaves that to its class."""
    text = checkpoint.config.get("text_config")
    configs = [checkpoint.config, text if isinstance(text, dict) else {}]
    return next((size for each in configs if isinstance(size := each.get("vocab_size"), int)), None)


def warmed(scorer: Warm, tokenizer: Any, checkpoint: Checkpoint) -> Warm:
    """The scorer after a forward that is thrown away, see `warm`."""
    warm(lambda: scorer.forward(throwaway(checkpoint, own_length(tokenizer, checkpoint))))
    return scorer


def throwaway(checkpoint: Checkpoint, limit: int | None) -> Batch:
    """Two rows of up to 64 tokens, so that the first forward runs on all threads."""
    width = min(64, limit or 64)
    ids = np.arange(2 * width, dtype=np.int64).reshape(2, width) % (vocabulary_of(checkpoint) or 1)
    rows = tuple(Encoded(key=str(row), size=width, ids=tuple(ids[row].tolist())) for row in range(2))
    return Batch(rows, ids, np.ones_like(ids), np.full(2, width - 1, dtype=np.int64))

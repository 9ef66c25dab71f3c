"""Opens a stock sequence classifier as a scalar reward model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from rmbench.errors import RmbenchError
from rmbench.models.backbone.backbone import Backbone
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.card import Card
from rmbench.models.checkpoint.loading import load_model, load_tokenizer
from rmbench.models.checkpoint.opening import NoSettings, Opening
from rmbench.models.checkpoint.placement import Placement, dtype_name, place, torch_dtype
from rmbench.models.checkpoint.quantised import quantisation
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.scalar.marks import STOCK
from rmbench.models.families.scalar.pooling import BoundPooling, Pooling
from rmbench.models.families.scalar.segments import PairEncoder, pair_encoder
from rmbench.models.families.scalar.stock import ScalarScorer
from rmbench.models.text.open import (
    card_of,
    length_and_side,
    pad_id,
    text_encoder,
    warmed,
)
from rmbench.models.text.tokens import TextEncoder

__all__ = ["open_stock", "stock_scorer"]


_FLOAT = re.compile(r"(float|bfloat|F|BF)(16|32|64)")


class _EncoderSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    segments: Literal["one", "pair"] = "one"
    """"one": the conversation by the chat template. "pair": the prompt's text and the answer's as two segments."""


def open_stock(opening: Opening) -> ScalarScorer:
    """Load a stock sequence classifier.

    Raises:
        RmbenchError: the model has not one label, no template, a missing tensor, or an option that does not fit.
    """
    checkpoint = opening.checkpoint
    labels = _one_label(checkpoint, STOCK[opening.family.layout].head_of(checkpoint))
    placement = place(opening)
    tokenizer = load_tokenizer(checkpoint, opening.options)
    # The number of labels is that of the head's tensor, whatever config.json says.
    model, unused = load_model(
        checkpoint,
        placement,
        opening.options,
        kind="AutoModelForSequenceClassification",
        config={"num_labels": labels},
    )
    return warmed(stock_scorer(opening, placement, model, tokenizer, unused), tokenizer, checkpoint)


def stock_scorer(
    opening: Opening, placement: Placement, model: Any, tokenizer: Any, unused: Sequence[str]
) -> ScalarScorer:
    """A sequence classifier of the library, loaded already, as a Scorer; `unused` are tensors that it has no use for.

    Raises:
        RmbenchError: the model has not one label, no template, or an option that does not fit.
    """
    checkpoint, stock = opening.checkpoint, STOCK[opening.family.layout]
    _one_label(checkpoint, stock.head_of(checkpoint))
    own, card = stock.pooling == "own", card_of(opening)
    head_dtype = placement.dtype if card.head_dtype == "model" else torch_dtype(card.head_dtype)
    text = _encoder_text(opening, tokenizer) if own else _decoder_text(opening, tokenizer)
    pad = pad_id(tokenizer, checkpoint)
    pooling = _pooling(card, checkpoint.config, pad, own=own)
    settings = {
        **text.settings,
        **(pooling.settings if pooling else {"pooling": "the class's own"}),
        **placement.facts(model),
        "head_dtype": dtype_name(placement.dtype if own else head_dtype),
        "unused_tensors": ", ".join(unused) or None,
    }
    facts = opening.facts(settings, parameter_count(model))
    backbone = None if pooling is None else Backbone(getattr(model, model.base_model_prefix))
    return ScalarScorer(model, backbone, text, facts, pad, pooling, head_dtype)


def _one_label(checkpoint: Checkpoint, head: str) -> int:
    labels = checkpoint.tensors[head].shape[0]
    named = quantisation(checkpoint.config)
    stored = checkpoint.tensors[head].dtype
    if named and not _FLOAT.match(stored):
        raise RmbenchError(
            f"{checkpoint.folder}: {head} is quantised itself ({named}, stored as {stored}), and a reward read through "
            "it is another: quantise the model with its head left out "
            "(llm_int8_skip_modules=['score'], modules_to_not_convert)."
        )
    if labels != 1:
        hint = " If the second is the reward, pass --adapter odin." if (labels, head) == (2, "score.weight") else ""
        raise RmbenchError(
            f"{checkpoint.folder}: {head} has {labels} labels; a scalar reward model has exactly one.{hint}"
        )
    return labels


def _pooling(card: Card, config: Mapping[str, Any], pad: int, *, own: bool) -> BoundPooling | None:
    """The library's classifiers read the last token that is not the pad token; encoders pool in their class."""
    if not own:
        return Pooling(upstream="rightmost").bind(config, pad, card.pooling)
    if card.pooling == "upstream":
        raise RmbenchError('pooling = "upstream": an encoder pools as its class does, and there is no other rule.')
    return None


def _decoder_text(opening: Opening, tokenizer: Any) -> TextEncoder:
    opening.settings(NoSettings)
    return text_encoder(opening, tokenizer)


def _encoder_text(opening: Opening, tokenizer: Any) -> TextEncoder | PairEncoder:
    if opening.settings(_EncoderSettings).segments == "one":
        return text_encoder(opening, tokenizer, encoder=True)
    if opening.options.template is not None:
        raise RmbenchError("--template does not go with segments = pair, which reads the bare texts.")
    card = card_of(opening)
    for name in (name for name, given in (("system_message", card.system_message), ("goal", card.goal)) if given):
        raise RmbenchError(f"{name} does not go with segments = pair, which reads the bare texts.")
    return pair_encoder(tokenizer, *length_and_side(opening, tokenizer))

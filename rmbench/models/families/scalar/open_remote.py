"""Opens a scalar model that is built by Python files in the checkpoint, where the user trusts them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model, load_tokenizer
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.placement import place
from rmbench.models.families.scalar.heads.declarations import digest_of
from rmbench.models.families.scalar.heads.schema import Layout
from rmbench.models.families.scalar.pooling import BoundPooling
from rmbench.models.families.scalar.reference import ReferenceEncoder
from rmbench.models.families.scalar.remote import RemoteScorer
from rmbench.models.text.open import card_of, length_and_side, pad_id, text_encoder, warmed
from rmbench.models.text.tokens import TextEncoder

__all__ = ["open_remote", "text_and_pooling"]

_KINDS = ("AutoModel", "AutoModelForSequenceClassification", "AutoModelForCausalLM")
"""What the checkpoint may name its class as, the best first."""


def open_remote(opening: Opening, layout: Layout) -> RemoteScorer:
    """Build the model by its own files and keep its own score.

    Raises:
        RmbenchError: the user does not trust them; they name no class; a missing tensor; a score that is no number.
    """
    checkpoint, options = opening.checkpoint, opening.options
    assert layout.remote is not None
    if not options.trust_remote_code:
        raise RmbenchError(
            f"{checkpoint.folder}: a model of the layout {layout.name} is built by Python files that lie in the "
            "checkpoint. Look at them, then pass --trust-remote-code."
        )
    if layout.remote.method is not None and options.special_tokens == "text":
        raise RmbenchError(
            f"--special-tokens text: {checkpoint.folder} takes conversations as they are and tokenises them itself."
        )
    if layout.remote.method is not None:
        card = card_of(opening)
        for name in (name for name, given in (("system_message", card.system_message), ("goal", card.goal)) if given):
            raise RmbenchError(f"{name}: {checkpoint.folder} takes conversations as they are.")
    head_dtype = card_of(opening).head_dtype
    if head_dtype != "model":
        raise RmbenchError(f"head_dtype {head_dtype}: the head of a {layout.name} model is in its own code.")
    placement = place(opening)
    tokenizer = load_tokenizer(checkpoint, options)
    text, pooling = _reference_text(opening, layout, tokenizer) or text_and_pooling(opening, layout, tokenizer)
    model, unused = load_model(
        checkpoint,
        placement,
        options,
        kind=_kind(opening),
        config=layout.backbone.config,
        rename=layout.backbone.rename,
        drop=layout.backbone.drop,
    )
    if layout.remote.tokenizer:
        model.tokenizer = tokenizer
    settings: dict[str, Any] = {
        **text.settings,
        "pooling": "the model's own code, row by row",
        **placement.facts(model),
        "remote_code": True,
        "head_sha256": digest_of(layout, checkpoint),
        "unused_tensors": ", ".join(unused) or None,
    }
    sees = ("text", "image") if layout.remote.images is not None else ("text",)
    facts = opening.facts(settings, parameter_count(model), modalities=sees)
    scorer = RemoteScorer(model, text, facts, pad_id(tokenizer, checkpoint), pooling, layout.remote)
    return warmed(scorer, tokenizer, checkpoint)


def text_and_pooling(opening: Opening, layout: Layout, tokenizer: Any) -> tuple[TextEncoder, BoundPooling]:
    """How rows are made and which of their states are read; raises RmbenchError where either cannot be resolved."""
    checkpoint = opening.checkpoint
    pooling = layout.pooling.bind(checkpoint.config, pad_id(tokenizer, checkpoint), card_of(opening).pooling)
    return replace(text_encoder(opening, tokenizer, encoder=layout.affixes), ending=pooling.ending), pooling


def _reference_text(opening: Opening, layout: Layout, tokenizer: Any) -> tuple[ReferenceEncoder, BoundPooling] | None:
    """How rows with a reference answer are made; None for layouts that read none.

    Raises:
        RmbenchError: the tokenizer has not the layout's mark, or an option that such rows have no use for.
    """
    if layout.reference is None:
        return None
    checkpoint, options, card, mark = opening.checkpoint, opening.options, card_of(opening), layout.reference.between
    if len(tokenizer(mark, add_special_tokens=False)["input_ids"]) != 1:
        raise RmbenchError(
            f"{checkpoint.folder}: the tokenizer has no token {mark}, which the layout {layout.name} reads."
        )
    unused = {
        "--template": options.template is not None,
        "--special-tokens text": options.special_tokens == "text",
        "system_message": bool(card.system_message),
        "goal": card.goal is not None,
        "--model-args truncation_side": "truncation_side" in options.model_args,
        "--model-args bos": "bos" in options.model_args,
    }
    for name in (name for name, given in unused.items() if given):
        raise RmbenchError(f"{name}: a {layout.name} model reads bare texts in a layout of its own.")
    length, _ = length_and_side(opening, tokenizer)
    pooling = layout.pooling.bind(checkpoint.config, pad_id(tokenizer, checkpoint), card.pooling)
    return ReferenceEncoder(tokenizer, layout.reference, length, pooling.ending), pooling


def _kind(opening: Opening) -> str:
    named = opening.checkpoint.config.get("auto_map") or {}
    found = next((kind for kind in _KINDS if kind in named), None)
    if found is None:
        raise RmbenchError(
            f'{opening.checkpoint.folder / "config.json"}: "auto_map" names {", ".join(named) or "nothing"}, expected '
            f"one of {', '.join(_KINDS)}."
        )
    return found

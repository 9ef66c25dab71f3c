"""Opens a pairwise model."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model, load_tokenizer
from rmbench.models.checkpoint.opening import NoSettings, Opening
from rmbench.models.checkpoint.placement import Placement, dtype_name, place, torch_dtype
from rmbench.models.checkpoint.state_dict import read_tensors
from rmbench.models.families.pairwise.letters import LetterScorer, decoder_logits, encoder_decoder_logits, letters_of
from rmbench.models.families.pairwise.marks import BACKBONE, HEAD, PAIRRM, PREFIX_KEYS, SLIC
from rmbench.models.families.pairwise.pairrm import Head, PairRmScorer, PairRmText, marks_of
from rmbench.models.families.pairwise.spelling import Dialogue, slic_question, steamshp_question
from rmbench.models.text.open import (
    card_of,
    length_and_side,
    pad_id,
    text_encoder,
    warmed,
)
from rmbench.models.text.template import ChatTemplate
from rmbench.models.text.tokens import TextEncoder, affixes

__all__ = ["PairRmSettings", "open_pairwise"]


class PairRmSettings(BaseModel):
    """PairRM's settings, for a card's [settings] or --model-args; the defaults are those of llm-blender/PairRM-hf.

    Better-PairRM has dialogue = "turns", source_length = 2030, candidate_length = 670, answer_length = 670 and, among
    the card's own keys, truncation_side = "left".
    """

    model_config = ConfigDict(extra="forbid")

    dialogue: Dialogue = "numbered"
    source_length: int = Field(default=1224, ge=8)
    candidate_length: int = Field(default=412, ge=8)
    answer_length: int | None = Field(default=None, ge=1)


def open_pairwise(opening: Opening) -> PairRmScorer | LetterScorer:
    """Load a pairwise model of any layout.

    Raises:
        RmbenchError: a tensor, a mark or a letter is missing, or an option does not fit the layout.
    """
    if opening.family.layout == PAIRRM:
        return _open_pairrm(opening)
    return _open_letters(opening)


def _open_pairrm(opening: Opening) -> PairRmScorer:
    wanted = opening.settings(PairRmSettings)
    _refuse(opening, "bos", "goal", "system_message")
    checkpoint, options = opening.checkpoint, opening.options
    tokenizer = load_tokenizer(checkpoint, options)
    marks_of(tokenizer, checkpoint.config, PREFIX_KEYS, checkpoint.folder)
    text = _pairrm_text(opening, wanted, tokenizer)
    placement, card = place(opening), card_of(opening)
    head_dtype = placement.dtype if card.head_dtype == "model" else torch_dtype(card.head_dtype)
    head = _head(opening, placement, head_dtype)
    model, unused = load_model(
        checkpoint,
        placement,
        options,
        rename={rf"^{BACKBONE.replace('.', '[.]')}": ""},
        drop="|".join(map(re.escape, HEAD)),
    )
    settings = {
        **text.settings,
        **placement.facts(model),
        "head_dtype": dtype_name(head_dtype),
        "tasks": head.w2.shape[0],
        "unused_tensors": ", ".join(unused) or None,
    }
    parameters = parameter_count(model) + sum(tensor.numel() for tensor in (head.w1, head.b1, head.w2, head.b2))
    scorer = PairRmScorer(model, head, text, opening.facts(settings, parameters), pad_id(tokenizer, checkpoint))
    return warmed(scorer, tokenizer, checkpoint)


def _pairrm_text(opening: Opening, wanted: PairRmSettings, tokenizer: Any) -> PairRmText:
    checkpoint, card = opening.checkpoint, card_of(opening)
    before, after = affixes(tokenizer)
    text = PairRmText(
        tokenizer=tokenizer,
        dialogue=wanted.dialogue,
        before=before,
        after=after,
        source_length=wanted.source_length,
        candidate_length=wanted.candidate_length,
        answer_length=wanted.answer_length,
        source_side=card.truncation_side or "right",
    )
    asked = opening.options.max_length or card.max_length or text.total
    if asked != text.total:
        raise RmbenchError(
            f"{opening.name}: max_length {asked} is not source_length + 2 candidate_length = {text.total}. PairRM's "
            "rows have budgets, which --model-args source_length=...,candidate_length=... change."
        )
    table = checkpoint.config.get("max_position_embeddings")
    if checkpoint.config.get("position_biased_input", True) and isinstance(table, int) and table < text.total:
        raise RmbenchError(
            f"{checkpoint.folder}: config.json gives the model {table} absolute positions, too few for rows of "
            f"{text.total} tokens; lower source_length and candidate_length by --model-args."
        )
    return text


def _head(opening: Opening, placement: Placement, dtype: torch.dtype) -> Head:
    found = read_tensors(opening.checkpoint, HEAD, opening.options)
    return Head(*(found[name].to(placement.device, dtype) for name in HEAD))


def _open_letters(opening: Opening) -> LetterScorer:
    """The layouts whose answer is a letter."""
    opening.settings(NoSettings)
    checkpoint, options, layout = opening.checkpoint, opening.options, opening.family.layout
    causal = layout == SLIC
    _refuse(opening, "head_dtype", *(() if causal else ("bos", "goal", "system_message")))
    tokenizer = load_tokenizer(checkpoint, options)
    text = _slic_encoder(opening, tokenizer) if causal else _steamshp_encoder(opening, tokenizer)
    letters = letters_of(tokenizer, opening.name)
    placement = place(opening)
    kind = "AutoModelForCausalLM" if causal else "AutoModelForSeq2SeqLM"
    model, unused = load_model(checkpoint, placement, options, kind=kind)
    settings = {
        **(text.settings if causal else {key: text.settings[key] for key in ("max_length", "truncation_side")}),
        "letters": " ".join(map(str, letters)),
        **placement.facts(model),
        "unused_tensors": ", ".join(unused) or None,
    }
    scorer = LetterScorer(
        model=model,
        text=text,
        spell=slic_question if causal else steamshp_question,
        chat=causal,
        logits=decoder_logits if causal else encoder_decoder_logits,
        letters=letters,
        facts=opening.facts(settings, parameter_count(model)),
        pad_id=pad_id(tokenizer, checkpoint),
    )
    return warmed(scorer, tokenizer, checkpoint)


def _slic_encoder(opening: Opening, tokenizer: Any) -> TextEncoder:
    """The model's template, without the BOS that upstream takes away; a long row loses the beginning of its context."""
    said = "bos" in opening.card.model_fields_set or "bos" in opening.options.model_args
    text = text_encoder(opening, tokenizer)
    return replace(text, bos=text.bos if said else "none", truncation_side=_left(opening))


def _steamshp_encoder(opening: Opening, tokenizer: Any) -> TextEncoder:
    """Bare text with the tokenizer's own end of sequence. SteamSHP's card says to shorten the context and spare the
    answers, so a long row loses its beginning."""
    if opening.options.template is not None:
        raise RmbenchError(f"--template: {opening.name} reads a layout of its own ({opening.family.layout}).")
    prefix, suffix = affixes(tokenizer)
    template = ChatTemplate(tokenizer, "", opening.family.layout)  # never rendered: requests are raw
    length, _ = length_and_side(opening, tokenizer)
    return TextEncoder(tokenizer, template, "none", length, _left(opening), prefix, suffix, encoder=True)


def _left(opening: Opening) -> Any:
    """The side that is cut; the other end holds the answers and the question."""
    if card_of(opening).truncation_side == "right":
        raise RmbenchError(
            f"{opening.name}: truncation_side=right would cut off the end, at which a {opening.family.layout} model "
            "answers."
        )
    return "left"


def _refuse(opening: Opening, *keys: str) -> None:
    """Raise RmbenchError for a setting of other text models that this layout has no use for."""
    for key in keys:
        if key == "head_dtype" and opening.card.head_dtype != "model":
            raise RmbenchError(f'{opening.card.path}: a {opening.family.layout} model has no key "head_dtype".')
        if key in opening.options.model_args:
            raise RmbenchError(f"--model-args: a {opening.family.layout} model has no setting {key!r}.")
    if opening.family.layout == PAIRRM and opening.options.template is not None:
        raise RmbenchError(f"--template: {opening.name} reads a layout of its own ({opening.family.layout}).")

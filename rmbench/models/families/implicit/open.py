"""Opens a language model, and its references, as an implicit reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model, load_tokenizer, warm
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.placement import Placement, place
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.implicit.answers import Answer, AnswerEncoder, special_ids
from rmbench.models.families.implicit.formulas import WITH_REFERENCE, Rule
from rmbench.models.families.implicit.language import LanguageModel, language_model
from rmbench.models.families.implicit.masks import read_masks
from rmbench.models.families.implicit.reference import Reference, check_tokenizer, find_references
from rmbench.models.families.implicit.scorer import ImplicitScorer
from rmbench.models.families.implicit.settings import ImplicitSettings
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Batch
from rmbench.models.text.open import card_of, own_length, pad_id, text_encoder, throwaway
from rmbench.models.text.tokens import TextEncoder
from rmbench.types import Setting

__all__ = [
    "answer_encoder",
    "check_card",
    "implicit_scorer",
    "open_implicit",
    "references_of",
    "shortest_length",
    "throwaway_answers",
]


def open_implicit(opening: Opening) -> ImplicitScorer:
    """Load a causal language model, and its references, as a reward.

    Raises:
        RmbenchError: settings that contradict one another, a reference that reads text in another way, no template, a
            missing tensor.
    """
    wanted = opening.settings(ImplicitSettings)
    checkpoint, options = opening.checkpoint, opening.options
    references = references_of(opening, wanted)
    rule = wanted.rule(bool(references))
    wanted.check_references(len(references))
    placement = place(opening)
    tokenizer = load_tokenizer(checkpoint, options)
    for reference in references:
        check_tokenizer(tokenizer, reference, options)
    shortest = shortest_length(tokenizer, [checkpoint, *(reference.checkpoint for reference in references)])
    text = _text(opening, tokenizer, shortest, wanted, rule)  # before anything is loaded
    policy, unused = _load(checkpoint, placement, options, tokenizer)
    others = tuple(_load(reference.checkpoint, placement, options, tokenizer)[0] for reference in references)
    facts = {
        "reference": ", ".join(reference.name for reference in references) or None,
        "reference_files": ", ".join(reference.digest for reference in references) or None,
        "unused_tensors": ", ".join(unused) or None,
    }
    scorer = implicit_scorer(opening, placement, (policy, *others), tokenizer, facts, text=text)
    warm(lambda: scorer.forward(throwaway_answers(checkpoint, shortest)))
    return scorer


def implicit_scorer(
    opening: Opening,
    placement: Placement,
    models: tuple[LanguageModel, ...],
    tokenizer: Any,
    facts: Mapping[str, Setting],
    *,
    text: AnswerEncoder | None = None,
) -> ImplicitScorer:
    """A policy and its references, loaded already and in this order, as a Scorer.

    Args:
        opening: the policy's.
        placement: where and how it computes.
        models: all of them.
        tokenizer: the policy's.
        facts: further settings for the record.
        text: how rows are read; None: as all positions of the policy allow.

    Raises:
        RmbenchError: as in `open_implicit`.
    """
    wanted, (policy, *others) = opening.settings(ImplicitSettings), models
    rule = wanted.rule(bool(others))
    wanted.check_references(len(others))
    text = text or _text(opening, tokenizer, own_length(tokenizer, opening.checkpoint), wanted, rule)
    settings = {
        **wanted.facts(rule, len(others)),
        **text.settings,
        **placement.facts(policy.model),
        "logits": ", ".join(dict.fromkeys(model.way for model in models)),
        **facts,
    }
    return ImplicitScorer(
        policy=policy,
        references=tuple(others),
        text=text,
        rule=rule,
        facts=opening.facts(settings, parameter_count(policy.model)),
        pad_id=_common_pad(tokenizer, opening.checkpoint, models),
        fusion=wanted.fusion,
        ref_weights=wanted.ref_weights,
    )


def references_of(opening: Opening, wanted: ImplicitSettings) -> tuple[Reference, ...]:
    """The user's references, or the card's where the score has use for one."""
    asked = opening.options.ref_model
    if asked is not None and wanted.score is not None and wanted.score not in WITH_REFERENCE:
        raise RmbenchError(
            f"--ref-model {asked}: score={wanted.score} has no reference; leave one of the two out. Scores with one: "
            f"{', '.join(WITH_REFERENCE)}."
        )
    declared = wanted.ref_model if wanted.score in (None, *WITH_REFERENCE) else None
    references = find_references(asked or declared, opening.options, opening.checkpoint)
    for reference in references:
        if reference.digest == opening.digest:
            raise RmbenchError(f"--ref-model {reference.name} is the policy itself, so every reward would be the same.")
    return references


def _text(
    opening: Opening, tokenizer: Any, shortest: int | None, wanted: ImplicitSettings, rule: Rule
) -> AnswerEncoder:
    """How rows are read: by the policy's template; unless somebody says how long, as every model's positions allow."""
    card = card_of(opening)
    check_card(opening)
    encoder = text_encoder(opening, tokenizer)
    if opening.options.max_length is None and card.max_length is None:
        encoder = replace(encoder, max_length=shortest)
    return answer_encoder(encoder, wanted, rule)


def check_card(opening: Opening) -> None:
    """Raise RmbenchError for keys of a card, or model arguments, that do not apply."""
    card = card_of(opening)
    if card.truncation_side == "right" or card.head_dtype != "model":
        raise RmbenchError(
            f"{opening.name}: an implicit reward has no head, and cuts the prompt on its left and then the answer on "
            "its right: truncation_side=right and head_dtype do not apply to it."
        )


def answer_encoder(text: TextEncoder, wanted: ImplicitSettings, rule: Rule) -> AnswerEncoder:
    """A text encoder that knows prompt from answer, by the settings; raises RmbenchError for a broken file of masks."""
    return AnswerEncoder(
        text=text,
        eos=wanted.eos,
        specials=special_ids(text.tokenizer),
        needs_tokens=rule.needs_tokens,
        masks=read_masks(Path(wanted.token_mask)) if wanted.token_mask else None,
        joint=wanted.scope == "joint",
    )


def shortest_length(tokenizer: Any, checkpoints: Sequence[Checkpoint]) -> int | None:
    """How many tokens all of them have positions for; None where none says it."""
    lengths = [own_length(tokenizer, checkpoint) for checkpoint in checkpoints]
    return min((length for length in lengths if length), default=None)


def _load(
    checkpoint: Checkpoint, placement: Placement, options: OpenOptions, tokenizer: Any
) -> tuple[LanguageModel, tuple[str, ...]]:
    model, unused = load_model(checkpoint, placement, options, kind="AutoModelForCausalLM")
    return language_model(model, throwaway(checkpoint, own_length(tokenizer, checkpoint))), unused


def _common_pad(tokenizer: Any, checkpoint: Checkpoint, models: tuple[LanguageModel, ...]) -> int:
    """An id that every model has an embedding for; the mask hides it."""
    pad = pad_id(tokenizer, checkpoint)
    return pad if all(pad < model.model.get_input_embeddings().weight.shape[0] for model in models) else 0


def throwaway_answers(checkpoint: Checkpoint, limit: int | None) -> Batch:
    """A throwaway batch whose rows are answers but for their first token."""
    batch = throwaway(checkpoint, limit)
    return replace(batch, rows=tuple(replace(row, payload=Answer(1)) for row in batch.rows))

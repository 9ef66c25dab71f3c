"""Opens a vision-language model, and its references, as an implicit reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model, warm
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.placement import Placement, place
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.implicit.language import language_model
from rmbench.models.families.implicit.open import (
    answer_encoder,
    check_card,
    references_of,
    shortest_length,
    throwaway_answers,
)
from rmbench.models.families.implicit.reference import Reference, check_tokenizer
from rmbench.models.families.implicit.seeing import SeeingEncoder, SeeingModel, SeeingScorer
from rmbench.models.families.implicit.settings import ImplicitSettings
from rmbench.models.families.vl.backbone import VisionBackbone
from rmbench.models.families.vl.pictures import Pictures
from rmbench.models.families.vl.reading import (
    content_template,
    literal_tokenizer,
    pictures_of,
    processor_of,
    stored_vocabulary,
)
from rmbench.models.families.vl.schema import Pixels
from rmbench.models.text.open import card_of, own_length, pad_id, throwaway
from rmbench.models.text.tokens import TextEncoder, affixes

__all__ = ["SeeingSettings", "open_seeing"]

_BOTH_WAYS = ("paligemma",)
"""Backbones whose prompts' tokens see each other both ways, the answer's among them here."""
_NOT_READ = ("chat_template", "processor_class", "auto_map", "image_processor_type", "max_pixels", "min_pixels")
"""Keys of a processor of images that say nothing of its pixels, or say `size` again."""


class SeeingSettings(ImplicitSettings):
    """Settings of `--adapter implicit` for a policy that sees."""

    min_pixels: int | None = Field(default=None, ge=1)
    """Of a picture, in place of the processor's."""
    max_pixels: int | None = Field(default=None, ge=1)
    frames: str = "fps:2"
    """Which frames of a video are looked at."""
    share: bool = True
    """Whether a prompt that rows share, with its pictures, is computed once."""


def open_seeing(opening: Opening) -> SeeingScorer:
    """Load a vision-language model, and its references, as a reward.

    Raises:
        RmbenchError: as in `open_implicit`; and a backbone whose log-probabilities are not had here, or a reference
            that is shown pictures in another way.
    """
    wanted = opening.settings(SeeingSettings)
    checkpoint, options, where = opening.checkpoint, opening.options, str(opening.checkpoint.folder)
    _check(opening, wanted)
    references = references_of(opening, wanted)
    rule = wanted.rule(bool(references))
    wanted.check_references(len(references))
    placement = place(opening)
    processor = processor_of(checkpoint, options)
    literal = literal_tokenizer(processor, where)
    for reference in references:
        _check_reference(opening, processor, reference)
    checkpoints = [checkpoint, *(reference.checkpoint for reference in references)]
    text = _text(opening, literal)
    pixels = Pixels(min=wanted.min_pixels, max=wanted.max_pixels, frames=wanted.frames)
    pictures = pictures_of(processor, checkpoint, pixels)
    loaded = [_load(opening, each, placement, literal, pictures, share=wanted.share) for each in checkpoints]
    models = [model for model, _ in loaded]
    rows = [int(model.model.get_input_embeddings().weight.shape[0]) for model in models]
    encoder = SeeingEncoder(
        answers=answer_encoder(text, wanted, rule),
        pictures=pictures,
        max_length=options.max_length or card_of(opening).max_length or shortest_length(literal, checkpoints),
        vocabulary=min(rows),
    )
    vision = models[0].vision
    settings = {
        **wanted.facts(rule, len(references)),
        **encoder.settings,
        "positions": vision.positions if vision.has_axes else None,
        **placement.facts(models[0].model),
        "logits": models[0].way,
        "reference": ", ".join(reference.name for reference in references) or None,
        "reference_files": ", ".join(reference.digest for reference in references) or None,
        "unused_tensors": ", ".join(loaded[0][1]) or None,
    }
    sees = ("text", "image", *(["video"] if pictures.videos else []))
    scorer = SeeingScorer(
        policy=models[0],
        references=tuple(models[1:]),
        text=encoder,
        rule=rule,
        facts=opening.facts(settings, parameter_count(models[0].model), modalities=sees),
        pad_id=pad_id(literal, checkpoint),
        fusion=wanted.fusion,
        ref_weights=wanted.ref_weights,
    )
    warm(lambda: scorer.forward(throwaway_answers(checkpoint, own_length(literal, checkpoint))))
    return scorer


def _check(opening: Opening, wanted: SeeingSettings) -> None:
    """Raise RmbenchError for what a policy that sees has no answer to."""
    kind = opening.checkpoint.config["model_type"]
    if kind in _BOTH_WAYS:
        raise RmbenchError(
            f"{opening.name}: a {kind} model reads its prompt in both directions, and its log-probabilities are not "
            "computed here; an implicit reward needs a policy that reads from left to right."
        )
    check_card(opening)
    if wanted.scope == "joint":
        raise RmbenchError("scope=joint counts the prompt's tokens, and those of a picture have no probability.")
    if card_of(opening).system_message:
        raise RmbenchError(
            f"{opening.name}: system_message: a policy that sees is given the task's own messages alone."
        )
    if wanted.min_pixels and wanted.max_pixels and wanted.min_pixels > wanted.max_pixels:
        raise RmbenchError(
            f"{opening.name}: min_pixels is {wanted.min_pixels:,}, above max_pixels, {wanted.max_pixels:,}."
        )


def _check_reference(opening: Opening, processor: Any, reference: Reference) -> None:
    """Raise RmbenchError for a reference that reads texts or pictures in another way: both models are given the same
    token ids and the same pixels."""
    own, other = opening.checkpoint.config["model_type"], reference.checkpoint.config.get("model_type")
    if own != other:
        raise RmbenchError(f"--ref-model {reference.name} is a {other} model, the policy a {own} model.")
    check_tokenizer(processor.tokenizer, reference, opening.options)
    theirs = processor_of(reference.checkpoint, opening.options)
    for part in ("image_processor", "video_processor"):
        ours, others = _said(processor, part), _said(theirs, part)
        for key in ours.keys() & others.keys() - {*_NOT_READ}:
            if ours[key] != others[key]:
                raise RmbenchError(
                    f"--ref-model {reference.name}: policy and reference must be shown the same pixels, and the "
                    f"policy's {part} says {key} = {ours[key]}, the reference's {others[key]}."
                )


def _said(processor: Any, part: str) -> dict[str, Any]:
    """What a part of a processor says of itself, as in its file."""
    found = getattr(processor, part, None)
    return {} if found is None else dict(found.to_dict())


def _text(opening: Opening, literal: Any) -> TextEncoder:
    """How texts are read, each picture one token; nothing is cut."""
    prefix, suffix = affixes(literal)
    return TextEncoder(
        tokenizer=literal,
        template=content_template(opening, literal),
        bos=card_of(opening).bos,
        max_length=None,
        truncation_side="left",
        prefix=prefix,
        suffix=suffix,
        encoder=False,
    )


def _load(
    opening: Opening, checkpoint: Checkpoint, placement: Placement, literal: Any, pictures: Pictures, *, share: bool
) -> tuple[SeeingModel, Sequence[str]]:
    """A model, and the names of tensors that it has no use for."""
    config = stored_vocabulary(checkpoint)
    model, unused = load_model(
        checkpoint, placement, opening.options, kind="AutoModelForImageTextToText", config=config
    )
    language = language_model(model, throwaway(checkpoint, own_length(literal, checkpoint)))
    if language.backbone is None:
        raise RmbenchError(
            f"{checkpoint.folder}: {type(model).__name__} does more to its logits than its output embedding, and is "
            "not known here."
        )
    base = language.backbone.model
    positions: Literal["mrope", "sequential"] = "mrope" if hasattr(base, "get_rope_index") else "sequential"
    return SeeingModel(model, None, language.after, VisionBackbone(base, pictures, positions, share)), unused

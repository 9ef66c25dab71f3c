"""Opens a vision-language reward model: processor, chat template, backbone and head."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.media import FrameRule
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.library import explained, quiet
from rmbench.models.checkpoint.loading import dtype_name, load_model, place, torch_dtype
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.scalar.heads.build import HeadTensors
from rmbench.models.families.vl.backbone import VisionBackbone
from rmbench.models.families.vl.heads import build_vision_head
from rmbench.models.families.vl.matching import lacking
from rmbench.models.families.vl.pictures import Pictures
from rmbench.models.families.vl.schema import Layout
from rmbench.models.families.vl.scorer import VisionLanguageScorer
from rmbench.models.families.vl.wording import ContentTemplate, read_wording
from rmbench.models.text.open import card_of, own_length, pad_id, vocabulary_of, warmed
from rmbench.models.text.special import LiteralTokenizer
from rmbench.models.text.template_source import own_template
from rmbench.types import Setting
from rmbench.untrusted.files import MIB, read_text

__all__ = ["VisionLanguageSettings", "open_vision_language"]

_NO_VIDEOS = ("internvl", "idefics3", "paligemma")
"""Backbones that are shown images alone here."""


class VisionLanguageSettings(BaseModel):
    """Settings of a vision-language model, for `--model-args` and cards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str | None = None
    """The file of the words that the model was trained with, for layouts that have words of their own."""
    prompt_2: str | None = None
    """That of the second pass."""
    positions: Literal["mrope", "sequential"] | None = None
    """None: the layout's."""
    min_pixels: int | None = Field(default=None, ge=1)
    """Of a picture, in place of the layout's or the processor's."""
    max_pixels: int | None = Field(default=None, ge=1)
    frames: str | None = None
    """Which frames of a video are looked at; None: the layout's."""
    passes: Literal["mean", "min", "sum"] | None = None
    """How the rewards of several passes become one; None: the layout's."""
    iteration: float | None = Field(default=None, ge=0, le=1)
    """The condition of a modulated head (HPSv3++); None: 0."""
    share: bool = True
    """Whether a prompt that rows share, with its pictures, is computed once."""


def open_vision_language(opening: Opening, layout: Layout) -> VisionLanguageScorer:
    """Load a vision-language reward model.

    Raises:
        RmbenchError: another backbone than the known ones; no processor, template or words; a tensor that is missing
            or does not fit; an option that the model has no use for.
    """
    settings = opening.settings(VisionLanguageSettings)
    checkpoint, options, where = opening.checkpoint, opening.options, str(opening.checkpoint.folder)
    _check_layout(opening, layout)
    layout = _changed(layout, settings, where)
    placement = place(opening)
    asked = card_of(opening).head_dtype
    wanted = layout.head_dtype if asked == "model" else asked
    head_dtype = placement.dtype if wanted == "model" else torch_dtype(wanted)
    wordings = read_wording([settings.prompt, settings.prompt_2], layout.prompt, where)
    processor = _processor(opening)
    literal = _literal(processor, layout, where)
    template = _template(opening, literal, layout)
    tensors = HeadTensors(checkpoint, options, head_dtype, placement.device)
    heads = tuple(build_vision_head(layout, number, tensors) for number in range(layout.prompt.passes))
    names = [re.escape(name) for name in sorted(tensors.taken)]
    model, unused = load_model(
        checkpoint,
        placement,
        options,
        config={**layout.backbone.config, **_vocabulary(checkpoint)},
        rename=layout.backbone.rename,
        drop="|".join([*names, layout.backbone.drop or "(?!)"]),
    )
    _check_widths(tensors, layout, model)
    videos = (
        checkpoint.config["model_type"] not in _NO_VIDEOS and getattr(processor, "video_processor", None) is not None
    )
    pictures = Pictures(processor, layout.pixels, FrameRule.of(layout.pixels.frames), bool(videos))
    backbone = VisionBackbone(model, pictures, _positions(layout, model, where), settings.share)
    length = options.max_length or opening.card.max_length or own_length(processor.tokenizer, checkpoint)
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    said: dict[str, Setting] = {
        **template.settings,
        **{f"prompt{f'_{n + 1}' if n else ''}": each.source for n, each in enumerate(wordings)},
        **{f"prompt{f'_{n + 1}' if n else ''}_sha256": each.sha256 for n, each in enumerate(wordings)},
        "read_at": ", ".join(layout.prompt.tokens) or "last token",
        "special_tokens": "text",
        "positions": backbone.positions if backbone.has_axes else None,
        **pictures.settings,
        "max_length": length,
        **placement.facts(model),
        "head_dtype": dtype_name(head_dtype),
        "objectives": ", ".join(layout.output.names) or None,
        "passes": layout.output.passes if len(heads) > 1 else None,
        "iteration": layout.film.iteration if layout.film else None,
        "head_sha256": _digest(layout, opening),
        "unused_tensors": ", ".join(unused) or None,
    }
    reads = ["text"] if layout.prompt.form == "chat" else []  # otherwise pictures alone are scored
    parameters = parameter_count(model) + sum(head.parameters for head in heads)
    scorer = VisionLanguageScorer(
        backbone=backbone,
        heads=heads,
        head_dtype=head_dtype,
        template=template,
        wordings=tuple(wordings),
        spots=tuple(literal.convert_tokens_to_ids(list(layout.prompt.tokens))),
        passes=layout.output.passes,
        max_length=length,
        vocabulary=vocabulary,
        facts=opening.facts(said, parameters, modalities=(*reads, "image", *(["video"] if videos else []))),
        pad_id=pad_id(processor.tokenizer, checkpoint),
    )
    return warmed(scorer, processor.tokenizer, checkpoint)


def _vocabulary(checkpoint: Checkpoint) -> dict[str, Any]:
    """The rows of the stored embedding, which reward tokens made other than config.json says; the tokenizer's length is
    no guide, since the base's embedding may have spare rows."""
    stored = [tensor.shape[0] for name, tensor in checkpoint.tensors.items() if name.endswith("embed_tokens.weight")]
    if len(stored) != 1 or stored[0] == vocabulary_of(checkpoint):
        return {}
    text = checkpoint.config.get("text_config")
    rows = {"vocab_size": stored[0]}
    return {"text_config": {**text, **rows}} if isinstance(text, dict) else rows


def _check_layout(opening: Opening, layout: Layout) -> None:
    checkpoint = opening.checkpoint
    wrong = lacking(layout, checkpoint)
    if wrong:
        raise RmbenchError(f"{checkpoint.folder} is not of the layout {layout.name}: it lacks {', '.join(wrong)}.")


def _changed(layout: Layout, settings: VisionLanguageSettings, where: str) -> Layout:
    """The layout with the user's or the card's settings in place of its own."""
    pixels = {"min": settings.min_pixels, "max": settings.max_pixels, "frames": settings.frames}
    given = {key: value for key, value in pixels.items() if value is not None}
    changed = layout.model_copy(update={"pixels": layout.pixels.model_copy(update=given)})
    least, most = changed.pixels.min, changed.pixels.max
    if least is not None and most is not None and least > most:
        raise RmbenchError(f"{where}: min_pixels is {least:,}, above max_pixels, {most:,}.")
    if settings.positions is not None:
        changed = changed.model_copy(update={"positions": settings.positions})
    if settings.passes is not None:
        if layout.prompt.passes == 1:
            raise RmbenchError(f"{where}: passes={settings.passes}: the layout {layout.name} has one pass.")
        changed = changed.model_copy(update={"output": layout.output.model_copy(update={"passes": settings.passes})})
    if settings.iteration is not None:
        if layout.film is None:
            raise RmbenchError(
                f"{where}: iteration={settings.iteration}: the layout {layout.name} has no such condition."
            )
        film = layout.film.model_copy(update={"iteration": settings.iteration})
        changed = changed.model_copy(update={"film": film})
    return changed


def _positions(layout: Layout, model: Any, where: str) -> Literal["mrope", "sequential"]:
    if hasattr(model, "get_rope_index"):
        return layout.positions or "mrope"
    if layout.positions == "mrope":
        raise RmbenchError(f"{where}: positions=mrope: {type(model).__name__} has no axes of time, height and width.")
    return "sequential"


def _processor(opening: Opening) -> Any:
    """The model's own processor of images and texts."""
    from transformers import AutoProcessor

    folder = opening.checkpoint.folder
    with quiet(), explained(f"the processor of {folder}"):
        processor = AutoProcessor.from_pretrained(
            folder, trust_remote_code=opening.options.trust_remote_code, local_files_only=True
        )
    if getattr(processor, "image_processor", None) is None or getattr(processor, "image_token_id", None) is None:
        raise RmbenchError(
            f"{folder} has no processor of images: expected preprocessor_config.json or processor_config.json and the "
            "tokenizer's files beside it, as processor.save_pretrained writes them."
        )
    return processor


def _literal(processor: Any, layout: Layout, where: str) -> LiteralTokenizer:
    """The tokenizer, which reads as text every special token in a text; raises RmbenchError where it cannot."""
    tokenizer = processor.tokenizer
    unknown = [
        token
        for token in layout.prompt.tokens
        if tokenizer.convert_tokens_to_ids(token) in (None, tokenizer.unk_token_id)
    ]
    if unknown:
        raise RmbenchError(
            f"{where}: the tokenizer has no {', '.join(unknown)}, whose state is read; put the tokenizer of the model "
            "that was trained there."
        )
    shown = [processor.image_token, getattr(processor, "video_token", None)]
    literal = LiteralTokenizer(tokenizer, [*layout.prompt.tokens, *filter(None, shown)])
    if literal.problem:
        raise RmbenchError(f"The tokenizer of {where} cannot read special tokens of a text as text: {literal.problem}.")
    return literal


def _template(opening: Opening, literal: LiteralTokenizer, layout: Layout) -> ContentTemplate:
    options, card = opening.options, opening.card
    if options.template is not None:
        text, source = read_text(options.template, 4 * MIB, f"--template {options.template}"), options.template.name
    elif card.template != "tokenizer":
        text, source = card.template, "card"
    else:
        own = own_template(literal, opening.name, opening.checkpoint.folder)
        text, source = own.text, own.source
    template = ContentTemplate(literal, text, source)
    template.check()
    return replace(template, generation_prompt=layout.prompt.generation_prompt)


def _check_widths(tensors: HeadTensors, layout: Layout, model: Any) -> None:
    width = model.config.get_text_config().hidden_size
    wanted = {spec.name for spec in (layout.score_of(number) for number in range(layout.prompt.passes))}
    for where, reads in tensors.widths.items():
        if any(where.endswith(f": {name}") for name in wanted) and reads != width:
            raise RmbenchError(f"{where} reads states of {reads} numbers, the backbone gives {width}.")


def _digest(layout: Layout, opening: Opening) -> str:
    """sha256 over the layout and the files that hold heads alone."""
    digest = hashlib.sha256(json.dumps(layout.model_dump(mode="json"), sort_keys=True).encode())
    for spec in layout.networks:
        if spec.file is not None:
            file = opening.checkpoint.folder / (opening.checkpoint.beside(spec.file) or spec.file)
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()

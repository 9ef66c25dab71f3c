"""Opens a vision-language reward model: processor, chat template, backbone and head."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model
from rmbench.models.checkpoint.lora_inside import merged_inside
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.placement import dtype_name, place, torch_dtype
from rmbench.models.families.scalar.heads.build import HeadTensors
from rmbench.models.families.vl.backbone import VisionBackbone
from rmbench.models.families.vl.critique import output_layer, with_critique
from rmbench.models.families.vl.encoder import VisionEncoder
from rmbench.models.families.vl.heads import build_vision_head
from rmbench.models.families.vl.matching import lacking
from rmbench.models.families.vl.reading import (
    content_template,
    literal_tokenizer,
    pictures_of,
    processor_of,
    stored_vocabulary,
)
from rmbench.models.families.vl.reply import drawing_of, with_reply
from rmbench.models.families.vl.schema import Layout
from rmbench.models.families.vl.scorer import VisionLanguageScorer
from rmbench.models.families.vl.wording import read_wording
from rmbench.models.text.open import card_of, own_length, pad_id, warmed
from rmbench.types import Setting

__all__ = ["VisionLanguageSettings", "changed_layout", "open_vision_language"]


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
    critique: Literal["own", "none"] = "own"
    """Of layouts that rate an answer behind a critique of it: the model's own, or none."""
    critique_tokens: int = Field(default=4096, ge=1)
    """How many tokens the model's own critique has at most."""
    temperature: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Of layouts whose model writes scores: 0 takes the most probable tokens. None, of this and the next two: the
    layout's."""
    reply_tokens: int | None = Field(default=None, ge=1)
    """How many tokens the model writes with its scores at most."""
    scores: Literal["normed", "weighted"] | None = None
    """How a score is read from the probabilities of its digit."""
    share: bool = True
    """Whether a prompt that rows share, with its pictures, is computed once."""


def open_vision_language(opening: Opening, layout: Layout) -> VisionLanguageScorer:
    """Load a vision-language reward model.

    Raises:
        RmbenchError: another backbone than the known ones; no processor, template or words; a tensor that is missing
            or does not fit; an option that the model has no use for.
    """
    settings = opening.settings(VisionLanguageSettings)
    opening = replace(opening, checkpoint=merged_inside(opening.checkpoint, opening.options, layout.lora_alpha))
    checkpoint, options, where = opening.checkpoint, opening.options, str(opening.checkpoint.folder)
    _check_layout(opening, layout)
    layout = changed_layout(layout, settings, where)
    placement = place(opening)
    asked = card_of(opening).head_dtype
    wanted = layout.head_dtype if asked == "model" else asked
    head_dtype = placement.dtype if wanted == "model" else torch_dtype(wanted)
    wordings = read_wording([settings.prompt, settings.prompt_2], layout.prompt, where)
    processor = processor_of(checkpoint, options)
    literal = literal_tokenizer(processor, where, layout.prompt.tokens)
    critic = layout.prompt.form == "critique"
    if not critic and {"critique", "critique_tokens"} & settings.model_fields_set:
        raise RmbenchError(f"{where}: critique: the layout {layout.name} rates no critique.")
    template = replace(content_template(opening, literal), generation_prompt=layout.prompt.generation_prompt or critic)
    header = tuple(processor.tokenizer(layout.prompt.header, add_special_tokens=False)["input_ids"])
    tensors = HeadTensors(checkpoint, options, head_dtype, placement.device)
    heads = tuple(build_vision_head(layout, number, tensors) for number in range(layout.prompt.passes))
    logits = output_layer(tensors) if critic and settings.critique == "own" else None
    names = [re.escape(name) for name in sorted(tensors.taken)]
    model, unused = load_model(
        checkpoint,
        placement,
        options,
        config={**layout.backbone.config, **stored_vocabulary(checkpoint)},
        rename=layout.backbone.rename,
        drop="|".join([*names, layout.backbone.drop or "(?!)"]),
    )
    _check_widths(tensors, layout, model)
    pictures = pictures_of(processor, checkpoint, layout.pixels)
    backbone = VisionBackbone(model, pictures, _positions(layout, model, where), settings.share)
    length = options.max_length or opening.card.max_length or own_length(processor.tokenizer, checkpoint)
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    said: dict[str, Setting] = {
        **template.settings,
        **{f"prompt{f'_{n + 1}' if n else ''}": each.source for n, each in enumerate(wordings)},
        **{f"prompt{f'_{n + 1}' if n else ''}_sha256": each.sha256 for n, each in enumerate(wordings)},
        "read_at": ", ".join(layout.prompt.tokens) or "last token",
        "gates_read_at": repr(layout.prompt.header) if layout.prompt.header else None,
        "special_tokens": "text",
        "positions": backbone.positions if backbone.has_axes else None,
        **pictures.settings,
        "max_length": length,
        **placement.facts(model),
        "head_dtype": dtype_name(head_dtype),
        "critique": settings.critique if critic else None,
        "critique_tokens": settings.critique_tokens if logits else None,
        "objectives": ", ".join(layout.output.names) or None,
        "passes": layout.output.passes if len(heads) > 1 else None,
        "iteration": layout.film.iteration if layout.film else None,
        **_replying(layout, opening),
        "head_sha256": _digest(layout, opening),
        "unused_tensors": ", ".join(unused) or None,
    }
    reads = [] if layout.prompt.form == "single" else ["text"]  # otherwise pictures alone are scored
    parameters = parameter_count(model) + sum(head.parameters for head in heads)
    scorer = VisionLanguageScorer(
        backbone=backbone,
        heads=heads,
        head_dtype=head_dtype,
        text=VisionEncoder(
            pictures=pictures,
            template=template,
            wordings=tuple(wordings),
            spots=tuple(literal.convert_tokens_to_ids(list(layout.prompt.tokens))),
            header=header,
            passes=layout.prompt.passes,
            causal=backbone.causal,
            max_length=length,
            vocabulary=vocabulary,
        ),
        passes=layout.output.passes,
        facts=opening.facts(
            said, parameters, modalities=(*reads, "image", *(["video"] if pictures.takes_videos else []))
        ),
        pad_id=pad_id(processor.tokenizer, checkpoint),
    )
    if logits is not None:
        scorer = with_critique(scorer, logits, settings.critique_tokens, checkpoint)
    if layout.reply is not None:
        (head,), seed = heads, options.seed
        scorer = with_reply(scorer, head.score, layout.reply, layout.output.weights, checkpoint, seed)
    return warmed(scorer, processor.tokenizer, checkpoint)


def _check_layout(opening: Opening, layout: Layout) -> None:
    checkpoint = opening.checkpoint
    wrong = lacking(layout, checkpoint)
    if wrong:
        raise RmbenchError(f"{checkpoint.folder} is not of the layout {layout.name}: it lacks {', '.join(wrong)}.")


def changed_layout(layout: Layout, settings: VisionLanguageSettings, where: str) -> Layout:
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
    reply = {"temperature": settings.temperature, "tokens": settings.reply_tokens, "scores": settings.scores}
    told = {key: value for key, value in reply.items() if value is not None}
    if told and layout.reply is None:
        raise RmbenchError(
            f"{where}: temperature, reply_tokens, scores: the model of the layout {layout.name} writes no scores."
        )
    if told and layout.reply is not None:
        changed = changed.model_copy(update={"reply": layout.reply.model_copy(update=told)})
    if settings.iteration is not None:
        if layout.film is None:
            raise RmbenchError(
                f"{where}: iteration={settings.iteration}: the layout {layout.name} has no such condition."
            )
        film = layout.film.model_copy(update={"iteration": settings.iteration})
        changed = changed.model_copy(update={"film": film})
    return changed


def _replying(layout: Layout, opening: Opening) -> dict[str, Setting]:
    """What changes the scores that a model writes."""
    if layout.reply is None:
        return {}
    reply = layout.reply
    return {
        "reply_tokens": reply.tokens,
        "scores": reply.scores,
        **drawing_of(opening.checkpoint).settings(reply.temperature),
        "seed": opening.options.seed if reply.temperature else None,
    }


def _positions(layout: Layout, model: Any, where: str) -> Literal["mrope", "sequential"]:
    if hasattr(model, "get_rope_index"):
        return layout.positions or "mrope"
    if layout.positions == "mrope":
        raise RmbenchError(f"{where}: positions=mrope: {type(model).__name__} has no axes of time, height and width.")
    return "sequential"


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

"""Opens a CLIP checkpoint: architecture, preprocessing, tokenizer and score are resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict

from rmbench.errors import RmbenchError
from rmbench.media import FrameRule
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model, warm
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.placement import Placement, place
from rmbench.models.checkpoint.read import Checkpoint, read_json
from rmbench.models.checkpoint.state_dict import checkpoint_state
from rmbench.models.families.vision.clip.aesthetic import AestheticHead, load_head
from rmbench.models.families.vision.clip.architecture import build, chosen
from rmbench.models.families.vision.clip.direction import read_direction
from rmbench.models.families.vision.clip.scorer import ClipScorer
from rmbench.models.families.vision.clip.scores import PREFIX, Score
from rmbench.models.families.vision.clip.segments import Segments
from rmbench.models.families.vision.clip.tokens import ClipTokens, bundled_tokens, saved_tokens
from rmbench.models.families.vision.clip.towers import OpenClipTowers, Towers, TransformersTowers
from rmbench.models.families.vision.opened import refuse_text_options, weights_name
from rmbench.models.families.vision.preprocess import Preprocess, from_open_clip, from_transformers
from rmbench.models.protocols import ModelFacts
from rmbench.types import Setting

__all__ = ["ClipSettings", "open_clip_model"]

GOOD_OR_BAD = "Good photo.|Bad photo."
"""CLIP-IQA's pair for quality."""


class ClipSettings(BaseModel):
    """Settings of a CLIP model, for `--model-args` and cards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: Score | None = None
    """None: "aesthetic" with a head, else "cosine"."""
    architecture: str | None = None
    """open_clip's name of it, for a checkpoint that is one torch file without a configuration."""
    preprocess: Literal["open-clip", "hpsv2"] = "open-clip"
    """"hpsv2": floats are resized, as the hpsv2 package does, not bytes."""
    frames: str = "uniform:16"
    """Which frames of a video are looked at; see `rmbench.media.frames`."""
    prefix: str | None = None
    """Put before every text; None: "A photo depicts " for "clipscore", else nothing."""
    head: str | None = None
    """The file of an aesthetic head."""
    segments: Segments = "none"
    """"longalign": a text is the mean of its segments' embeddings, each cut by itself; "none": it is cut as a whole."""
    direction: str | None = None
    """A file of prompts whose mean direction splits a reward into a text-relevant and a text-irrelevant part."""
    pair: str | None = None
    """The two texts of "clip-iqa", the good one first and "|" between them; None: Good photo.|Bad photo."""


@dataclass(frozen=True)
class _Opened:
    """A layout's own part."""

    towers: Towers
    tokens: ClipTokens
    preprocess: Preprocess
    patch: int
    facts: Mapping[str, str | None]


def open_clip_model(opening: Opening) -> ClipScorer:
    """Load a CLIP model in any of its layouts.

    Raises:
        RmbenchError: a tensor that is missing or foreign, an architecture that is not clear, a head of another width,
            or a setting or option that a CLIP model does not have.
    """
    settings = opening.settings(ClipSettings)
    refuse_text_options(opening)
    frames = FrameRule.of(settings.frames)
    score, pair = _score(settings)
    placement = place(opening)
    opened = _open_transformers(opening, settings, placement)
    opened = opened or _open_open_clip(opening, settings, placement)
    towers, preprocess = opened.towers, opened.preprocess
    width = towers.images(torch.zeros(1, 3, preprocess.size, preprocess.size)).shape[1]
    head = load_head(settings.head, opening.checkpoint.folder, width) if settings.head else None
    prefix = PREFIX.get(score, "") if settings.prefix is None else settings.prefix
    said = {
        "weights": weights_name(opening.checkpoint),
        **opened.facts,
        "score": score,
        "logit_scale": round(towers.scale, 6) if score in ("logit", "clip-iqa") else None,
        **({} if head else {"prefix": prefix or None, "tokenizer": opened.tokens.source}),
        **({} if head else {"max_length": opened.tokens.context}),
        **({"pair": "|".join(pair)} if pair else {}),
        **({} if settings.segments == "none" else {"segments": settings.segments}),
        **preprocess.settings,
        "orientation": "exif",
        "frames": str(frames),
        **placement.facts(),
        **(head.settings if head else {}),
    }
    patches = (preprocess.size // opened.patch) ** 2
    warm(lambda: towers.images(torch.zeros(2, 3, preprocess.size, preprocess.size)))

    def facts(own: Mapping[str, Setting]) -> ModelFacts:
        return opening.facts({**said, **own}, _parameters(towers.model, head), modalities=("image", "video"))

    # Scores, heads and prefixes of one checkpoint share its towers; what pictures and texts become is in their keys.
    shared = {"weights": said["weights"], **opened.facts, **placement.facts()}
    tower = opening.facts(shared, None).fingerprint
    parts = (towers, opened.tokens, preprocess, score, prefix, frames, patches + 1, head)
    scorer = ClipScorer(*parts, facts({}), tower, settings.segments, pair)
    if settings.direction is None:
        return scorer
    direction = read_direction(settings.direction, scorer.vector_of)
    found = facts({"objectives": "relevant, irrelevant", **direction.settings})
    # The vector follows from the prompts and the weights, up to rounding, which must not make another model of it.
    found = replace(found, settings={**found.settings, "direction_vector": direction.spelled})
    return replace(scorer, direction=direction, facts=found)


def _score(settings: ClipSettings) -> tuple[Score, tuple[str, str] | None]:
    """The score, and the texts of "clip-iqa".

    Raises:
        RmbenchError: a setting that the score has no use for, or lacks.
    """
    score = settings.score or ("aesthetic" if settings.head else "clip-iqa" if settings.pair else "cosine")
    if (score == "aesthetic") != (settings.head is not None):
        lacks = "needs the file of a head" if settings.head is None else "reads no head"
        raise RmbenchError(
            f"score={score} {lacks}: pass --model-args score=aesthetic and head=FILE together (LAION's heads are in "
            "LAION-AI/aesthetic-predictor and christophschuhmann/improved-aesthetic-predictor)."
        )
    if settings.direction is not None and score not in ("cosine", "cosine100", "logit"):
        raise RmbenchError(f"direction={settings.direction}: score={score} is no sum of parts; cosine and logit are.")
    if score in ("aesthetic", "clip-iqa") and (settings.segments != "none" or settings.prefix):
        given = f"prefix={settings.prefix}" if settings.prefix else f"segments={settings.segments}"
        raise RmbenchError(f"{given}: score={score} does not read the prompt.")
    if score != "clip-iqa":
        if settings.pair is not None:
            raise RmbenchError(f"pair={settings.pair}: score={score} reads the prompt; score=clip-iqa reads a pair.")
        return score, None
    texts = tuple(text.strip() for text in (settings.pair or GOOD_OR_BAD).split("|"))
    if len(texts) != 2 or not all(texts):
        raise RmbenchError(f"pair={settings.pair}: expected two texts with | between them, as {GOOD_OR_BAD}.")
    return score, (texts[0], texts[1])


def _open_open_clip(opening: Opening, settings: ClipSettings, placement: Placement) -> _Opened:
    checkpoint, where = opening.checkpoint, str(opening.checkpoint.folder)
    if opening.options.attn != "auto":
        raise RmbenchError(f"--attn {opening.options.attn}: open_clip chooses its attention itself.")
    config = checkpoint.config
    if opening.family.layout == "open-clip":
        if settings.architecture is not None:
            raise RmbenchError(f"{where}: architecture={settings.architecture}, but open_clip_config.json says it.")
        name, architecture = "open_clip_config.json", config["model_cfg"]
    else:
        name, architecture = chosen(checkpoint, settings.architecture)
    state = checkpoint_state(checkpoint, opening.options)
    model = placement.move(build(architecture, state, where, placement.dtype), where)
    declared = config.get("preprocess_cfg") if opening.family.layout == "open-clip" else None
    size = model.visual.image_size
    side = int(size[0] if isinstance(size, (tuple, list)) else size)
    tokens = _open_clip_tokens(architecture["text_cfg"], where)
    towers = OpenClipTowers(model, tokens.context, float(model.logit_scale.detach().float().exp().reshape(-1)[0]))
    activation = "QuickGELU" if architecture.get("quick_gelu") else "GELU"
    return _Opened(
        towers,
        tokens,
        _in_order(from_open_clip(declared or {}, side, where), settings),
        int(architecture["vision_cfg"].get("patch_size") or 32),
        {"architecture": name, "activation": activation},
    )


def _open_clip_tokens(text: Mapping[str, Any], where: str) -> ClipTokens:
    options = dict(text.get("tokenizer_kwargs") or {})
    clean = options.pop("clean", "lower")
    if options:
        raise RmbenchError(f"{where}: tokenizer_kwargs has {', '.join(options)}, which is not known here.")
    return bundled_tokens(text.get("context_length", 77), text.get("vocab_size", 49408), clean=clean)


def _open_transformers(opening: Opening, settings: ClipSettings, placement: Placement) -> _Opened | None:
    """None for the layouts of open_clip."""
    if opening.family.layout != "hf-clip":
        return None
    checkpoint = opening.checkpoint
    where = str(checkpoint.folder)
    if settings.architecture is not None:
        raise RmbenchError(f"{where}: architecture={settings.architecture}, but config.json says it.")
    model, _ = load_model(checkpoint, placement, opening.options)
    text, vision = model.config.text_config, model.config.vision_config
    tokens = saved_tokens(checkpoint, opening.options, text.max_position_embeddings, text.vocab_size)
    return _Opened(
        TransformersTowers(model, float(model.logit_scale.detach().float().exp())),
        tokens,
        _in_order(_saved_preprocess(checkpoint, vision.image_size), settings),
        int(vision.patch_size),
        {"activation": vision.hidden_act, "attention": model.config._attn_implementation},
    )


def _saved_preprocess(checkpoint: Checkpoint, size: int) -> Preprocess:
    """That of preprocessor_config.json; CLIP's usual one without it."""
    file = checkpoint.folder / "preprocessor_config.json"
    return from_transformers(read_json(file) if file.exists() else {}, size, str(file))


def _in_order(preprocess: Preprocess, settings: ClipSettings) -> Preprocess:
    return replace(preprocess, order="tensor", odd="round") if settings.preprocess == "hpsv2" else preprocess


def _parameters(model: Any, head: AestheticHead | None) -> int:
    """Of the towers, and of the head where there is one."""
    layers = head.stack.layers if head else ()
    return parameter_count(model) + sum(weight.numel() + bias.numel() for weight, bias in layers)

"""Opens an ImageReward or CycleReward checkpoint."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict

from rmbench.errors import RmbenchError
from rmbench.media import FrameRule
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import warm
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.placement import place
from rmbench.models.checkpoint.state_dict import checkpoint_state
from rmbench.models.families.vision.blip.imagereward import ImageReward, build
from rmbench.models.families.vision.blip.scorer import TOKENS, BlipScorer
from rmbench.models.families.vision.blip.tokenizer import bert_tokenizer
from rmbench.models.families.vision.blip.words import CutWords
from rmbench.models.families.vision.opened import refuse_text_options, weights_name
from rmbench.models.families.vision.preprocess import Preprocess

__all__ = ["BlipSettings", "open_imagereward"]


class BlipSettings(BaseModel):
    """Settings of such a model, for `--model-args` and cards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokenizer: str | None = None
    """A folder or hub id with BERT's tokenizer (bert-base-uncased); None: the checkpoint's own folder."""
    frames: str = "uniform:16"
    """Which frames of a video are looked at; its reward is the mean of theirs."""


def open_imagereward(opening: Opening) -> BlipScorer:
    """Load an ImageReward or CycleReward model.

    Raises:
        RmbenchError: a tensor is missing or foreign, there is no tokenizer, or it has more tokens than the text tower.
    """
    settings = opening.settings(BlipSettings)
    frames = FrameRule.of(settings.frames)
    refuse_text_options(opening)
    checkpoint, placement = opening.checkpoint, place(opening)
    where = str(checkpoint.folder)
    state = checkpoint_state(checkpoint, opening.options)
    if placement.attention is not None:
        raise RmbenchError(f"--attn {placement.attention}: transformers' BLIP computes its attention in one way alone.")
    model = build(state, where)
    for part in (model.vision, model.text):
        placement.move(part.to(placement.dtype), where)
    tokenizer, source = bert_tokenizer(checkpoint, settings.tokenizer, int(model.text.config.vocab_size))
    preprocess = Preprocess(model.image_size)
    layout = opening.family.layout
    said = {
        "weights": weights_name(checkpoint),
        "tokenizer": source,
        "max_length": TOKENS[layout],
        **({} if model.normalised else {"head": model.head.shape}),
        **preprocess.settings,
        "orientation": "exif",
        "frames": str(frames),
        **placement.facts(),
    }
    facts = opening.facts(said, _parameters(model), modalities=("image", "video"))
    scorer = BlipScorer(model, CutWords(tokenizer, TOKENS[layout]), preprocess, facts, layout == "cyclereward", frames)
    warm(lambda: _throwaway(model, placement.device, placement.dtype))
    return scorer


def _parameters(model: ImageReward) -> int:
    return parameter_count(model.vision, model.text) + sum(
        weight.numel() + bias.numel() for weight, bias in model.head.layers
    )


def _throwaway(model: ImageReward, device: torch.device, dtype: torch.dtype) -> None:
    with torch.inference_mode():
        states = model.images(torch.zeros(1, 3, model.image_size, model.image_size, device=device, dtype=dtype))
        ids = torch.zeros(1, 4, dtype=torch.long, device=device)
        model.rewards(ids, torch.ones_like(ids), states)

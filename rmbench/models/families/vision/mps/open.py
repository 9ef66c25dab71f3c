"""Opens an MPS checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.media import FrameRule
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import warm
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.placement import place
from rmbench.models.checkpoint.state_dict import checkpoint_state, missing_and_foreign
from rmbench.models.families.vision.clip.tokens import saved_tokens
from rmbench.models.families.vision.mps.cross import cross_model
from rmbench.models.families.vision.mps.matching import prefix_of
from rmbench.models.families.vision.mps.scorer import MpsScorer
from rmbench.models.families.vision.opened import refuse_text_options, weights_name
from rmbench.models.families.vision.preprocess import Preprocess

__all__ = ["MpsSettings", "open_mps"]

OVERALL = (
    "light, color, clarity, tone, style, ambiance, artistry, shape, face, hair, hands, limbs, structure, instance, "
    "texture, quantity, attributes, position, number, location, word, things."
)
"""Upstream's condition for the overall score."""
_HEADS = {1280: 16}
"""Width -> heads, where they are not of 64 (ViT-H)."""


class MpsSettings(BaseModel):
    """Settings of MPS, for `--model-args` and cards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    condition: str = Field(default=OVERALL, min_length=1)
    """The words that say what is asked for: a text's tokens unlike all of them are not read."""
    frames: str = "uniform:16"
    """Which frames of a video are looked at; its reward is the mean of theirs."""


def open_mps(opening: Opening) -> MpsScorer:
    """Load MPS.

    Raises:
        RmbenchError: a tensor is missing or foreign, or an option that the model has no use for.
    """
    settings = opening.settings(MpsSettings)
    frames = FrameRule.of(settings.frames)
    refuse_text_options(opening)
    checkpoint, placement = opening.checkpoint, place(opening)
    where, before = str(checkpoint.folder), prefix_of(checkpoint)
    assert before is not None
    state = {name.removeprefix(before): value for name, value in checkpoint_state(checkpoint, opening.options).items()}
    own = {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}
    model = placement.move(_towers(own, where).to(placement.dtype), where).eval()
    cross = cross_model(
        {name: value for name, value in state.items() if not name.startswith("model.")},
        lambda tensor: tensor.to(placement.device, placement.dtype),
        where,
    )
    text, vision = model.config.text_config, model.config.vision_config
    tokens = saved_tokens(checkpoint, opening.options, text.max_position_embeddings, text.vocab_size)
    condition, cut = tokens(settings.condition)
    if cut:
        raise RmbenchError(f"{where}: condition: it has more than {tokens.context} tokens.")
    pad = getattr(tokens.tokenizer, "pad_token_id", None)
    preprocess = Preprocess(vision.image_size)
    scale = float(model.logit_scale.detach().float().exp())
    facts = opening.facts(
        {
            "weights": weights_name(checkpoint),
            "condition": settings.condition,
            "tokenizer": tokens.source,
            "max_length": tokens.context,
            "logit_scale": round(scale, 6),
            **preprocess.settings,
            "orientation": "exif",
            "frames": str(frames),
            **placement.facts(model),
        },
        parameter_count(model) + cross.parameters,
        modalities=("image", "video"),
    )
    patches = (vision.image_size // vision.patch_size) ** 2
    scorer = MpsScorer(
        model,
        cross,
        tokens,
        preprocess,
        torch.empty(0),
        condition[-1] if pad is None else int(pad),
        patches + 1,
        scale,
        frames,
        facts,
    )
    with torch.inference_mode():
        asked = scorer.read([condition])[0][0]
        warm(lambda: model.vision_model(torch.zeros(1, 3, vision.image_size, vision.image_size).to(asked)))
    return replace(scorer, condition=asked)


def _towers(state: Mapping[str, Any], where: str) -> Any:
    """Transformers' CLIPModel of the shapes that are stored."""
    from transformers import CLIPConfig, CLIPModel

    text, vision = "text_model.", "vision_model."
    words = state[f"{text}embeddings.token_embedding.weight"].shape
    patch = state[f"{vision}embeddings.patch_embedding.weight"].shape
    places = state[f"{vision}embeddings.position_embedding.weight"].shape[0] - 1
    side = round(places**0.5)
    if side * side != places:
        raise RmbenchError(f"{where}: {places} places of the image tower are no square.")
    config = CLIPConfig(
        text_config={
            "vocab_size": words[0],
            "max_position_embeddings": state[f"{text}embeddings.position_embedding.weight"].shape[0],
            **_tower(state, text, words[1]),
        },
        vision_config={"image_size": side * patch[-1], "patch_size": patch[-1], **_tower(state, vision, patch[0])},
        projection_dim=state["text_projection.weight"].shape[0],
    )
    model = CLIPModel(config)
    kept = {name: value for name, value in state.items() if not name.endswith("embeddings.position_ids")}
    needed = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    needed = {name: shape for name, shape in needed.items() if not name.endswith("embeddings.position_ids")}
    missing_and_foreign({name: tuple(value.shape) for name, value in kept.items()}, needed, where, "CLIP's towers")
    model.load_state_dict(kept, strict=False)
    return model


def _tower(state: Mapping[str, Any], name: str, width: int) -> dict[str, Any]:
    layers = {key.split(".")[3] for key in state if key.startswith(f"{name}encoder.layers.")}
    return {
        "hidden_size": width,
        "intermediate_size": state[f"{name}encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": len(layers),
        "num_attention_heads": _HEADS.get(width, max(1, width // 64)),
        "hidden_act": "gelu",
        "projection_dim": state["text_projection.weight"].shape[0],
    }

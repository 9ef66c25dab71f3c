"""Opens a BLIP or BLIP-2 checkpoint for matching images and texts."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field

from rmbench.errors import RmbenchError
from rmbench.media import FrameRule
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model, warm
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.placement import place
from rmbench.models.checkpoint.read import Checkpoint, read_json
from rmbench.models.families.vision.blip.matching import MATCHING, Matching, MatchingScore
from rmbench.models.families.vision.blip.scorer import BlipScorer
from rmbench.models.families.vision.blip.tokenizer import bert_tokenizer
from rmbench.models.families.vision.blip.words import CutWords
from rmbench.models.families.vision.opened import refuse_text_options, weights_name
from rmbench.models.families.vision.preprocess import Preprocess, from_transformers

__all__ = ["MatchingSettings", "blip_preprocess", "open_matching"]

_CLASSES = {"blip-itm": "BlipForImageTextRetrieval", "blip2-itm": "Blip2ForImageTextRetrieval"}


class MatchingSettings(BaseModel):
    """Settings of such a model, for `--model-args` and cards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: MatchingScore = "itc"
    """"itc": the cosine of both embeddings; "itm": the probability that the text fits the image."""
    max_tokens: int | None = Field(default=None, ge=3)
    """Of a text, special ones included; None: as many as the model has positions for. BLIP's own scripts cut at 35,
    LAVIS's BLIP-2 at 32."""
    tokenizer: str | None = None
    """A folder or hub id with BERT's tokenizer; None: the checkpoint's own folder."""
    frames: str = "uniform:16"
    """Which frames of a video are looked at; its reward is the mean of theirs."""


def open_matching(opening: Opening) -> BlipScorer:
    """Load a BLIP or BLIP-2 model with its matching heads.

    Raises:
        RmbenchError: a tensor is missing or foreign; there is no tokenizer, or it has more tokens than the text tower;
            more tokens are asked for than there are positions.
    """
    settings = opening.settings(MatchingSettings)
    frames = FrameRule.of(settings.frames)
    refuse_text_options(opening)
    checkpoint, placement = opening.checkpoint, place(opening)
    where, layout = str(checkpoint.folder), opening.family.layout
    loaded, unused = load_model(checkpoint, placement, opening.options, kind=_CLASSES[layout])
    text = loaded.config.text_config if layout == "blip-itm" else loaded.config.qformer_config
    most = settings.max_tokens or int(text.max_position_embeddings)
    if most > text.max_position_embeddings:
        raise RmbenchError(f"{where}: max_tokens={most}, but the text tower has {text.max_position_embeddings}.")
    tokenizer, source = bert_tokenizer(checkpoint, settings.tokenizer, int(text.vocab_size))
    vision = loaded.config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    model = MATCHING[layout, settings.score](loaded, int(vision.image_size), patches)
    preprocess = blip_preprocess(checkpoint, model.image_size)
    said = {
        "weights": weights_name(checkpoint),
        "score": settings.score,
        "tokenizer": source,
        "max_length": most,
        **preprocess.settings,
        "orientation": "exif",
        "frames": str(frames),
        **placement.facts(loaded),
        "unused_tensors": ", ".join(unused) or None,
    }
    facts = opening.facts(said, parameter_count(loaded), modalities=("image", "video"))
    scorer = BlipScorer(model, CutWords(tokenizer, most), preprocess, facts, captions=True, frames=frames)
    warm(lambda: _throwaway(model, placement.device, placement.dtype))
    return scorer


def blip_preprocess(checkpoint: Checkpoint, size: int) -> Preprocess:
    """What the files say, else BLIP's own: both sides become S."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        file = checkpoint.folder / name
        if file.exists():
            config = read_json(file)
            inner = config.get("image_processor", config)
            if isinstance(inner, dict) and "size" in inner:
                return from_transformers(inner, size, str(file))
    return from_transformers({"size": {"height": size, "width": size}}, size, str(checkpoint.folder))


def _throwaway(model: Matching, device: torch.device, dtype: torch.dtype) -> None:
    with torch.inference_mode():
        states = model.images(torch.zeros(1, 3, model.image_size, model.image_size, device=device, dtype=dtype))
        ids = torch.zeros(1, 4, dtype=torch.long, device=device)
        model.rewards(ids, torch.ones_like(ids), states)

"""Opens an ImageReward or CycleReward checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import place, warm
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.state_dict import checkpoint_state
from rmbench.models.families.vision.blip.imagereward import ImageReward, build
from rmbench.models.families.vision.blip.scorer import TOKENS, BlipScorer
from rmbench.models.families.vision.opened import refuse_text_options, weights_name
from rmbench.models.families.vision.preprocess import Preprocess

__all__ = ["BlipSettings", "open_imagereward"]

_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")


class BlipSettings(BaseModel):
    """Settings of such a model, for `--model-args` and cards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokenizer: str | None = None
    """A folder or hub id with BERT's tokenizer (bert-base-uncased); None: the checkpoint's own folder."""


def open_imagereward(opening: Opening) -> BlipScorer:
    """Load an ImageReward or CycleReward model.

    Raises:
        RmbenchError: a tensor is missing or foreign, there is no tokenizer, or it has more tokens than the text tower.
    """
    settings = opening.settings(BlipSettings)
    refuse_text_options(opening)
    checkpoint, placement = opening.checkpoint, place(opening)
    where = str(checkpoint.folder)
    state = checkpoint_state(checkpoint, opening.options)
    if placement.attention is not None:
        raise RmbenchError(f"--attn {placement.attention}: transformers' BLIP computes its attention in one way alone.")
    model = build(state, where)
    for part in (model.vision, model.text):
        placement.move(part.to(placement.dtype), where)
    tokenizer, source = _tokenizer(opening, settings)
    vocabulary = int(model.text.config.vocab_size)
    if len(tokenizer) > vocabulary:
        raise RmbenchError(f"{where}: the tokenizer has {len(tokenizer):,} tokens, the text tower {vocabulary:,}.")
    if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
        raise RmbenchError(f"{where}: the tokenizer has no [CLS] or no [SEP]; it must be BERT's.")
    preprocess = Preprocess(model.image_size)
    layout = opening.family.layout
    said = {
        "weights": weights_name(checkpoint),
        "tokenizer": source,
        "max_length": TOKENS[layout],
        **({} if model.normalised else {"head": model.head.shape}),
        **preprocess.settings,
        "orientation": "exif",
        **placement.facts(),
    }
    facts = opening.facts(said, _parameters(model), modalities=("image",))
    scorer = BlipScorer(
        model, tokenizer, preprocess, facts, TOKENS[layout], layout == "cyclereward", tokenizer.pad_token_id or 0
    )
    warm(lambda: _throwaway(model, placement.device, placement.dtype))
    return scorer


def _tokenizer(opening: Opening, settings: BlipSettings) -> tuple[Any, str]:
    """BERT's tokenizer and where it was found."""
    folder, source = opening.checkpoint.folder, "the checkpoint's"
    if settings.tokenizer is not None:
        folder, source = Path(settings.tokenizer), settings.tokenizer
        if not folder.is_dir():
            from rmbench.models.checkpoint.hub import download

            found = download(settings.tokenizer, None, weights="tokenizer.json")  # and none of its weights
            folder, source = found.folder, f"{settings.tokenizer}@{found.commit}"
    if not any((folder / name).exists() for name in _TOKENIZER_FILES):
        raise RmbenchError(
            f"{folder} holds no tokenizer: put vocab.txt of bert-base-uncased there, or pass --model-args "
            "tokenizer=FOLDER."
        )
    from transformers import AutoTokenizer, BertTokenizer

    saved = (folder / "tokenizer_config.json").exists()
    try:
        return (AutoTokenizer if saved else BertTokenizer).from_pretrained(folder, local_files_only=True), source
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RmbenchError(f"Cannot load the tokenizer of {folder}: {' '.join(str(error).split())[:200]}") from error


def _parameters(model: ImageReward) -> int:
    return parameter_count(model.vision, model.text) + sum(
        weight.numel() + bias.numel() for weight, bias in model.head.layers
    )


def _throwaway(model: ImageReward, device: torch.device, dtype: torch.dtype) -> None:
    with torch.inference_mode():
        states = model.images(torch.zeros(1, 3, model.image_size, model.image_size, device=device, dtype=dtype))
        ids = torch.zeros(1, 4, dtype=torch.long, device=device)
        model.rewards(ids, torch.ones_like(ids), states)

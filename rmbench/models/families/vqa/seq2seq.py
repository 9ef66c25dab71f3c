"""BLIP-2 with T5, asked a question: the reward is the geometric mean of the probabilities of the answer's tokens, its
end included, as VQAScore has it for models of this kind (arXiv 2404.01291; linzhiqiu/t2v_metrics)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model, load_tokenizer, place, warm
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.families.vision.blip.open_matching import blip_preprocess
from rmbench.models.families.vision.blip.scorer import BlipScorer
from rmbench.models.families.vision.opened import refuse_text_options, weights_name
from rmbench.models.families.vqa.settings import VqaSettings, read_question

__all__ = ["AskedT5", "open_seq2seq"]

_MOST = 2048
"""Tokens of a question, its end included, as upstream cuts them."""


@dataclass(frozen=True)
class AskedT5:
    """transformers' Blip2ForConditionalGeneration in eval mode."""

    model: Any
    labels: tuple[int, ...]
    """The answer's tokens, with the token that ends it."""
    image_size: int
    patches: int

    @property
    def vision(self) -> Any:
        """The image tower."""
        return self.model.vision_model

    def images(self, pixels: Tensor) -> Tensor:
        """[B, queries, H] of pixels [B, 3, S, S]: what the language model sees of an image."""
        features: Tensor = self.model.get_image_features(pixel_values=pixels, return_dict=True).pooler_output
        return features

    def rewards(self, ids: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        """[B] on the CPU, of questions' ids and mask [B, T] and what `images` gave for their images."""
        language = self.model.language_model
        read = language.get_input_embeddings()(ids)
        embedded = torch.cat([images.to(read.device, read.dtype), read], dim=1)
        seen = torch.ones(images.shape[:2], dtype=mask.dtype, device=mask.device)
        labels = torch.tensor(self.labels, device=ids.device).expand(len(ids), -1)
        given = {"inputs_embeds": embedded, "attention_mask": torch.cat([seen, mask], dim=1), "labels": labels}
        logits: Tensor = language(**given).logits
        logps = logits.float().log_softmax(dim=-1)  # [B, L, V]
        return logps.gather(-1, labels[..., None])[..., 0].mean(dim=1).exp().cpu()


def open_seq2seq(opening: Opening) -> BlipScorer:
    """Load BLIP-2 with T5 to be asked a question about the candidate's image.

    Raises:
        RmbenchError: a checklist; a tokenizer that ends no text; a missing tensor.
    """
    settings = opening.settings(VqaSettings)
    refuse_text_options(opening)
    checkpoint, placement = opening.checkpoint, place(opening)
    where = str(checkpoint.folder)
    if settings.questions or settings.weights or settings.min_pixels or settings.max_pixels:
        raise RmbenchError(f"{where}: questions, weights, min_pixels, max_pixels are settings of causal models alone.")
    question = read_question(settings.question)
    tokenizer = load_tokenizer(checkpoint, opening.options)
    labels = tuple(int(one) for one in tokenizer(settings.answer)["input_ids"])
    if not labels or labels[-1] != tokenizer.eos_token_id or len(labels) < 2:
        raise RmbenchError(f"{where}: answer={settings.answer}: its tokenizer reads it as {labels}, without an end.")
    loaded, unused = load_model(checkpoint, placement, opening.options, kind="AutoModelForImageTextToText")
    vision = loaded.config.vision_config
    model = AskedT5(loaded, labels, int(vision.image_size), int(vision.image_size // vision.patch_size) ** 2)
    preprocess = blip_preprocess(checkpoint, model.image_size)
    said = {
        "weights": weights_name(checkpoint),
        "question": question,
        "answer": settings.answer,
        "reward": "geometric mean over the answer's tokens and its end",
        "max_length": _MOST,
        **preprocess.settings,
        "orientation": "exif",
        **placement.facts(loaded),
        "unused_tensors": ", ".join(unused) or None,
    }
    facts = opening.facts(said, parameter_count(loaded), modalities=("image",))
    scorer = BlipScorer(
        model, tokenizer, preprocess, facts, _MOST, captions=True, pad_id=tokenizer.pad_token_id or 0, wording=question
    )
    warm(lambda: _throwaway(model, placement.device, placement.dtype))
    return scorer


def _throwaway(model: AskedT5, device: torch.device, dtype: torch.dtype) -> None:
    with torch.inference_mode():
        states = model.images(torch.zeros(1, 3, model.image_size, model.image_size, device=device, dtype=dtype))
        ids = torch.zeros(1, 4, dtype=torch.long, device=device)
        model.rewards(ids, torch.ones_like(ids), states)

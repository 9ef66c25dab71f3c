"""Opens a model with T5 that is asked a question about an image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from rmbench.errors import RmbenchError
from rmbench.media import FrameRule
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.card import Card
from rmbench.models.checkpoint.library import explained
from rmbench.models.checkpoint.loading import load_model, load_tokenizer, warm
from rmbench.models.checkpoint.opening import Family, Opening
from rmbench.models.checkpoint.placement import Placement, place
from rmbench.models.families.vision.blip.open_matching import blip_preprocess
from rmbench.models.families.vision.blip.scorer import BlipScorer
from rmbench.models.families.vision.blip.tokenizer import tokenizer_files
from rmbench.models.families.vision.blip.words import CutWords, Words
from rmbench.models.families.vision.opened import refuse_text_options, weights_name
from rmbench.models.families.vision.preprocess import Preprocess
from rmbench.models.families.vqa.clip_t5 import AFTER, BEFORE, AskedClipT5, load_clip_t5
from rmbench.models.families.vqa.marks import BLIPS, CLIP_T5, with_t5
from rmbench.models.families.vqa.seq2seq import Asked, AskedBlip2, AskedInstructBlip, InstructWords, labels_of
from rmbench.models.families.vqa.settings import VqaSettings, read_question

__all__ = ["open_aligner", "open_seq2seq"]

_MOST = 2048
"""Tokens of a question, its end included, as upstream cuts them."""
_OF_EACH = 128
"""Tokens of a question of InstructBLIP by each of its tokenizers (LAVIS's max_txt_len)."""
_QFORMER = "qformer_tokenizer"
"""The folder in which transformers keeps the Q-Former's tokenizer."""


@dataclass(frozen=True)
class _Opened:
    """A layout's own part."""

    model: Asked
    words: Words
    preprocess: Preprocess
    wording: str
    """What stands around the question."""
    parameters: int
    unused: tuple[str, ...]


def open_seq2seq(opening: Opening) -> BlipScorer:
    """Load BLIP-2 or InstructBLIP with T5, or CLIP-FlanT5, to be asked a question about the candidate's image.

    Raises:
        RmbenchError: a checklist; a tokenizer that ends no text; a missing tensor.
    """
    settings = opening.settings(VqaSettings)
    refuse_text_options(opening)
    where = str(opening.checkpoint.folder)
    if settings.questions or settings.weights or settings.alignment or settings.min_pixels or settings.max_pixels:
        raise RmbenchError(
            f"{where}: questions, weights, alignment, min_pixels, max_pixels are settings of causal models alone."
        )
    question, placement = read_question(settings.question), place(opening)
    frames = FrameRule.of(settings.frames or "uniform:16")
    tokenizer, source = _tokenizer(opening, settings)
    labels = labels_of(tokenizer, settings.answer, where)
    opened = (_clip_t5 if opening.family.layout == CLIP_T5 else _blip)(opening, placement, labels, tokenizer)
    model, words, preprocess = opened.model, opened.words, opened.preprocess
    said = {
        "weights": weights_name(opening.checkpoint),
        "question": question,
        "answer": settings.answer,
        "reward": "geometric mean over the answer's tokens and its end",
        "tokenizer": source if settings.tokenizer else None,
        "max_length": words.most,
        **preprocess.settings,
        "orientation": "exif",
        "frames": str(frames),
        **placement.facts(model.language),
        "unused_tensors": ", ".join(opened.unused) or None,
    }
    facts = opening.facts(said, opened.parameters, modalities=("image", "video"))
    scorer = BlipScorer(
        model, words, preprocess, facts, captions=True, frames=frames, wording=opened.wording.format(question=question)
    )
    warm(lambda: _throwaway(scorer, model, placement))
    return scorer


def open_aligner(opening: Opening, name: str) -> BlipScorer:
    """Load a model with T5 beside a checklist's, with the settings of its card.

    Raises:
        RmbenchError: there is no such model, or it is none with T5.
    """
    from rmbench.models.locate import locate
    from rmbench.models.located import digest_of, read_located

    options = replace(opening.options, model_args={}, adapter=None, revision=None, base_model=None)
    found = locate(name, options)
    if found is None:
        raise RmbenchError(f"alignment={name}: expected a model with T5, a card, a folder or a hub id.")
    checkpoint = read_located(found, options)
    fit = with_t5(checkpoint)
    if fit is None:
        kind = checkpoint.config.get("model_type")
        raise RmbenchError(f"alignment={name}: expected {', '.join(BLIPS)} or clip_t5 with T5, not {kind!r}.")
    digest, card = digest_of(found, checkpoint), found.card or Card(name="none", family="vqa", verified=False)
    family = Family("vqa", fit.layout, fit.why)
    return open_seq2seq(Opening(found.name, found.commit or digest[:8], digest, checkpoint, family, card, options))


def _tokenizer(opening: Opening, settings: VqaSettings) -> tuple[Any, str]:
    """T5's tokenizer, and where it was found."""
    if settings.tokenizer is None:
        return load_tokenizer(opening.checkpoint, opening.options), ""
    from transformers import AutoTokenizer

    folder, source = tokenizer_files(opening.checkpoint, settings.tokenizer)
    with explained(f"the tokenizer of {folder}"):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True), source


def _blip(opening: Opening, placement: Placement, labels: tuple[int, ...], tokenizer: Any) -> _Opened:
    checkpoint = opening.checkpoint
    loaded, unused = load_model(checkpoint, placement, opening.options, kind="AutoModelForImageTextToText")
    vision = loaded.config.vision_config
    parts = (labels, int(vision.image_size), int(vision.image_size // vision.patch_size) ** 2, loaded)
    asks = checkpoint.config.get("model_type") == "instructblip"
    model = AskedInstructBlip(*parts) if asks else AskedBlip2(*parts)
    words = InstructWords(_qformer_tokenizer(opening, loaded), tokenizer, _OF_EACH) if asks else None
    preprocess = blip_preprocess(checkpoint, model.image_size)
    return _Opened(
        model, words or CutWords(tokenizer, _MOST), preprocess, "{question}", parameter_count(loaded), unused
    )


def _qformer_tokenizer(opening: Opening, model: Any) -> Any:
    from transformers import AutoTokenizer

    folder = opening.checkpoint.folder / _QFORMER
    if not folder.is_dir():
        raise RmbenchError(f"{folder} is missing: InstructBLIP reads the question by a tokenizer of its own as well.")
    with explained(f"the tokenizer of {folder}"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if len(tokenizer) > model.config.qformer_config.vocab_size:
        most = model.config.qformer_config.vocab_size
        raise RmbenchError(f"{folder}: the tokenizer has {len(tokenizer):,} tokens, the Q-Former {most:,}.")
    return tokenizer


def _clip_t5(opening: Opening, placement: Placement, labels: tuple[int, ...], tokenizer: Any) -> _Opened:
    parts = load_clip_t5(opening, placement)
    where, most = opening.checkpoint.folder, parts.t5.config.vocab_size
    if len(tokenizer) > most:
        raise RmbenchError(f"{where}: the tokenizer has {len(tokenizer):,} tokens, T5 {most:,}.")
    before = tuple(int(one) for one in tokenizer(BEFORE)["input_ids"])
    side, patch = parts.tower.config.image_size, parts.tower.config.patch_size
    model = AskedClipT5(labels, side, (side // patch) ** 2, parts, before, len(tokenizer))
    words = CutWords(tokenizer, _MOST - len(before) - 1)
    return _Opened(model, words, Preprocess(side, resize="pad", odd="floor"), AFTER, parts.parameters, parts.unused)


def _throwaway(scorer: BlipScorer, model: Asked, placement: Placement) -> None:
    with torch.inference_mode():
        pixels = torch.zeros(1, 3, model.image_size, model.image_size, device=placement.device, dtype=placement.dtype)
        ids = torch.tensor([scorer.words("a")[0]], device=placement.device)
        model.rewards(ids, torch.ones_like(ids), model.images(pixels))

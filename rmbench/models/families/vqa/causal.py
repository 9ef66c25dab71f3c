"""Causal vision-language models that are asked a question: VQAScore (arXiv 2404.01291), and checklists."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.models.backbone.tensors import parameter_count
from rmbench.models.checkpoint.loading import load_model
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.placement import place
from rmbench.models.families.vl.backbone import VisionBackbone
from rmbench.models.families.vl.encoder import VisionEncoder
from rmbench.models.families.vl.reading import (
    content_template,
    literal_tokenizer,
    pictures_of,
    processor_of,
    stored_vocabulary,
)
from rmbench.models.families.vl.schema import Pixels
from rmbench.models.families.vl.scorer import VisionLanguageScorer
from rmbench.models.families.vl.wording import Wording
from rmbench.models.families.vqa.checklist import Checklist, read_checklist
from rmbench.models.families.vqa.checklist_scorer import ChecklistScorer
from rmbench.models.families.vqa.open_seq2seq import open_aligner
from rmbench.models.families.vqa.settings import VqaSettings, read_question
from rmbench.models.text.open import own_length, pad_id, warmed
from rmbench.types import Setting

__all__ = ["AnswerHead", "open_causal"]


@dataclass(frozen=True, eq=False)
class AnswerHead:
    """The language-model head, read for one answer."""

    logits: Any
    """The model's output layer."""
    answer: int
    """The token that is the answer."""
    greedy: bool = False
    """False: the reward is the answer's probability, over all tokens. True: it is 1 where greedy decoding would begin
    with the answer, else -1."""

    @property
    def parameters(self) -> int:
        """None of its own: the output layer is the model's."""
        return 0

    def __call__(self, states: Tensor) -> dict[str, Tensor]:
        """States [B, 1, H] -> "reward" [B, 1]."""
        logits = self.logits(states[:, 0]).float()  # [B, V]
        if not self.greedy:
            return {"reward": logits.softmax(dim=-1)[:, self.answer, None]}
        says = logits.argmax(dim=-1) == self.answer
        return {"reward": torch.where(says, 1.0, -1.0)[:, None]}


def open_causal(opening: Opening) -> VisionLanguageScorer:
    """Load a causal vision-language model that is asked a question about the candidate's image or video.

    Raises:
        RmbenchError: no processor or template; an answer of several tokens; a missing tensor; a checklist that is none.
    """
    settings = opening.settings(VqaSettings)
    checkpoint, options, where = opening.checkpoint, opening.options, str(opening.checkpoint.folder)
    checklist = _checklist(settings)
    questions = checklist.questions if checklist else (read_question(settings.question),)
    placement = place(opening)
    processor = processor_of(checkpoint, options)
    literal = literal_tokenizer(processor, where)
    answer = _token(processor.tokenizer, settings.answer, where)
    template = replace(content_template(opening, literal), generation_prompt=True)
    whole, unused = load_model(
        checkpoint, placement, options, kind="AutoModelForImageTextToText", config=stored_vocabulary(checkpoint)
    )
    pictures = pictures_of(
        processor,
        checkpoint,
        Pixels(min=settings.min_pixels, max=settings.max_pixels, frames=settings.frames or "fps:2"),
    )
    backbone = VisionBackbone(
        whole.model, pictures, "mrope" if hasattr(whole.model, "get_rope_index") else "sequential"
    )
    heads = (AnswerHead(whole.get_output_embeddings(), answer, checklist is not None),) * len(questions)
    aligner = open_aligner(opening, settings.alignment) if settings.alignment else None
    length = options.max_length or opening.card.max_length or own_length(processor.tokenizer, checkpoint)
    said: dict[str, Setting] = {
        **template.settings,
        "question": questions[0] if len(questions) == 1 else settings.questions,
        "questions": len(questions),
        **_reward(checklist),
        "answer": settings.answer,
        "alignment": f"{aligner.facts.name}@{aligner.facts.revision}" if aligner else None,
        "alignment_fingerprint": aligner.facts.fingerprint if aligner else None,
        "special_tokens": "text",
        "positions": backbone.positions if backbone.has_axes else None,
        **pictures.settings,
        "max_length": length,
        **placement.facts(whole),
        "unused_tensors": ", ".join(unused) or None,
    }
    own = parameter_count(whole) + (aligner.facts.parameters or 0 if aligner else 0)
    parts: dict[str, Any] = {
        "backbone": backbone,
        "heads": heads,
        "head_dtype": placement.dtype,
        "text": VisionEncoder(
            pictures=pictures,
            template=template,
            wordings=tuple(Wording(question, "question") for question in questions),
            spots=(),
            passes=len(questions),
            causal=backbone.causal,
            max_length=length,
            vocabulary=int(whole.get_input_embeddings().weight.shape[0]),
        ),
        "passes": "mean",
        "facts": opening.facts(said, own, modalities=("image", *(["video"] if pictures.videos else []))),
        "pad_id": pad_id(processor.tokenizer, checkpoint),
    }
    scorer = (
        VisionLanguageScorer(**parts)
        if checklist is None
        else ChecklistScorer(**parts, checklist=checklist, aligner=aligner)
    )
    return warmed(scorer, processor.tokenizer, checkpoint)


def _checklist(settings: VqaSettings) -> Checklist | None:
    if settings.questions is not None:
        return read_checklist(settings.questions, settings.weights, aligned=settings.alignment is not None)
    for name in ("weights", "alignment"):
        if (value := getattr(settings, name)) is not None:
            raise RmbenchError(f"{name}={value} goes with questions=FILE.")
    return None


def _reward(checklist: Checklist | None) -> dict[str, Setting]:
    if checklist is None:
        return {"reward": "probability"}
    return {
        "questions_sha256": checklist.digest,
        "reward": "mean of weighted answers" if checklist.mean else "sum of weighted answers",
        "objectives": ", ".join(f"q{n + 1}" for n in range(len(checklist.questions))),
    }


def _token(tokenizer: Any, answer: str, where: str) -> int:
    """The one token that spells the answer at the beginning of a reply."""
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        raise RmbenchError(f"{where}: answer={answer}: its tokenizer reads it as {ids}, expected one token.")
    return int(ids[0])

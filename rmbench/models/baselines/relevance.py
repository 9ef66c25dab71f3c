"""Relevance of an answer to its prompt by a sentence embedder, with terms for length and repetition.

reward = s(prompt, answer) * (n / 100)^a * r^b, where s is the cosine (or the dot product) of the two texts' embeddings,
n the answer's tokens as words and runs of punctuation, r its distinct trigrams / trigrams; a and b are the weights of
the two terms, and a weight of 0 leaves its term out. With the dot product of facebook/contriever's mean-pooled states
and a = b = 1 this is the reward of "Rethinking the Role of Proxy Rewards in Language Model Alignment" (2402.03469) for
open-ended prompts (relevance, length incentive, repetition penalty), as reward_model.py of
naver-ai/rethinking-proxy-reward has it. Its other branch, which compares the answers of constrained prompts with a
reference answer, is not here, nor is its cutting of answers at stop strings. No published figure was reproduced.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from rmbench.models.backbone.tensors import left_align, tensors_of
from rmbench.models.baselines.surface import distinct_trigrams, word_punct
from rmbench.models.plain import plain_text
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request

__all__ = ["EmbeddedText", "Pooling", "RelevanceScorer", "RelevanceSettings", "Terms", "terms_of"]

Pooling = Literal["mean", "cls", "last"]

_LENGTH_UNIT = 100
"""Tokens of an answer whose length term is 1."""


class RelevanceSettings(BaseModel):
    """Settings, for `--model-args`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embedder: str = Field(title="FOLDER or org/name, a sentence embedder in transformers layout")
    """A folder, or a hub id with or without @revision."""
    pooling: Pooling | None = None
    """How token states become one embedding: their mean, the first one, the last one. None: as 1_Pooling/config.json
    says, else the mean."""
    similarity: Literal["cosine", "dot"] = "cosine"
    length_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    repetition_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    truncation_side: Literal["left", "right"] = "left"
    """Which end of a long text is cut off."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is counted in an answer."""

    length: float
    """Tokens / 100."""
    repetition: float
    """Distinct trigrams / trigrams, in (0, 1]."""


def embed(model: Any, batch: Batch, pooling: Pooling) -> FloatArray:
    """[B, H] float32 embeddings of a batch of texts: the mean of the real tokens' states, the first one or the last."""
    ids, mask = left_align(*tensors_of(batch, model))
    with torch.inference_mode():
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()  # [B, T, H]
        counts = mask.sum(-1)  # [B]
        if pooling == "mean":
            pooled = (states * mask[..., None]).sum(1) / counts[:, None]
        else:
            column = counts - 1 if pooling == "last" else torch.zeros_like(counts)
            pooled = states[torch.arange(len(states), device=ids.device), column]
    array: FloatArray = pooled.cpu().numpy()
    return array


def terms_of(answer: str) -> Terms:
    """The two terms before their weights."""
    tokens = word_punct(answer)
    return Terms(len(tokens) / _LENGTH_UNIT, distinct_trigrams(tokens))


@dataclass(frozen=True)
class EmbeddedText:
    """How one text becomes tokens."""

    tokenizer: Any
    before: tuple[int, ...]
    """[CLS] or BOS."""
    after: tuple[int, ...]
    """[SEP] or EOS."""
    max_length: int | None
    """Tokens a text may have, special tokens included."""
    truncation_side: Literal["left", "right"]

    def rows(self, texts: Sequence[str]) -> list[Encoded]:
        """Texts for the engine, each of which is embedded once."""
        found = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"] if texts else []
        return [self._row_of(tuple(tokens)) for tokens in found]

    def _row_of(self, tokens: tuple[int, ...]) -> Encoded:
        special = len(self.before) + len(self.after)
        dropped = 0 if self.max_length is None else max(len(tokens) + special - self.max_length, 0)
        kept = tokens[dropped:] if self.truncation_side == "left" else tokens[: len(tokens) - dropped]
        ids = (*self.before, *kept, *self.after)
        key = hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()
        error = "" if ids else "a text without a token cannot be embedded"
        return Encoded(key, len(ids), ids, truncated=dropped > 0, error=error)


@dataclass(frozen=True)
class RelevanceScorer:
    """A MultipartScorer whose parts are texts: the prompt's and the answer's."""

    model: Any
    """A transformers encoder or decoder in eval mode."""
    text: EmbeddedText
    facts: ModelFacts
    pad_id: int
    pooling: Pooling
    settings: RelevanceSettings
    answers: frozenset[Answer] = frozenset({"reward"})

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """A row per request, of two parts. The prompt is the text of its user turns on one line, or of all its turns
        where none is the user's; a prompt without text fails its row."""
        prompts = [_asked(request) for request in requests]
        answers = [plain_text(request.conversation[request.prompt_messages :]) for request in requests]
        rows = self.text.rows([*prompts, *answers])
        return [
            _row(prompt, answer, question, reply)
            for prompt, answer, question, reply in zip(
                prompts, answers, rows[: len(requests)], rows[len(requests) :], strict=True
            )
        ]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"embedding": [B, H]} of texts."""
        return {"embedding": embed(self.model, batch, self.pooling)}

    def join(self, row: Encoded, outputs: Sequence[Mapping[str, FloatArray]]) -> Mapping[str, FloatArray]:
        """A row's reward [1], and the parts it is made of: relevance [1], length [1] and repetition [1]."""
        terms = row.payload
        if not isinstance(terms, Terms):
            raise TypeError("the row was encoded by another model")
        question, reply = (np.asarray(output["embedding"], dtype=np.float64) for output in outputs)
        relevance = float(question @ reply)
        if self.settings.similarity == "cosine":
            relevance /= float(np.linalg.norm(question) * np.linalg.norm(reply)) or math.nan
        length, repetition = (
            terms.length**self.settings.length_weight,
            terms.repetition**self.settings.repetition_weight,
        )
        parts = {"relevance": relevance, "length": length, "repetition": repetition}
        named = {"reward": relevance * length * repetition} | parts
        return {name: np.array([value], dtype=np.float32) for name, value in named.items()}


def _asked(request: Request) -> str:
    turns = request.conversation[: request.prompt_messages]
    users = tuple(message for message in turns if message.role == "user")
    return " ".join(plain_text(users or turns).split())


def _row(prompt: str, answer: str, question: Encoded, reply: Encoded) -> Encoded:
    if not prompt:
        return Encoded(key="", size=0, error="the row has no prompt that an answer could be relevant to")
    terms = terms_of(answer)
    key = hashlib.sha256(f"{question.key} {reply.key} {terms!r}".encode()).hexdigest()
    return Encoded(
        key=key,
        size=question.size + reply.size,
        truncated=question.truncated or reply.truncated,
        payload=terms,
        parts=(question, reply),
    )

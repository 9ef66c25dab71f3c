"""BLIP-2, InstructBLIP and CLIP-FlanT5, asked a question: the reward is the geometric mean of the probabilities of the
answer's tokens, its end included, as VQAScore has it for models with T5 (arXiv 2404.01291; linzhiqiu/t2v_metrics)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rmbench.errors import RmbenchError

__all__ = ["Asked", "AskedBlip2", "AskedInstructBlip", "InstructWords", "labels_of"]


def labels_of(tokenizer: Any, answer: str, where: str) -> tuple[int, ...]:
    """An answer's tokens, with the token that ends it; raises RmbenchError for a tokenizer that ends no text."""
    labels = tuple(int(one) for one in tokenizer(answer)["input_ids"])
    if len(labels) < 2 or labels[-1] != tokenizer.eos_token_id:
        raise RmbenchError(f"{where}: answer={answer}: its tokenizer reads it as {list(labels)}, without an end.")
    return labels


@dataclass(frozen=True)
class Asked(ABC):
    """An image tower and a T5 that reads what it makes of an image before a question."""

    labels: tuple[int, ...]
    """The answer's tokens, with the token that ends it."""
    image_size: int
    patches: int

    @property
    @abstractmethod
    def vision(self) -> Any:
        """The image tower."""

    @property
    @abstractmethod
    def language(self) -> Any:
        """The T5."""

    @property
    def vocabulary(self) -> int | None:
        """Tokens among which the answer's are; None: all that there are logits of."""
        return None

    @abstractmethod
    def images(self, pixels: Tensor) -> Tensor:
        """[B, N, W] of pixels [B, 3, S, S]."""

    @abstractmethod
    def rewards(self, ids: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        """[B] on the CPU, of questions' ids and mask [B, T] and what `images` gave for their images."""

    def embedded(self, ids: Tensor) -> Tensor:
        """[B, T, H] of ids [B, T]."""
        found: Tensor = self.language.get_input_embeddings()(ids)
        return found

    def answered(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """[B] on the CPU: the answer's probability, of what T5 reads [B, T, H] and its mask [B, T]."""
        labels = torch.tensor(self.labels, device=inputs.device).expand(len(inputs), -1)
        logits: Tensor = self.language(inputs_embeds=inputs, attention_mask=mask, labels=labels).logits
        logps = logits[..., : self.vocabulary].float().log_softmax(dim=-1)  # [B, L, V]
        return logps.gather(-1, labels[..., None])[..., 0].mean(dim=1).exp().cpu()


@dataclass(frozen=True)
class AskedBlip2(Asked):
    """transformers' Blip2ForConditionalGeneration in eval mode."""

    model: Any

    @property
    def vision(self) -> Any:
        return self.model.vision_model

    @property
    def language(self) -> Any:
        return self.model.language_model

    def images(self, pixels: Tensor) -> Tensor:
        """[B, queries, H] of pixels [B, 3, S, S]: what the language model sees of an image."""
        features: Tensor = self.model.get_image_features(pixel_values=pixels, return_dict=True).pooler_output
        return features

    def rewards(self, ids: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        read = self.embedded(ids)
        inputs = torch.cat([images.to(read.device, read.dtype), read], dim=1)
        return self.answered(inputs, torch.cat([_ones(images, mask), mask], dim=1))


@dataclass(frozen=True)
class AskedInstructBlip(AskedBlip2):
    """transformers' InstructBlipForConditionalGeneration in eval mode: its query tokens read the question too."""

    def images(self, pixels: Tensor) -> Tensor:
        """[B, patches + 1, W] of pixels [B, 3, S, S]: the image tower's states."""
        states: Tensor = self.vision(pixel_values=pixels).last_hidden_state
        return states

    def rewards(self, ids: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        """[B] on the CPU; ids are those of `InstructWords`."""
        rows = [_parted(row[: int(length)]) for row, length in zip(ids, mask.sum(dim=1), strict=True)]
        (asked, shown), (question, kept) = (_padded([row[at] for row in rows]) for at in (0, 1))
        queries = self.model.query_tokens.expand(len(ids), -1, -1)
        seen = self.model.qformer(
            input_ids=asked,
            attention_mask=torch.cat([_ones(queries, mask), shown], dim=1),
            query_embeds=queries,
            encoder_hidden_states=images,
            encoder_attention_mask=_ones(images, mask),
        ).last_hidden_state[:, : queries.shape[1]]
        projection = self.model.language_projection
        return super().rewards(question, kept, projection(seen.to(projection.weight.dtype)))


@dataclass(frozen=True)
class InstructWords:
    """A question in the tokens of the Q-Former and of T5: how many the first are, those, and the others. Of each the
    last are read where there are more, as LAVIS cuts them."""

    qformer: Any
    language: Any
    of_each: int

    @property
    def most(self) -> int:
        """Of both, and the number of the first."""
        return 2 * self.of_each + 1

    @property
    def pad_id(self) -> int:
        """See `Words.pad_id`."""
        return 0

    def __call__(self, text: str) -> tuple[tuple[int, ...], bool]:
        """See `Words`."""
        whole = [tokenizer(text, verbose=False)["input_ids"] for tokenizer in (self.qformer, self.language)]
        first, second = (self._last(ids, name) for ids, name in zip(whole, (self.qformer, self.language), strict=True))
        return (len(first), *first, *second), any(len(ids) > self.of_each for ids in whole)

    def _last(self, ids: list[int], tokenizer: Any) -> list[int]:
        """The last ids, with the special one that begins a text where there is one."""
        if len(ids) <= self.of_each:
            return ids
        starts = ids[:1] if ids[0] in tokenizer.all_special_ids else []
        return [*starts, *ids[len(ids) - self.of_each + len(starts) :]]


def _parted(row: Tensor) -> tuple[Tensor, Tensor]:
    count = int(row[0])
    return row[1 : 1 + count], row[1 + count :]


def _padded(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Ids [B, T] with 0 on the right, and the mask of real ones."""
    pad = torch.nn.utils.rnn.pad_sequence
    return pad(rows, batch_first=True), pad([torch.ones_like(row) for row in rows], batch_first=True)


def _ones(states: Tensor, like: Tensor) -> Tensor:
    """A mask [B, N] of states [B, N, W], all of them read."""
    return torch.ones(states.shape[:2], dtype=like.dtype, device=like.device)

"""Implicit rewards of policies that see: an answer's log-probabilities given the images and videos of its prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rmbench.media import MEDIA_REJECTED, MediaError, media_of
from rmbench.models.families.implicit.answers import Answer, AnswerEncoder
from rmbench.models.families.implicit.language import LanguageModel
from rmbench.models.families.implicit.scorer import PolicyScorer
from rmbench.models.families.vl.backbone import VisionBackbone
from rmbench.models.families.vl.pictures import Pictures
from rmbench.models.families.vl.rows import Place, UnreadableError, VisionRow, placed, seen
from rmbench.models.protocols import FRAME_REPEATED, Batch, Encoded, Request, Sharing

__all__ = ["SeeingEncoder", "SeeingModel", "SeeingScorer"]


@dataclass(frozen=True)
class SeeingModel(LanguageModel):
    """A vision-language model of the library, in eval mode. Its `backbone` is None: the prompts that rows of a batch
    share, pictures among them, are found and computed once by `vision`."""

    vision: VisionBackbone

    @property
    def way(self) -> str:
        """For the record."""
        return "wanted positions"

    def logits(self, batch: Batch, given: Sequence[range]) -> Iterator[Tensor]:
        rows = [
            replace(row, payload=VisionRow(_places(row), tuple(indices)))
            for row, indices in zip(batch.rows, given, strict=True)
        ]
        return self.of(self.vision.states(rows, torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)))


@dataclass(frozen=True)
class SeeingScorer(PolicyScorer):
    """A policy that sees, and its references, as a Scorer."""

    def packing(self) -> Sharing:
        """Whether what rows share is computed once: every model tries it, and one that does not decides."""
        models = [each for each in (self.policy, *self.references) if isinstance(each, SeeingModel)]
        said = [each.vision.packing for each in models]
        return next((each for each in said if not each.shares), said[0])


@dataclass(frozen=True)
class SeeingEncoder:
    """Reads rows as policies of text do, each image or video of the prompt one token, and then puts its own tokens
    there. A row that is too long is an error, since pictures cannot be cut."""

    answers: AnswerEncoder
    """It cuts nothing."""
    pictures: Pictures
    max_length: int | None
    """Tokens of a whole row, pictures included; None: no limit is known."""
    vocabulary: int
    """How many token ids the policy has embeddings for."""

    @property
    def settings(self) -> Mapping[str, str | int | None]:
        """For the record."""
        text = {key: value for key, value in self.answers.settings.items() if key != "truncation_side"}
        return {**text, "max_length": self.max_length, "special_tokens": "text", **self.pictures.settings}

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """Rows for the engine, whose payload says where the answer begins and what is shown; rows that show the same
        are of one kind, so that they meet in one batch."""
        marked = [self.answers.text.tokenizer.marked(request) for request in requests]
        return [
            row if row.error else self._seen(row, request)
            for row, request in zip(self.answers.encode(marked), marked, strict=True)
        ]

    def _seen(self, row: Encoded, request: Request) -> Encoded:
        try:
            return self._shown(row, request)
        except MediaError as error:
            return Encoded(key="", size=0, error=f"{MEDIA_REJECTED}: {error}")
        except UnreadableError as error:
            return Encoded(key="", size=0, error=str(error))

    def _shown(self, row: Encoded, request: Request) -> Encoded:
        """The row with its pictures.

        Raises:
            MediaError: an image or video cannot be shown.
            UnreadableError: the answer has pictures, or the row is too long.
        """
        answer = row.payload
        assert isinstance(answer, Answer)
        if media_of(request.conversation[request.prompt_messages :]):
            raise UnreadableError("the answer shows an image or video, and a policy gives probabilities of text alone")
        parts = media_of(request.conversation)
        several = sum(part.kind == "image" for part in parts) > 1
        shown = [self.pictures.show(part, several=several) for part in parts]
        marks = self.pictures.marks
        if any(token in marks for token in row.ids[answer.start :]):
            raise UnreadableError("the chat template shows an image or video behind the beginning of the answer")
        ids, places = placed(row.ids, shown, marks)
        start = answer.start + len(ids) - len(row.ids)
        if self.max_length is not None and len(ids) > self.max_length:
            raise UnreadableError(
                f"{len(ids):,} tokens, pictures included, are more than the model's {self.max_length:,}"
            )
        if max(ids) >= self.vocabulary:
            raise UnreadableError(f"token {max(ids)} is outside the model's {self.vocabulary:,} embeddings")
        payload = replace(answer, start=start, places=places)
        spelled = f"{seen(shown)} {' '.join(map(str, ids))} {payload!r}"
        repeated = [FRAME_REPEATED] if any(self.pictures.repeats(each.medium) for each in shown) else []
        return replace(
            row,
            key=hashlib.sha256(spelled.encode()).hexdigest(),
            size=len(ids),
            ids=ids,
            payload=payload,
            kind=seen(shown),
            remarks=(*row.remarks, *repeated),
            text_digest=hashlib.sha256(f"{seen(shown)} {row.text_digest}".encode()).hexdigest(),
        )


def _places(row: Encoded) -> tuple[Place, ...]:
    return row.payload.places if isinstance(row.payload, Answer) else ()

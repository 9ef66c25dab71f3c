"""Vision-language reward models as scorers: rows of texts and pictures through a backbone and its head."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rmbench.media import MEDIA_REJECTED, MediaError, media_of
from rmbench.models.backbone.tensors import array_of
from rmbench.models.families.vl.backbone import VisionBackbone
from rmbench.models.families.vl.heads import RowHead, joined
from rmbench.models.families.vl.rows import UnreadableError, VisionRow, placed, seen
from rmbench.models.families.vl.wording import ContentTemplate, Wording
from rmbench.models.protocols import (
    SPECIAL_TOKENS_IN_TEXT,
    TEMPLATE_DROPPED_TEXT,
    Answer,
    Batch,
    Encoded,
    FloatArray,
    ModelFacts,
    Request,
)
from rmbench.models.text.special import LiteralTokenizer, holds_special_tokens
from rmbench.models.text.template import TemplateRefusedError

__all__ = ["VisionLanguageScorer"]


@dataclass(frozen=True)
class VisionLanguageScorer:
    """A MultipartScorer: a row of a model with several passes has a part for each, any other is computed as it is.

    Rows whose prompts show the same pictures are of one kind, so that they meet in one batch.
    """

    backbone: VisionBackbone
    heads: tuple[RowHead, ...]
    """One for each pass."""
    head_dtype: torch.dtype
    template: ContentTemplate
    wordings: tuple[Wording, ...]
    """Of each pass; empty: chats as they are."""
    spots: tuple[int, ...]
    """Ids of the tokens that are read; empty: the last token."""
    passes: str
    """How the rewards of several passes become one."""
    max_length: int | None
    vocabulary: int
    facts: ModelFacts
    pad_id: int
    answers: frozenset[Answer] = frozenset({"reward"})

    @property
    def tokenizer(self) -> LiteralTokenizer:
        """It reads every special token that a text spells as text."""
        found: LiteralTokenizer = self.template.tokenizer
        return found

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per request; pictures are decoded and counted in tokens here, and encoded in `forward`."""
        return [self._whole(request) for request in requests]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1]}, with "objectives" [B, K] and "sigma" [B, 1] where the head has them."""
        head = self.heads[batch.rows[0].payload.head if isinstance(batch.rows[0].payload, VisionRow) else 0]
        with torch.inference_mode():
            states = self.backbone.states(batch.rows, torch.from_numpy(batch.ids), torch.from_numpy(batch.mask))
            states = states.reshape(len(batch.rows), -1, states.shape[-1])
            if states.shape[1] == 1 and len(self.spots) > 1:  # the warm-up's rows, which hold no token to read
                states = states.expand(-1, len(self.spots), -1)
            return {name: array_of(values) for name, values in head(states.to(self.head_dtype)).items()}

    def join(self, row: Encoded, outputs: Sequence[Mapping[str, FloatArray]]) -> Mapping[str, FloatArray]:
        """The reward [1] of several passes, the standard deviation [1] where there is one, and the rewards of each as
        "objectives" [passes]."""
        passes = [{name: float(each[name][0]) for name in ("reward", "sigma") if name in each} for each in outputs]
        found = {name: np.array([value], dtype=np.float32) for name, value in joined(passes, self.passes).items()}
        return found | {"objectives": np.array([each["reward"] for each in passes], dtype=np.float32)}

    def _whole(self, request: Request) -> Encoded:
        try:
            rows = [self._row(request, number) for number in range(len(self.heads))]
        except MediaError as error:
            return Encoded(key="", size=0, error=f"{MEDIA_REJECTED}: {error}")
        except (TemplateRefusedError, UnreadableError) as error:
            return Encoded(key="", size=0, error=str(error))
        if len(rows) == 1:
            return rows[0]
        key = hashlib.sha256(" ".join(row.key for row in rows).encode()).hexdigest()
        return Encoded(
            key=key,
            size=sum(row.size for row in rows),
            parts=tuple(rows),
            remarks=tuple(dict.fromkeys(remark for row in rows for remark in row.remarks)),
            text_digest=key,
        )

    def _row(self, request: Request, number: int) -> Encoded:
        """One pass of a request.

        Raises:
            MediaError: an image or video cannot be shown.
            TemplateRefusedError: the conversation does not fit the model.
            UnreadableError: the row is too long, or its text lost what is read.
        """
        marked = self.tokenizer.marked(request)
        asked = self.wordings[number].turn(marked) if self.wordings else marked
        text = self.template.render(asked)
        parts = media_of(asked.conversation)
        several = sum(part.kind == "image" for part in parts) > 1
        shown = [self.backbone.pictures.show(part, several=several) for part in parts]
        found: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        ids, places = placed(found, shown, self.backbone.pictures.marks)
        spots = self._spots(ids)
        if self.backbone.causal and self.spots:
            ids = ids[: spots[-1] + 1]  # what stands behind is seen by nothing that is read
        if self.max_length is not None and len(ids) > self.max_length:
            raise UnreadableError(
                f"{len(ids):,} tokens, pictures included, are more than the model's {self.max_length:,}"
            )
        if max(ids) >= self.vocabulary:
            raise UnreadableError(f"token {max(ids)} is outside the model's {self.vocabulary:,} embeddings")
        row = VisionRow(places, spots, number)
        spelled = f"{number} {seen(shown)} {' '.join(map(str, ids))} {' '.join(map(str, spots))}"
        remarks = [SPECIAL_TOKENS_IN_TEXT] if holds_special_tokens(request, self.tokenizer.spelled) else []
        remarks += [TEMPLATE_DROPPED_TEXT] if self.template.drops_text(asked, text) else []
        before = media_of(request.conversation[: request.prompt_messages])
        return Encoded(
            key=hashlib.sha256(spelled.encode()).hexdigest(),
            size=len(ids),
            ids=ids,
            payload=row,
            kind=f"{number}/{seen(shown[: len(before)])}",
            remarks=tuple(remarks),
            text_digest=hashlib.sha256(f"{seen(shown)} {text}".encode()).hexdigest(),
        )

    def _spots(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Where a row is read. Texts hold none of the tokens that are read: those are the model's own."""
        if not ids:
            raise UnreadableError("the conversation has no text to read")
        if not self.spots:
            return (len(ids) - 1,)
        counts = [ids.count(token) for token in self.spots]
        if counts != [1] * len(self.spots):
            raise UnreadableError(f"the tokens that are read stand {counts} times in the row, expected once each")
        return tuple(ids.index(token) for token in self.spots)

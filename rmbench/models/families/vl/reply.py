"""Videos rated by the scores that the model writes behind its reasoning (VideoScore2, eval/eval_methods/vs2_float.py).

The reply is drawn as transformers' `generate` draws it upstream: repetition penalty, temperature, top k and top p, in
this order, with what generation_config.json says of them. Each score is read from the probabilities that its digit was
drawn from. Upstream looks for "heading:" alone; the released model writes a descriptor before the colon, which is let
through.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import Checkpoint, read_json
from rmbench.models.families.vl.critique import ends_of
from rmbench.models.families.vl.rows import UnreadableError, VisionRow
from rmbench.models.families.vl.schema import Reply
from rmbench.models.families.vl.scorer import VisionLanguageScorer
from rmbench.models.protocols import Batch, Encoded, FloatArray, Request, Sharing
from rmbench.models.text.special import LiteralTokenizer
from rmbench.validation import validated

__all__ = ["Drawing", "ReplyScorer", "drawing_of", "placed_scores", "score_of", "with_reply"]

_FILE = "generation_config.json"
_THOUGHT = "</think>"
"""Ends reasoning, in which no score is looked for."""


class Drawing(BaseModel):
    """What generation_config.json says of how tokens are drawn; the defaults are transformers'."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    repetition_penalty: float | None = Field(default=None, gt=0)
    top_k: int | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    eos_token_id: int | list[int] | None = None

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end a reply."""
        several = self.eos_token_id if isinstance(self.eos_token_id, list) else [self.eos_token_id]
        return frozenset(each for each in several if each is not None)

    def settings(self, temperature: float) -> dict[str, float | int]:
        """Those that change a reply, for the record."""
        drawn = {"top_k": 50 if self.top_k is None else self.top_k, "top_p": self.top_p or 1.0} if temperature else {}
        return {"temperature": temperature, "repetition_penalty": self.repetition_penalty or 1.0, **drawn}

    def change(self, temperature: float) -> Callable[[Tensor, Tensor], Tensor]:
        """(tokens so far [1, T], logits [1, V]) -> the logits that the next token is drawn from."""
        from transformers.generation import logits_process as library

        said = self.settings(temperature)
        steps: list[Any] = []
        if said["repetition_penalty"] != 1:
            steps.append(library.RepetitionPenaltyLogitsProcessor(float(said["repetition_penalty"])))
        if temperature and temperature != 1:
            steps.append(library.TemperatureLogitsWarper(float(temperature)))
        if said.get("top_k"):
            steps.append(library.TopKLogitsWarper(int(said["top_k"])))
        if said.get("top_p", 1) < 1:
            steps.append(library.TopPLogitsWarper(said["top_p"]))
        changed: Callable[[Tensor, Tensor], Tensor] = library.LogitsProcessorList(steps)
        return changed


def drawing_of(checkpoint: Checkpoint) -> Drawing:
    """Raises RmbenchError for a generation_config.json that does not say it in numbers."""
    path = checkpoint.folder / _FILE
    return validated(Drawing, read_json(path), path) if _FILE in checkpoint.files else Drawing()


def score_of(logits: Sequence[float], how: Literal["normed", "weighted"]) -> float:
    """A score from the logits of its digits 1, 2 ...

    Args:
        logits: of each digit, in order; those of all other tokens are left out.
        how: "normed": the most probable digit times its probability among the digits. "weighted": their mean.
    """
    shares = torch.tensor(list(logits), dtype=torch.float64).softmax(-1).tolist()
    if how == "weighted":
        return float(sum(digit * share for digit, share in enumerate(shares, 1)))
    best = shares.index(max(shares))
    return float((best + 1) * shares[best])


def placed_scores(text: str, headings: Sequence[str], most: int) -> list[int]:
    """Where in a reply the digit of each heading's score stands: the first score behind each heading, in their order,
    whatever stands between the heading and the next colon of its line.

    Raises:
        UnreadableError: a heading has no score, or one that is no whole number from 1 to `most`.
    """
    places: list[int] = []
    at = max(text.rfind(_THOUGHT), 0)
    for heading in headings:
        pattern = re.compile(rf"{re.escape(heading)}[^:\n]*:[ \t*_]*(\d+(?:[.,]\d+)?)", re.IGNORECASE | re.ASCII)
        found = pattern.search(text, at)
        if found is None:
            raise UnreadableError(f'the reply has no score behind "{heading}": {_end(text)}')
        if not (len(found[1]) == 1 and 1 <= int(found[1]) <= most):
            raise UnreadableError(f'the reply\'s "{heading}" is {found[1]}, expected a whole number from 1 to {most}')
        places.append(found.start(1))
        at = found.end(1)
    return places


def _end(text: str) -> str:
    """The last of a reply, in one line."""
    line = " ".join(text.split())
    return f"... {line[-100:]}" if len(line) > 100 else line or "it is empty"


class _Draw:
    """Draws one reply's tokens, and keeps the logits of the digits where each was drawn."""

    def __init__(
        self, ids: Sequence[int], change: Callable[[Tensor, Tensor], Tensor], digits: Sequence[int], seed: int | None
    ) -> None:
        self.ids, self.change, self.digits = list(ids), change, list(digits)
        self.generator = None if seed is None else torch.Generator().manual_seed(seed)
        """None: the most probable token is taken."""
        self.found: list[list[float]] = []

    def __call__(self, logits: Tensor) -> int:
        """[V] -> a token."""
        (changed,) = self.change(torch.tensor([self.ids]), logits.float().cpu()[None])
        self.found.append(changed[self.digits].tolist())
        if self.generator is None:
            token = int(changed.argmax())
        else:
            token = int(torch.multinomial(changed.softmax(-1), 1, generator=self.generator))
        self.ids.append(token)
        return token


@dataclass(frozen=True)
class ReplyScorer(VisionLanguageScorer):
    """A Scorer that writes a reply about each row, one at a time, and reads its scores."""

    logits: Callable[[Tensor], Tensor]
    """States [H] -> [V]."""
    reply: Reply
    weights: tuple[float, ...]
    """Of the scores in the reward."""
    digits: tuple[int, ...]
    """Tokens of 1, 2 ..."""
    ends: frozenset[int]
    change: Callable[[Tensor, Tensor], Tensor]
    seed: int

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per request, each of a kind of its own: a reply that cannot be read costs no other row's again."""
        return [replace(row, kind=row.key) for row in self.text.encode(requests)]

    def packing(self) -> Sharing:
        """Each row is computed alone."""
        return Sharing(False, "")

    def written(self, row: Encoded) -> tuple[list[int], list[list[float]]]:
        """A reply's tokens, and the logits of the digits where each was drawn. It depends on the row and the seed."""
        drawn = hashlib.sha256(f"{self.seed} {row.key}".encode()).digest()
        seed = int.from_bytes(drawn[:7], "big") if self.reply.temperature else None
        draw = _Draw(row.ids, self.change, self.digits, seed)
        most = self.reply.tokens if isinstance(row.payload, VisionRow) else 2  # the warm-up's rows ask nothing
        with torch.inference_mode():
            ids = self.backbone.written(row, self.logits, self.ends, most, draw)
        return ids, draw.found

    def scores(self, row: Encoded) -> list[float]:
        """Of each heading; raises UnreadableError where the reply has not all of them."""
        ids, found = self.written(row)
        if not isinstance(row.payload, VisionRow):
            return [0.0 for _ in self.reply.headings]
        text = self._text(ids)
        try:
            places = placed_scores(text, self.reply.headings, self.reply.most)
        except UnreadableError as error:
            cut = f" (cut off after {len(ids):,} tokens)" if len(ids) == self.reply.tokens else ""
            raise UnreadableError(f"{error}{cut}") from None
        return [score_of(found[self._token_at(ids, text, place)], self.reply.scores) for place in places]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """{"reward": [B, 1], "objectives": [B, K]}; raises UnreadableError for a reply without its scores."""
        found = np.array([self.scores(row) for row in batch.rows])
        reward = found @ np.array(self.weights)
        return {"reward": reward[:, None].astype(np.float32), "objectives": found.astype(np.float32)}

    def _token_at(self, ids: Sequence[int], text: str, place: int) -> int:
        """Which token is the digit at a place of the text."""
        at = bisect_right(range(len(ids)), place, key=lambda count: len(self._text(ids[: count + 1])))
        if self._text(ids[:at]) != text[:place] or ids[at] not in self.digits:
            raise UnreadableError(f'the reply\'s score "{text[place]}" is no token of its own')
        return at

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self.text.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text


def with_reply(
    scorer: VisionLanguageScorer,
    logits: Callable[[Tensor], Tensor],
    reply: Reply,
    weights: tuple[float, ...],
    checkpoint: Checkpoint,
    seed: int,
) -> ReplyScorer:
    """The scorer with a reply in place of a head; raises RmbenchError where a digit is not one token."""
    drawing = drawing_of(checkpoint)
    own = {name: getattr(scorer, name) for name in scorer.__dataclass_fields__}
    return ReplyScorer(
        **own,
        logits=logits,
        reply=reply,
        weights=weights,
        digits=_digits(scorer.text.tokenizer, reply.most, scorer.facts.name),
        ends=ends_of(scorer, checkpoint) | drawing.ends,
        change=drawing.change(reply.temperature),
        seed=seed,
    )


def _digits(tokenizer: LiteralTokenizer, most: int, name: str) -> tuple[int, ...]:
    spelled = [tokenizer(str(digit), add_special_tokens=False)["input_ids"] for digit in range(1, most + 1)]
    for digit, ids in enumerate(spelled, 1):
        if len(ids) != 1:
            raise RmbenchError(f"{name}: its tokenizer reads the score {digit} as {ids}, expected one token.")
    return tuple(ids[0] for ids in spelled)

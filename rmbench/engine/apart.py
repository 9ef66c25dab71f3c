"""A model that is open in workers alone: a calling process encodes and plans for it without its weights."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rmbench.errors import RmbenchError
from rmbench.models.abilities import Closable, HiddenStateScorer, LengthSwitching
from rmbench.models.introspect import tokenizer_of
from rmbench.models.protocols import (
    Answer,
    Batch,
    DecodingScorer,
    Encoded,
    Encoder,
    EncodingScorer,
    FloatArray,
    ModelFacts,
    MultipartScorer,
    Request,
    Sharing,
    SharingScorer,
    VerdictScorer,
)

__all__ = ["ApartScorer", "Question", "Refused", "pickled_apart"]


@dataclass(frozen=True, slots=True)
class Question:
    """What a worker is asked about its model, besides jobs."""

    what: Literal["apart", "sharing", "forward"]
    """"apart": the model without its weights. "sharing", "forward": what its methods of that name say."""
    batches: tuple[Batch, ...] = ()
    hidden: bool = False
    """Whether hidden states are wanted beside the answers."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A forward that raised something, in a line."""

    why: str


@dataclass(frozen=True)
class ApartScorer:
    """A Scorer whose forwards and trials are a worker's. All else is here, without weights and without a device."""

    facts: ModelFacts
    answers: frozenset[Answer]
    pad_id: int
    tokenizer: Any
    encoder: Encoder
    threads: int
    chunk_tokens: int
    length_switches: tuple[int, ...]
    no_hidden: str
    """Why it has no hidden states; "" where it has."""
    ask: Callable[[Question], Any] | None = None
    """Puts a question to a worker."""
    _tried: dict[int, Sharing] = field(default_factory=dict, compare=False)
    """Verdicts on sharing, by how many length switches the longest row is beyond."""

    def with_hidden(self) -> ApartScorer:
        """The same model, which also answers "hidden"; raises RmbenchError where it has no such state."""
        if self.no_hidden:
            raise RmbenchError(self.no_hidden)
        return replace(self, answers=self.answers | {"hidden"})

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """In this process."""
        return self.encoder.encode(requests)

    def sharing(self, batches: Sequence[Batch]) -> Sharing:
        """What a worker's trial says of these rows. It is asked again where longer rows may change the verdict."""
        longest = max((len(row.ids) for batch in batches for row in batch.rows), default=0)
        beyond = sum(longest > length for length in self.length_switches)
        last = max(self._tried, default=-1)
        if last < 0 or (self._tried[last].shares and beyond > last):
            self._tried[beyond] = self._asked(Question("sharing", tuple(batches)))
            last = beyond
        return self._tried[last]

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """What a worker computes."""
        said = self._asked(Question("forward", (batch,), "hidden" in self.answers))
        if isinstance(said, Refused):
            raise RuntimeError(said.why)
        outputs: Mapping[str, FloatArray] = said
        return outputs

    def _asked(self, question: Question) -> Any:
        assert self.ask is not None  # it is given where the model is unpacked
        return self.ask(question)


def pickled_apart(model: Any) -> bytes | None:
    """An opened model as an `ApartScorer`, for the calling process; None for a model that needs its weights for more
    than forwards, or whose encoder cannot be sent."""
    whole = isinstance(model, EncodingScorer) and isinstance(model, SharingScorer) and model.encoder is not None
    more = isinstance(model, MultipartScorer | DecodingScorer | VerdictScorer | Closable)
    known = isinstance(model, HiddenStateScorer) and isinstance(model, LengthSwitching)
    if not whole or more or not known or model.answers != {"reward"} or not model.facts.modalities <= {"text"}:
        return None
    apart = ApartScorer(
        facts=model.facts,
        answers=model.answers,
        pad_id=model.pad_id,
        tokenizer=tokenizer_of(model),
        encoder=model.encoder,
        threads=model.threads,
        chunk_tokens=model.chunk_tokens,
        length_switches=model.length_switches,
        no_hidden=_no_hidden(model),
    )
    try:
        return pickle.dumps(apart)
    except Exception:  # a tokenizer of remote code may refuse in any way
        return None


def _no_hidden(model: HiddenStateScorer) -> str:
    try:
        model.with_hidden()
    except RmbenchError as error:
        return str(error)
    return ""

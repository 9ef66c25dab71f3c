"""The two things a model can be: a Scorer, whose work the engine plans, or a Responder, which answers whole rows. What
either can do in addition is declared in `rmbench.models.abilities`.

B is the number of rows of a batch, T its longest row in tokens, K the candidates of an example, H the hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from rmbench.types import Conversation, Example, Judgment, Setting

__all__ = [
    "FRAME_REPEATED",
    "SPECIAL_TOKENS_IN_TEXT",
    "TEMPLATE_DROPPED_TEXT",
    "TEMPLATE_IGNORED_TOOLS",
    "Answer",
    "Batch",
    "DecodingScorer",
    "Encoded",
    "Encoder",
    "EncodingScorer",
    "FloatArray",
    "Group",
    "IntArray",
    "MarginScorer",
    "ModelFacts",
    "MultipartScorer",
    "PackingScorer",
    "ParallelScorer",
    "Request",
    "Responder",
    "Scorer",
    "Sharing",
    "SharingScorer",
    "TowerScorer",
    "VerdictScorer",
]

Answer = Literal["reward", "margin", "pair", "hidden"]
"""What a scorer computes: "reward" a number per candidate; "margin" [K, K] margins by
`MarginScorer.combine`, one row per candidate; "pair" a margin of two candidates read together, one row per ordered
pair; "hidden" the last layer's state."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

TEMPLATE_DROPPED_TEXT = "template_dropped_text"
"""Remark of a row whose text lacks some of its conversation's, white space apart, since the model's template leaves it
out. The record counts the examples that have such a row."""

TEMPLATE_IGNORED_TOOLS = "template_ignored_tools"
"""Remark of a row with tools that the model's template leaves out. The record counts the examples that have such a
row."""

SPECIAL_TOKENS_IN_TEXT = "special_tokens_in_text"
"""Remark of a row whose messages spell special tokens of the model's tokenizer. The record counts the examples that
have such a row."""

FRAME_REPEATED = "frame_repeated"
"""Remark of a row whose video has one frame, shown as often as the model reads frames at once. The record counts the
examples that have such a row."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model; every record holds all of it."""

    name: str
    """`org/name`, a bundled model's name, `baseline:length`."""
    revision: str
    """Hub commit, or the first 8 hex digits of the content's sha256; then the settings that the user gave, where they
    change scores: `+dtype=float16,gate=scaled`."""
    family: str
    """"scalar", "gpm", "implicit", "pairwise", "clip", "blip", "mps", "diffusion", "vl-scalar", "vqa", "judge",
    "ensemble", "precomputed", "fake", "baseline", "callable", or what a plug-in calls its own."""
    why: str = ""
    """One line: what decided the family."""
    answer_kind: Literal["reward", "verdict"] = "reward"
    """Which of a task's chance levels applies."""
    modalities: frozenset[str] = frozenset({"text"})
    parameters: int | None = None
    license: str | None = None
    trained_on: tuple[str, ...] = ()
    """Task ids or data-set names the model saw in training; a task named here gets the flag `contaminated`."""
    flags: tuple[str, ...] = ()
    """"demo" (the bundled model), "fake", "baseline"."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """Resolved values that change a number: dtype, device, attention, max_length, truncation side, template hash ..."""
    fingerprint: str = ""
    """sha256 over everything above that changes a number, weights included."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to compute: a whole conversation and how it becomes text."""

    conversation: Conversation
    prompt_messages: int
    """How many leading messages are the prompt."""
    render: Literal["chat", "raw"] = "chat"
    """"chat": the model's template. "raw": the messages' texts joined as they are."""
    against: Conversation | None = None
    """The conversation that a "pair" model reads together with this one; None for every other model."""
    example: Example | None = None
    """The whole example, with its context, for a judge."""
    shown: tuple[int, ...] = ()
    """The candidates of the example that it is about, in the order shown."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A request made ready for the model. Equal `key`s are computed once."""

    key: str
    """Content hash, within one model; it covers the payload too where that changes the result."""
    size: int
    """Cost in tokens (characters for models without tokens)."""
    ids: tuple[int, ...] = ()
    """[T] token ids; empty for models without tokens."""
    truncated: bool = False
    payload: object = None
    """What a model without tokens needs instead of ids."""
    error: str = ""
    """Why this row cannot be computed; such a row fails alone and is never put into a batch."""
    kind: str = ""
    """Rows of different kinds never share a batch (a two-tower model's images and texts)."""
    parts: tuple[Encoded, ...] = ()
    """What the row consists of, where the parts are computed separately and `join`ed (an image, frames, a text). Equal
    parts of a task are computed once. The row itself is then never in a batch."""
    remarks: tuple[str, ...] = ()
    """What is counted in the record, by name, e.g. "pool_index_mismatch"."""
    text_digest: str = ""
    """Of the rendered text, before any of it is cut; "" for models without a template. An example fails where two
    different candidates have the same."""
    cut: tuple[int, int] = (0, 0)
    """Tokens of the text that were cut off on the left and on the right, where that is known."""


@dataclass(frozen=True, slots=True)
class Group:
    """A prefix group: consecutive rows of a batch that begin with the same tokens."""

    prefix: int
    """How many tokens they share; 0 for a row alone. Every row has at least one more."""
    rows: int
    """How many rows."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows computed together: padded by the engine, or in prefix groups."""

    rows: tuple[Encoded, ...]
    ids: IntArray
    """[B, T]; [B, 0] for models without tokens and for rows in groups."""
    mask: IntArray
    """[B, T], 1 on real tokens."""
    last: IntArray
    """[B] column of each row's last real token, from the mask whatever the padding side."""
    groups: tuple[Group, ...] = ()
    """In the order of the rows and covering them all: only a `SharingScorer` that shares gets them, and then nothing is
    padded."""


@runtime_checkable
class Scorer(Protocol):
    """A model whose requests the engine renders, deduplicates, batches and caches. It never loops over a data set,
    pads, prints, or reads files outside its checkpoint."""

    @property
    def facts(self) -> ModelFacts: ...

    @property
    def answers(self) -> frozenset[Answer]: ...

    @property
    def pad_id(self) -> int:
        """Token id put on padded places (never looked at for pooling); 0 for models without tokens."""

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """Render and tokenise, one entry per request, in order. A row that cannot be encoded carries `error`."""

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        """Name -> [B, M]. "reward" is [B, 1]; "margin" of a "pair" model [B, 1], above 0 where the first conversation
        is better; "hidden" [B, H], the last layer at the last real token; other names become `parts` of the judgment.
        NaN is returned as it is: the engine makes it a failed row."""


class Encoder(Protocol):
    """Makes rows of requests, as `Scorer.encode` does."""

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """One entry per request, in order."""


@runtime_checkable
class EncodingScorer(Scorer, Protocol):
    """A Scorer whose `encode` needs no model."""

    @property
    def encoder(self) -> Encoder | None:
        """What `encode` calls. It can be pickled, and its rows depend on the requests' conversations, `prompt_messages`
        and `render` alone, so that equal requests are encoded once, and in other processes where that is faster. None
        for what is encoded with the model or by the whole example."""


@runtime_checkable
class MultipartScorer(Scorer, Protocol):
    """A Scorer whose rows may have several parts."""

    def join(self, row: Encoded, outputs: Sequence[Mapping[str, FloatArray]]) -> Mapping[str, FloatArray]:
        """The outputs of `row.parts`, in their order (each name -> [M]) -> the row's own outputs, as `forward` gives
        them for one row: name -> [M]."""


@runtime_checkable
class TowerScorer(MultipartScorer, Protocol):
    """A MultipartScorer whose parts other scorers of the same weights compute just so: two rewards of one pair of
    towers, say. All of its rows are in parts."""

    @property
    def tower(self) -> str:
        """sha256 over what decides a part's result besides its key; scorers with an equal one share results."""


@runtime_checkable
class DecodingScorer(Scorer, Protocol):
    """A Scorer whose rows hold media that are decoded for a batch. It is done in threads, ahead of `forward`."""

    def decoded(self, rows: Sequence[Encoded]) -> tuple[Encoded, ...]:
        """The rows with their media decoded, equal in all else. Called from several threads at once. It does not raise
        for a medium that cannot be decoded: that row stays as it is, and `forward` says why."""


@runtime_checkable
class VerdictScorer(Scorer, Protocol):
    """A Scorer that is a judge: what counts is a verdict per question, not a margin or a reward."""

    def as_verdicts(
        self, example: Example, judgment: Judgment, outputs: Mapping[tuple[int, ...], Mapping[str, FloatArray]]
    ) -> Judgment:
        """The judgment by verdicts.

        Args:
            example: what was judged.
            judgment: with the margins of all pairs, or the rewards.
            outputs: candidates in the order shown -> what `forward` gave for them, name -> [M].
        """
        ...


@dataclass(frozen=True, slots=True)
class Sharing:
    """Whether a prefix shared by rows is computed once."""

    shares: bool
    why: str
    """One line, e.g. "packed rows agree with plain ones to 3e-06"."""
    refused: tuple[str, ...] = ()
    """Better ways that were tried and are not taken, each with the reason."""


@runtime_checkable
class MarginScorer(Scorer, Protocol):
    """A Scorer with "margin" among its `answers`."""

    def combine(self, outputs: Sequence[Mapping[str, FloatArray]]) -> FloatArray | None:
        """The margins of an example.

        Args:
            outputs: of its K candidates, each name -> [M], as `forward` computed them.

        Returns:
            Margins [K, K], row shown first.
        """


@runtime_checkable
class ParallelScorer(Scorer, Protocol):
    """A Scorer that may compute several batches at once."""

    @property
    def threads(self) -> int:
        """How many threads may call `forward` at the same time."""


@runtime_checkable
class SharingScorer(ParallelScorer, Protocol):
    """A Scorer that can take batches in prefix groups."""

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a batch in groups that suit it best."""

    def sharing(self, batches: Sequence[Batch]) -> Sharing:
        """Whether it shares prefixes, found by a sharing trial on some of these rows: shared and plain results are
        compared before anything counts."""


@runtime_checkable
class PackingScorer(Scorer, Protocol):
    """A Scorer that lays the rows of a batch end to end by itself, without groups from the engine."""

    def packing(self) -> Sharing:
        """Whether it computes once what rows of a batch share, found by a trial of its own; `why` is "" where nobody
        asked for it."""


@runtime_checkable
class Responder(Protocol):
    """A model that answers whole examples: judges, score files, fakes, baselines. Never deduplicated by content."""

    @property
    def facts(self) -> ModelFacts: ...

    def judge(self, task: str, example: Example) -> Judgment:
        """The judgment of one example of the task with id `task`. A row that fails is a judgment with status
        "failed" and the reason, not an exception."""

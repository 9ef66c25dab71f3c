"""Which states of a row a scalar head reads. Places come from the row's own ids, before anything is padded, so neither
padding nor the pad token changes them; a row for which upstream's rule would choose another is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, StrictInt, model_validator

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.families.scalar.headers import tokens_before_answers
from rmbench.models.families.scalar.reference import ReferenceEncoder
from rmbench.models.protocols import Encoded, Request
from rmbench.models.text.tokens import TextEncoder, TextRow

__all__ = [
    "BoundPooling",
    "PooledEncoder",
    "Pooling",
    "PromptState",
    "Spot",
    "encode",
    "place_row",
    "spot_of",
    "upstream_index",
]

UpstreamRule = Literal["rightmost", "firstpad", "last column"]
Use = Literal["mask", "upstream"]

POOL_MISMATCH = "pool_index_mismatch"
"""Remark of a row in which upstream's rule reads another state than ours."""
GATE_MISMATCH = "gate_index_mismatch"
"""Remark of a row in which upstream's gate reads another token: its answer spells the pattern, or runs together with
the prompt's end."""


class PromptState(BaseModel):
    """The state that a gate reads: where the answer's header begins, at the answer's first token, or the last of a text
    of the prompt alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pattern: tuple[StrictInt, ...] = ()
    """Token ids of the header before the answer; the state at their first id is read, at their last occurrence."""
    answer: bool = False
    """The answer's first token is read: the first that differs from the prompt with its header alone."""
    apart: bool = False
    """Prompt and answer are texts of their own, and each is read at its last token."""

    @model_validator(mode="after")
    def _is_one_place(self) -> PromptState:
        if bool(self.pattern) + self.answer + self.apart != 1:
            raise ValueError("pattern, answer or apart: one of the three")
        return self

    def __str__(self) -> str:
        if self.apart:
            return "last token of the prompt's own text"
        return "first token of the answer" if self.answer else f"start of the last {' '.join(map(str, self.pattern))}"


class Pooling(BaseModel):
    """What a head reads, as a declaration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["last", "token", "first", "mean"] = "last"
    """"last": the row's last token. "token": the last `token`. "first": the first token, BOS or [CLS] included.
    "mean": the mean of all tokens."""
    token: StrictInt | str | None = None
    """"token": the id, or the key of config.json that holds it."""
    append: bool = False
    """"token": it is put behind the template's text unless it stands there, and truncation never cuts it."""
    prompt: PromptState | None = None
    """What a gate reads beside it; None: there is no gate."""
    upstream: UpstreamRule | None = None
    """The rule behind the published numbers. "rightmost": the last id that is not the pad id (transformers'
    ForSequenceClassification). "firstpad": the one before the first pad id, else the last (transformers before 2025,
    INF-ORM, ArmoRM, QRM, LDL, Starling). "last column": the last place of the padded row. None: the same as ours."""
    pad: StrictInt | None = None
    """The pad id that upstream's code has for its rule, whatever the checkpoint says; None: the checkpoint's."""

    @model_validator(mode="after")
    def _fits_together(self) -> Pooling:
        if (self.rule == "token") != (self.token is not None):
            raise ValueError('token: rule = "token" names a token, and no other rule does')
        if self.append and self.rule != "token":
            raise ValueError('append: only rule = "token" has a token to append')
        if self.upstream and self.rule not in ("last", "token"):
            raise ValueError(f'upstream: rule = "{self.rule}" does not depend on padding')
        if self.prompt is not None and self.prompt.apart and (self.rule != "last" or self.upstream):
            raise ValueError('prompt: apart goes with rule = "last" alone')
        return self

    def bind(self, config: Mapping[str, Any], pad_id: int, use: Use = "mask") -> BoundPooling:
        """The declaration with a checkpoint's own ids.

        Args:
            config: config.json, where `token` may be a key.
            pad_id: the checkpoint's pad id, for upstream's rule.
            use: "mask": ours. "upstream": upstream's rule is obeyed.

        Raises:
            RmbenchError: config.json has no such token id, or there is no upstream rule to obey.
        """
        if use == "upstream" and self.upstream is None:
            raise RmbenchError('pooling = "upstream": this model has no rule of its own to follow; leave it at "mask".')
        token = self.token
        if isinstance(token, str):
            found = config.get(token)
            if type(found) is not int or found < 0:
                raise RmbenchError(f"config.json has no token id {token!r}.{did_you_mean(token, config)}")
            token = found
        return BoundPooling(self, token, pad_id if self.pad is None else self.pad, use)


@dataclass(frozen=True, slots=True)
class Spot:
    """The places of one row that are read, as indices into its ids."""

    state: int
    prompt: int | None = None
    """The gate's; None where there is no gate."""


@dataclass(frozen=True, slots=True)
class BoundPooling:
    """A pooling for one checkpoint."""

    pooling: Pooling
    token: int | None
    pad_id: int
    use: Use

    @property
    def ending(self) -> tuple[int, ...]:
        """What every row must end with; `TextEncoder.ending` takes it."""
        return (self.token,) if self.pooling.append and self.token is not None else ()

    @property
    def settings(self) -> dict[str, str]:
        """For the record."""
        ours = {
            "last": "last token by mask",
            "token": f"last token {self.token}",
            "first": "first token",
            "mean": "mean of all tokens",
        }[self.pooling.rule]
        said = {"pooling": ours if self.use == "mask" else f"upstream's: {self.pooling.upstream}, pad {self.pad_id}"}
        gate = self.pooling.prompt
        return said | ({"gate": str(gate)} if gate else {})


class _UnreadableError(Exception):
    """A row lacks what the pooling reads."""


def encode(pooling: BoundPooling, text: TextEncoder | ReferenceEncoder, requests: Sequence[Request]) -> list[Encoded]:
    """Rows for the engine, each with its `Spot` as payload; a row without the token or the header that the pooling
    asks for carries the reason as its error."""
    rows = text.rows(requests)
    before: list[tuple[int, ...]] = [()] * len(rows)
    if pooling.pooling.prompt is not None and isinstance(text, TextEncoder):
        before = tokens_before_answers(text, requests, rows)
    return [
        row if isinstance(row, Encoded) else place_row(pooling, row, tokens)
        for row, tokens in zip(rows, before, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class PooledEncoder:
    """`encode` of one model."""

    pooling: BoundPooling
    text: TextEncoder

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        """See `encode`."""
        return encode(self.pooling, self.text, requests)


def place_row(pooling: BoundPooling, row: TextRow, before: Sequence[int] = ()) -> Encoded:
    """The row with its `Spot`.

    Args:
        pooling: what is read.
        row: the tokens.
        before: for gates, the tokens before the answer, as `row.body` has them before anything was cut. The pattern is
            looked for here alone, so an answer that spells it moves nothing.
    """
    ids = row.ids
    try:
        state = _state(pooling, ids)
        prompt = _gate_place(pooling.pooling.prompt, row, before) if pooling.pooling.prompt else None
    except _UnreadableError as error:
        return Encoded(key="", size=0, error=str(error))
    remarks = []
    if pooling.pooling.upstream is not None:
        theirs = upstream_index(pooling.pooling.upstream, ids, pooling.pad_id)
        remarks += [POOL_MISMATCH] if theirs != state else []
        state = theirs if pooling.use == "upstream" else state
    if pooling.pooling.prompt and _upstreams_gate(pooling.pooling.prompt, row, before) != prompt:
        remarks.append(GATE_MISMATCH)
    spot = Spot(state, prompt)
    # Rows read at their end alone have the key that their ids give, as they have without any pooling.
    plain = spot == Spot(len(ids) - 1)
    return replace(row.encoded(None if plain else spot, tuple(remarks)), payload=spot)


def upstream_index(rule: UpstreamRule, ids: Sequence[int], pad_id: int) -> int:
    """The index that upstream's rule chooses in a row by itself, without padding."""
    last = len(ids) - 1
    if rule == "rightmost":
        return next((index for index in range(last, -1, -1) if ids[index] != pad_id), 0)
    if rule == "firstpad":
        return (list(ids).index(pad_id) - 1) % len(ids) if pad_id in ids else last
    return last


def spot_of(row: Encoded) -> Spot:
    """A row's places. A row that no pooling saw (the warm-up's) is read at its end, its prompt at its first token."""
    return row.payload if isinstance(row.payload, Spot) else Spot(len(row.ids) - 1, 0)


def _state(pooling: BoundPooling, ids: Sequence[int]) -> int:
    if pooling.pooling.rule == "first":
        return 0
    if pooling.pooling.rule != "token":
        return len(ids) - 1
    for index in range(len(ids) - 1, -1, -1):
        if ids[index] == pooling.token:
            return index
    raise _UnreadableError(f"the row has no token {pooling.token}, whose state the head reads")


def _gate_place(gate: PromptState, row: TextRow, before: Sequence[int]) -> int:
    if not gate.answer:
        return _prompt(gate.pattern, row, before)
    whole = [*before[: row.dropped_left], *row.body]
    same = next(
        (k for k, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), min(len(before), len(whole))
    )
    if not before or same < row.dropped_left or same == len(whole):
        raise _UnreadableError("the answer's first token, whose state the gate reads, is not there")
    return len(row.before) + same - row.dropped_left


def _upstreams_gate(gate: PromptState, row: TextRow, before: Sequence[int]) -> int | None:
    """Behind as many tokens as the prompt alone has, though its last may have run together with the answer."""
    if gate.answer:
        return len(row.before) + len(before) - row.dropped_left
    return _last_occurrence(gate.pattern, row.ids)


def _prompt(pattern: Sequence[int], row: TextRow, before: Sequence[int]) -> int:
    """Index of the header's first id in the row."""
    name = f"the header {' '.join(map(str, pattern))}, whose state the gate reads,"
    found = _last_occurrence(pattern, before)
    if found is None:
        raise _UnreadableError(f"{name} does not stand before the answer")
    start = found - row.dropped_left
    stop = start + len(pattern)
    if start < 0 or (row.dropped_right and stop > len(row.body)):
        raise _UnreadableError(f"{name} was cut off with what the row has too much")
    if tuple(row.body[start:stop]) != tuple(pattern):
        raise _UnreadableError(f"{name} runs together with the answer's first letters")
    return len(row.before) + start


def _last_occurrence(pattern: Sequence[int], ids: Sequence[int]) -> int | None:
    wanted = tuple(pattern)
    starts = range(len(ids) - len(wanted), -1, -1)
    return next((start for start in starts if tuple(ids[start : start + len(wanted)]) == wanted), None)

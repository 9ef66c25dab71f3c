"""Pooling: the state must be read where the mask says, whatever the pad id, and a pad token inside a row must count.

Nothing is assumed about the model's internals. A causal model that reads a state before the end of a row gives that row
the score of a shorter row, to the last bit: a pad token is inserted in the middle and at the end of rows, which are
then compared with the same rows cut off before it. The contribution of a pad token on padded positions, and of one
inside a row, is measured by changing its embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.check.subject import Numbers, Subject
from rmbench.engine.batch import collate
from rmbench.models.families.scalar.pooling import Spot
from rmbench.models.protocols import Encoded, Scorer

__all__ = ["pooling"]

Side = Literal["right", "left"]
_Edit = Callable[[tuple[int, ...]], tuple[int, ...]]

MISMATCH = "pool_index_mismatch"
_ROWS = 3
"""Rows that must agree before the state counts as read too early: rounded scores may be equal by chance."""
_MIXED = 8
"""Rows of the batch on which padding is tried."""
_SAME = 1e-6
"""Share of the largest number by which two computations of one state may differ."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """The result of one experiment."""

    fault: str = ""
    passed: tuple[str, ...] = ()
    """What holds, in words."""


def pooling(subject: Subject) -> CheckResult:
    """The state is read at the last real token by the mask, unless the model's settings declare another place."""
    name = "pooling"
    scorer = subject.scorer
    rows = [row for _, one, encoded in subject.rows if one.status == "ok" for row in encoded if row.ids]
    if scorer is None or not rows:
        return not_run(name, f"a {subject.facts.family} model reads no token ids from the engine")
    other = sum(MISMATCH in row.remarks for row in rows)
    declared = str(subject.facts.settings.get("pooling") or "not declared")
    figures: dict[str, Any] = {"declared": declared, MISMATCH: other, "rows": len(rows)}
    upstream = f"; upstream's rule reads another token in {other} of {len(rows)} rows" if other else ""
    if not np.ptp(subject.scores() if len(subject.scores()) else np.zeros(1)):
        return not_run(name, "all scores are equal, so states cannot be distinguished")
    short = _short_rows(subject, rows)
    trials = [
        _at_the_end(scorer, short, subject, declared),
        _embedding(scorer, rows, short, subject),
        _pad_id_unused(scorer, rows, subject),
    ]
    faults = "; ".join(trial.fault for trial in trials if trial.fault)
    holds = [clause for trial in trials for clause in trial.passed]
    if faults:
        return failed(name, faults + upstream, figures)
    if not holds:
        return not_run(name, "its rows carry positions of their own, which cannot be moved from outside" + upstream)
    return passed(name, f"{declared}: {'; '.join(holds)}{upstream}", figures)


def _pad_id_unused(scorer: Scorer, rows: Sequence[Encoded], subject: Subject) -> _Trial:
    """Padded positions filled with other ids score the same."""
    others = sorted({token for row in rows for token in row.ids[-2:]} - {scorer.pad_id})[:2]
    worst = 0.0
    for kind in {row.kind for row in rows}:
        group = _mixed([row for row in rows if row.kind == kind])
        first = _forward(scorer, group, scorer.pad_id)
        for other in others:
            worst = max(worst, _apart(first, _forward(scorer, group, other)))
    if worst > subject.tolerance:
        return _Trial(f"scores move by {worst:.3g} when padded positions hold another id than {scorer.pad_id}")
    return _Trial(passed=("the pad id does not matter",)) if others else _Trial()


def _at_the_end(scorer: Scorer, rows: Sequence[Encoded], subject: Subject, declared: str) -> _Trial:
    """No row has the score of itself without its end."""
    if declared.startswith(("first", "mean", "upstream")):
        return _Trial(passed=(f"read as declared ({declared})",))
    if not rows:
        return _Trial()
    for token, label in _pad_like(scorer, subject).items():
        for where, longer, shorter in _insertions(token):
            pairs = [(_with_ids(row, longer(row.ids)), _with_ids(row, shorter(row.ids))) for row in rows]
            if all(_equal(scorer, *pair) for pair in pairs):
                length, prefix = len(pairs[0][0].ids), len(pairs[0][1].ids)
                return _Trial(
                    f"with {label} {where}, a row of {length} tokens scores as its first {prefix} alone: the state is "
                    "read before the row's end"
                )
    return _Trial(passed=("rows with pad and end tokens inside do not score as their prefixes",))


def _embedding(scorer: Scorer, rows: Sequence[Encoded], short: Sequence[Encoded], subject: Subject) -> _Trial:
    """The pad token's embedding matters inside a row and on no padded position."""
    pad = scorer.pad_id
    table = next((table for module in subject.modules if (table := _embeddings(module)) is not None), None)
    clean = _mixed([row for row in rows if pad not in row.ids and row.kind == rows[0].kind])
    if table is None or not clean:
        return _Trial()
    sides: tuple[Side, ...] = ("right", "left")
    before = [_forward(scorer, clean, pad, side) for side in sides]
    with _disturbed(table, pad) as calls:
        after = [_forward(scorer, clean, pad, side) for side in sides]
    if not calls:
        return _Trial()
    moved = max(map(_apart, before, after))
    if moved > subject.tolerance:
        return _Trial(f"padded positions are read: scores move by {moved:.3g} with the pad's embedding")
    unread = _Trial(passed=("padded positions are not read",))
    if not short:
        return unread
    inside = [_with_ids(row, (*row.ids[: len(row.ids) // 2], pad, *row.ids[len(row.ids) // 2 :])) for row in short]
    plain = [_forward(scorer, [row], pad) for row in inside]
    with _disturbed(table, pad):
        other = [_forward(scorer, [row], pad) for row in inside]
    if not any(map(_apart, plain, other)):
        return _Trial(f"a pad token (id {pad}) inside a row is treated as padding: nothing reads it")
    return unread


def _insertions(token: int) -> Iterator[tuple[str, _Edit, _Edit]]:
    """(position of the token, ids -> the longer row, ids -> the row that it must not score as)."""
    yield "inside", lambda ids: (*ids[: len(ids) // 2], token, *ids[len(ids) // 2 :]), lambda ids: ids[: len(ids) // 2]
    yield "at the end", lambda ids: (*ids, token), lambda ids: tuple(ids)
    yield "twice at the end", lambda ids: (*ids, token, token), lambda ids: tuple(ids)
    yield "twice at the end", lambda ids: (*ids, token, token), lambda ids: (*ids, token)


def _pad_like(scorer: Scorer, subject: Subject) -> Mapping[int, str]:
    """Ids that poolings commonly take for padding, with their labels."""
    tokenizer = subject.tokenizer  # of any library, so an id may be missing
    labelled = [(scorer.pad_id, "the pad id"), (getattr(tokenizer, "pad_token_id", None), "the pad token")]
    labelled += [(getattr(tokenizer, "eos_token_id", None), "the end-of-text token"), (0, "the id 0")]
    labels: dict[int, str] = {}
    for token, label in labelled:
        if isinstance(token, int):
            labels.setdefault(token, f"{label} ({token})")
    return labels


def _short_rows(subject: Subject, rows: Sequence[Encoded]) -> list[Encoded]:
    """A few short rows without tokens that may be taken for padding, with room for two more tokens; none where rows
    carry positions of their own."""
    limit = subject.limit
    scorer = subject.scorer
    excluded = _pad_like(scorer, subject) if scorer else {}
    bare = [_with_ids(row, [token for token in row.ids if token not in excluded]) for row in rows if _movable(row)]
    fit = [
        row for row in bare if not row.truncated and len(row.ids) > 3 and (limit is None or len(row.ids) < limit - 2)
    ]
    return sorted({row.ids: row for row in fit}.values(), key=lambda row: len(row.ids))[:_ROWS]


def _mixed(rows: Sequence[Encoded]) -> list[Encoded]:
    """The shortest rows of different lengths, so that most of them are padded."""
    by_length = {len(row.ids): row for row in rows}
    return [by_length[length] for length in sorted(by_length)[:_MIXED]]


def _movable(row: Encoded) -> bool:
    """Whether other ids may be put into the row: the state it reads, if it names one, is at its end; a gate's position
    can move to the start."""
    payload = row.payload
    return (
        payload is None or isinstance(payload, int) or (isinstance(payload, Spot) and payload.state == len(row.ids) - 1)
    )


def _with_ids(row: Encoded, ids: Sequence[int]) -> Encoded:
    """The row with other ids, its state at the new end, and a gate's position near the start."""
    payload = row.payload
    if isinstance(payload, int):
        payload = min(payload, 1)
    elif isinstance(payload, Spot):
        payload = Spot(len(ids) - 1, None if payload.prompt is None else min(payload.prompt, 1))
    return replace(row, ids=tuple(ids), size=len(ids), payload=payload)


def _equal(scorer: Scorer, first: Encoded, second: Encoded) -> bool:
    one, other = (_forward(scorer, [row], scorer.pad_id) for row in (first, second))
    return _apart(one, other) <= _SAME * float(np.abs(one).max(initial=0.0))


def _forward(scorer: Scorer, rows: Sequence[Encoded], pad_id: int, side: Side = "right") -> Numbers:
    """[B, M] all outputs of the model for the rows, concatenated."""
    outputs = scorer.forward(collate(rows, pad_id, side))
    return np.concatenate([np.asarray(value, dtype=np.float64) for _, value in sorted(outputs.items())], axis=1)


def _apart(one: Numbers, other: Numbers) -> float:
    """The largest difference; 0 where no difference is finite."""
    difference = np.abs(one - other)
    return float(np.nanmax(difference)) if np.isfinite(difference).any() else 0.0


def _embeddings(module: Any) -> Any:
    """The module that turns token ids into vectors, or None."""
    import torch

    try:
        table = module.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    return table if isinstance(table, torch.nn.Module) else None


@contextmanager
def _disturbed(table: Any, pad: int) -> Iterator[list[int]]:
    """Within the context the pad id has other vectors; the list grows with every call, which shows that the table is
    used."""
    import torch

    calls: list[int] = []

    def change(_: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        ids = inputs[0] if inputs else None
        if not torch.is_tensor(ids) or ids.dtype not in (torch.int64, torch.int32) or ids.shape != output.shape[:2]:
            return output
        calls.append(1)
        signs = torch.ones(output.shape[-1], dtype=output.dtype, device=output.device)
        signs[::2] = -1
        strength = 3 * output.detach().abs().mean()
        return output + (ids == pad).unsqueeze(-1).to(output.dtype) * signs * strength

    handle = table.register_forward_hook(change)
    try:
        yield calls
    finally:
        handle.remove()

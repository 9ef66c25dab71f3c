"""One batch through a scorer. A row that cannot be computed fails alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from rmbench.engine.batch import collate, in_groups
from rmbench.engine.serialization import RowResult
from rmbench.errors import RmbenchError, UnreachableError
from rmbench.media import MEDIA_REJECTED, MediaError
from rmbench.models.checkpoint.ranks import is_rank
from rmbench.models.protocols import Encoded, FloatArray, Group, MultipartScorer, Scorer
from rmbench.untrusted.masking import mask

__all__ = ["LostRankError", "answer_problem", "check_names", "checked_row", "compute", "halves", "reason"]

_REASON_LENGTH = 500
_MEMORY_PHRASES = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")


class LostRankError(Exception):
    """A forward failed in a rank, for which the others wait in the middle of theirs: nothing can be tried again before
    all of them are started anew."""

    def __init__(self, why: str, memory: bool) -> None:
        super().__init__(why)
        self.why, self.memory = why, memory


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    memory: bool


def compute(
    scorer: Scorer, rows: Sequence[Encoded], side: Literal["right", "left"], groups: Sequence[Group] = ()
) -> list[RowResult]:
    """A result per row, in order; with `groups` the rows share prefixes and are not padded.

    A batch that does not fit into memory is split in two until its parts fit or are single rows. After any other
    exception the rows are tried one by one. A row that fails alone, or whose numbers are not finite, carries the
    reason.

    Raises:
        RmbenchError: the scorer's answer has not the promised names or shapes.
        UnreachableError: no row will ever be computed.
        LostRankError: the forward failed, and this process is one of several that compute it together.
    """
    outcome = _attempt(scorer, rows, side, groups)
    if not isinstance(outcome, _Failure):
        return _results(scorer, outcome, len(rows))
    if is_rank():
        raise LostRankError(outcome.reason, outcome.memory)
    if len(rows) == 1:
        place = f" (a row of {rows[0].size} tokens, alone in its batch)" if outcome.memory else ""
        return [RowResult(error=outcome.reason + place)]
    if outcome.memory:
        _release_memory()
        parts: list[RowResult] = []
        for part, shape in halves(rows, groups):
            parts += compute(scorer, part, side, shape)
        return [replace(part, halved=True) for part in parts]
    alone = (Group(0, 1),) if groups else ()
    return [compute(scorer, [row], side, alone)[0] for row in rows]


def halves(rows: Sequence[Encoded], groups: Sequence[Group]) -> list[tuple[Sequence[Encoded], tuple[Group, ...]]]:
    """The rows in two parts: between groups, or where there is one group, within it, each part with the prefix."""
    if not groups:
        middle = len(rows) // 2
        return [(rows[:middle], ()), (rows[middle:], ())]
    if len(groups) > 1:
        half = len(groups) // 2
        middle = sum(group.rows for group in groups[:half])
        return [(rows[:middle], tuple(groups[:half])), (rows[middle:], tuple(groups[half:]))]
    middle = len(rows) // 2
    shapes = [Group(groups[0].prefix if count > 1 else 0, count) for count in (middle, len(rows) - middle)]
    return [(rows[:middle], (shapes[0],)), (rows[middle:], (shapes[1],))]


def reason(error: BaseException) -> str:
    """An exception as one short line that any file can hold."""
    kind = MEDIA_REJECTED if isinstance(error, MediaError) else type(error).__name__
    text = " ".join(mask(f"{kind}: {error}").split())
    return text.encode("utf-8", "replace").decode("utf-8")[:_REASON_LENGTH]


def _attempt(
    scorer: Scorer, rows: Sequence[Encoded], side: Literal["right", "left"], groups: Sequence[Group]
) -> Mapping[str, Any] | _Failure:
    """The failure is returned, not raised: an exception under way keeps the tensors of its frames alive."""
    try:
        return scorer.forward(in_groups(rows, groups) if groups else collate(rows, scorer.pad_id, side))
    except UnreachableError:
        raise  # true of every row
    except Exception as error:
        return _Failure(reason(error), _is_out_of_memory(error))


def _is_out_of_memory(error: Exception) -> bool:
    """By name and message, since the engine does not import torch."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _MEMORY_PHRASES)


def _release_memory() -> None:
    """Hand cached device blocks back, else a smaller batch may fail on the fragments of the larger one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _results(scorer: Scorer, outputs: Mapping[str, Any], count: int) -> list[RowResult]:
    arrays = {name: np.asarray(array) for name, array in outputs.items()}  # each [B, M]
    if not isinstance(scorer, MultipartScorer):  # a part gives what `join` understands
        check_names(scorer, arrays, "forward")
    for name, array in arrays.items():
        one = _is_one_number(scorer, name)
        if array.ndim != 2 or array.shape[0] != count or (one and array.shape[1] != 1):
            wanted = f"[{count}, {'1' if one else 'M'}]"
            raise RmbenchError(f"{scorer.facts.name}: {name!r} has shape {list(array.shape)}, expected {wanted}.")
    return [checked_row({name: array[row] for name, array in arrays.items()}) for row in range(count)]


def check_names(scorer: Scorer, outputs: Mapping[str, Any], giver: str) -> None:
    """Raise RmbenchError where `giver`, which promised what the model answers, left a name of it out."""
    if not outputs or not _promised(scorer) <= outputs.keys():
        raise RmbenchError(
            f"{scorer.facts.name}: {giver} gave {sorted(outputs)}, but the model says that it answers "
            f"{sorted(scorer.answers)}."
        )


def answer_problem(scorer: Scorer, values: Mapping[str, FloatArray]) -> str:
    """Why one row's values, each [M], cannot be what the scorer gave, or ""."""
    lacking = set() if isinstance(scorer, MultipartScorer) else _promised(scorer) - values.keys()
    if lacking or not values:
        return f"there are {sorted(values)}, but the model answers {sorted(scorer.answers)}"
    wide = [name for name, value in values.items() if _is_one_number(scorer, name) and len(value) != 1]
    return f"{wide[0]!r} has {len(values[wide[0]])} numbers, expected 1" if wide else ""


def _promised(scorer: Scorer) -> set[str]:
    return set(scorer.answers & {"reward", "hidden"}) | ({"margin"} if "pair" in scorer.answers else set())


def _is_one_number(scorer: Scorer, name: str) -> bool:
    return name == "reward" or (name == "margin" and "pair" in scorer.answers)


def checked_row(values: Mapping[str, Any]) -> RowResult:
    """One row's arrays, each [M]; an error where a number is not finite."""
    for name, value in values.items():
        if not np.isfinite(value).all():
            what = "NaN" if np.isnan(value).any() else "infinite"
            return RowResult(error=f"the model's {name} is {what}")
    return RowResult({name: np.array(value, dtype=np.float32) for name, value in values.items()})

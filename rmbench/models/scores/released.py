"""Rows of result files as benchmarks' own code leaves them, told apart by their keys alone.

RewardBench and RewardBench 2 keep a model's per-item results as one JSON object of parallel lists (`eval-set-scores/`
of hub allenai/reward-bench-results and allenai/reward-bench-2-results, written by scripts/run_rm.py and run_v2.py of
allenai/reward-bench); JudgeBench keeps JSON Lines, an object per pair (`outputs/` of ScalerLab/JudgeBench).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.text import is_unicode

__all__ = ["Form", "Released", "form_of", "lists_as_rows"]

_PLACED = [str(k) for k in range(10)]
_MISPLACED = [str(k) for k in range(30, 40)]
"""179 of 188 files of RewardBench 2 call their first ten Factuality rows so: allenai/reward-bench, issue 273."""
_JUDGEBENCH = {"gpt-4o-2024-05-13": "judgebench", "claude-3-5-sonnet-20240620": "judgebench-claude"}
"""Who wrote the answers -> the task."""


@dataclass(frozen=True, slots=True)
class Released:
    """A row of such a file in rmbench's words."""

    task: str
    id: str
    scores: object = None
    verdicts: object = None
    model: str = ""
    groups: tuple[tuple[str, str], ...] = ()
    """Groups that the task's row must be in, by which a file in another order is found out."""


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of file."""

    name: str
    keys: frozenset[str]
    """Every row has them."""
    read: Callable[[str, int, Mapping[str, Any]], Released]
    """(place, place in the file from 0, row) -> row; RmbenchError where a value is of another kind."""
    repair: Callable[[list[Released]], tuple[list[Released], str]] = lambda rows: (rows, "")
    """Mends what is known to be wrong in released files; returns what was mended, in words."""


def form_of(row: Mapping[str, Any], place: str) -> Form | None:
    """The kind of file that a row belongs to by its keys; None where it is none of a benchmark's.

    Raises:
        RmbenchError: the row is of a benchmark's file that does not hold what the model answered.
    """
    if "task" in row:
        return None
    for form in _FORMS:
        if form.keys <= row.keys():
            return form
    if {"results", "subset"} <= row.keys():
        raise RmbenchError(
            f"{place}: RewardBench's results without scores: they hold who was right, but not what the model answered "
            "nor the order it saw, so no record can be made of them."
        )
    if row.keys() == {"chosen", "rejected"}:
        raise RmbenchError(
            f"{place}: what the rewardbench command writes with --save_all: it names neither a data set nor rows. "
            "Write rows of {task, id, scores} instead."
        )
    return None


def lists_as_rows(table: Mapping[str, Any], place: str) -> Iterator[dict[str, Any]]:
    """The rows of parallel lists; a value that is no list holds for each of them.

    Raises:
        RmbenchError: lists of different lengths, or no list at all.
    """
    lists = {name: column for name, column in table.items() if isinstance(column, list)}
    if not lists:
        raise RmbenchError(
            f"{place}: one JSON object without a list, so it holds no rows. Expected JSON Lines of {{task, id, "
            "scores}}, or the per-item results of RewardBench, of RewardBench 2 or of JudgeBench."
        )
    shortest, longest = (pick(lists, key=lambda name: len(lists[name])) for pick in (min, max))
    if len(lists[shortest]) != len(lists[longest]):
        raise RmbenchError(
            f'{place}: "{shortest}" lists {len(lists[shortest]):,} values and "{longest}" {len(lists[longest]):,}; '
            "parallel lists have one length."
        )
    same = {name: value for name, value in table.items() if name not in lists}
    for values in zip(*lists.values(), strict=True):
        yield {**same, **dict(zip(lists, values, strict=True))}


def _pair(place: str, index: int, row: Mapping[str, Any]) -> Released:
    """A row of RewardBench. Its `id` is not unique, so a row is known by its place in the split, as in the task."""
    scores = [row["scores_chosen"], row["scores_rejected"]]
    groups = (("subset", _text(row, "subset", place)),)
    return Released("reward-bench", f"filtered/{index}", scores, model=_model(row, place), groups=groups)


def _best_of_four(place: str, index: int, row: Mapping[str, Any]) -> Released:
    """A row of RewardBench 2: the scores of its answers, the right ones first."""
    subset, id_ = _text(row, "subset", place), row["id"]
    if not isinstance(id_, str | int) or isinstance(id_, bool) or not is_unicode(str(id_)):
        raise RmbenchError(f'{place}: "id" must be text, not {id_!r}.')
    return Released("reward-bench-2", f"{subset}/{id_}", row["scores"], model=_model(row, place))


def _place_factuality(rows: list[Released]) -> tuple[list[Released], str]:
    factuality = [k for k, row in enumerate(rows) if row.id.startswith("Factuality/")]
    first = list(islice(factuality, 10))
    ids = [rows[k].id.partition("/")[2] for k in factuality]
    if ids[:10] != _MISPLACED or set(_PLACED) & set(ids) or not set(_MISPLACED) <= set(ids[10:]):
        return rows, ""
    mended = dict(zip(first, _PLACED, strict=True))
    placed = [replace(row, id=f"Factuality/{mended[k]}") if k in mended else row for k, row in enumerate(rows)]
    return placed, "its first ten Factuality rows, called 30 to 39 a second time, are rows 0 to 9"


def _judged_pair(place: str, index: int, row: Mapping[str, Any]) -> Released:
    """A pair of JudgeBench, asked in both orders; of a reward model the scores of the first order are kept."""
    written = row.get("response_model")
    task = _JUDGEBENCH.get(written) if isinstance(written, str) else None
    if task is None:
        known = ", ".join(_JUDGEBENCH)
        near = did_you_mean(str(written), _JUDGEBENCH)
        raise RmbenchError(f'{place}: "response_model" is {written!r}; JudgeBench has answers by {known}.{near}')
    asked = row["judgments"]
    if not isinstance(asked, list) or not asked or any(not isinstance(each, dict | None) for each in asked):
        raise RmbenchError(f'{place}: "judgments" must list an object for each order, not {str(asked)[:80]!r}.')
    answers = [(each or {}).get("judgment") for each in asked]
    first = answers[0] if isinstance(answers[0], dict) else {}
    names = [each["judge_model"] for each in answers if isinstance(each, dict) and each.get("judge_model")]
    judge, id_ = _text(row, "judge_name", place), _text(row, "pair_id", place)
    name = names[0] if names else ""
    if not isinstance(name, str) or not is_unicode(name):
        raise RmbenchError(f'{place}: "judge_model" must be text, not {name!r}.')
    if judge == "reward_model":
        return Released(task, id_, first.get("scores"), model=name)
    decisions = [(each or {}).get("decision") for each in asked]
    return Released(task, id_, verdicts=decisions, model=f"JudgeBench/{judge}{name and '-' + name}")


def _text(row: Mapping[str, Any], key: str, place: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value or not is_unicode(value):
        raise RmbenchError(f'{place}: "{key}" must be text, not {value!r}.')
    return value


def _model(row: Mapping[str, Any], place: str) -> str:
    """The model's name, where the file gives one; run_generative.py lists the members of an ensemble."""
    value = row.get("model") or ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = "_".join(map(str, value))
    if not isinstance(value, str) or not is_unicode(value):
        raise RmbenchError(f'{place}: "model" must be text, not {value!r}.')
    return value


_FORMS = (
    Form("RewardBench's per-item results", frozenset({"scores_chosen", "scores_rejected", "subset"}), _pair),
    Form(
        "RewardBench 2's per-item results",
        frozenset({"scores", "subset", "id", "results"}),
        _best_of_four,
        _place_factuality,
    ),
    Form("JudgeBench's outputs", frozenset({"pair_id", "judgments", "judge_name"}), _judged_pair),
)

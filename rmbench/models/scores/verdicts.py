"""Parses the verdicts of a score file.

A list holds one entry per question asked. An entry is an object, or one of two short forms, which are for two
candidates, A the first and B the second of the task's order, asked in turn in both orders: entries 1, 3, 5 ... showed
(A, B), entries 2, 4, 6 ... showed (B, A); each two are one vote.

- Letters name positions: "A>B" prefers the response that was *shown first*, "B>A" the one shown second, "A=B" is a tie.
  So a judge that always prefers the task's first candidate writes "A>B", "B>A": the second entry is not swapped back.
  JudgeBench's output files use this form.
- Numbers name candidates, whatever the order shown: 1 (or "1") is the task's first candidate, 2 its second. So that
  judge writes 1, 1: the second entry is already swapped back. LLMBar's files use this form.
- null or "-": an unparsed verdict.

An object is explicit: {"shown": [0, 1], "value": 0}, where `shown` holds candidates counted from 0 in the
order shown, and `value` the preferred candidate, "tie", a list of candidates with the best first (a ranking), or null
(unparsed); `kind` ("pick", "ranking", "rating", "label"), `vote`, `logprob` and `status` ("ok", "unparsed", "failed")
may be added. A rating's value is a number for the one candidate shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast, get_args

from rmbench.errors import did_you_mean
from rmbench.models.scores.rows import number
from rmbench.types import TIE, Status, Verdict

__all__ = ["parse_verdicts"]

_KEYS = ("shown", "value", "kind", "vote", "logprob", "status")
_PLACES = {"A>B": 0, "B>A": 1, "A=B": TIE}
_UNPARSED = (None, "-")

Kind = Literal["pick", "ranking", "rating", "label"]


def parse_verdicts(entries: object, size: int) -> tuple[Verdict, ...]:
    """The verdicts on an example of `size` candidates; raises ValueError that names the wrong entry and the reason."""
    if not isinstance(entries, list):
        raise ValueError(f"verdicts must be a list, not {entries!r}")
    return tuple(_verdict(entry, index, size) for index, entry in enumerate(entries))


def _verdict(entry: object, index: int, size: int) -> Verdict:
    if isinstance(entry, dict):
        return _from_object(entry, index, size)
    if size != 2:
        raise ValueError(f"verdict {index + 1}: the short form {entry!r} is for 2 candidates, the row has {size}")
    shown = (0, 1) if index % 2 == 0 else (1, 0)
    vote = index // 2
    if entry in _UNPARSED:
        return Verdict(shown, "pick", None, "unparsed", vote)
    if isinstance(entry, str) and entry in _PLACES:
        place = _PLACES[entry]
        return Verdict(shown, "pick", TIE if place == TIE else shown[place], "ok", vote)
    if not isinstance(entry, bool) and entry in (1, 2, "1", "2"):
        return Verdict(shown, "pick", int(entry) - 1, "ok", vote)
    raise ValueError(f'verdict {index + 1}: {entry!r} is none of "A>B", "B>A", "A=B", 1, 2, null and an object')


def _from_object(entry: dict[str, Any], index: int, size: int) -> Verdict:
    where = f"verdict {index + 1}"
    for key in entry:
        if key not in _KEYS:
            raise ValueError(f'{where}: unknown key "{key}".{did_you_mean(key, _KEYS)}')
    shown = entry.get("shown")
    if not _are_candidates(shown, size):
        raise ValueError(f"{where}: shown must list different candidates from 0 to {size - 1}, not {shown!r}")
    value = entry.get("value")
    kind = entry.get("kind") or ("ranking" if isinstance(value, list) else "pick")
    status = entry.get("status") or ("unparsed" if value is None else "ok")
    vote = entry.get("vote") or 0
    if kind not in get_args(Kind) or status not in get_args(Status) or not isinstance(vote, int):
        raise ValueError(f"{where}: kind {kind!r}, status {status!r} or vote {vote!r} is not known")
    logprob = entry.get("logprob")
    if logprob is not None and not isinstance(logprob, int | float):
        raise ValueError(f"{where}: logprob must be a number, not {logprob!r}")
    order = tuple(cast("list[int]", shown))
    verdict = None if status != "ok" else _value(value, cast("Kind", kind), order, where)
    return Verdict(order, cast("Kind", kind), verdict, cast("Status", status), vote, logprob)


def _value(value: Any, kind: Kind, shown: Sequence[int], where: str) -> int | float | str | tuple[int, ...]:
    fits = {
        "pick": value == "tie" or (_is_whole(value) and (value in shown or value == TIE)),
        "ranking": isinstance(value, list) and all(map(_is_whole, value)) and sorted(value) == sorted(shown),
        "rating": isinstance(value, int | float) and not isinstance(value, bool) and len(shown) == 1,
        "label": isinstance(value, str),
    }
    if not fits[kind]:
        raise ValueError(f"{where}: {value!r} is no {kind} of the candidates {list(shown)}")
    if value == "tie" and kind == "pick":
        return TIE
    if kind == "rating":
        number(value)  # raises where floating point would round it
    return tuple(value) if kind == "ranking" else cast("int | float | str", value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_candidates(shown: object, size: int) -> bool:
    if not isinstance(shown, list) or not shown or not all(map(_is_whole, shown)):
        return False
    return len(set(shown)) == len(shown) and all(0 <= k < size for k in shown)

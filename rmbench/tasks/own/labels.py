"""Labels that say which answer won: A and B, 1 and 2, model_a and model_b, numbers with a sign, places in a list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.tasks.own.words import plain

__all__ = ["Labels", "given", "is_label", "places", "readings_of"]

Labels = dict[str, Any]
"""The keys of a `gold` table besides its column."""

_FIRST = {"a", "first", "left", "one", "a>b", "a>>b"}
_SECOND = {"b", "second", "right", "two", "b>a", "b>>a"}
_TIE = {"tie", "tied", "equal", "same", "draw", "both", "neither", "c", "a=b", "both good", "both bad", "bothbad"}
_TIE |= {"tie bothbad", "tie both bad", "tie both good"}
_TIE |= {"tie (bothbad)", "tie (both bad)", "tie (both good)", "no preference", "none", "either"}
_GAP = re.compile(r"[\s_-]+")
_FILLER = re.compile(r"^(model|response|answer|assistant|output|completion|candidate|option|conversation|text)[\s_-]*")


def readings_of(values: Sequence[Any], columns: Sequence[str], name: str) -> Iterator[tuple[Labels, Mapping[str, str]]]:
    """What a column of labels may mean: each reading as keys of a `gold` table, and as settings that choose it.

    Args:
        values: one label a row, without nulls.
        columns: the two columns of the answers.
        name: the labels' own column.

    Yields:
        Nothing where labels are of no known kind; several readings where nothing tells them apart.
    """
    kinds = {type(value) for value in values}
    if kinds == {str}:
        words = set(values)
        if {word.strip() for word in words} <= {"0", "1", "2"}:
            yield from _digits({int(word): word for word in words}, columns, name)
            return
        sides = {word: _side(word, columns) for word in words}
        if None not in sides.values():
            yield _winners(sides), {}
    elif kinds == {bool}:
        for first in (True, False):
            yield {"winners": [[first], [not first]]}, {"first": _spelled(first), "second": _spelled(not first)}
    elif kinds in ({int}, {float}) and set(values) <= {0, 1, 2}:
        yield from _digits({int(number): number for number in set(values)}, columns, name)
    elif kinds <= {int, float} and kinds and min(values) < 0:
        yield from _signed()


def is_label(word: str, columns: Sequence[str]) -> bool:
    """Whether a text is a usual label of one of two columns' answers or of a tie."""
    return _side(word, columns) is not None


def given(values: Sequence[Any], settings: Mapping[str, str]) -> Labels:
    """The labels that the user names: `first`, `second` and `tie`, each a label or several with `|` between them.

    Raises:
        RmbenchError: a label of the rows is none of them.
    """
    named = {word: side for side in ("first", "second", "tie") for word in settings.get(side, "").split("|") if word}
    sides = {value: named.get(_spelled(value)) for value in dict.fromkeys(values)}
    for value, side in sides.items():
        if side is None:
            known = ", ".join(f"{side}={settings[side]}" for side in ("first", "second", "tie") if side in settings)
            raise RmbenchError(f"--columns: the label {value!r} is none of {known}; tie=... names those of a tie.")
    return _winners(sides)


def places(
    values: Sequence[Any], sizes: Sequence[int], start: str | None
) -> Iterator[tuple[Labels, Mapping[str, str]]]:
    """Places from 0 or from 1, and letters from A, of the best among lists of these sizes."""
    most, same = max(sizes, default=0), len(set(sizes)) == 1
    if values and all(type(value) is int for value in values):
        fits = {
            "0": min(values) >= 0 and max(values) < most,
            "1": min(values) >= 1 and max(values) <= most and same,
        }
        if start is not None:
            fits = {key: key == start for key in fits}
        for key, fit in fits.items():
            if fit:
                gold = {"index": True} if key == "0" else {"winners": [[place + 1] for place in range(most)]}
                yield gold, {"from": key} if all(fits.values()) or start is not None else {}
    elif values and same and all(isinstance(value, str) for value in values):
        letters = [chr(ord("A") + place) for place in range(min(most, 26))]
        if set(values) <= set(letters):
            yield {"winners": [[letter] for letter in letters]}, {}


def _spelled(label: Any) -> str:
    """A label as `--columns` has it: 1.0 is 1, and True is true."""
    if isinstance(label, bool):
        return str(label).lower()
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _signed() -> Iterator[tuple[Labels, Mapping[str, str]]]:
    for side in ("first", "second"):
        yield {"positive": side}, {"positive": side}


def _digits(
    spelled: Mapping[int, Any], columns: Sequence[str], name: str
) -> Iterator[tuple[Labels, Mapping[str, str]]]:
    """1 and 2 with 0 for a tie, as soon as a 2 is there; 0 and 1 by the columns' own numbers, or else both ways."""
    if 2 in spelled:
        names: dict[int, str] = {1: "first", 2: "second", 0: "tie"}
        yield _winners({value: names[number] for number, value in spelled.items()}), {}
        return
    ends = [plain(column).rsplit("_", 1)[-1] for column in columns]
    numbered = ends == ["0", "1"] or plain(name).rsplit("_", 1)[-1] in ("index", "idx")
    kind = type(next(iter(spelled.values())))
    zero, one = kind(0), kind(1)
    for first, second in ((zero, one),) if numbered else ((zero, one), (one, zero)):
        yield (
            {"winners": [[first], [second]]},
            {} if numbered else {"first": _spelled(first), "second": _spelled(second)},
        )


def _side(word: str, columns: Sequence[str]) -> str | None:
    """Whether a label names the first answer, the second one or a tie; None: none of these."""
    for side, column in zip(("first", "second"), columns, strict=True):
        if plain(word) == plain(column):
            return side
    word = _GAP.sub(" ", word.strip().lower())
    bare = word.strip("[]()")
    bare = _FILLER.sub("", bare) or bare
    if bare in _TIE or word in _TIE:
        return "tie"
    if bare in _FIRST | {"1"}:
        return "first"
    return "second" if bare in _SECOND | {"2"} else None


def _winners(sides: Mapping[Any, str | None]) -> Labels:
    of = {side: sorted(label for label, its in sides.items() if its == side) for side in ("first", "second", "tie")}
    labels: Labels = {"winners": [of["first"], of["second"]]}
    return {**labels, "tie": of["tie"]} if of["tie"] else labels

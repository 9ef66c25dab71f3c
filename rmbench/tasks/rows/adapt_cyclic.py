"""Row transforms for benchmarks of intransitive preferences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

__all__ = ["CYCLES", "cycle_of_pairs", "cycles_of_criteria", "dice", "first_by_key"]

CYCLES = {
    "1": ("honesty", "truthfulness", "helpfulness"),
    "2": ("instruction_following", "truthfulness", "helpfulness"),
    "3": ("instruction_following", "honesty", "helpfulness"),
    "4": ("instruction_following", "honesty", "truthfulness"),
}
"""Set -> the criteria by which the first response beats the second, the second the third, the third the first."""

_PER_SET = 200
"""Prompts in a set. The paper's sets have 216 to 363, and which prompts they hold is not published."""

Cycle = tuple[str, str, str]
"""Three responses, each of which beats the next one and the last of which beats the first."""

Rated = tuple[str, Mapping[str, float]]
"""A response and its rating by each criterion that has one."""


def cycle_of_pairs(row: Mapping[str, Any]) -> dict[str, Any]:
    """Pairs `chosen` and `reject` under `rows` -> `candidates`, in order of first mention, and `beats`.

    Raises ValueError where a pair lacks a text.
    """
    indices: dict[str, int] = {}
    beats = []
    for pair in row["rows"]:
        if not all(isinstance(pair.get(side), str) for side in ("chosen", "reject")):
            raise ValueError('columns "chosen" and "reject" are not both texts')
        i, j = (indices.setdefault(pair[side], len(indices)) for side in ("chosen", "reject"))
        beats.append([i, j, 1.0])
    return {**row, "prompt": f"{row['instruction']} ", "candidates": [f"{name} " for name in indices], "beats": beats}


def dice(row: Mapping[str, Any]) -> dict[str, Any]:
    """Win probabilities `prefs` -> `beats`: each pair with how much more often the first of the two wins.

    Raises ValueError where an entry lacks an index or a probability.
    """
    try:
        beats = [[each["i"], each["j"], each["p_i_wins"] - each["p_j_wins"]] for each in row["prefs"]]
    except KeyError as error:
        raise ValueError(f'column "prefs": an entry has no {error}') from None
    except TypeError:
        raise ValueError('column "prefs": expected a list of objects with indices and probabilities') from None
    return {**row, "beats": beats}


def cycles_of_criteria(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row of UltraFeedback -> a row for each cyclic set that it has a cycle for, by the rule of the GPM paper
    (arXiv 2410.02197, appendix E).

    Three responses to one prompt are a cycle where the first is rated above the second by one criterion, the second
    above the third by another, and the third above the first by a third one; `CYCLES` has the criteria of each set. The
    first cycle in the order of the responses is taken. `key` is the sha256 of "<set>/<prompt>".

    Raises ValueError where the responses are not as upstream has them.
    """
    responses = list(_rated(row))
    cycles = {number: _cycle(responses, criteria) for number, criteria in CYCLES.items()}
    return [_row(number, row["instruction"], cycle) for number, cycle in cycles.items() if cycle is not None]


def first_by_key(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows gathered under `rows`, each `key` once, for the 200 smallest keys: a draw that anybody can repeat."""
    by_key: dict[str, dict[str, Any]] = {}
    for each in row["rows"]:
        by_key.setdefault(each["key"], each)
    return [by_key[key] for key in sorted(by_key)[:_PER_SET]]


def _row(number: str, instruction: str, cycle: Cycle) -> dict[str, Any]:
    return {
        "set": number,
        "key": hashlib.sha256(f"{number}/{instruction}".encode()).hexdigest(),
        "prompt": f"{instruction} ",
        "candidates": [f"{response} " for response in cycle],
        "beats": [[0, 1, 1.0], [1, 2, 1.0], [2, 0, 1.0]],
    }


def _cycle(responses: Sequence[Rated], criteria: Sequence[str]) -> Cycle | None:
    """The first cycle by the criteria; None where there is none."""
    for first, second, third in permutations(responses, 3):
        steps = ((first, second), (second, third), (third, first))
        distinct = len({first[0], second[0], third[0]}) == 3
        if distinct and all(_above(*step, name) for step, name in zip(steps, criteria, strict=True)):
            return first[0], second[0], third[0]
    return None


def _above(better: Rated, worse: Rated, criterion: str) -> bool:
    high, low = better[1].get(criterion), worse[1].get(criterion)
    return high is not None and low is not None and high > low


def _rated(row: Mapping[str, Any]) -> Iterator[Rated]:
    """The responses of a row; a rating that is no number ("N/A") counts as absent."""
    try:
        for completion in row["completions"]:
            ratings = {name: str(each["Rating"]) for name, each in completion["annotations"].items()}
            yield completion["response"], {name: float(text) for name, text in ratings.items() if text.isdecimal()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'column "completions": an entry is not as upstream has it ({json.dumps(str(error))})'
        ) from None

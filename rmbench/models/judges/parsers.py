"""Parsers as judges' authors and RewardBench wrote them, so that published numbers can be repeated.

They are asked for by name (`--model-args parser=rb1`) and are never the default: each can be talked into a verdict by a
candidate that the judge repeats, as their docstrings say. They look at the whole text, thought included, and do not ask
whether it was cut.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from rmbench.models.judges.verdict import Read, unread
from rmbench.types import TIE

__all__ = ["PARSERS"]

_SCORE = re.compile(
    r"(?:\[RESULT\]|\[SCORE\]|Score:?|Result:?|\[Result\]:?|score\s+of)\s*(?:\(|\[|\s)*(\d+)"
    r"(?:\)|\]|\s|$|/\s*5|\s*out\s*of\s*5)",
    re.IGNORECASE,
)
_BETTER = re.compile(
    r"(?:\[RESULT\]|\[RESULT:\s*|\[Response\s+|\[Result\](?:\s+Response)?|\[Result:\s*|(?:^|\n)Result:?\s*)"
    r"\s*(A|B)(?:\]|\s|$)",
    re.IGNORECASE | re.MULTILINE,
)
_NO_VERDICT = "upstream's parser finds none"


def _rb1(text: str, size: int, reads: str) -> Read:
    """RewardBench v1, `rewardbench/generative.py` (and v2's four-way script): the letters are looked for anywhere in
    alphabetical order, so any text that holds [[A]] prefers the first."""
    for place in range(size):
        if f"[[{chr(ord('A') + place)}]]" in text:
            return Read(place)
    return unread(_NO_VERDICT)


def _rb1_prometheus(text: str, size: int, reads: str) -> Read:
    """RewardBench v1 for Prometheus: the last character of a text that holds [RESULT] anywhere."""
    places = {"A": 0, "B": 1}
    if "[RESULT]" in text and text[-1] in places:
        return Read(places[text[-1]])
    return unread(_NO_VERDICT)


def _prometheus(text: str, size: int, reads: str) -> Read:
    """prometheus-eval, `prometheus_eval/parser.py`: the *first* match of a loose pattern, so "a score of 5" in the
    feedback is the score."""
    found = (_SCORE if reads == "rating" else _BETTER).search(text)
    if found is None:
        return unread(_NO_VERDICT)
    if reads != "rating":
        return Read("AB".index(found[1].upper()))
    score = int(found[1]) if len(found[1]) <= 9 else 0
    return Read(float(score)) if 1 <= score <= 5 else unread(_NO_VERDICT)


def _autoj(text: str, size: int, reads: str) -> Read:
    """Auto-J, `codes/usage`: what follows the last "final decision is ", or the last "Rating: [[", whose absence is a
    rating of 0."""
    if reads == "rating":
        start = text.rfind("Rating: [[")
        end = text.find("]]", start)
        try:
            rating = float(text[start + len("Rating: [[") : end].strip()) if start >= 0 else 0.0
        except ValueError:
            return unread(_NO_VERDICT)
        return Read(rating) if math.isfinite(rating) else unread(_NO_VERDICT)
    _, cue, rest = text.strip().rpartition("final decision is ")
    said = rest.strip().lower() if cue else ""
    for start_of, place in (("response 1", 0), ("response 2", 1), ("tie", TIE)):
        if said.startswith(start_of):
            return Read(place)
    return unread(_NO_VERDICT)


def _judgelm(text: str, size: int, reads: str) -> Read:
    """JudgeLM, `judgelm/llm_judge`: two numbers on the first line, of any size."""
    pieces = text.split("\n")[0].replace(",", " ").split(" ")
    try:
        first, second = map(float, pieces)
    except ValueError:
        return unread(_NO_VERDICT)
    return Read(TIE if first == second else int(second > first))


PARSERS: Mapping[str, Callable[[str, int, str], Read]] = {
    "rb1": _rb1,
    "rb1-prometheus": _rb1_prometheus,
    "prometheus-lib": _prometheus,
    "autoj": _autoj,
    "judgelm": _judgelm,
}
"""Name -> (text, candidates shown, "pick" or "rating") -> what upstream's parser says."""

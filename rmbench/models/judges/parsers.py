"""Upstream parsers (RewardBench's and those of judges' authors), to reproduce published numbers.

They are chosen by name (`--model-args parser=rb1`) and are never the default: each can be tricked into a verdict by a
candidate that the judge quotes, see their docstrings. They parse the whole reply, reasoning included, and ignore
whether it was cut off.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from rmbench.models.judges.verdict import ParsedVerdict, unparsed
from rmbench.types import TIE

__all__ = ["PARSERS"]

# Upstream's patterns, with white space that two of their parts may take given to one, so that a search is linear.
_SCORE = re.compile(
    r"(?:\[RESULT\]|\[SCORE\]|Score:?|Result:?|\[Result\]:?|score\s+of)[\s(\[]*(\d+)"
    r"(?:\)|\]|\s|$|/\s*5|\s*out\s*of\s*5)",
    re.IGNORECASE,
)
_BETTER = re.compile(
    r"(?:\[RESULT\]|\[RESULT:|\[Response\s|\[Result\](?:\s+Response)?|\[Result:|(?:^|\n)Result:?)"
    r"\s*(A|B)(?:\]|\s|$)",
    re.IGNORECASE | re.MULTILINE,
)
_NO_VERDICT = "upstream's parser finds none"


def _rb1(text: str, size: int, reads: str) -> ParsedVerdict:
    """RewardBench v1, `rewardbench/generative.py` (and v2's four-way script): the letters are looked for anywhere in
    alphabetical order, so any text that holds [[A]] prefers the first."""
    for place in range(size):
        if f"[[{chr(ord('A') + place)}]]" in text:
            return ParsedVerdict(place)
    return unparsed(_NO_VERDICT)


def _rb1_prometheus(text: str, size: int, reads: str) -> ParsedVerdict:
    """RewardBench v1 for Prometheus: the last character of a text that holds [RESULT] anywhere."""
    places = {"A": 0, "B": 1}
    if "[RESULT]" in text and text[-1] in places:
        return ParsedVerdict(places[text[-1]])
    return unparsed(_NO_VERDICT)


def _prometheus(text: str, size: int, reads: str) -> ParsedVerdict:
    """prometheus-eval, `prometheus_eval/parser.py`: the *first* match of a loose pattern, so "a score of 5" in the
    feedback is the score."""
    match = (_SCORE if reads == "rating" else _BETTER).search(text)
    if match is None:
        return unparsed(_NO_VERDICT)
    if reads != "rating":
        return ParsedVerdict("AB".index(match[1].upper()))
    score = int(match[1]) if len(match[1]) <= 9 else 0
    return ParsedVerdict(float(score)) if 1 <= score <= 5 else unparsed(_NO_VERDICT)


def _autoj(text: str, size: int, reads: str) -> ParsedVerdict:
    """Auto-J, `codes/usage`: what follows the last "final decision is ", or the last "Rating: [[", whose absence is a
    rating of 0."""
    if reads == "rating":
        start = text.rfind("Rating: [[")
        end = text.find("]]", start)
        try:
            rating = float(text[start + len("Rating: [[") : end].strip()) if start >= 0 else 0.0
        except ValueError:
            return unparsed(_NO_VERDICT)
        return ParsedVerdict(rating) if math.isfinite(rating) else unparsed(_NO_VERDICT)
    _, cue, rest = text.strip().rpartition("final decision is ")
    decision = rest.strip().lower() if cue else ""
    for start_of, place in (("response 1", 0), ("response 2", 1), ("tie", TIE)):
        if decision.startswith(start_of):
            return ParsedVerdict(place)
    return unparsed(_NO_VERDICT)


def _judgelm(text: str, size: int, reads: str) -> ParsedVerdict:
    """JudgeLM, `judgelm/llm_judge`: two numbers on the first line, of any size."""
    pieces = text.split("\n")[0].replace(",", " ").split(" ")
    try:
        first, second = map(float, pieces)
    except ValueError:
        return unparsed(_NO_VERDICT)
    return ParsedVerdict(TIE if first == second else int(second > first))


_OVERALL = re.compile("Overall Judgment|Therefore")
_ANSWER = re.compile("Answer ([12]) is (?:the )?(?:slightly )?better")


def _vl_rewardbench(text: str, size: int, reads: str) -> ParsedVerdict:
    """VL-RewardBench, `cal.py`: line breaks and asterisks removed, the last "Answer N is better" behind the first
    "Overall Judgment" or "Therefore", so that a judge who quotes such a sentence there has said it."""
    flat = text.replace("\n", "").replace("*", "")
    cue = _OVERALL.search(flat)
    found = _ANSWER.findall(flat, cue.end()) if cue else []
    return ParsedVerdict(int(found[-1]) - 1) if found else unparsed(_NO_VERDICT)


PARSERS: Mapping[str, Callable[[str, int, str], ParsedVerdict]] = {
    "rb1": _rb1,
    "rb1-prometheus": _rb1_prometheus,
    "prometheus-lib": _prometheus,
    "autoj": _autoj,
    "judgelm": _judgelm,
    "vl-rewardbench": _vl_rewardbench,
}
"""Name -> (text, candidates shown, "pick" or "rating") -> upstream's verdict."""

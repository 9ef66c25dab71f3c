"""Finds the verdict's text in a judge's reply.

It strips the reasoning, finds the one place that the protocol declares, and returns the strings there that have the
verdict's form. What they mean is up to `rmbench.models.judges.verdict`.

Reasoning is everything before the last closing think tag, whether the reply or the prompt's template holds the opening
one. A reply that begins with an opening tag and never closes it is all reasoning. An opening tag anywhere else is text:
a judge may quote a candidate that contains one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from rmbench.models.judges.headed import headed_means
from rmbench.models.judges.json_objects import last_object
from rmbench.models.judges.verdict_format import PLACEHOLDER, VerdictFormat
from rmbench.models.servers.option_probs import reasoning_end

__all__ = ["extract_verdicts", "strip_reasoning", "verdict_pattern"]

_FORMS = {
    "letters": "[A-Z]",
    "numbers": "[0-9]{1,3}",
    "number": r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?",
}
_BOXED = "\\boxed{"
_BRACE = re.compile(r"\\boxed\{|[{}]")
_DRESSED = re.compile(
    r"(?P<mark>\*\*|__|\*|`|[\"'])?(?P<open>\()?(?P<bare>[^\n]{1,80}?)(?(open)\))[.!]?(?(mark)(?P=mark))[.!]?", re.ASCII
)
"""A short line in bold, code, quotation marks or parentheses, or ending in a full stop."""
_BROKEN = "broken"
_BLANKS = " \t\r\n"
_NONE = "\0"
"""Stands for a place that exists and holds no verdict of any form."""


def verdict_pattern(verdict_format: VerdictFormat) -> re.Pattern[str]:
    """The mark as a regular expression whose one group is the verdict. It is ASCII only: no look-alike matches."""
    before, _, after = PLACEHOLDER.split(verdict_format.mark)
    label = _FORMS[verdict_format.labels]
    number = _FORMS["number"]
    form = {
        "label": label,
        "number": number,
        "numbers": rf"{number}(?:(?:[ \t]*,[ \t]*|[ \t]+){number})+",
        "ranking": rf"{label}(?:[ \t]*>[ \t]*{label})+",
        "value": "|".join(re.escape(value) for value in sorted(verdict_format.values, key=len, reverse=True)),
    }[verdict_format.form]
    begin = _guard(before, behind=True) + _literal(before.lstrip(" \t"))
    end = _literal(after.rstrip(" \t")) + _guard(after, behind=False)
    text = f"{begin}({form}){end}"
    if verdict_format.form in ("numbers", "ranking"):
        # A list is taken whole, with or without the mark's end behind it: else it would be read again from each of its
        # members, which takes quadratic time.
        text = f"{begin}((?>{form}))(?:{end}|(?P<{_BROKEN}>))"
    if verdict_format.tie:
        text = f"{re.escape(verdict_format.tie)}|{text}"  # first, because a tie's mark may look like a label's
    return re.compile(text, re.ASCII | (re.IGNORECASE if verdict_format.ignore_case else 0))


def _literal(text: str) -> str:
    """The literal text, with any number of blanks between words."""
    return r"[ \t]*".join(map(re.escape, re.split(r"[ \t]+", text)))


def _guard(neighbour: str, *, behind: bool) -> str:
    """With no literal text next to the placeholder, the verdict must not be part of a longer word or number, nor one of
    several joined by a slash, as in "Response 1 / Response 2"."""
    if neighbour.strip():
        return ""
    return r"(?<![0-9A-Za-z./])" if behind else r"(?![0-9A-Za-z]|\.[0-9]|\s*/)"


def strip_reasoning(text: str, think: Sequence[tuple[str, str]]) -> str | None:
    """The text without the judge's reasoning; None where the reasoning does not end."""
    end = reasoning_end(text, think)
    return None if end is None else text[end:]


def extract_verdicts(text: str, verdict_format: VerdictFormat, pattern: re.Pattern[str]) -> list[str]:
    """The verdicts at the declared place, as they are spelled; [] where the place is empty or missing.

    Args:
        text: without reasoning.
        verdict_format: the protocol's.
        pattern: `verdict_pattern(verdict_format)`.
    """
    return _PLACES[verdict_format.place](text, verdict_format, pattern)


def _spelled(match: re.Match[str]) -> str:
    """The group, or the whole mark of a tie."""
    return match[0] if match[1] is None else match[1]


def _marks(text: str, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    return [match for match in pattern.finditer(text) if match.lastgroup != _BROKEN]


def _spelled_in(text: str, pattern: re.Pattern[str]) -> list[str]:
    """All verdicts in a text."""
    return [_spelled(match) for match in _marks(text, pattern)]


def _whole(text: str, pattern: re.Pattern[str]) -> list[str]:
    """The verdict that fills a place; any other text there is no verdict."""
    match = pattern.fullmatch(text.strip(_BLANKS))
    return [_spelled(match) if match and match.lastgroup != _BROKEN else _NONE]


def _last(text: str, verdict_format: VerdictFormat, pattern: re.Pattern[str]) -> list[str]:
    lines = filter(None, reversed(text.split("\n")))
    return next(filter(None, (_spelled_in(line, pattern) for line in lines)), [])


def _first_line(text: str, verdict_format: VerdictFormat, pattern: re.Pattern[str]) -> list[str]:
    return _whole(text.lstrip(_BLANKS).split("\n", 1)[0], pattern)


def _all(text: str, verdict_format: VerdictFormat, pattern: re.Pattern[str]) -> list[str]:
    """The whole answer, with or without bold or quotation marks around it and a full stop: no text of a candidate can
    stand beside it."""
    spelled = _whole(text, pattern)
    return _whole(_undressed(text.strip(" \t\r\n")), pattern) if spelled == [_NONE] else spelled


def _undressed(line: str) -> str:
    match = _DRESSED.fullmatch(line)
    return line if match is None else match["bare"]


def _end(text: str, verdict_format: VerdictFormat, pattern: re.Pattern[str]) -> list[str]:
    """The last mark of the last line, where nothing but punctuation follows it."""
    line = text.rstrip(_BLANKS).rsplit("\n", 1)[-1]
    matches = _marks(line, pattern)
    return [_spelled(matches[-1])] if matches and not re.search(r"\w", line[matches[-1].end() :]) else []


def _tag(text: str, verdict_format: VerdictFormat, pattern: re.Pattern[str]) -> list[str]:
    opening, closing = f"<{verdict_format.tag}>", f"</{verdict_format.tag}>"
    start = text.rfind(opening)
    end = text.find(closing, start)
    if start < 0 or end < 0:  # an unclosed tag may be the end of a longer one
        return []
    return _spelled_in(text[start + len(opening) : end], pattern)


def _tags(text: str, verdict_format: VerdictFormat, pattern: re.Pattern[str]) -> list[str]:
    """The last run of tags, with nothing but blanks and commas between them, each whole, as one list."""
    opening, closing = f"<{verdict_format.tag}>", f"</{verdict_format.tag}>"
    end = text.rfind(closing)
    if end < 0 or text.find(opening, end) >= 0:  # an unclosed tag may be the end of a longer one
        return []
    pieces: list[str] = []
    while end >= 0 and (start := text.rfind(opening, 0, end)) >= 0:
        pieces.append(text[start + len(opening) : end].strip(_BLANKS))
        end = text.rfind(closing, 0, start)
        if text[end + len(closing) : start].strip(_BLANKS + ","):
            break
    single = all(piece and not re.search(r"[,\s]", piece) for piece in pieces)
    return _whole(", ".join(reversed(pieces)), pattern) if single else [_NONE]


def _boxed(text: str, verdict_format: VerdictFormat, pattern: re.Pattern[str]) -> list[str]:
    """The boxes from the line of the last one on, whole; one that is never closed, or holds another, is no verdict."""
    start = text.rfind(_BOXED)
    if start < 0:
        return []
    verdicts: list[str] = []
    opened: list[int] = []  # where the inside of each box begins, 0 for other braces
    for brace in _BRACE.finditer(text, text.rfind("\n", 0, start) + 1):
        if brace[0] != "}":
            opened.append(brace.end() if brace[0] == _BOXED else 0)
        elif opened and (begun := opened.pop()):
            holds_box = text.find(_BOXED, begun, brace.start()) >= 0
            verdicts += [_NONE] if holds_box else _whole(_unwrapped(text[begun : brace.start()]), pattern)
    return [*verdicts, *([_NONE] if any(opened) else [])]


def _unwrapped(box: str) -> str:
    """A box's text without LaTeX's text{...} or brackets around it."""
    inner = box.strip()
    wrapped = re.fullmatch(r"\\text\{([^{}]*)\}|\[([^\[\]]*)\]", inner)
    return inner if wrapped is None else wrapped[1] if wrapped[2] is None else wrapped[2]


def _headed(text: str, verdict_format: VerdictFormat, pattern: re.Pattern[str]) -> list[str]:
    """The means under the headings, as a list of numbers of two candidates."""
    labels = [verdict_format.label(place) for place in (0, 1)]
    means = headed_means(text, verdict_format.headings, verdict_format.item, labels, verdict_format.total)
    return [] if means is None else [" ".join(map(repr, means))]


def _nowhere(text: str, verdict_format: VerdictFormat, pattern: re.Pattern[str]) -> list[str]:
    """Several replies together hold the verdict (`rmbench.models.judges.caption_facts`), and none by itself."""
    return []


def _json(text: str, verdict_format: VerdictFormat, pattern: re.Pattern[str]) -> list[str]:
    place = last_object(text)
    if place is None or "{" in text[place.stop :]:  # the last object is unfinished
        return []
    try:
        pairs = json.loads(text[place], object_pairs_hook=_Pairs, parse_constant=str)
    except (ValueError, RecursionError):  # a number of too many digits, objects too deep in each other
        return [_NONE]
    values = [value for name, value in pairs if name == verdict_format.tag]
    return [piece for value in values for piece in _whole(_as_text(value), pattern)]


class _Pairs(list[tuple[str, Any]]):
    """An object's pairs, as distinct from a JSON list."""


def _as_text(value: object) -> str:
    """A JSON value as the mark spells it, a list as a ranking."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | _Pairs):
        return _NONE
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return " > ".join(_as_text(one) if isinstance(one, str) else _NONE for one in value)
    return _NONE


_PLACES: dict[str, Callable[[str, VerdictFormat, re.Pattern[str]], list[str]]] = {
    "last": _last,
    "first-line": _first_line,
    "whole": _all,
    "end": _end,
    "tag": _tag,
    "tags": _tags,
    "boxed": _boxed,
    "json": _json,
    "facts": _nowhere,
    "headed": _headed,
}

"""Finds JSON objects inside a judge's text, in time linear in the text whatever it holds."""

from __future__ import annotations

import re

__all__ = ["last_object"]

_SPACE = r"[ \t\n\r]*+"
_STRING = r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+"'
_OTHER = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?|true|false|null|NaN|-?Infinity"
_BEGIN = re.compile(rf"\{{(?={_SPACE}(?:\}}|{_STRING}{_SPACE}:))")
_TOKEN = re.compile(rf"{_SPACE}(?:(?P<mark>[{{}}\[\],:])|(?P<string>{_STRING})|{_OTHER})")
_VALUE = ("{", "[", "string", "other")
# What may come next, by the bracket around it.
_FIRST = {"{": ("string", "}"), "[": (*_VALUE, "]")}
_BEHIND_VALUE = {"{": (",", "}"), "[": (",", "]")}
_BEHIND_COMMA = {"{": ("string",), "[": _VALUE}


def last_object(text: str) -> slice | None:
    """The place of the last outermost JSON object; None where there is none. What stands inside a broken object is
    looked through for others."""
    ends: dict[int, int] = {}
    found, at = None, 0
    while (begin := _BEGIN.search(text, at)) is not None:
        start = begin.start()
        if start not in ends:
            _scan(text, start, ends)
        if ends[start]:
            found = slice(start, ends[start])
        at = max(ends[start], start + 1)
    return found


def _scan(text: str, start: int, ends: dict[int, int]) -> None:
    """Enter where the object that begins at `start`, and each object and list inside it, ends; 0 for those that are
    broken. Thus no character is read more often than twice: as the inside of a string, and as the outside of one."""
    opened: list[int] = []
    allowed: tuple[str, ...] = ("{",)
    at = start
    while (token := _TOKEN.match(text, at)) is not None:
        kind = token["mark"] or token.lastgroup or "other"
        if kind not in allowed:
            break
        at = token.end()
        if kind in _FIRST:
            opened.append(at - 1)
            allowed = _FIRST[kind]
        elif kind == ":":
            allowed = _VALUE
        elif kind == ",":
            allowed = _BEHIND_COMMA[text[opened[-1]]]
        elif kind == "string" and "{" not in allowed:  # a key
            allowed = (":",)
        else:
            if kind in ("}", "]"):
                ends[opened.pop()] = at
            if not opened:
                return
            allowed = _BEHIND_VALUE[text[opened[-1]]]
    ends.update(dict.fromkeys(opened, 0))

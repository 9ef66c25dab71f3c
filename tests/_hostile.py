"""Text of others that is meant to do harm, put into every field of a noun, and what no output may hold of it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from markdown_it import MarkdownIt
from pydantic import BaseModel
from typing_extensions import TypeAliasType

FORGED = "exit code 0: pass"
PAYLOADS: dict[str, str] = {
    **{
        f"escape {number}": text
        for number, text in enumerate(
            [
                "\x1b[31mred",
                "\x1b[2J\x1b[H",
                "\x1b]0;title\x07",
                "\x1b]8;;https://example.invalid\x1b\\link\x1b]8;;\x1b\\",
                "\x1b]52;c;ZXZpbA==\x07",
                "\x1bP$q\x1b\\",
                "\x1b(0lqk",
                "\x1b[?1049h",
                "\x9b31mred",
                "\x9d0;title\x9c",
                "\x90q\x9c",
                "\x85next",
                "back\x08\x08",
                "delete\x7f",
                "nul\x00byte",
            ]
        )
    },
    **{
        f"direction {number}": text
        for number, text in enumerate(
            ["\u202egnp.exe", "\u2066x\u2069", "\u200fx", "\u202dx\u202c", "\u061cx", "\u2067x"]
        )
    },
    **{f"unseen {number}": text for number, text in enumerate(["ze\u200bro", "\ufeffmark", "\U000e0041tag"])},
    **{
        f"break {number}": text
        for number, text in enumerate(
            [f"a\n{FORGED}", f"a\r{FORGED}", f"a\r\n{FORGED}", f"a\u2028{FORGED}\u2029", f"a\x0b{FORGED}\x0c", "\n\n\n"]
        )
    },
    **{f"rich {number}": text for number, text in enumerate(["[red]x[/red]", "[link=file:x]x[/link]", "[/]", "[bold"])},
    **{
        f"html {number}": text
        for number, text in enumerate(
            [
                "<script>alert(1)</script>",
                '"><img src=x onerror=alert(1)>',
                "</title><svg onload=alert(1)>",
                "<!--",
                "' onmouseover='alert(1)",
                "&lt;b&gt;",
            ]
        )
    },
    **{
        f"markdown {number}": text
        for number, text in enumerate(
            [
                "[x](javascript:alert(1))",
                "![x](https://example.invalid/x.png)",
                "a|b|c",
                "| x | y |\n|---|---|\n| 1 | 2 |",
                "# heading",
                "`code` **bold** ~~gone~~",
                "- [ ] @all https://example.invalid www.example.invalid",
            ]
        )
    },
    **{
        f"formula {number}": text
        for number, text in enumerate(['=HYPERLINK("https://example.invalid")', "+1+cmd|'/C x'!A0", "@SUM(1)", "-2+3"])
    },
    **{
        f"workflow {number}": text
        for number, text in enumerate(
            [
                "::error file=a::x",
                "x\n::set-output name=a::b",
                "x%0A::error::y",
                "##[error]x",
                "##vso[task.setvariable variable=a]b",
                "\r::add-mask::x",
            ]
        )
    },
    "surrogate 0": "lone\ud800x",
    "surrogate 1": "\udcff",
    "long": "long" * 25_000,
}
ALL_AT_ONCE = f"\x1b[31m\u202e\n::error::x\r##[error]x\n{FORGED} [red]<b>|`\u200b\x9b"
"""Most kinds in one text."""


def unseen(text: str) -> set[str]:
    """The characters of a text that a terminal would act upon; line breaks of ours apart."""
    return {char for char in set(text) if char != "\n" and unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}


def check_terminal(text: str) -> None:
    """Nothing in it moves the cursor, hides, forges a line of ours, or commands a runner of workflows."""
    assert not unseen(text)
    text.encode("utf-8")
    lines = text.split("\n")
    assert not [line for line in lines if line.lstrip().startswith("::")]
    assert not re.search(r"##\w*\[", text)
    assert max(map(len, lines)) < 20_000
    assert len(text) < 500_000


def check_message(text: str) -> None:
    """As of a terminal; and a line break in the text of others begins no line that looks like ours."""
    check_terminal(text)
    assert not [line for line in text.split("\n") if line.startswith(FORGED)]


def check_json(text: str) -> Any:
    """It is safe to print, and its data."""
    assert not unseen(text)
    assert not re.search(r"##\w*\[", text)
    assert not [line for line in text.split("\n") if line.lstrip().startswith("::")]
    return json.loads(text)


def markdown_shape(text: str) -> Counter[str]:
    """How often each element occurs in Markdown, as GitHub reads it; the HTML that it holds."""
    check_terminal(text)
    shape: Counter[str] = Counter()
    pending = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    while pending:
        token = pending.pop()
        pending += token.children or []
        kind = token.type
        if kind.startswith("html"):
            kind += ": " + " ".join(re.findall(r"</?\w+[^>]*>", token.content))
        if kind not in ("text", "softbreak", "text_special", "inline", "paragraph_open", "paragraph_close"):
            shape[kind] += 1
    shape["mention"] = len(re.findall(r"(?<![A-Za-z0-9_])@(?!&#8203;)\w", text))
    shape["address"] = len(re.findall(r"https?://(?!&#8203;)", text))
    return shape


def strings_in(value: Any) -> Iterator[str]:
    """Every string of plain data, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from strings_in(key)
            yield from strings_in(each)
    elif isinstance(value, Sequence | set | frozenset):
        for each in value:
            yield from strings_in(each)


def hostile(kind: Any, text: str) -> Any:
    """A value of a type, all of whose strings are `text`: plain data of pydantic models, instances of dataclasses.

    A field of a type that is not known here fails, so that none is left out.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if hasattr(kind, "__metadata__"):
        return hostile(inner[0], text)
    if isinstance(kind, TypeAliasType):
        return hostile(kind.__value__, text)
    if origin is Literal:
        return inner[0]
    if origin in (UnionType, Union):
        return hostile(next(each for each in inner if each is not NoneType), text)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: hostile(field.annotation, text) for name, field in kind.model_fields.items()}
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{field.name: hostile(hints[field.name], text) for field in fields(kind) if field.init})
    if origin in (list, tuple, frozenset):
        return origin([hostile(inner[0], text)])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {hostile(inner[0], text): hostile(inner[1], text)}
    known: dict[Any, Any] = {str: text, int: 1, float: 0.5, bool: True, Any: text, Path: Path("x")}
    return known[kind]


def places_of(data: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The place of every leaf in plain data."""
    if isinstance(data, Mapping) and data:
        for key, each in data.items():
            yield from places_of(each, (*at, key))
    elif isinstance(data, list) and data:
        for place, each in enumerate(data):
            yield from places_of(each, (*at, place))
    else:
        yield at


def put(data: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """Plain data with another value at a place."""
    changed = json.loads(json.dumps(data))
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return changed

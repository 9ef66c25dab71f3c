"""Rows as a page that is one file: the rows are data, which the page's script shows as text and never as markup."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from rmbench.html import environment
from rmbench.html.shell import document
from rmbench.records.headline import headline
from rmbench.text import figure
from rmbench.types import Conversation, Edge, Part
from rmbench.untrusted.masking import mask
from rmbench.view.plain import finite
from rmbench.view.rows import OUTCOMES, Answer, Row
from rmbench.view.shown import Shown
from rmbench.view.terminal import verdict_words
from rmbench.view.thumbnails import Thumbnails

__all__ = ["page", "visible"]

_HERE = Path(__file__).parent
_KEPT = "\n\t\u200c\u200d"
"""Line breaks and tabs; and the two joiners, which scripts and emoji are written with."""

_MOST_PARTS = 40


def page(view: Shown) -> str:
    """The page's text."""
    record = view.record
    body = environment().from_string((_HERE / "page.html").read_text("utf-8"))
    values = [headline(each) for each in (record, view.other) if each is not None]
    shown = _Data()
    data = shown.of(view)
    left_out = shown.thumbnails.left_out
    title = f"{record.task.title} by {' and '.join(view.models)}"
    return document(
        title,
        Markup(body.render(view=view, record=record, values=values, figure=figure, left_out=left_out)),  # noqa: S704 (it is escaped)
        styles=[_HERE / "assets" / "view.css"],
        scripts=[_HERE / "assets" / "list.js", _HERE / "assets" / "row.js", _HERE / "assets" / "view.js"],
        single=True,
        data=data,
        wide=True,
    )


def visible(text: str) -> str:
    r"""A text for a page: what would not show, or turn the text round, as escapes; secrets hidden; lines end in one
    way.

    >>> print(visible("a" + chr(0x202E) + "b" + chr(27)))
    a\u202eb\x1b
    """
    text = mask(text).replace("\r\n", "\n")
    if text.isascii() and text.isprintable():
        return text
    return _UNSEEN.sub(_escape, text)


_UNSEEN = re.compile(
    "["
    + "".join(
        re.escape(char)
        for char in map(chr, range(0x110000))
        if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and char not in _KEPT
    )
    + "]"
)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Data:
    """Rows as plain data. Texts that occur several times, as prompts do, are in it once: rows hold their numbers."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.thumbnails = Thumbnails()

    def of(self, view: Shown) -> dict[str, Any]:
        """What the page's script reads."""
        rows = [self._row(row) for row in view.rows]
        return {
            "models": [visible(model) for model in view.models],
            "outcomes": OUTCOMES,
            "rows": rows,
            "texts": [visible(text) for text in self._numbers],
            "pictures": self.thumbnails.uris,
        }

    def _row(self, row: Row) -> dict[str, Any]:
        gold, example = row.judged.gold, row.example
        data = {
            "id": visible(row.id),
            "groups": [[visible(name), visible(value)] for name, value in row.judged.groups.items()],
            "gold": [visible(words) for words in row.gold],
            "edges": [[edge.i, edge.j, edge.strength, visible(", ".join(_named(edge)))] for edge in gold.relation],
            "labels": [[visible(name), value] for name, value in gold.labels.items()],
            "answers": [self._answer(answer) for answer in row.answers],
        }
        if example is not None:
            data["context"] = [[visible(name), self._number(text)] for name, text in example.context.items()]
            data["prompt"] = self._turns((*example.shots, *example.prompt))
            data["candidates"] = [
                [visible(each.source), self._turns(each.prompt or ()), self._turns(each.messages)]
                for each in example.candidates
            ]
        return data

    def _answer(self, answer: Answer) -> dict[str, Any]:
        judgment = answer.judgment
        data: dict[str, Any] = {
            "outcome": OUTCOMES.index(answer.outcome),
            "credit": answer.credit,
            "margin": answer.margin,
            "scores": answer.scores,
            "unit": answer.unit,
        }
        if judgment.error:
            data["error"] = visible(judgment.error)
        if judgment.lengths:
            data["lengths"] = judgment.lengths
        if any(judgment.truncated):
            data["truncated"] = judgment.truncated
        if judgment.parts:
            data["parts"] = [[visible(name), part] for name, part in judgment.parts.items() if _is_small(part)]
        if judgment.directed and len(judgment.directed) > 1:
            data["directed"] = judgment.directed
        if judgment.verdicts:
            texts = [*judgment.rationale, *[""] * (len(judgment.verdicts) - len(judgment.rationale))]
            data["verdicts"] = [
                [visible(verdict_words(verdict)), self._number(text) if text else None]
                for verdict, text in zip(judgment.verdicts, texts, strict=False)
            ]
        whole: dict[str, Any] = finite(data)
        return whole

    def _turns(self, conversation: Conversation) -> list[list[Any]]:
        """[role, [[kind, number of the text or medium's name, a medium's picture or why it has none] ...], [[further
        key, number] ...]] of each message."""
        return [
            [
                visible(message.role),
                [self._part(part) for part in message.parts],
                [[visible(key), self._number(value)] for key, value in message.extra],
            ]
            for message in conversation
        ]

    def _part(self, part: Part) -> list[Any]:
        if part.kind == "text":
            return [part.kind, self._number(part.text)]
        picture = self.thumbnails.place(part)
        return [part.kind, self._number(part.label), visible(picture) if isinstance(picture, str) else picture]

    def _number(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))


def _named(edge: Edge) -> Iterator[str]:
    yield from (word for word in (edge.dimension, edge.annotator, *edge.tags) if word)


def _is_small(part: Sequence[Sequence[float]]) -> bool:
    """Whether a person can read it: objectives and their weights, and no hidden states."""
    return max(map(len, part), default=0) <= _MOST_PARTS

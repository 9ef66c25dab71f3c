"""Rows to look at, made without a record on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmbench.records.store import read
from rmbench.types import Candidate, Edge, Example, Gold, Judged, Judgment, Message, Part, Verdict
from rmbench.view.rows import answer_of, gold_words
from rmbench.view.selection import View
from tests._make import ACCURACY, make_row, margins, put_record

__all__ = ["Rows", "example_of", "hostile_view", "view_of"]

Rows = Sequence[tuple[Judged, Example | None]]


def view_of(folder: Path, rows: Rows, *, other: Sequence[Judged] = (), **fields: Any) -> View:
    """A view of these rows, of a record whose texts do not matter; `other` are a second model's."""
    from rmbench.view.rows import Row

    records = [read(put_record(folder, margins(1, 2), name=name)) for name in ("org/a", "org/b")]
    made = []
    for place, (row, example) in enumerate(rows):
        sides = [row, *other[place : place + 1]]
        answers = tuple(answer_of(side, side, credit_of(side), ACCURACY) for side in sides)
        made.append(Row(row, answers, gold_words(row, ACCURACY), example))
    facts: dict[str, Any] = {"total": len(made), "selection": "", "note": "", "whole": False} | fields
    return View(records[0], records[1] if other else None, tuple(made), **facts)


def credit_of(row: Judged) -> float | None:
    from rmbench.metrics.credit.row import credit

    return credit(row, ACCURACY).value


def example_of(name: str, prompt: str, *responses: str, **more: Any) -> Example:
    return Example(
        name, (Message.of("user", prompt),), tuple(map(Candidate.of, responses)), Gold((Edge(0, 1),)), **more
    )


def hostile_view(folder: Path, texts: Sequence[str]) -> View:
    """A view of a row for each text, which stands in every place that texts of others reach."""
    rows: list[tuple[Judged, Example | None]] = []
    for place, text in enumerate(texts):
        name = f"{text} {place}"
        gold = Gold(
            (Edge(0, 1, 1.0, text, text, (f"{text}={text}",)), Edge(0, 1)), ((1.0,), (2.0,)), (text,), {text: 1}
        )
        judgment = Judgment(
            name,
            parts={text: ((1.0,), (2.0,))},
            verdicts=(Verdict((0, 1), "label", text), Verdict((1, 0), "pick", None, "unparsed")),
            error=text,
            rationale=(text, ""),
        )
        row = Judged(name, 2, gold, judgment, {text: text})
        parts = (Part(text=text), Part("image", name=text), Part("video", name=text))
        message = Message(text, parts, ((text, json.dumps(text)),))
        candidate = Candidate((message,), prompt=(message,), source=text)
        example = Example(name, (message, Message.of("user", text)), (candidate, candidate), gold, context={text: text})
        rows.append((row, example))
    return view_of(folder, rows, note=texts[0] if texts else "", selection=texts[-1] if texts else "")


def pair(name: str, first: float, second: float, **more: Any) -> Judged:
    return make_row(name, (first, second), **more)

"""Rows as files: CSV for spreadsheets, and JSON Lines that hold all that is known of a row."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rmbench.reports.texts import conversation_text
from rmbench.text import csv_text
from rmbench.types import Conversation, Message
from rmbench.untrusted.masking import masked
from rmbench.view.rows import Answer, Row
from rmbench.view.shown import Shown
from rmbench.view.terminal import verdict_words

__all__ = ["csv_of", "finite", "jsonl_of"]

_SIDES = ("", "other_")


def csv_of(view: Shown) -> str:
    """A line of names, then a line per row. Columns of the second model begin with `other_`."""
    sides = _SIDES[: len(view.models)]
    most = max((row.judged.size for row in view.rows), default=0)
    groups = list(dict.fromkeys(name for row in view.rows for name in row.judged.groups))
    context = list(dict.fromkeys(name for row in view.rows if row.example for name in row.example.context))
    names = ["id", *(f"{side}{name}" for side in sides for name in ("outcome", "credit", "margin"))]
    names += [f"group {name}" for name in groups]
    for k in range(most):
        names += [f"gold_{k}", *(f"{side}score_{k}" for side in sides)]
    names += [*(f"context {name}" for name in context), "prompt", *(f"candidate_{k}" for k in range(most))]
    names += [f"{side}{name}" for side in sides for name in ("verdicts", "rationale", "error")]
    return csv_text([names, *([*_cells(row, groups, context, most)] for row in view.rows)])


def _cells(row: Row, groups: Sequence[str], context: Sequence[str], most: int) -> Iterator[str | float | None]:
    yield row.id
    for answer in row.answers:
        yield from (answer.outcome, answer.credit, answer.margin)
    yield from (row.judged.groups.get(name) for name in groups)
    for k in range(most):
        yield row.gold[k] if k < row.judged.size else None
        yield from (answer.scores[k] if answer.scores and k < row.judged.size else None for answer in row.answers)
    example = row.example
    yield from (example.context.get(name) if example else None for name in context)
    yield conversation_text((*example.shots, *example.prompt)) if example else None
    for k in range(most):
        known = example.candidates[k] if example and k < row.judged.size else None
        yield conversation_text((*(known.prompt or ()), *known.messages)) if known else None
    for answer in row.answers:
        judgment = answer.judgment
        yield "; ".join(map(verdict_words, judgment.verdicts))
        yield "\n\n".join(filter(None, judgment.rationale))
        yield judgment.error


def jsonl_of(view: Shown) -> str:
    """An object per line; what does not show in texts is escaped, and numbers that are not finite are null."""
    return "".join(
        json.dumps(masked(_object(row, view)), ensure_ascii=True, allow_nan=False) + "\n" for row in view.rows
    )


def _object(row: Row, view: Shown) -> dict[str, Any]:
    gold, example = row.judged.gold, row.example
    return {
        "id": row.id,
        "task": f"{view.record.task.id}@{view.record.task.version}",
        "groups": dict(row.judged.groups),
        "cluster": row.judged.cluster,
        "gold": finite(
            {
                "comparisons": [asdict(edge) for edge in gold.relation],
                "ratings": gold.ratings,
                "dimensions": gold.dimensions,
                "labels": dict(gold.labels),
            }
        ),
        "context": dict(example.context) if example else None,
        "shots": _messages(example.shots) if example else None,
        "prompt": _messages(example.prompt) if example else None,
        "candidates": [
            {
                "source": each.source,
                "prompt": None if each.prompt is None else _messages(each.prompt),
                "messages": _messages(each.messages),
            }
            for each in example.candidates
        ]
        if example
        else None,
        "answers": [
            {"model": model, **_answer(answer)} for model, answer in zip(view.models, row.answers, strict=True)
        ],
    }


def _answer(answer: Answer) -> dict[str, Any]:
    judgment = {name: value for name, value in asdict(answer.judgment).items() if name not in ("id", "remarks")}
    known = {"outcome": answer.outcome, "credit": answer.credit, "margin": answer.margin, "scores": answer.scores}
    whole: dict[str, Any] = finite(known | judgment)
    return whole


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    return [_message(message) for message in conversation]


def _message(message: Message) -> dict[str, Any]:
    if all(part.kind == "text" for part in message.parts):
        return message.as_dict
    parts = [
        {"type": part.kind, **({"text": part.text} if part.kind == "text" else {"name": part.label})}
        for part in message.parts
    ]
    return {**message.as_dict, "content": parts}


def finite(data: Any) -> Any:
    """Plain data with null for numbers that are not finite."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {key: finite(value) for key, value in data.items()}
    return [finite(value) for value in data] if isinstance(data, list | tuple) else data

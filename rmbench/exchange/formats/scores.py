"""rmbench's own score file: a model's rewards or verdicts as JSON Lines, which `scores:FILE` reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.exchange.formats.written import Files, Format, Stored, Texts, listed
from rmbench.records.slug import model_slug
from rmbench.types import TIE, Judged, Verdict

__all__ = ["FORMAT"]


def _write(records: Sequence[Stored]) -> tuple[Texts, list[str]]:
    published = [stored.name for stored in records if stored.record.kind != "measured"]
    models: dict[tuple[str, str], list[Stored]] = {}
    for stored in records:
        if stored.record.kind == "measured":
            models.setdefault((stored.record.model.name, stored.record.model.revision), []).append(stored)
    files = Files()
    for (name, revision), of_model in models.items():
        first: dict[str, Stored] = {}
        lines: list[str] = []
        for stored in of_model:
            other = first.setdefault(stored.record.task.id, stored)
            if other is not stored:
                raise RmbenchError(
                    f"{other.folder} and {stored.folder} are both {name} on {stored.record.task.id}, and a score "
                    "file has one answer to a row: export one of them."
                )
            lines += [json.dumps(_row(row, stored), allow_nan=False) + "\n" for row in stored.rows()]
        files.add(PurePosixPath(f"{model_slug(name, revision)}.jsonl"), "".join(lines), of_model[0])
    return files.texts, [f"Left out, for published figures have no rows: {listed(published)}."] if published else []


def _row(row: Judged, stored: Stored) -> dict[str, Any]:
    judgment = row.judgment
    if judgment.directed is not None:
        raise RmbenchError(
            f"{stored.folder}: row {row.id} holds margins of pairs by their order, for which a score file has no place."
        )
    line: dict[str, Any] = {"task": stored.record.task.id, "id": row.id, "model": stored.record.model.name}
    rated = {
        name: [value for (value,) in figures]
        for name, figures in judgment.parts.items()
        if name in row.gold.dimensions and all(len(each) == 1 for each in figures)
    }
    rewards = None if judgment.rewards is None else list(judgment.rewards)
    if rated and rewards is not None:
        rated.setdefault("overall", rewards)
    if judgment.verdicts:
        line["verdicts"] = [_verdict(each) for each in judgment.verdicts]
    if rated or rewards is not None or not judgment.verdicts:
        line["scores"] = rated or rewards
    return line


def _verdict(verdict: Verdict) -> dict[str, Any]:
    value: Any = list(verdict.value) if isinstance(verdict.value, tuple) else verdict.value
    if verdict.kind == "pick" and verdict.value == TIE:
        value = "tie"
    fields = {
        "shown": list(verdict.shown),
        "value": value,
        "kind": verdict.kind,
        "status": verdict.status,
        "vote": verdict.vote,
    }
    return fields | ({} if verdict.logprob is None else {"logprob": verdict.logprob})


FORMAT = Format(
    "scores",
    _write,
    ("Objectives, hidden states, lengths and what a judge wrote have no place in a score file.",),
)

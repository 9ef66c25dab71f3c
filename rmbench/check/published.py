"""Scores that a model's authors publish for a conversation, computed again."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.check.subject import Subject, numbers
from rmbench.errors import RmbenchError
from rmbench.types import Candidate, Conversation, Example, Gold, Message
from rmbench.untrusted.files import MIB, read_text

__all__ = ["default_file", "published", "read_published"]

SHARE = 0.05
"""Tolerance: this share of the published score, or of 1 where that is larger. Published scores come from half precision
on other kernels, and one bit of a bf16 score is up to 0.008 of it."""


def default_file() -> Path | None:
    """`published-results/card_examples.jsonl` in RMBENCH_DATA, where it exists."""
    folder = os.environ.get("RMBENCH_DATA")
    file = Path(folder) / "published-results" / "card_examples.jsonl" if folder else None
    return file if file is not None and file.is_file() else None


def read_published(file: Path) -> list[dict[str, Any]]:
    """The rows of a file that hold conversations and a score for each.

    Raises:
        RmbenchError: the file cannot be read, a line is not a JSON object with a `model`, or its conversations are not
            lists of {"role", "content"} with as many scores.
    """
    rows = []
    for number, line in enumerate(read_text(file, 256 * MIB).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RmbenchError(f"{file}:{number} is not JSON: {error}") from error
        if not isinstance(row, dict) or not isinstance(row.get("model"), str):
            raise RmbenchError(f'{file}:{number}: expected an object with the key "model".')
        if "scores" in row:
            _check_row(row, f"{file}:{number}")
            rows.append(row)
    return rows


def published(subject: Subject) -> CheckResult:
    """Agreement with the published scores of this very model."""
    name = "published"
    names = {one.casefold() for one in (subject.facts.name, *subject.names)}
    rows = [row for row in subject.published if row["model"].casefold() in names]
    if not rows:
        where = f"{subject.published_from} has none" if subject.published_from else "no file of them was found"
        stated = f"; its card states {subject.printed}, without the conversations" if subject.printed else ""
        return not_run(name, f"no published scores of {subject.facts.name}: {where}{stated}")
    examples = [_example(row, place) for place, row in enumerate(rows)]
    worst, furthest, compared = 0.0, "", 0
    for row, judgment in zip(rows, subject.ask(examples), strict=True):
        rewards = numbers(judgment) if judgment.rewards is not None else numbers(judgment)[:0]
        if len(rewards) != len(row["scores"]):
            return failed(name, f"no score to compare: {judgment.error or 'the model returns no rewards'}")
        for score, printed in zip(rewards.tolist(), row["scores"], strict=True):
            compared += 1
            share = abs(score - printed) / max(1.0, abs(printed))
            if share >= worst:
                worst, furthest = (
                    share,
                    f"{score:.5g} against {printed:.5g} ({row.get('backend') or 'backend unknown'})",
                )
    figures = {"scores": compared, "largest_share": worst, "tolerance": SHARE}
    line = f"{compared} scores; furthest off {furthest}, allowed {SHARE:g} x max(1, |printed|)"
    if not worst <= SHARE:
        return failed(name, line, figures)
    return passed(name, line, figures)


def _check_row(row: dict[str, Any], place: str) -> None:
    conversations, scores = row.get("conversations"), row["scores"]
    if (
        not isinstance(conversations, list)
        or not isinstance(scores, list)
        or not 0 < len(conversations) == len(scores)
        or not all(isinstance(one, int | float) and not isinstance(one, bool) for one in scores)
        or not all(isinstance(one, list) and one and all(map(_is_turn, one)) for one in conversations)
    ):
        raise RmbenchError(
            f'{place}: "conversations" must list conversations, each a list of {{"role", "content"}}, and "scores" one '
            "number for each."
        )


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)


def _example(row: dict[str, Any], place: int) -> Example:
    """Each conversation as a candidate with its own prompt."""
    conversations = [tuple(Message.of(turn["role"], turn["content"]) for turn in one) for one in row["conversations"]]
    return Example(f"published-{place}", conversations[0][:-1], _candidates(conversations), Gold())


def _candidates(conversations: Sequence[Conversation]) -> tuple[Candidate, ...]:
    return tuple(Candidate(one[-1:], prompt=one[:-1]) for one in conversations)

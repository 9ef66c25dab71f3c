"""A small task of a user's own, and its rows, for tests to bend."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rmbench.types import Example, Judged, Judgment, Part
from tests._make import Values, values_of

PAIR = """\
id = "mine"
version = 1
title = "Pairs of mine"
family = "text"
modality = "text"
shape = "pair"
n = 2
verified = true

[source]
git = "https://example.org/mine"
folder = "mine"

[[files]]
paths = ["rows.jsonl"]

[columns]
prompt = "question"
chosen = "good"
rejected = "bad"

[rows]
id = ["key"]

[groups]
topic = { column = "topic", values = { Food = ["bread", "soup"], Sky = ["moon"] } }

[[metric]]
name = "accuracy"
rule = "pair"
levels = [{ group = "topic", weights = { Food = 2, Sky = 1 } }]
report = [["topic"]]
chance = 0.5
"""

ROWS = [
    {"key": 1, "question": "What rises in an oven?", "good": "Dough.", "bad": "Snow.", "topic": "bread"},
    {"key": 2, "question": "What lights the night?", "good": "The moon.", "bad": "The floor.", "topic": "moon"},
]


@pytest.fixture
def declaration() -> str:
    """The TOML text of a right declaration."""
    return PAIR


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a declaration and return its path."""

    def writer(text: str, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return writer


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Right rows for that declaration, to be changed at will."""
    return [dict(row) for row in ROWS]


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON Lines where the declaration looks for them, and return the data folder."""

    def placer(rows: list[dict[str, Any]], name: str = "rows.jsonl") -> Path:
        path = tmp_path / "data" / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path / "data"

    return placer


@pytest.fixture
def figures() -> Callable[..., Values]:
    """Measure a judge on examples by a task's own metrics: (metric, group) -> value."""

    def measured(
        task_id: str, examples: Sequence[Example], judge: Callable[[Example], Judgment], kind: Any = "reward"
    ) -> Values:
        rows = [Judged.of(each, judge(each)) for each in examples]
        return values_of(task_id, rows, answer_kind=kind, resamples=2)

    return measured


@pytest.fixture
def media() -> Callable[[Example], list[Part]]:
    """Every image and video of an example, those of its prompt first."""

    def found(example: Example) -> list[Part]:
        conversations = [example.prompt, *(candidate.messages for candidate in example.candidates)]
        return [part for messages in conversations for m in messages for part in m.parts if part.kind != "text"]

    return found

"""DOVE: instruction and response as one, its real rows, and its released verdicts of a judge in two orders."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import rmbench
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from tests._make import write_lines

TASK = """
id = "duels"
version = 1
title = "A policy's answers against gold ones"
family = "text"
modality = "text"
shape = "pair"
n = 500
official = false
verified = true

[[files]]
paths = ["duels.jsonl"]

[columns]
prompt = "prompt"
chosen = "model"
rejected = "gold"

[rows]
id = ["key"]

[[metric]]
name = "win_rate"
rule = "two_order_mean"

[[metric]]
name = "wins"
rule = "two_order_majority"
"""
GOLDEN = {"master_helpful.json": (305, 60, 135, 0.745, 0.610), "master.json": (293, 61, 146, 0.732, 0.586)}
"""The model in both orders, the gold answer in both, neither; win rate with halves, and without."""
VERDICTS = {"model": (0, 0), "gold": (1, 1), "equal": (0, 1)}
"""What is picked in the order model, gold and in the other."""


def test_each_answer_has_its_own_prompt() -> None:
    examples = load(get("dove"), "sample").examples
    own = [e.id.rpartition("/")[2] for e in examples if all(c.prompt is not None for c in e.candidates)]
    assert own == ["2", "7"]
    assert all(c.prompt is None for e in examples for c in e.candidates if e.id[-1] not in "27")
    two = examples[2]
    assert [two.conversation(k)[0].text for k in (0, 1)] == [
        "Can you help me name a kitten?",
        "How do I get rid of a kitten?",
    ]


def test_the_released_rows(data: Path, tmp_path: Path) -> None:
    """235 of the 363 preferred answers are the longer ones."""
    record = rmbench.run("baseline:length", "dove-helpful", source=data, out=tmp_path).records[0]
    assert record.results[0].value == pytest.approx(235 / 363)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_released_verdicts(name: str, data: Path, tmp_path: Path) -> None:
    (verdicts,) = json.loads((data / "dove" / name).read_text("utf-8")).values()
    model, gold, equal, halves, whole = GOLDEN[name]
    assert Counter(verdicts.values()) == {"model": model, "gold": gold, "equal": equal}
    rows: list[dict[str, Any]] = []
    scored: list[dict[str, Any]] = []
    for number, said in enumerate(verdicts.values()):
        rows.append({"key": str(number), "prompt": f"prompt {number}", "model": "one", "gold": "another"})
        picks = [{"shown": shown, "value": pick} for shown, pick in zip(([0, 1], [1, 0]), VERDICTS[said], strict=True)]
        scored.append({"task": "duels", "id": str(number), "verdicts": picks})
    write_lines(tmp_path / "duels.jsonl", rows)
    (tmp_path / "duels.toml").write_text(TASK, "utf-8")
    judge = f"scores:{write_lines(tmp_path / 'judge.jsonl', scored)}"
    record = rmbench.run(judge, tmp_path / "duels.toml", out=tmp_path / "out").records[0]
    found = {value.metric: value.value for value in record.results}
    assert (found["win_rate"], found["wins"]) == pytest.approx((halves, whole))

"""One response, two prompts: the gold by the programs that check it, and models that do and do not read the prompt."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import rmbench
from examples.write_constraint_rows import CHECKS, TOML, rows_of
from tests._make import write_lines

PATTERNS = {
    "sentences": r"exactly (\d+) sentences",
    "word": r'[,e] use the word "(\w+)"',
    "without": r'do not use the word "(\w+)"',
    "begins": r'begin with the word "(\w+)"',
    "exclamations": r"exactly (\d+) exclamation marks",
    "ends": r'end with the word "(\w+)"',
}


def broken(prompt: str, response: str) -> int:
    """How many of a prompt's instructions the response breaks, as read from the prompt again."""
    found = [(kind, value) for kind, pattern in PATTERNS.items() for value in re.findall(pattern, prompt)]
    assert found
    return sum(not CHECKS[kind](response, value) for kind, value in found)


def fulfils(conversations: list[list[dict[str, str]]]) -> list[float]:
    return [-float(broken(turns[0]["content"], turns[-1]["content"])) for turns in conversations]


def test_the_gold_is_what_the_programs_say() -> None:
    rows = list(rows_of(300))
    for row in rows:
        assert broken(row["fulfilled"], row["response"]) == 0
        assert broken(row["broken"], row["response"]) == int(row["j"])
    assert set(Counter(row["k"] for row in rows).values()) == {50}
    assert rows == list(rows_of(300)) != list(rows_of(300, seed=1))


def test_a_model_has_to_read_the_prompt(tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", rows_of(60))
    (tmp_path / "mine.toml").write_text(TOML.format(n=60), "utf-8")
    for model, expected in ((fulfils, 1.0), ("baseline:length", 0.0)):
        record = rmbench.run(model, tmp_path / "mine.toml", source=tmp_path, out=tmp_path / "out").records[0]
        assert record.results[0].value == expected
        assert not record.data.excluded
    assert {value.group for value in record.results} >= {"instructions=6", "changed=1"}

"""The page on raters, docs/raters.md, does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rmbench
from tests._make import write_lines
from tests.house.docs_pages import DOCS, blocks, differences, run_shell

PAGE = DOCS / "raters.md"


def written(folder: Path) -> None:
    """The files that the page shows."""
    text = PAGE.read_text("utf-8")
    for name, lines in re.findall(r"^```\w+ title=\"(\S+)\"\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        (folder / name).write_text(lines, "utf-8")


def reads_the_goal(conversations: list[list[dict[str, str]]]) -> list[float]:
    """How near an answer's points are to the goal: 9 for the planet and the figure, 2 for the others."""
    goals = [float(re.findall(r"(\d+) of 10", turns[0]["content"])[0]) for turns in conversations]
    points = [9.0 if re.search("Jupiter|km", turns[-1]["content"]) else 2.0 for turns in conversations]
    return [-abs(goal - point) for goal, point in zip(goals, points, strict=True)]


def test_a_model_that_reads_the_goal_and_one_that_does_not(tmp_path: Path) -> None:
    written(tmp_path)
    for model, expected in ((reads_the_goal, (1.0, 1.0)), ("baseline:length", (0.5, 0.0))):
        record = rmbench.run(model, tmp_path / "goals.toml", source=tmp_path, out=tmp_path / "out").records[0]
        assert tuple(value.value for value in record.results if value.group is None) == expected


def overlap(conversations: list[list[dict[str, str]]]) -> list[float]:
    """How many words of the prompt an answer repeats."""
    words = [[set(re.findall(r"\w+", turn["content"].lower())) for turn in turns] for turns in conversations]
    return [float(len(turns[0] & turns[-1])) for turns in words]


def test_a_reference_flips_a_scorer_of_overlap(tmp_path: Path) -> None:
    """Without it the worse answers repeat more of the prompt; with it the better ones do, which it holds."""
    written(tmp_path)
    record = rmbench.run(overlap, tmp_path / "reference.toml", source=tmp_path, out=tmp_path / "out").records[0]
    found = {(value.metric, value.group): value.value for value in record.results}
    assert found["accuracy", "reference=given"] == 1.0
    assert found["accuracy", "reference=withheld"] == 0.0
    assert found["worth_of_the_reference", None] == 1.0


def test_rows_of_ones_own_have_the_gap_of_their_groups(tmp_path: Path) -> None:
    """The longer answer is what Ada never prefers, Bo in one of two rows and Cem in his one: .4 of all rows, 0 in the
    uk."""
    written(tmp_path)
    columns = {"rater": "person", "group": "country"}
    record = rmbench.run("baseline:length", data=tmp_path / "people.jsonl", columns=columns, out=tmp_path).records[0]
    found = {(value.metric, value.group): value.value for value in record.results}
    assert (found["accuracy", None], found["accuracy", "country=uk"]) == (0.4, 0.0)
    assert (found["country_gap", None], found["per_rater", None]) == (0.4, 0.5)


def test_attributes_as_criteria(tmp_path: Path) -> None:
    """As the page says it: a scorer that reads the criterion is right under both, and length under one alone."""
    written(tmp_path)
    goals = (tmp_path / "goals.toml").read_text("utf-8")
    head, tail = goals[: goals.index("[columns]")], goals[goals.index("[[metric]]") :]
    names = ("helpfulness", "verbosity")
    variants = [
        f'[[rows.variants]]\nset = {{ criterion = "{name}" }}\n'
        f'take = {{ score_a = "{name}_a", score_b = "{name}_b" }}\n'
        for name in names
    ]
    columns = """[columns]
system = { template = "Look at {criterion} alone." }
prompt = "prompt"
candidates = ["a", "b"]
gold = { columns = ["score_a", "score_b"], ranks = "high" }

[rows]
id = ["@row", "criterion"]
cluster = ["@row"]
"""
    (tmp_path / "criteria.toml").write_text("\n".join([head.replace("goals", "criteria"), columns, *variants, tail]))
    rows = [
        {"prompt": "Planet?", "a": "Mars.", "b": "The moon, or so.", "helpfulness_a": 4, "helpfulness_b": 1},
        {"prompt": "Mile?", "a": "Long, I suppose.", "b": "1.609 km.", "helpfulness_a": 0, "helpfulness_b": 3},
    ]
    lengths = [{f"verbosity_{side}": len(row[side]) for side in "ab"} for row in rows]  # type: ignore[arg-type]
    write_lines(tmp_path / "criteria.jsonl", [{**row, **of} for row, of in zip(rows, lengths, strict=True)])

    def reads_it(conversations: list[list[dict[str, str]]]) -> list[float]:
        return [len(t[-1]["content"]) * (1.0 if "verbosity" in t[0]["content"] else -1.0) for t in conversations]

    for model, expected in ((reads_it, (1.0, 1.0)), ("baseline:length", (0.5, 0.0))):
        record = rmbench.run(model, tmp_path / "criteria.toml", source=tmp_path, out=tmp_path / "out").records[0]
        assert tuple(value.value for value in record.results if value.group is None) == expected


def test_its_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RMBENCH_DATA", raising=False)
    for name, value in {"COLUMNS": "80", "HF_HUB_OFFLINE": "1", "RMBENCH_CACHE": "off"}.items():
        monkeypatch.setenv(name, value)
    written(tmp_path)
    for block in blocks(PAGE, "sh"):
        if not block.not_run:
            code, printed = run_shell(block, monkeypatch)
            assert code == block.exit_code, f"{block.code}\n{printed}"
            if block.output is not None:
                assert differences(block.output, printed) == [], f"{block.code}\n{printed}"

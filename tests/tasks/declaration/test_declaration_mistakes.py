"""Each typical mistake in a declaration gives one error that names the file, the key and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import load_file

MISTAKES = {
    "misspelt section": ("[columns]", "[colums]", "colums", 'Did you mean "columns"?'),
    "misspelt key": ("version = 1", "versoin = 1", "versoin", 'Did you mean "version"?'),
    "misspelt key in a section": ('chosen = "good"', 'choosen = "good"', "columns.choosen", 'Did you mean "chosen"?'),
    "misspelt key in a metric": ('rule = "pair"', 'rul = "pair"', "metric[0].rul", 'Did you mean "rule"?'),
    "misspelt key in a group": ("values = {", "value = {", "groups.topic.value", 'Did you mean "values"?'),
    "misspelt key in a level": ("weights = {", "wieghts = {", "metric[0].levels[0].wieghts", '"weights"?'),
    "key of another section": ("version = 1", 'version = 1\nhub = "a/b"', "hub", "it belongs in [source]"),
    "unknown key, nothing near": ("version = 1", "version = 1\nzzz = 1", "zzz", "Known here: id, version"),
    "missing key": ("n = 2\n", "", "n:", "missing"),
    "missing section": ('[[files]]\npaths = ["rows.jsonl"]\n', "", "files", "missing"),
    "number as text": ("n = 2", 'n = "2"', "n:", "expected a whole number; found '2'"),
    "text as number": ('title = "Pairs of mine"', "title = 7", "title", "expected a string; found 7"),
    "text as list": ('paths = ["rows.jsonl"]', 'paths = "rows.jsonl"', "files[0].paths", "expected a list"),
    "yes as text": ("verified = true", 'verified = "yes"', "verified", "expected true or false; found 'yes'"),
    "no rows at all": ("n = 2", "n = 0", "n:", "greater than or equal to 1; found 0"),
    "unknown family": ('family = "text"', 'family = "txet"', "family", 'Did you mean "text"?'),
    "unknown shape": ('shape = "pair"', 'shape = "pairs"', "shape", 'Did you mean "pair"?'),
    "unknown rule": ('rule = "pair"', 'rule = "two_order_majorty"', "metric[0].rule", '"two_order_majority"?'),
    "rule of another shape": ('rule = "pair"', 'rule = "kendall_b"', "metric[0].rule", 'shape "pair"'),
    "rule of a relation": ('rule = "pair"', 'rule = "auc"\nprobe = "logistic"', "metric[0].probe", "no other"),
    "spaces in the id": ('id = "mine"', 'id = "My Task"', "id", "lower-case letters and digits"),
    "odd metric name": ('name = "accuracy"', 'name = "Accuracy %"', "metric[0].name", "underscores"),
    "column as number": ('chosen = "good"', "chosen = 3", "columns.chosen", "a column's name or a table; found 3"),
    "column missing": ('chosen = "good"\n', "", "columns.chosen", 'a task of shape "pair" needs it'),
    "column of another shape": ('chosen = "good"', 'chosen = "good"\nratings = { a = "b" }', "columns.ratings", "take"),
    "two columns for one text": (
        'chosen = "good"',
        'chosen = { column = "good", join = ["a"] }',
        "columns.chosen",
        "exactly one",
    ),
    "unknown group in a level": ('group = "topic"', 'group = "topics"', "metric[0].levels[0].group", '"topic"?'),
    "unknown group in a report": ('report = [["topic"]]', 'report = [["topci"]]', "metric[0].report[0]", '"topic"?'),
    "report without inner lists": ('report = [["topic"]]', 'report = ["topic"]', "metric[0].report[0]", "a list"),
    "unknown value in weights": ("Sky = 1 }", "Skye = 1 }", "metric[0].levels[0].weights", 'Did you mean "Sky"?'),
    "negative weight": ("Sky = 1 }", "Sky = -1 }", "metric[0].levels[0].weights.Sky", "found -1"),
    "unknown value in where": (
        "chance = 0.5",
        'chance = 0.5\nwhere = { topic = ["food"] }',
        "metric[0].where.topic",
        '"Food"?',
    ),
    "value in two groups": ('Sky = ["moon"]', 'Sky = ["moon", "soup"]', "groups.topic", "'soup' belongs to both"),
    "tie above one": ("chance = 0.5", "chance = 0.5\ntie = 2", "metric[0].tie", "less than or equal to 1; found 2"),
    "chance as text": ("chance = 0.5", 'chance = "half"', "metric[0].chance", "one_over_k"),
    "chance of an unknown answer": ("chance = 0.5", "chance = { rewards = 0.5 }", "metric[0].chance", "reward = 0.5"),
    "chance of best-of-n": ("chance = 0.5", 'chance = "one_over_k"', "metric[0].chance", '"pick"'),
    "dimension without ratings": ("chance = 0.5", 'chance = 0.5\ndimension = "x"', "metric[0].dimension", "no dim"),
    "unknown transform": ('id = ["key"]', 'id = ["key"]\nadapt = "hh_dialog"', "rows.adapt", '"hh_dialogues"?'),
    "unknown mark in the id": ('id = ["key"]', 'id = ["@topics", "key"]', "rows.id", 'Did you mean "@topic"?'),
    "capture without a name": (
        'paths = ["rows.jsonl"]',
        'paths = ["rows.jsonl"]\ncapture = ["rows.jsonl"]',
        "files[0].capture",
        "no name in braces",
    ),
    "two ways to say who won": (
        'chosen = "good"\nrejected = "bad"',
        'candidates = ["good", "bad"]\ngold = { column = "l", index = true, positive = "first" }',
        "columns.gold",
        "found index and positive",
    ),
    "labels of one candidate": (
        'chosen = "good"\nrejected = "bad"',
        'candidates = ["good", "bad"]\ngold = { column = "l", winners = [["A"]] }',
        "columns.gold.winners",
        "a pair has 2 candidates; found 1 lists",
    ),
    "a majority of nobody": (
        'chosen = "good"\nrejected = "bad"',
        'candidates = ["good", "bad"]\ngold = { column = "l", index = true, majority = true }',
        "columns.gold.majority",
        "needs `annotators`",
    ),
    "ranks without a list": ('shape = "pair"', 'shape = "ranked"', "columns.candidates", 'shape "ranked" needs it'),
    "probe without rows to fit": (
        'rule = "pair"',
        'rule = "probe"\nprobe = "logistic"',
        "metric[0].rule",
        'does not measure a task of shape "pair"',
    ),
    "mean of an unknown metric": (
        'rule = "pair"',
        'rule = "mean_of"\nof = ["acuracy"]',
        "metric[0].of",
        "no other metric",
    ),
    "mean of nothing": ('rule = "pair"', 'rule = "mean_of"', "metric[0].of", "a list of metrics"),
    "unknown annotator": ("chance = 0.5", 'chance = 0.5\nannotator = "ann"', "metric[0].annotator", "no annotator"),
    "unknown join": ("chance = 0.5", 'chance = 0.5\njoin = "topics"', "metric[0].join", 'Did you mean "topic"?'),
    "unknown format": (
        'paths = ["rows.jsonl"]',
        'paths = ["rows.jsonl"]\nformat = "jsnl"',
        "files[0].format",
        'Did you mean "jsonl"?',
    ),
    "absent text of nobody": (
        'paths = ["rows.jsonl"]',
        'paths = ["rows.jsonl"]\nabsent = ["god"]',
        "files[0].absent",
        'no plain text is taken from "god". Did you mean "good"?',
    ),
    "absent id": (
        'paths = ["rows.jsonl"]\n\n[columns]\nprompt = "question"',
        'paths = ["rows.jsonl"]\nabsent = ["key"]\n\n[columns]\nprompt = "key"',
        "files[0].absent",
        '"key" is needed for ids',
    ),
    "unknown rule for odd rows": ('id = ["key"]', 'id = ["key"]\nempty = "kept"', "rows.empty", 'Did you mean "keep"?'),
    "no metric": ('[[metric]]\nname = "accuracy"', '[[metrics]]\nname = "accuracy"', "metrics", '"metric"?'),
    "credentials": ("https://example.org/mine", "https://me:hunter2@example.org/mine", "source.git", "no credentials"),
    "not TOML": ("version = 1", "version = = 1", "line 2", "is not TOML"),
    "one key twice": ("version = 1", "version = 1\nversion = 2", "line 3", "is not TOML"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_named(mistake: str, declaration: str, write: Callable[..., Path]) -> None:
    before, after, key, hint = MISTAKES[mistake]
    assert before in declaration
    path = write(declaration.replace(before, after, 1))
    with pytest.raises(RmbenchError) as caught:
        load_file(path)
    message = str(caught.value)
    assert message.startswith(str(path)), message
    assert key in message, message
    assert hint in message, message
    assert "pydantic" not in message
    assert "hunter2" not in message
    assert message.count(str(path)) == 1


def test_two_metrics_of_one_name(declaration: str, write: Callable[..., Path]) -> None:
    again = '\n[[metric]]\nname = "accuracy"\nrule = "all"\n'
    with pytest.raises(RmbenchError, match=r'metric\[1\]\.name: two metrics are called "accuracy"'):
        load_file(write(declaration + again))


def test_rated_needs_a_known_dimension(declaration: str, write: Callable[..., Path]) -> None:
    text = declaration.replace('shape = "pair"', 'shape = "rated"').replace('rule = "pair"', 'rule = "kendall_b"')
    text = text.replace('chosen = "good"\nrejected = "bad"', 'candidates = ["good"]\nratings = { overall = "score" }')
    with pytest.raises(RmbenchError, match=r"metric\[0\]\.dimension"):
        load_file(write(text))
    load_file(write(text.replace('rule = "kendall_b"', 'rule = "kendall_b"\ndimension = "overall"')))
    with pytest.raises(RmbenchError, match='Did you mean "overall"'):
        load_file(write(text.replace('rule = "kendall_b"', 'rule = "kendall_b"\ndimension = "overal"')))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=r"nothing\.toml: cannot be read"):
        load_file(tmp_path / "nothing.toml")


def test_the_right_declaration_loads(declaration: str, write: Callable[..., Path]) -> None:
    task = load_file(write(declaration))
    assert (task.id, task.n, task.render, task.official) == ("mine", 2, "chat", True)
    (metric,) = task.metrics
    assert metric.levels[0].weights == {"Food": 2.0, "Sky": 1.0}
    assert metric.report == (("topic",),)

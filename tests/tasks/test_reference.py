"""Reference answers given and withheld: what is asked, and what the difference says of models that read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.evaluation.rerun import rerun
from rmbench.models.protocols import ModelFacts
from rmbench.tasks.own.declare import own_task
from rmbench.tasks.reference import given_and_withheld
from rmbench.tasks.registry import get, load_text
from rmbench.tasks.sources import load
from rmbench.types import Example, Judgment
from tests._make import exit_code, write_lines

TASK = """
id = "told"
version = 1
title = "Answers of which one is the reference"
family = "text"
modality = "text"
shape = "pair"
n = 4
official = false
verified = true

[[files]]
paths = ["told.jsonl"]

[columns]
prompt = "prompt"
chosen = "better"
rejected = "worse"
context = { reference = "reference" }

[[metric]]
name = "accuracy"
rule = "pair"
chance = 0.5
"""
ROWS = [
    {
        "prompt": "Where does the Thames begin?",
        "better": "Near Kemble.",
        "worse": "The Thames does begin.",
        "reference": "Near Kemble.",
    },
    {"prompt": "Who wrote Emma?", "better": "Jane Austen.", "worse": "Who knows Emma?", "reference": "Jane Austen."},
    {"prompt": "What is 2 + 2?", "better": "four", "worse": "what it is", "reference": "four"},
    {"prompt": "No reference?", "better": "Indeed.", "worse": "Nothing.", "reference": ""},
]


def write_task(folder: Path) -> Path:
    write_lines(folder / "told.jsonl", ROWS)
    (folder / "told.toml").write_text(TASK, "utf-8")
    return folder / "told.toml"


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def overlap(conversations: list[list[dict[str, str]]]) -> list[float]:
    """How many words of what stands last in the prompt an answer repeats."""
    return [
        float(len(words(turns[-2]["content"].splitlines()[-1]) & words(turns[-1]["content"])))
        for turns in conversations
    ]


def values_of(record: Any) -> Mapping[tuple[str, str | None], Any]:
    return {(value.metric, value.group): value.value for value in record.results}


def test_a_reference_that_equals_one_answer_flips_a_scorer_of_overlap(tmp_path: Path) -> None:
    record = rmbench.run(
        overlap, write_task(tmp_path), source=tmp_path, reference="prompt", out=tmp_path / "out"
    ).records[0]
    found = values_of(record)
    assert record.task.id == "told-reference-prompt"
    assert found["with_the_reference", None] == 1.0
    assert found["without_the_reference", None] == 0.0
    assert found["worth_of_the_reference", None] == 1.0
    assert (record.data.rows, record.task.n) == (6, 6)
    blind = rmbench.run(
        "baseline:length", tmp_path / "told.toml", source=tmp_path, reference="prompt", out=tmp_path / "out"
    ).records[0]
    worth = next(value for value in blind.results if value.metric == "worth_of_the_reference")
    assert (worth.value, worth.n) == (0.0, 3)


class ReadsTheContext:
    """A model that reads the reference beside the prompt, and prefers the longer answer where there is none."""

    facts = ModelFacts("reads", "1", "custom", fingerprint="reads")

    def judge(self, task: str, example: Example) -> Judgment:
        given = example.context.get("reference", "")
        rewards = [float(each.text == given) if given else float(len(each.text)) for each in example.candidates]
        return Judgment(example.id, rewards=tuple(rewards))


def test_beside_the_prompt_for_models_that_read_it_there(tmp_path: Path) -> None:
    task = write_task(tmp_path)
    record = rmbench.run(ReadsTheContext(), task, source=tmp_path, reference="context", out=tmp_path / "out").records[0]
    assert values_of(record)["worth_of_the_reference", None] == 1.0
    told = rmbench.run(ReadsTheContext(), task, source=tmp_path, reference="prompt", out=tmp_path / "out").records[0]
    assert values_of(told)["worth_of_the_reference", None] == 0.0  # it does not read it in the prompt


def test_a_column_of_rows_of_ones_own(tmp_path: Path) -> None:
    rows = [{**row, "reference": row["reference"] or None} for row in ROWS]
    data = write_lines(tmp_path / "mine.jsonl", rows)
    given = {"columns": {"chosen": "better", "rejected": "worse", "reference": "reference"}, "out": tmp_path / "out"}
    record = rmbench.run(overlap, data=data, reference="prompt", **given).records[0]  # type: ignore[arg-type]
    assert (record.task.id, record.data.rows) == ("mine-reference-prompt", 6)
    assert values_of(record)["worth_of_the_reference", None] == 1.0
    assert "rejected=worse; reference reference" in own_task(str(data), given["columns"]).line  # type: ignore[arg-type]
    beside = rmbench.run(ReadsTheContext(), data=data, **given).records[0]  # type: ignore[arg-type]
    assert values_of(beside)["accuracy", None] == 0.75  # the row without a reference goes to the longer answer
    wrong = {"columns": {**given["columns"], "reference": "prompts"}}  # type: ignore[dict-item]
    with pytest.raises(RmbenchError, match='reference=prompts: no row has a column "prompts"'):
        rmbench.run(overlap, data=data, out=tmp_path / "out", **wrong)  # type: ignore[arg-type]
    numbers = write_lines(tmp_path / "n.jsonl", [{**row, "reference": 4} for row in ROWS])
    with pytest.raises(RmbenchError, match="reference=reference: expected a text in every row, found a number"):
        rmbench.run(overlap, data=numbers, **given)  # type: ignore[arg-type]


def test_knowledge_is_given_and_withheld_where_there_is_no_reference(tmp_path: Path) -> None:
    path = write_task(tmp_path)
    both = TASK.replace("{ reference =", '{ answer = "better", knowledge =')
    for text, heading in ((TASK.replace("{ reference =", "{ knowledge ="), "Background"), (both, "Reference answer")):
        task = load_text(text, path)
        rows = given_and_withheld(task, load(task, tmp_path), "prompt").examples
        told, bare = rows[0], rows[1]
        assert told.prompt[0].text == f"{bare.prompt[0].text}\n\n{heading}:\nNear Kemble."
        assert told.context == ({} if heading == "Background" else {"knowledge": "Near Kemble."})


def test_the_pairs_of_rows_are_the_same_but_for_the_reference(data: Path) -> None:
    task = get("ragchecker")
    plain = load(task, data)
    both = given_and_withheld(task, plain, "prompt").examples
    assert len(both) == 2 * len(plain.examples)
    for own, given, withheld in zip(plain.examples, both[::2], both[1::2], strict=True):
        assert (given.gold, given.candidates) == (withheld.gold, withheld.candidates) == (own.gold, own.candidates)
        assert given.cluster == withheld.cluster
        assert withheld.prompt == own.prompt
        assert given.prompt[-1].text == f"{own.prompt[-1].text}\n\nReference answer:\n{own.context['reference']}"
        assert "reference" not in {**given.context, **withheld.context}


def test_the_difference_is_that_of_the_two_accuracies_and_verify_and_view_find_the_rows(
    data: Path, tmp_path: Path
) -> None:
    results = rmbench.run(
        "baseline:overlap", "ragchecker", source=data, reference="prompt", out=tmp_path, limit=60, seed=3
    )
    found = values_of(results.records[0])
    worth, given, withheld = (
        found[name, None] for name in ("worth_of_the_reference", "with_the_reference", "without_the_reference")
    )
    assert worth == pytest.approx(given - withheld)
    assert worth
    folder = results.folder("ragchecker-reference-prompt")
    assert exit_code("verify", str(folder)) == 0
    assert rerun(folder, 9, model="baseline:overlap", source=data).other == ()
    shown = rmbench.view(folder, source=data)
    assert shown.note == ""
    assert any("Reference answer:" in row.example.prompt[-1].text for row in shown.rows if row.example)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "llmbar", "--reference", "prompt"], "no row has one in its context"),
        (["--tasks", "unieval-topical-chat", "--reference", "prompt"], "its rows compare no answers"),
        (["--tasks", "community-alignment", "--shots", "1", "--reference", "prompt"], "give one of the two"),
    ],
)
def test_what_cannot_be(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("run", "--model", "fake:coin", *arguments, "--source", "sample", "--out", str(tmp_path)) == 2
    assert message in " ".join(capsys.readouterr().err.split())

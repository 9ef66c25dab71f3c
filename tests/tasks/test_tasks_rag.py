"""RAG pairs: answers from references, given texts and recorded tool calls, and what upstream's own rows give."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from rmbench.models.baselines.open import open_baseline
from rmbench.models.baselines.surface import SurfaceBaseline
from rmbench.models.fakes import open_fake
from rmbench.models.options import OpenOptions
from rmbench.tasks.registry import get
from rmbench.tasks.rows.adapt_rag import references_and_question, shared_tool_calls
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.rows.prepare import prepare
from rmbench.tasks.rows.shapes import example
from rmbench.types import Edge, Example, Gold, Judged, Judgment, Verdict
from tests._make import Values, judged, loaded
from tests._make import values_of as values

PAIRS = ("rag-rewardbench", "contextualjudgebench", "themis")


def by_fake(task_id: str, kind: str) -> Values:
    fake = open_fake(kind, OpenOptions())
    return values(task_id, judged(task_id, "sample", lambda each: fake.judge(task_id, each)))


def by_length(task_id: str, source: Path | str) -> Values:
    baseline = open_baseline("length", OpenOptions())
    assert isinstance(baseline, SurfaceBaseline)
    return values(task_id, judged(task_id, source, lambda each: baseline.judge(task_id, each)))


@pytest.mark.parametrize("task_id", PAIRS)
def test_oracle_is_right_and_anti_wrong(task_id: str) -> None:
    right, wrong = by_fake(task_id, "oracle"), by_fake(task_id, "anti")
    for metric in get(task_id).metrics:
        assert right[metric.name, None].value == 1.0
        assert wrong[metric.name, None].value == (1.0 if metric.rule == "order_agreement" else 0.0)


@pytest.mark.parametrize(
    "task_id, groups",
    [
        ("rag-rewardbench", {"subset": 6, "side": 2, "scenario": 5}),
        ("contextualjudgebench", {"split": 8, "criterion": 4, "setting": 2}),
        ("ragchecker", {"dataset": 10, "source": 4}),
        ("attributionbench", {"source": 3}),
        ("themis", {"task": 8, "tool_call": 2}),
    ],
)
def test_samples_hold_every_group(task_id: str, groups: Mapping[str, int]) -> None:
    examples = loaded(task_id, "sample").examples
    assert len(examples) >= 8
    assert {name: len({each.groups[name] for each in examples}) for name in groups} == groups
    assert len({each.id for each in examples}) == len(examples)


# --- RAG-RewardBench -------------------------------------------------------------------------------------------------

SIZES = {"helpful": 262, "reason": 306, "citation": 361, "harmless": 155, "abstain": 217, "conflict": 184}
PUBLISHED = {
    # right answers by subset in the order of SIZES, then Helpful, Harmless and Overall as printed (percent)
    "Skywork-Critic-Llama-3.1-70B": ((225, 236, 246, 142, 161, 153), (76.1, 82.0, 78.3)),
    "INF-ORM-Llama3.1-70B": ((211, 234, 227, 132, 184, 149), (72.3, 83.6, 76.6)),
    "Skywork-Reward-Gemma-2-27B-v0.2": ((212, 228, 245, 117, 180, 125), (73.7, 75.9, 74.5)),
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_micro_averages_are_the_published_ones(model: str) -> None:
    right, (helpful, harmless, overall) = PUBLISHED[model]
    sides = dict.fromkeys(("helpful", "reason", "citation"), "Helpful")
    rows = [
        Judged(
            f"{subset}{k}",
            2,
            Gold((Edge(0, 1),)),
            Judgment(f"{subset}{k}", rewards=(float(k < count), 0.5)),
            {"subset": subset, "side": sides.get(subset, "Harmless"), "scenario": "any"},
        )
        for (subset, size), count in zip(SIZES.items(), right, strict=True)
        for k in range(size)
    ]
    assert len(rows) == get("rag-rewardbench").n
    found = values("rag-rewardbench", rows)
    shown = [found["accuracy", group].value for group in ("side=Helpful", "side=Harmless", None)]
    assert [round(100 * value, 1) for value in shown if value is not None] == [helpful, harmless, overall]


ROW = {"prompt": "## References\nNone.", "question": "Why?", "chosen": "So.", "reject": "No."}


def test_the_question_follows_its_references_once() -> None:
    made = references_and_question(ROW)
    assert made["prompt"] == "## References\nNone.\n\n## Question: Why?"
    whole = {**ROW, "prompt": "References. Why? Answer:"}
    assert references_and_question(whole)["prompt"] == whole["prompt"]


def test_a_rows_key_is_that_of_its_texts() -> None:
    key = references_and_question(ROW)["key"]
    assert re.fullmatch("[0-9a-f]{16}", key)
    renamed = {name: text for name, text in ROW.items() if name != "reject"} | {"rejected": "No.", "id": 3}
    assert references_and_question(renamed)["key"] == key
    for name in ROW:
        assert references_and_question({**ROW, name: "Other."})["key"] != key


def test_the_hubs_one_split_gives_the_same_ids() -> None:
    """Rows of one split, in another order and without their files' names: the column `subset` has their place."""
    task = get("rag-rewardbench")
    folder = task.path.parents[1] / "samples" / task.id / "Dataset"
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    rows = [RawRow("hub:train", "train", index, json.loads(line)) for index, line in enumerate(reversed(lines))]
    made = [example(task.declaration, row) for row in prepare(task.declaration, rows)]
    known = {each.id: each for each in loaded(task.id, "sample").examples}
    assert len(made) == 12
    assert all(each == known[each.id] for each in made)


# --- ContextualJudgeBench --------------------------------------------------------------------------------------------


def test_consistent_accuracy_of_a_judge() -> None:
    """Hand count over eight splits of two rows: always the first shown is right in one order and never in both."""

    def first(example: Example) -> Judgment:
        shown = ((0, 1), (1, 0))
        return Judgment(example.id, verdicts=tuple(Verdict(each, "pick", each[0]) for each in shown))

    found = values("contextualjudgebench", judged("contextualjudgebench", "sample", first))
    names = ("consistent_accuracy", "consistency", "first_order_accuracy", "second_order_accuracy")
    assert [found[name, None].value for name in names] == [0.0, 0.0, 1.0, 0.0]


def test_equal_scores_are_wrong() -> None:
    assert by_fake("contextualjudgebench", "constant")["consistent_accuracy", None].value == 0.0


def test_the_text_stands_before_the_question() -> None:
    example = loaded("contextualjudgebench", "sample").examples[0]
    text = example.prompt[0].text
    assert text.startswith("A single tram ride costs 2 crowns.")
    assert text.endswith("\n\nWhat does a day ticket for the tram cost?")


# --- Themis ----------------------------------------------------------------------------------------------------------

CALL = {"Thought": "Look.", "Action": "search", "Action Input": "x", "Observation": "y"}


def test_a_shared_tool_call_follows_the_question() -> None:
    row = {
        "question": "Q?",
        "pos_answer": {"answer": "a", "actions": CALL},
        "neg_answer": {"answer": "b", "actions": CALL},
    }
    made = shared_tool_calls({**row, "context": "C."})
    assert (
        made["prompt"] == "Context: C.\nQuestion: Q?\nThought: Look.\nAction: search\nAction Input: x\nObservation: y"
    )
    assert (made["tool_call"], made["better"]) == ("shared", "pos")


def test_a_tool_call_of_the_answers_own_is_left_out() -> None:
    other = {**CALL, "Observation": "z"}
    row = {
        "question": "Q?",
        "pos_answer": {"answer": "a", "actions": CALL},
        "neg_answer": {"answer": "a", "actions": other},
    }
    made = shared_tool_calls(row)
    assert (made["prompt"], made["tool_call"], made["better"]) == ("Question: Q?", "own", "same")


@pytest.mark.parametrize("broken", [None, 3, {"Thought": "Look."}])
def test_a_broken_tool_call_is_named(broken: object) -> None:
    side = {"answer": "a", "actions": broken}
    with pytest.raises(ValueError, match=r'column "pos_answer\.actions"'):
        shared_tool_calls({"question": "Q?", "pos_answer": side, "neg_answer": side})


def test_two_equal_answers_compare_nothing() -> None:
    """Known ties: neither the oracle nor anyone else gains or loses by them, and n says so."""
    tie = Judged(
        "t", 2, Gold((Edge(0, 1, 0.0),)), Judgment("t", rewards=(1.0, 1.0)), {"task": "code", "tool_call": "own"}
    )
    win = Judged("w", 2, Gold((Edge(0, 1),)), Judgment("w", rewards=(2.0, 1.0)), {"task": "code", "tool_call": "own"})
    found = values("themis", [tie, win])
    assert (found["accuracy", None].value, found["accuracy", None].n) == (1.0, 1)


THEMIS = {
    # rows, share of longer right answers (equal lengths half), equal answers, shared tool calls
    "calculator": (154, 0.682, 0, False),
    "calendar": (106, 0.660, 0, True),
    "code": (189, 0.220, 0, False),
    "multi_tools": (144, 0.361, 1, True),
    "translator": (300, 0.290, 7, True),
    "weather": (158, 0.516, 0, True),
    "webgpt": (134, 0.687, 0, False),
    "wikisearch": (284, 0.442, 0, True),
}


@pytest.mark.parametrize("name", THEMIS)
def test_themis_rows(name: str, data: Path) -> None:
    rows, longer, equal, shared = THEMIS[name]
    found = loaded("themis", data)
    examples = [each for each in found.examples if each.groups["task"] == name]
    assert found.group_totals[f"task={name}"] == len(examples) == rows
    assert {each.groups["tool_call"] for each in examples} == {"shared" if shared else "own"}
    assert {"Observation: " in each.prompt[0].text for each in examples} == {shared}
    assert sum(edge.strength == 0 for each in examples for edge in each.gold.relation) == equal
    lengths = [[len(candidate.text) for candidate in each.candidates] for each in examples]
    won = sum((right > wrong) + (right == wrong) / 2 for right, wrong in lengths) / rows
    assert won == pytest.approx(longer, abs=5e-4)


def test_themis_is_whole(data: Path) -> None:
    found = loaded("themis", data)
    assert len(found.examples) == found.total == 1469
    assert found.missing == ()
    assert sum(any(candidate.text == "" for candidate in each.candidates) for each in found.examples) == 12
    assert {
        each.prompt[0].text.startswith("Context: ") for each in found.examples if each.groups["task"] == "translator"
    } == {True}


def test_themis_by_length(data: Path) -> None:
    """Baseline: equal lengths are wrong here, and the rows with two equal answers are not in n."""
    found = by_length("themis", data)
    assert found["accuracy", None].n == 1461
    for name, (rows, _, equal, _) in THEMIS.items():
        value = found["task_mean", f"task={name}"]
        mine = [each for each in loaded("themis", data).examples if each.groups["task"] == name]
        longer = sum(len(each.candidates[0].text) > len(each.candidates[1].text) for each in mine)
        assert value.n == rows - equal
        assert value.value == pytest.approx(longer / (rows - equal))


def test_tara_is_themis() -> None:
    assert get("tara") is get("themis")

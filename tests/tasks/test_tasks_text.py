"""The text benchmarks beside the first nine: upstream's rows where they are here, and what their samples say."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

import rmbench
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from tests._make import loaded


@pytest.mark.parametrize(
    "task_id, rows, clusters", [("hhh-alignment", 221, 102), ("autoj", 1392, 1182), ("pandalm", 999, 170)]
)
def test_every_row_is_there(task_id: str, rows: int, clusters: int, data: Path) -> None:
    found = loaded(task_id, data)
    assert len(found.examples) == rows == found.total == get(task_id).n
    assert (found.missing, found.excluded) == ((), ())
    assert len({example.cluster for example in found.examples}) == clusters


def test_rewardmath_has_upstreams_two_problems(data: Path) -> None:
    found = loaded("rewardmath", data)
    assert [each.id for each in found.examples] == ["0", "399"]
    assert found.missing == ("481 of 483 rows",)
    first = found.examples[0]
    assert [c.source for c in first.candidates][:2] == ["human_to_GPT-4", "modified_with_GPT-4"]
    assert first.candidates[0].text.count("\n") == 6
    assert [(edge.i, edge.j) for edge in first.gold.relation] == [(0, j) for j in range(1, 10)]


def test_hhh_groups_and_transcripts(data: Path) -> None:
    found = loaded("hhh-alignment", data)
    sizes = {"subset=harmless": 58, "subset=helpful": 59, "subset=honest": 61, "subset=other": 43}
    assert found.group_totals == sizes
    prompts = [[message.role for message in e.prompt] for e in found.examples]
    assert sum(len(roles) > 1 for roles in prompts) == 41
    assert all(set(roles[::2]) == {"user"} and set(roles[1::2]) <= {"assistant"} for roles in prompts)
    assert all(len(roles) % 2 for roles in prompts)


def test_autoj_labels_groups_and_odd_rows(data: Path) -> None:
    found = loaded("autoj", data)
    labels = Counter((e.gold.relation[0].i, e.gold.relation[0].strength) for e in found.examples)
    assert labels == {(0, 1.0): 520, (1, 1.0): 499, (0, 0.0): 373}
    sizes = [72, 72, 120, 120, 216, 240, 288, 264]
    assert sorted(n for name, n in found.group_totals.items() if name.startswith("group=")) == sorted(sizes)
    assert sum(name.startswith("scenario=") for name in found.group_totals) == 58
    empty, identical, repeated = found.notes
    assert "row 568: an empty candidate (1 row, kept)" in empty
    assert "rows 318, 506, 1070, 1130, 1132, 1272, 1273, 1279, 1355: identical candidates (9 rows" in identical
    assert "rows 1273, 1279: the texts of an earlier row" in repeated


def test_pandalm_majorities_and_odd_rows(data: Path) -> None:
    found = loaded("pandalm", data)
    majority = Counter((e.gold.relation[0].i, e.gold.relation[0].strength) for e in found.examples)
    assert majority == {(0, 0.0): 105, (0, 1.0): 422, (1, 1.0): 472}
    unanimous = sum(len({(v.i, v.strength) for v in e.gold.relation[1:]}) == 1 for e in found.examples)
    assert unanimous == 879
    assert [edge.annotator for edge in found.examples[0].gold.relation] == [
        "",
        "annotator1",
        "annotator2",
        "annotator3",
    ]
    assert found.examples[157].candidates[0].text == "True"
    assert [len([n for n in found.notes if part in n]) for part in ("(54 rows, kept)", "(99 rows, kept)")] == [1, 1]


NEW = (
    "autoj",
    "community-alignment",
    "hhh-alignment",
    "m-rewardbench",
    "multipref",
    "pandalm",
    "ppe-correctness",
    "ppe-preference",
    "reward-bench-2",
    "rewardmath",
    "rpr",
)
BEST = {"reward-bench-2": (5 + 1.01) / 6}
WORST = {"reward-bench-2": -0.01 / 6, "autoj": 0.2, "pandalm": 0.3}
"""The opposite of people ties where they do: two of Auto-J's ten sample rows, three of PandaLM's."""


def headline(model: str, task: str, out: Path) -> float:
    (record,) = rmbench.run(model, task, source="sample", out=out).records
    name = get(task).metrics[0].name
    return next(v.value for v in record.results if v.metric == name and v.group is None and v.value is not None)


@pytest.mark.parametrize("task_id", NEW)
def test_oracle_and_anti_reach_the_ends(task_id: str, tmp_path: Path) -> None:
    assert headline("fake:oracle", task_id, tmp_path) == pytest.approx(BEST.get(task_id, 1.0))
    assert headline("fake:anti", task_id, tmp_path) == pytest.approx(WORST.get(task_id, 0.0), abs=1e-12)


CONSTANT = {"reward-bench-2": 5 * 0.25 / 6, "rewardmath": 0.0, "community-alignment": 0.25, "ppe-preference": 0.0}


@pytest.mark.parametrize("task_id", CONSTANT)
def test_a_constant_scorer(task_id: str, tmp_path: Path) -> None:
    assert headline("fake:constant", task_id, tmp_path) == pytest.approx(CONSTANT[task_id])


def test_reward_bench_2_says_how_ties_are_named() -> None:
    examples = load(get("reward-bench-2"), "sample").examples
    ties = [e for e in examples if e.groups["subset"] == "Ties"]
    assert [e.id for e in ties] == ["Ties/ref:0", "Ties/tied:0", "Ties/ref:1", "Ties/tied:1"]
    assert [len({edge.i for edge in e.gold.relation}) for e in ties] == [1, 3, 1, 4]
    assert all(len(e.candidates) == 4 for e in examples if e.groups["subset"] != "Ties")


def test_m_rewardbench_weights_are_the_boards(tmp_path: Path) -> None:
    task = get("m-rewardbench")
    language, section, subset = task.metrics[0].levels
    assert (language.group, section.group) == ("language", "section")
    weights = dict(subset.weights or {})
    assert sum(weights.values()) == 2869 - 447 + 983
    assert task.n == 23 * 2869
    examples = load(task, "sample").examples
    assert len({e.groups["language"] for e in examples}) == len({e.groups["subset"] for e in examples}) == 23
    assert weights.keys() == {e.groups["subset"] for e in examples}


def test_ppe_correctness_has_32_answers_and_pairs() -> None:
    task = get("ppe-correctness")
    examples = load(task, "sample").examples
    for each in examples:
        assert len(each.candidates) == len(each.gold.ratings) == 32
        right = [figures[0] for figures in each.gold.ratings]
        assert all(right[edge.i] > right[edge.j] for edge in each.gold.relation)
        assert each.weight == len(each.gold.relation) == 5
    assert len({e.groups["benchmark"] for e in examples}) == 5


FIGURES_OF_RPR = {
    "fake:constant": (0.0, 0.0, 0.0, 0.0),
    "fake:oracle": (1.0, 1.0, 1.0, 1.0),
    "fake:anti": (0.0, 0.0, 1.0, 0.0),
    "baseline:length": (0.5, 0.0, 0.0, 0.0),
}
"""Accuracy; then of criteria (and of scenarios): right under both, sensitivity, and the shift from the control."""


@pytest.mark.parametrize("model", FIGURES_OF_RPR)
def test_rpr_reverses_its_gold_with_the_context(model: str, tmp_path: Path) -> None:
    examples = {e.id: e for e in load(get("rpr"), "sample").examples}
    one, other, control = (examples[f"9000/{name}"] for name in ("criterion/x", "criterion/y", "none/control"))
    assert [(edge.i, edge.strength) for e in (one, other, control) for edge in e.gold.relation] == [
        (0, 1),
        (1, 1),
        (0, 0),
    ]
    assert one.candidates == other.candidates == control.candidates
    assert one.prompt[0].text == f"{one.context['given']}\n\nExplain what a black hole is."
    assert control.prompt[0].text == "Explain what a black hole is."
    assert {e.cluster for e in examples.values() if e.id.startswith("9000/")} == {one.cluster}
    record = rmbench.run(model, "rpr", source="sample", out=tmp_path).records[0]
    found = {v.metric: v.value for v in record.results if v.group is None}
    accuracy, both, sensitivity, shift = FIGURES_OF_RPR[model]
    expected = {"accuracy": accuracy}
    for kind in ("criteria", "scenarios"):
        expected |= {f"both_{kind}": both, f"{kind}_sensitivity": sensitivity, f"{kind}_shift": shift}
    assert found == expected


def test_multipref_majorities() -> None:
    found = load(get("multipref"), "sample")
    assert [each.id for each in found.excluded] == ["sample-7"]
    first = found.examples[0].gold.relation
    assert [(e.dimension, e.annotator, e.strength) for e in first[:3]] == [
        ("", "", 1.0),
        ("", "normal1", 2.0),
        ("", "normal2", 1.0),
    ]
    assert {edge.dimension for edge in first} == {"", "helpful", "truthful", "harmless"}
    assert math.isclose(sum(edge.annotator == "expert2" for edge in first), 4)


def test_community_alignment_turns_and_raters() -> None:
    examples = {e.id: e for e in load(get("community-alignment"), "sample").examples}
    second = examples["c0/second"]
    assert [m.role for m in second.prompt] == ["user", "assistant", "user"]
    assert second.prompt[1].text == examples["c0/first"].candidates[0].text
    assert second.rater == "a1"
    assert second.cluster == examples["c5/first"].cluster
    assert not any("end_of_text" in c.text for e in examples.values() for c in e.candidates)
    assert {e.groups["language"] for e in examples.values()} == {"en", "fr", "it", "pt", "hi"}

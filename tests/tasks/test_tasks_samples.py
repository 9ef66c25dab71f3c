"""Every bundled task has a sample in upstream's layout: enough rows, every group, sound texts and gold."""

from __future__ import annotations

import pytest

from rmbench.metric_spec import Level
from rmbench.tasks.registry import declared, get
from rmbench.tasks.sources import load

GROUPS = {
    "reward-bench": {"section": 4, "subset": 23},
    "rm-bench": {"domain": 4, "file": 5},
    "rmb-pairwise": {"goal": 2, "category": 6},
    "rmb-bon": {"goal": 2, "category": 6},
    "judgebench": {"source": 4},
    "judgebench-claude": {"source": 4},
    "llmbar": {"subset": 5},
}


@pytest.mark.parametrize("task_id", declared())
def test_sample_loads(task_id: str) -> None:
    loaded = load(get(task_id), "sample")
    assert loaded.source == "sample"
    assert len(loaded.examples) == loaded.total >= 8
    assert loaded.missing == ()
    assert loaded.files
    assert len(loaded.digest) == 64
    for example in loaded.examples:
        shown = [(candidate.prompt, candidate.messages) for candidate in example.candidates]
        assert len(set(shown)) == len(shown), example.id
        assert example.prompt
        gold = example.gold
        assert gold.relation or gold.ratings or gold.labels or get(task_id).shape == "scored"


@pytest.mark.parametrize("task_id", GROUPS)
def test_sample_has_every_group(task_id: str) -> None:
    examples = load(get(task_id), "sample").examples
    for group, values in GROUPS[task_id].items():
        assert len({example.groups[group] for example in examples}) == values


WEIGHTED = [
    (task.id, level)
    for task in declared().values()
    for metric in task.metrics
    for level in metric.levels
    if level.weights is not None
]


@pytest.mark.parametrize("task_id, level", WEIGHTED)
def test_weights_cover_the_sample(task_id: str, level: Level) -> None:
    """A value of a weighted group without a weight would leave its rows out of the official figure."""
    values = {example.groups[level.group] for example in load(get(task_id), "sample").examples}
    assert values
    assert values <= set(level.weights or ())


def test_some_tasks_have_weights() -> None:
    assert {task_id for task_id, _ in WEIGHTED} >= {"reward-bench", "m-rewardbench"}


def test_gold_is_not_told_by_length_or_place() -> None:
    """The better answer must be neither always the longer one nor, where both places occur, always the first."""
    for task in declared().values():
        examples = load(task, "sample").examples
        decided = [(e, edge) for e in examples for edge in e.gold.relation if edge.strength]
        # Where the answer is one and the prompts are two, there is nothing to tell it by.
        edges = [(e, edge) for e, edge in decided if e.candidates[edge.i].text != e.candidates[edge.j].text]
        if edges:
            longer = [len(e.candidates[edge.i].text) > len(e.candidates[edge.j].text) for e, edge in edges]
            assert 0.2 < sum(longer) / len(longer) < 0.8, task.id
    for task_id in ("judgebench", "judgebench-claude", "llmbar"):
        first = [example.gold.relation[0].i == 0 for example in load(get(task_id), "sample").examples]
        assert 0.3 < sum(first) / len(first) < 0.7


def test_multi_turn_prompts_occur() -> None:
    for task_id in ("rmb-pairwise", "rmb-bon", "hh-harmless"):
        examples = load(get(task_id), "sample").examples
        assert any([message.role for message in e.prompt] == ["user", "assistant", "user"] for e in examples)


def test_hh_sample_has_upstreams_odd_rows() -> None:
    examples = load(get("hh-harmless"), "sample").examples
    assert any(candidate.prompt is not None for example in examples for candidate in example.candidates)
    assert any(example.candidates[0].text == "" for example in examples)

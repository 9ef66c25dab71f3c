"""Upstream's own files, row for row: counts, groups, ids and the oddities that are known of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from tests._make import loaded

RMB_MISSING = (
    "RMB_dataset/Pairwise_set/Harmlessness/S11.json",
    "RMB_dataset/Pairwise_set/Helpfulness/Brainstorming/Idea Development.json",
    "RMB_dataset/Pairwise_set/Helpfulness/Generation/Creative Writing.json",
)


@pytest.mark.parametrize(
    "task_id, rows, clusters, missing",
    [
        ("rm-bench", 798, 796, ("data/math_filtered.json",)),
        ("rmb-pairwise", 14543, 2649, RMB_MISSING),
        ("rmb-bon", 3786, 2262, ()),
        ("judgebench", 350, 350, ()),
        ("judgebench-claude", 270, 269, ()),
        ("llmbar", 419, 419, ()),
        ("hh-harmless", 2312, 2310, ()),
        ("dove-helpful", 363, 363, ()),
        ("unieval-topical-chat", 360, 60, ()),
    ],
)
def test_every_row_is_accounted_for(
    task_id: str, rows: int, clusters: int, missing: tuple[str, ...], data: Path
) -> None:
    found = loaded(task_id, data)
    assert len(found.examples) == rows == sum(file.rows for file in found.files)
    assert found.missing == missing
    assert found.excluded == ()
    assert found.total == get(task_id).n
    assert (len(found.examples) == found.total) == (not missing)
    assert len({example.id for example in found.examples}) == rows
    assert len({example.cluster or example.id for example in found.examples}) == clusters


@pytest.mark.parametrize(
    "task_id, totals",
    [
        ("rm-bench", {"domain=chat": 129, "domain=code": 228, "domain=safety": 441, "file=safety-refuse": 284}),
        ("judgebench", {"source=mmlu-pro": 154, "source=livebench-reasoning": 98, "source=livebench-math": 56}),
        ("judgebench-claude", {"source=mmlu-pro": 154, "source=livebench-math": 34, "source=livecodebench": 31}),
        ("llmbar", {"subset=Natural": 100, "subset=Neighbor": 134, "subset=GPTInst": 92, "subset=GPTOut": 47}),
        ("rmb-pairwise", {"goal=Helpfulness": 8456, "goal=Harmlessness": 6087, "category=S6": 317, "file=S6": 317}),
        ("rmb-bon", {"goal=Helpfulness": 2109, "goal=Harmlessness": 1677, "category=Code": 280, "category=multi": 131}),
    ],
)
def test_groups_have_the_published_sizes(task_id: str, totals: dict[str, int], data: Path) -> None:
    found = loaded(task_id, data).group_totals
    assert {name: found[name] for name in totals} == totals


def test_rm_bench_ids_collide_across_domains(data: Path) -> None:
    examples = loaded("rm-bench", data).examples
    assert len({example.id.split("/")[1] for example in examples}) == 775
    assert all(len(example.candidates) == 6 and len(example.gold.relation) == 9 for example in examples)


def test_rm_bench_prefers_the_whole_file(data: Path, tmp_path: Path) -> None:
    import json

    rows = []
    for name in ("chat", "safety-refuse"):
        for row in json.loads((data / "rm-bench" / "data" / "chat_filtered.json").read_text())[:3]:
            rows.append({**row, "domain": name})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "total_dataset.json").write_text(json.dumps(rows))
    (tmp_path / "data" / "math_filtered.json").write_text("[]")
    found = load(get("rm-bench"), tmp_path)
    assert found.missing == ("1321 of 1327 rows",)
    assert found.group_totals["domain=safety"] == 3


def test_rmb_losers_and_turns(data: Path) -> None:
    lists = loaded("rmb-bon", data).examples
    assert Counter(len(e.candidates) - 1 for e in lists) == {2: 2878, 3: 712, 4: 165, 5: 24, 6: 7}
    assert sum(1 / len(e.candidates) for e in lists) / len(lists) == pytest.approx(0.310442, abs=5e-7)
    assert Counter(len(e.prompt) for e in lists) == {1: 3261, 3: 373, 5: 152}
    assert Counter(len(e.prompt) for e in loaded("rmb-pairwise", data).examples) == {1: 12507, 3: 1475, 5: 561}


def test_rmb_identical_and_empty_answers(data: Path) -> None:
    pairs, lists = loaded("rmb-pairwise", data).examples, loaded("rmb-bon", data).examples
    assert sum(e.candidates[0].text == e.candidates[1].text for e in pairs) == 11
    assert sum(any(c.text == e.candidates[0].text for c in e.candidates[1:]) for e in lists) == 6
    assert sum(any(not c.text.strip() for c in e.candidates) for e in pairs) == 2


def test_rmb_length_counts(data: Path) -> None:
    """Counts of a length scorer, published beside the files: the answers are upstream's, to the character."""
    won = Counter(
        e.groups["goal"]
        for e in loaded("rmb-pairwise", data).examples
        if len(e.candidates[0].text) > len(e.candidates[1].text)
    )
    assert won == {"Helpfulness": 5482, "Harmlessness": 3306}


@pytest.mark.parametrize("task_id, first, second", [("judgebench", 193, 157), ("judgebench-claude", 143, 127)])
def test_judgebench_labels(task_id: str, first: int, second: int, data: Path) -> None:
    winners = Counter(example.gold.relation[0].i for example in loaded(task_id, data).examples)
    assert winners == {0: first, 1: second}


def test_judgebench_keeps_carriage_returns(data: Path) -> None:
    examples = loaded("judgebench", data).examples
    assert sum("\r" in example.prompt[0].text for example in examples) == 4


def test_llmbar_labels(data: Path) -> None:
    winners = Counter((e.groups["subset"], e.gold.relation[0].i) for e in loaded("llmbar", data).examples)
    assert winners[("Natural", 0)] == 42
    assert winners[("Neighbor", 1)] == 59
    assert winners[("GPTInst", 0)] == 45
    assert winners[("GPTOut", 1)] == 25
    assert winners[("Manual", 0)] == 22
    assert loaded("llmbar", data).examples[100].id == "Neighbor/0"


def test_hh_rows_with_two_prompts_and_empty_answers(data: Path) -> None:
    examples = loaded("hh-harmless", data).examples
    own = [i for i, e in enumerate(examples) if e.candidates[0].prompt is not None]
    assert own == [1254, 1688, 1950, 1952, 2036]
    for i in own:
        assert examples[i].conversation(0)[:-1] != examples[i].conversation(1)[:-1]
    assert [i for i, e in enumerate(examples) if e.candidates[0].text == ""] == [86, 516, 925, 1103]
    assert examples[86].id == "test/86"


def test_hh_turns_and_lengths(data: Path) -> None:
    examples = loaded("hh-harmless", data).examples
    shared = [e for e in examples if e.candidates[0].prompt is None]
    lengths = [(len(e.candidates[0].text), len(e.candidates[1].text)) for e in shared]
    assert len(shared) == 2307
    assert sum(a > b for a, b in lengths) == 1021
    assert sum(a == b for a, b in lengths) == 11
    assert all(e.prompt[-1].role == "user" for e in shared)


def test_unieval_ratings(data: Path) -> None:
    examples = loaded("unieval-topical-chat", data).examples
    gold = examples[0].gold
    assert gold.dimensions == (
        "naturalness",
        "coherence",
        "engagingness",
        "groundedness",
        "understandability",
        "overall",
    )
    assert gold.ratings[0] == pytest.approx((3.0, 7 / 3, 3.0, 2 / 3, 1.0, 14 / 3), abs=1e-9)
    assert examples[7].id == "topical_chat/7"
    assert examples[0].context["knowledge"].startswith("from left")

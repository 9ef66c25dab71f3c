"""Result files of benchmarks as they lie: told by their keys, their known faults mended, mistaken ones refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.models.scores.scorer import Precomputed
from tests._make import loaded, open_as, write_lines

PAIR = {"scores_chosen": 1.5, "scores_rejected": 0.5, "subset": "hep-go", "results": 1, "id": 7}
JUDGED = {
    "pair_id": "p",
    "judge_name": "arena_hard",
    "response_model": "gpt-4o-2024-05-13",
    "judgments": [
        {"judgment": {"judge_model": "o1-mini"}, "decision": "A>B"},
        {"judgment": {"judge_model": "o1-mini"}, "decision": "B>A"},
    ],
}


def lists(rows: list[dict[str, Any]], **same: Any) -> dict[str, Any]:
    """Rows as parallel lists, as RewardBench writes them."""
    return {**{key: [row[key] for row in rows] for key in rows[0]}, **same}


def saved(path: Path, data: Any) -> Precomputed:
    path.write_text(json.dumps(data, indent=4, sort_keys=True))
    return open_as(Precomputed, f"scores:{path}")


def pairs() -> list[dict[str, Any]]:
    """RewardBench's sample rows with scores of which every second is right."""
    return [
        {**PAIR, "subset": row.groups["subset"], "id": 100 + k, "scores_chosen": float(k % 2), "scores_rejected": 0.5}
        for k, row in enumerate(loaded("reward-bench", "sample").examples)
    ]


def test_reward_bench_is_read_by_the_place_of_rows(tmp_path: Path) -> None:
    model = saved(
        tmp_path / "rm.json", lists(pairs(), model="org/rm", model_type="Seq. Classifier", text_chosen=[""] * 23)
    )
    assert (model.facts.name, model.tasks) == ("org/rm", {"reward-bench"})
    assert model.facts.why == "rm.json holds RewardBench's per-item results: scores"
    examples = loaded("reward-bench", "sample").examples
    assert [model.judge("reward-bench", each).rewards for each in examples[:2]] == [(0.0, 0.5), (1.0, 0.5)]


def test_a_run_takes_the_file_as_it_lies(tmp_path: Path) -> None:
    file = tmp_path / "rm.json"
    file.write_text(json.dumps(lists(pairs(), model="org/rm")))
    results = rmbench.run(model=f"scores:{file}", tasks=["reward-bench"], source="sample", out=tmp_path / "out")
    (record,) = results.records
    assert record.counts.judged == len(pairs())
    subsets = {value.group: value.value for value in record.results if (value.group or "").startswith("subset=")}
    assert {group.partition("=")[2]: value for group, value in subsets.items()} == {
        row["subset"]: float(row["scores_chosen"] > 0.5) for row in pairs()
    }


def test_a_file_in_another_order_is_found_out(tmp_path: Path) -> None:
    model = saved(tmp_path / "rm.json", lists(pairs()[::-1]))
    with pytest.raises(
        RmbenchError, match=r"row 0: its subset is '.+', and row filtered/0 of reward-bench is of subset"
    ):
        model.judge("reward-bench", loaded("reward-bench", "sample").examples[0])


def bests(ids: list[str], subset: str = "Factuality") -> list[dict[str, Any]]:
    return [{"subset": subset, "id": id_, "scores": [float(k), 0, 0, 0], "results": 1.0} for k, id_ in enumerate(ids)]


def test_ids_of_reward_bench_2_are_repaired(tmp_path: Path) -> None:
    """allenai/reward-bench, issue 273: the first ten Factuality rows of 179 files are called 30 to 39."""
    shifted = [*map(str, range(30, 40)), *map(str, range(10, 45))]
    rows = [*bests(["tied:0"], "Ties"), *bests(shifted)]
    model = saved(tmp_path / "urm.json", lists(rows, model="org/urm"))
    assert model.facts.name == "org/urm"
    assert {id_ for _, id_ in model.rows} == {"Ties/tied:0", *(f"Factuality/{k}" for k in range(45))}
    assert [model.rows["reward-bench-2", f"Factuality/{k}"].scores for k in (0, 9, 30)] == [
        [float(k), 0, 0, 0] for k in (0, 9, 30)
    ]
    assert "rows, called 30 to 39 a second time, are rows 0 to 9" in model.facts.why
    whole = saved(tmp_path / "sky.json", lists(bests([*map(str, range(45))])))
    assert "called" not in whole.facts.why


def test_only_that_fault_is_repaired(tmp_path: Path) -> None:
    """Rows 30 to 39 that come first and once, or another repetition, are not that fault."""
    alone = saved(tmp_path / "alone.json", lists(bests([*map(str, range(30, 45))])))
    assert ("reward-bench-2", "Factuality/30") in alone.rows
    with pytest.raises(RmbenchError, match=r"id 'Factuality/31' is at .*row 1 already"):
        saved(tmp_path / "twice.json", lists(bests(["30", "31", "31"])))
    with pytest.raises(RmbenchError, match=r"id 'Factuality/30' is at .*row 0 already"):
        saved(tmp_path / "both.json", lists(bests([*map(str, range(30, 40)), "0", *map(str, range(10, 45))])))


def test_judgebench_is_read_line_by_line(tmp_path: Path) -> None:
    judge = open_as(Precomputed, f"scores:{write_lines(tmp_path / 'a.jsonl', [JUDGED])}")
    assert (judge.facts.name, judge.facts.answer_kind) == ("JudgeBench/arena_hard-o1-mini", "verdict")
    assert judge.rows["judgebench", "p"].verdicts == ["A>B", "B>A"]
    scored = {"judgment": {"judge_model": "org/rm", "scores": [1.0, 2.0]}, "decision": "B>A"}
    of_model = {**JUDGED, "judge_name": "reward_model", "judgments": [scored, None]}
    of_model["response_model"] = "claude-3-5-sonnet-20240620"
    reward = open_as(Precomputed, f"scores:{write_lines(tmp_path / 'b.jsonl', [of_model])}")
    assert (reward.facts.name, reward.facts.answer_kind) == ("org/rm", "reward")
    assert reward.rows["judgebench-claude", "p"].scores == [1.0, 2.0]
    null = open_as(
        Precomputed, f"scores:{write_lines(tmp_path / 'c.jsonl', [{**JUDGED, 'judgments': [None, scored]}])}"
    )
    assert null.rows["judgebench", "p"].verdicts == [None, "B>A"]


def test_parquet_and_json_lines_are_the_same_forms(tmp_path: Path) -> None:
    rows = pairs()
    rows[3] = {**rows[3], "scores_chosen": None}
    pd.DataFrame(rows).to_parquet(tmp_path / "rm.parquet")
    write_lines(tmp_path / "rm.jsonl", rows)
    (tmp_path / "rm.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "list.json").write_text(json.dumps(rows))
    for name in ("rm.parquet", "rm.jsonl", "rm.json", "list.json"):
        model = open_as(Precomputed, f"scores:{tmp_path / name}")
        assert [row.scores for row in model.rows.values()][1:4] == [[1.0, 0.5], [0.0, 0.5], [None, 0.5]], name
        example = loaded("reward-bench", "sample").examples[3]
        assert model.judge("reward-bench", example).error == f"the score of candidate 0 in {name} is null or not finite"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"results": [1], "subset": ["Math"], "id": [0]}, "results without scores"),
        ([{"chosen": 1.0, "rejected": 0.5}], "names neither a data set nor rows"),
        (lists([PAIR]) | {"subset": ["a", "b"]}, '"id" lists 1 values and "subset" 2'),
        ({"accuracy": 0.9, "model": "x"}, "one JSON object without a list, so it holds no rows"),
        ([PAIR, {"subset": "a"}], 'row 1: the key "scores_chosen" is missing'),
        ([{**PAIR, "subset": 3}], '"subset" must be text, not 3'),
        ([{**PAIR, "model": {}}, {**PAIR, "model": {"a": 1}}], '"model" must be text'),
        ([{**JUDGED, "response_model": "gpt-4o-2024-05-12"}], 'Did you mean "gpt-4o-2024-05-13"?'),
        ([{**JUDGED, "judgments": "A>B"}], '"judgments" must list an object for each order'),
        ([{**JUDGED, "judgments": [None, "A>B"]}], '"judgments" must list an object for each order'),
        ([{"subset": "Math", "id": 1.5, "scores": [1], "results": 1}], '"id" must be text, not 1.5'),
        ([1], "must be an object"),
        ([{**PAIR, "model": "\ud800"}], '"model" must be text'),
        ([{**PAIR, "subset": "\ud800"}], '"subset" must be text'),
        ([{**JUDGED, "pair_id": "\ud800"}], '"pair_id" must be text'),
        ([{**JUDGED, "judgments": [{"judgment": {"judge_model": "\ud800"}}]}], '"judge_model" must be text'),
        ([{**JUDGED, "judgments": [{"judgment": {"judge_model": 3}}]}], '"judge_model" must be text, not 3'),
    ],
)
def test_a_mistaken_file_is_one_clear_error(data: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=re.escape(reason)) as caught:
        saved(tmp_path / "x.json", data)
    assert "x.json" in str(caught.value)


@pytest.mark.parametrize("text", ["{", '{"task": "t", "id": "0", "scores": [1]}\nnonsense\n', "[" * 100_000])
def test_what_is_not_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(RmbenchError, match=r"x.json.* is not JSON"):
        open_as(Precomputed, f"scores:{tmp_path / 'x.json'}")


def test_own_rows_may_be_one_json_file(tmp_path: Path) -> None:
    own = {"task": "t", "id": "0", "scores": [1.0, 0.0]}
    for data in (own, [own]):
        assert saved(tmp_path / "own.json", data).rows["t", "0"].scores == [1.0, 0.0]


@pytest.mark.parametrize("name", ["Skywork_Skywork-Reward-Llama-3.1-8B", "Ray2333_GRM-Gemma-2B-rewardmodel-ft"])
def test_judgebench_files_give_the_scores_of_the_records(name: str, data: Path) -> None:
    """Upstream's own file, as it lies, against this project's cut of it."""
    file = f"dataset=judgebench,response_model=gpt-4o-2024-05-13,judge_name=reward_model,judge_model={name}.jsonl"
    model = open_as(Precomputed, f"scores:{data / 'judgebench' / 'outputs' / file}")
    assert model.facts.name == name.replace("_", "/", 1)
    cut = {
        row["id"]: row["scores"]
        for row in map(
            json.loads, (data / "judgebench" / "scores" / f"reward_model__{name}.jsonl").read_text("utf-8").splitlines()
        )
    }
    assert {id_: row.scores for (_, id_), row in model.rows.items()} == cut

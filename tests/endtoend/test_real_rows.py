"""Real rows through the ordinary way: every row accounted for, and released scores reproduce published numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

import rmbench

COUNTS = {
    "rm-bench": 798,
    "rmb-pairwise": 14_543,
    "rmb-bon": 3_786,
    "llmbar": 419,
    "judgebench": 350,
    "judgebench-claude": 270,
    "hh-harmless": 2_312,
    "unieval-topical-chat": 360,
}


def values(results: rmbench.Results) -> dict[tuple[str, str | None], Any]:
    return {(row["metric"], row["group"]): row for row in results.to_dict()["results"]}


def run_scores(
    data: Path, out: Path, task: str, rows: Iterable[Mapping[str, Any]], **settings: Any
) -> dict[tuple[str, str | None], Any]:
    file = out / "scores.jsonl"
    file.write_text("".join(json.dumps({"task": task, **row}) + "\n" for row in rows))
    results = rmbench.run(f"scores:{file}", task, source=str(data), out=out, **settings)
    assert results.failed_rows == 0
    return values(results)


@pytest.fixture(scope="module")
def by_length(data: Path, tmp_path_factory: pytest.TempPathFactory) -> rmbench.Results:
    out = tmp_path_factory.mktemp("length")
    return rmbench.run("baseline:length", list(COUNTS), source=str(data), out=out)


def test_every_row_is_accounted_for(by_length: rmbench.Results) -> None:
    assert {record.task.id: record.data.rows for record in by_length.records} == COUNTS
    assert by_length.failed_rows == 0


def test_partial_sets_say_what_is_missing(by_length: rmbench.Results) -> None:
    missing = {record.task.id: set(record.data.missing) for record in by_length.records if "partial" in record.flags}
    assert missing == {
        "rm-bench": {"data/math_filtered.json"},
        "rmb-pairwise": {
            "RMB_dataset/Pairwise_set/Harmlessness/S11.json",
            "RMB_dataset/Pairwise_set/Helpfulness/Brainstorming/Idea Development.json",
            "RMB_dataset/Pairwise_set/Helpfulness/Generation/Creative Writing.json",
        },
    }
    assert by_length.headline("rm-bench").coverage == pytest.approx(798 / 1327)
    assert by_length.headline("rmb-pairwise").coverage == pytest.approx(14_543 / 17_131)


def test_rm_bench_length_table(by_length: rmbench.Results, data: Path) -> None:
    golden = json.loads((data / "rm-bench" / "golden.json").read_text())["length_chars"]
    record = next(record for record in by_length.records if record.task.id == "rm-bench")
    got = {value.group: value.value for value in record.results}
    for domain in ("chat", "code", "safety"):
        table = golden["domains"][domain]
        for i, row in enumerate(table["counts"]):
            for j, count in enumerate(row):
                assert got[f"domain={domain},cell={i},{j}"] == pytest.approx(count / table["n"], abs=1e-12)
        for level in ("easy", "normal", "hard"):
            assert got[f"domain={domain},level={level}"] == pytest.approx(table[level] / 100, abs=1e-6)
        assert got[f"domain={domain}"] == pytest.approx(table["avg"] / 100, abs=1e-6)
    assert got[None] == pytest.approx(0.452507, abs=1e-6)
    assert [got[f"level={level}"] for level in ("easy", "normal", "hard")] == pytest.approx(
        [0.836879, 0.393976, 0.126666], abs=1e-6
    )


@pytest.mark.parametrize(("task", "key"), [("rmb-pairwise", "pairwise"), ("rmb-bon", "bon")])
def test_rmb_length_table(by_length: rmbench.Results, data: Path, task: str, key: str) -> None:
    golden = json.loads((data / "rmb" / "golden.json").read_text())[key]
    record = next(record for record in by_length.records if record.task.id == task)
    got = {(value.metric, value.group): value.value for value in record.results}
    for goal in ("Helpfulness", "Harmlessness"):
        assert got["accuracy", f"goal={goal}"] == pytest.approx(golden[goal]["micro"], abs=1e-6)
    assert got["accuracy", None] == pytest.approx(golden["all"]["micro"], abs=1e-6)
    assert got["accuracy_macro_file", None] == pytest.approx(golden["all"]["macro_over_scenario_files"], abs=1e-6)
    assert got["accuracy_macro_category", None] == pytest.approx(golden["all"]["macro_over_categories"], abs=1e-6)
    halves = [golden[goal]["micro"] for goal in ("Helpfulness", "Harmlessness")]
    assert got["goal_mean", None] == pytest.approx(sum(halves) / 2, abs=1e-6)


def test_the_mean_of_both_rmb_tasks_is_the_papers_mean_of_four(by_length: rmbench.Results) -> None:
    both = [by_length.headline(task).value for task in ("rmb-pairwise", "rmb-bon")]
    assert sum(value for value in both if value is not None) / 2 == pytest.approx(0.511273, abs=1e-6)


@pytest.mark.parametrize(
    ("file", "task", "overall", "groups"),
    [
        (
            "reward_model__Skywork_Skywork-Reward-Llama-3.1-8B",
            "judgebench",
            62.2857,
            (59.0909, 64.2857, 76.7857, 50.0),
        ),
        (
            "reward_model__Ray2333_GRM-Gemma-2B-rewardmodel-ft",
            "judgebench",
            59.4286,
            (62.9870, 53.0612, 64.2857, 54.7619),
        ),
        ("arena_hard__o1-mini-2024-09-12", "judgebench", 65.7143, (58.4416, 62.2449, 82.1429, 78.5714)),
        ("arena_hard__claude-3-haiku-20240307", "judgebench-claude", 32.2222, (37.6623, 29.4118, 32.3529, 9.6774)),
    ],
)
def test_judgebench_released_scores(
    released: Callable[..., Path], tmp_path: Path, file: str, task: str, overall: float, groups: tuple[float, ...]
) -> None:
    answers = "claude-3-5-sonnet-20240620" if task == "judgebench-claude" else "gpt-4o-2024-05-13"
    data = released(
        f"judgebench/scores/{file}.jsonl", f"judgebench/data/dataset=judgebench,response_model={answers}.jsonl"
    )
    lines = (data / "judgebench" / "scores" / f"{file}.jsonl").read_text().splitlines()
    rows = [{key: value for key, value in json.loads(line).items() if key != "task"} for line in lines]
    # The bundled rows have placeholders for texts, so their digest is not upstream's.
    got = run_scores(data, tmp_path, task, rows, allow_changed_data="RMBENCH_DATA" not in os.environ)
    assert 100 * got["two_order_accuracy", None]["value"] == pytest.approx(overall, abs=5e-5)
    names = ("mmlu-pro", "livebench-reasoning", "livebench-math", "livecodebench")
    found = {group.partition("=")[2]: row["value"] for (_, group), row in got.items() if group}
    assert [100 * found[name] for name in names] == pytest.approx(groups, abs=5e-5)


def llmbar_evaluators(data: Path) -> dict[str, list[dict[str, Any]]]:
    by_evaluator: dict[str, list[dict[str, Any]]] = {}
    for line in (data / "llmbar" / "verdicts.jsonl").read_text().splitlines():
        row = json.loads(line)
        by_evaluator.setdefault(row["evaluator"], []).append(row)
    return by_evaluator


def first_number(text: str) -> float:
    """The percentage in "33 / 92 = 35.86%" or "35.86%"."""
    return float(text.rpartition("=")[2].strip().rstrip("%"))


def test_llmbar_released_verdicts(data: Path, tmp_path: Path) -> None:
    evaluators = llmbar_evaluators(data)
    assert len(evaluators) == 65
    upstream = {
        "first_order_accuracy": "correct_False",
        "second_order_accuracy": "correct_True",
        "accuracy": "correct_average",
        "both_orders": "correct_both",
        "agreement": "equal",
    }
    checked = 0
    for subsets in evaluators.values():
        rows = [
            {"id": f"{subset['subset'].rpartition('/')[2]}/{index}", "verdicts": list(pair)}
            for subset in subsets
            for index, pair in enumerate(zip(subset["swap_false"], subset["swap_true"], strict=True))
        ]
        got = run_scores(data, tmp_path, "llmbar", rows)
        for subset in subsets:
            name = subset["subset"].rpartition("/")[2]
            for metric, key in upstream.items():
                said = first_number(subset["statistics"][key])
                assert 100 * got[metric, f"subset={name}"]["value"] == pytest.approx(said, abs=1e-9), (name, metric)
                checked += 1
    assert checked == 325 * 5


def test_unieval_released_predictions(data: Path, tmp_path: Path) -> None:
    file = data / "unieval" / "reproduce" / "unieval_predict" / "dialogue" / "topical_chat_result.json"
    released = json.loads(file.read_text())
    rows = [
        {"id": f"topical_chat/{index}", "scores": {name: [score] for name, score in row["predict_scores"].items()}}
        for index, row in enumerate(released)
    ]
    got = run_scores(data, tmp_path, "unieval-topical-chat", rows)
    table = {
        "naturalness": (0.443666, 0.513986, 0.373973, 0.397063),
        "coherence": (0.595143, 0.612942, 0.465915, 0.494627),
        "engagingness": (0.556510, 0.604739, 0.455941, 0.489352),
        "groundedness": (0.536209, 0.574954, 0.451533, 0.490226),
        "understandability": (0.380038, 0.467807, 0.360741, 0.391584),
        "overall": (0.632796, 0.662583, 0.487272, 0.504753),
    }
    for dimension, figures in table.items():
        group = None if dimension == "overall" else f"dimension={dimension}"
        found = [got[metric, group]["value"] for metric in ("pearson", "spearman", "kendall_tau_b", "kendall_tau_c")]
        assert found == pytest.approx(figures, abs=1e-6), dimension

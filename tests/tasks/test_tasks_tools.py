"""FC-RewardBench and AgentRewardBench: what their rows become, what counts, and upstream's own figures."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.metrics.measure import measure
from rmbench.records.store import read
from rmbench.tasks.registry import get, load_text
from rmbench.tasks.rows.adapt_agents import web_trajectory
from rmbench.tasks.sources import load
from rmbench.types import Example, Judged, Judgment, Verdict

ROOT = Path(__file__).resolve().parents[2]
SUITES = {"WebArena": 3, "VisualWebArena": 2, "AssistantBench": 1, "WorkArena": 2, "WorkArena++": 2}
SUCCESSES = 295
"""Of the 1,106 trajectories of the test split, as counted in upstream's annotations.csv and splits.csv."""


def examples(task: str) -> dict[str, Example]:
    return {example.id: example for example in load(get(task), "sample").examples}


def test_calls_stand_behind_their_tools() -> None:
    rows = examples("fc-reward-bench")
    example = rows["parallel_multiple_907"]
    assert [message.role for message in example.conversation(0)] == ["tools", "user", "assistant"]
    functions = [each["function"] for each in json.loads(example.prompt[0].text)]
    assert [each["name"] for each in functions] == ["cinema.reserve", "ferry.timetable"]
    assert functions[0]["parameters"]["type"] == "dict"
    assert json.loads(example.candidates[0].text)[1] == {
        "ferry.timetable": {"line": "Island Line", "day": "2031-06-09"}
    }
    assert Counter(each.groups["error_type"] for each in rows.values())["Parameter value error"] == 2
    assert all(each.gold.relation[0].strength == 1 for each in rows.values())


def test_a_score_file_is_measured_by_kind_of_error(tmp_path: Path) -> None:
    rows = examples("fc-reward-bench")
    wrong = {"simple_900", "parallel_multiple_907"}
    file = tmp_path / "scores.jsonl"
    lines = (
        {"task": "fc-reward-bench", "id": id_, "scores": [0.0, 1.0] if id_ in wrong else [1.0, 0.5]} for id_ in rows
    )
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = rmbench.run(f"scores:{file}", "fc-reward-bench", source="sample", out=tmp_path / "out")
    values = {value.group: value.value for value in run.records[0].results if value.metric == "accuracy"}
    assert values[None] == pytest.approx(0.8)
    assert values["error_type=Parameter value error"] == pytest.approx(0.5)
    assert values["error_type=Parsing error"] == 0.0
    assert values["test_category=multiple"] == 1.0


@pytest.mark.parametrize("kind, yes, no", [("label", "successful", "unsuccessful"), ("rating", 1, 0)])
def test_saved_verdicts_are_measured(kind: str, yes: str | int, no: str | int, tmp_path: Path) -> None:
    """A judge that calls all trajectories of one agent successful, two of four rightly, and no other."""
    file = tmp_path / "scores.jsonl"
    with file.open("w") as lines:
        for id_ in examples("agent-reward-bench"):
            value = yes if id_.startswith("GenericAgent-invented-b") else no
            verdict = {"shown": [0], "kind": kind, "value": value}
            lines.write(json.dumps({"task": "agent-reward-bench", "id": id_, "verdicts": [verdict]}) + "\n")
    run = rmbench.run(f"scores:{file}", "agent-reward-bench", source="sample", out=tmp_path / "out")
    values = {(value.metric, value.group): value.value for value in run.records[0].results}
    called = [
        each.gold.labels["success"] for id_, each in examples("agent-reward-bench").items() if "invented-b" in id_
    ]
    assert values[("precision", None)] == pytest.approx(sum(called) / len(called))
    assert values[("recall", None)] == pytest.approx(sum(called) / 5)
    assert values[("precision", "agent=GenericAgent-invented-a")] == 0.0


def test_trajectories_of_the_test_split_by_their_first_annotation() -> None:
    loaded = load(get("agent-reward-bench"), "sample")
    assert Counter(example.groups["benchmark"] for example in loaded.examples) == SUITES
    assert [(each.id, each.why) for each in loaded.excluded] == [
        ("GenericAgent-invented-a/webarena.905", "not of the test split")
    ]
    twice = next(each for each in loaded.examples if each.id == "GenericAgent-invented-b/webarena.901")
    assert twice.gold.labels == {"success": 0}  # the second annotator said otherwise
    resized = next(each for each in loaded.examples if each.id == "GenericAgent-invented-a/visualwebarena.resized.903")
    assert resized.gold.labels == {"success": 1}
    assert resized.prompt[0].text == "Offer 40 for the cheapest red bicycle.\n"
    assert resized.candidates[0].text.endswith(
        "Step: 3\nURL: http://ads.example/bikes/8\nAction: click('9')\n\n"
        "Last accessibility tree:\nRootWebArea 'Offer sent'\n\tStaticText '40'"
    )
    assert "Before" not in resized.candidates[0].text


def judged(answers: Mapping[str, Judgment], rows: Mapping[str, Example]) -> list[Judged]:
    return [Judged.of(example, answers[id_]) for id_, example in rows.items()]


def plain(pairs: list[tuple[int, int | None]]) -> dict[str, float]:
    """Precision, recall and F1 of (person's class, judge's or None) by a plain loop, as upstream's metrics.py."""
    hits = sum(1 for gold, said in pairs if gold == 1 and said == 1)
    false = sum(1 for gold, said in pairs if gold == 0 and said == 1)
    missed = sum(1 for gold, said in pairs if gold == 1 and said != 1)
    precision = hits / (hits + false) if hits + false else 0.0
    recall = hits / (hits + missed) if hits + missed else 0.0
    both = precision + recall
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / both if both else 0.0}


@pytest.mark.parametrize("seed", range(6))
def test_the_three_figures_are_upstreams(seed: int) -> None:
    rows = examples("agent-reward-bench")
    answers: dict[str, Judgment] = {}
    said: dict[str, int | None] = {}
    for place, id_ in enumerate(rows):
        kind = (place * 7 + seed * 5) % 4
        if kind < 2:
            answers[id_], said[id_] = Judgment(id_, rewards=(float(kind),)), kind
        elif kind == 2:
            name = ("unsuccessful", "successful")[seed % 2]
            answers[id_] = Judgment(id_, verdicts=(Verdict((0,), "label", name),))
            said[id_] = seed % 2
        else:
            answers[id_] = Judgment(id_, verdicts=(Verdict((0,), "label", None, status="unparsed"),), status="unparsed")
            said[id_] = None
    values = measure(judged(answers, rows), get("agent-reward-bench").metrics[:3], resamples=20)
    for group in (None, "benchmark=WebArena", "agent=GenericAgent-invented-b"):
        name, _, value = (group or "").partition("=")
        pairs = [
            (row.gold.labels["success"], said[id_]) for id_, row in rows.items() if row.groups.get(name, "") == value
        ]
        found = {each.metric: each.value for each in values if each.group == group}
        assert found == pytest.approx(plain(pairs)), group


def test_a_verdict_that_cannot_be_read_is_no_success() -> None:
    rows = examples("agent-reward-bench")
    success = {id_: row.gold.labels["success"] for id_, row in rows.items()}

    def figures(answer: Callable[[str], Judgment]) -> dict[str, float | None]:
        values = measure(
            judged({id_: answer(id_) for id_ in rows}, rows), get("agent-reward-bench").metrics[:3], resamples=2
        )
        return {each.metric: each.value for each in values if each.group is None}

    def unread(id_: str) -> Judgment:
        return Judgment(id_, status="unparsed")

    right = figures(lambda id_: Judgment(id_, rewards=(float(success[id_]),)))
    assert right == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    first = next(id_ for id_, one in success.items() if one)
    half = figures(lambda id_: Judgment(id_, rewards=(1.0,)) if id_ == first else unread(id_))
    assert half == pytest.approx({"precision": 1.0, "recall": 1 / 5, "f1": 1 / 3})
    assert figures(lambda id_: Judgment(id_, rewards=(0.0,))) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


@pytest.mark.parametrize("rule", ["precision", "recall", "f1"])
def test_a_rule_of_class_one_needs_the_place_of_a_rating(rule: str) -> None:
    path = get("agent-reward-bench").path
    before, _, after = path.read_text("utf-8").partition(f'rule = "{rule}"')
    text = f'{before}rule = "{rule}"{after.replace("threshold = 0.5", "", 1)}'
    with pytest.raises(RmbenchError, match=rf'threshold: this key is missing: rule "{rule}" needs it'):
        load_text(text, path)


@pytest.mark.parametrize(
    "change, what",
    [
        ({"steps": []}, '"steps": expected a list of steps'),
        ({"steps": [{"url": 1, "axtree": ""}]}, r'"steps\[0\]\.url": expected a text'),
        ({"steps": [{"url": "u", "action": 3, "axtree": ""}]}, r'"steps\[0\]\.action": expected a text'),
        ({"steps": [{"url": "u"}]}, r'"steps\[0\]\.axtree": expected a text'),
        ({"benchmark": "osworld"}, "'osworld' is none of workarena, webarena"),
    ],
)
def test_a_broken_trajectory_is_named(change: dict[str, Any], what: str) -> None:
    row = {"benchmark": "webarena", "task_id": "webarena.1", "steps": [{"url": "u", "axtree": "t"}], **change}
    with pytest.raises(ValueError, match=what):
        web_trajectory(row)


def test_a_trajectory_that_is_missing_is_named(tmp_path: Path) -> None:
    import shutil

    from rmbench.tasks.where import sample_folder

    folder = tmp_path / "agent-reward-bench"
    shutil.copytree(sample_folder(get("agent-reward-bench")), folder)
    gone = next(folder.rglob("webarena.902.json"))
    gone.unlink()
    with pytest.raises(
        RmbenchError, match=r"\"exp_name\" and \"task_id\" 'GenericAgent-invented-a_on_webarena', 'webarena.902'"
    ):
        load(get("agent-reward-bench"), str(tmp_path), allow_changed_data=True)


def test_upstreams_table_is_of_whole_counts() -> None:
    """Each row but two is a count of hits among 295 successes and a count of false alarms."""
    with (ROOT / "examples" / "tables" / "agent-reward-bench.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    whole = []
    for row in table:
        precision, recall, f1 = (float(row[key]) for key in ("Overall", "Recall", "F1"))
        hits = [each for each in range(SUCCESSES + 1) if round(100 * each / SUCCESSES, 1) == recall]
        found = [
            (hit, false)
            for hit in hits
            for false in range(811 + 1)
            if round(100 * hit / (hit + false), 1) == precision
            and round(200 * hit / (hit + false + SUCCESSES), 1) == f1
        ]
        whole += [row["model"]] * bool(found)
    assert len(table) == 13
    assert {row["model"] for row in table} - set(whole) == {"claude-3.7-sonnet-noscreen", "gpt-4o-mini-noscreen"}


def test_the_records_hold_the_tables_figures() -> None:
    (folder,) = (ROOT / "results").glob("AgentRewardBench__gpt-4o-noscreen@*")
    values = {(each.metric, each.group): each.value for each in read(folder / "agent-reward-bench@1").results}
    assert values[("precision", None)] == 0.698
    assert values[("f1", None)] == 0.759
    assert values[("precision", "benchmark=WorkArena++")] == 0.63

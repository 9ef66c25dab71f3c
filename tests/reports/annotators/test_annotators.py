"""`rmbench annotators`: three labels of each pair, where two differ, and mixes of them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.reports.annotators import compare_annotators
from rmbench.reports.annotators.mixes import routed
from tests._make import exit_code, write_lines

RESULTS = Path(__file__).parents[3] / "results"
N = 120

TASK = """
id = "both"
version = 1
title = "Pairs that people and a judge labelled"
family = "text"
modality = "text"
shape = "pair"
n = 120
official = false
verified = true

[[files]]
paths = ["both.jsonl"]

[columns]
prompt = "prompt"
candidates = ["a", "b"]

[columns.gold]
winners = [["a"], ["b"]]
skip = ["none"]
annotators = { one = "one", two = "two", three = "three", judge = "judge" }

[groups]
topic = "topic"

[[metric]]
name = "accuracy"
rule = "pair"
annotator = "one"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a model that copies the judge, which differs from people on odd topics alone."""
    folder = tmp_path_factory.mktemp("both")
    rows, scores = [], []
    for k in range(N):
        people, odd = "ab"[k % 3 == 0], k % 2 == 1
        judge = people if not odd else "ab"[people == "a"]
        outsider = "ab"[k % 5 == 0]
        rows.append(
            {
                "prompt": f"q{k}",
                "a": f"a{k}",
                "b": f"b{k}",
                "one": people,
                "two": people,
                "three": outsider,
                "judge": "none" if k == 7 else judge,
                "topic": "odd" if odd else "even",
            }
        )
        scores.append({"task": "both", "id": f"both/{k}", "scores": [float(judge == "a"), float(judge == "b")]})
    write_lines(folder / "both.jsonl", rows)
    (folder / "both.toml").write_text(TASK, "utf-8")
    scored = write_lines(folder / "scores.jsonl", scores)
    return rmbench.run(f"scores:{scored}", folder / "both.toml", source=folder, out=folder / "out").folder("both")


def test_planted_differences_are_found(made: Path) -> None:
    found = compare_annotators(made, ["judge"])
    whole, topics = found.whole, {each.feature: each for each in found.by_feature}
    assert (whole.pairs, found.left_out) == (N - 1, {"the AI gave no label, or no majority": 1})
    odd = N // 2 - 1
    assert whole.ai_with_people.value == pytest.approx(1 - odd / (N - 1))
    assert (whole.with_ai.value, whole.sides_with_ai.value, whole.sides_with_people.value) == (1.0, 1.0, 0.0)
    assert whole.difference.value == pytest.approx(-odd / (N - 1))
    assert whole.difference.low is not None
    assert whole.difference.low < whole.difference.value < whole.difference.high
    assert set(topics) == {"topic=even", "topic=odd"}
    assert topics["topic=even"].ai_with_people.value == 1.0
    assert topics["topic=odd"].ai_with_people.value == 0.0
    assert topics["topic=even"].sides_with_people.value is None


def test_a_feature_that_tells_of_differences_routes_them_all(made: Path) -> None:
    found = compare_annotators(made, ["judge"], shares=(0.0, 0.25, 0.5, 1.0))
    differ = (N // 2 - 1) / (N - 1)
    for mix in found.mixes:
        assert mix.labels_routed == pytest.approx(min(1.0, 1 - differ + mix.share))
        assert mix.labels_routed == pytest.approx(mix.labels_at_best)
        assert mix.labels_at_random == pytest.approx(1 - differ * (1 - mix.share))
        assert mix.model_routed == pytest.approx(1 - min(differ, mix.share))
    assert [mix.model_at_random for mix in found.mixes[::3]] == [1.0, found.whole.with_people.value]


def test_gains_of_a_file_decide_who_is_asked(made: Path, tmp_path: Path) -> None:
    gains = tmp_path / "gains.json"
    for even, routed_labels in ((-1.0, 1.0), (1.0, 0.5)):
        gains.write_text(json.dumps({"topic=even": even}))
        mix = compare_annotators(made, ["judge"], gains=gains, shares=(60 / 119,)).mixes[0]
        assert mix.labels_routed == pytest.approx(routed_labels, abs=0.01)
    gains.write_text(json.dumps({"topic=evn": 1}))
    with pytest.raises(RmbenchError, match='Did you mean "topic=even"'):
        compare_annotators(made, ["judge"], gains=gains)
    gains.write_text("[1]")
    with pytest.raises(RmbenchError, match="expected an object of numbers"):
        compare_annotators(made, ["judge"], gains=gains)


def test_whose_majority_is_peoples_label(made: Path) -> None:
    every = compare_annotators(made, ["judge"]).whole.with_people
    two = compare_annotators(made, ["judge"], people=["one", "two"]).whole.with_people
    assert every == two  # of three, two agree always
    pair = compare_annotators(made, ["judge"], people=["one", "three"])
    apart = sum((k % 3 == 0) != (k % 5 == 0) for k in range(N))
    assert pair.left_out["people gave no label, or no majority"] == apart


def test_of_equal_gains_parts_are_routed_as_if_drawn() -> None:
    gains = np.array([1.0, 2.0, 1.0, 1.0])
    assert routed(gains, 0.5).tolist() == pytest.approx([1 / 3, 1.0, 1 / 3, 1 / 3])
    drawn = np.zeros(4)
    orders = list(itertools.permutations(range(4)))
    for order in orders:
        first = sorted(order, key=lambda k: (-gains[k], order.index(k)))[:2]
        drawn[first] += 1 / len(orders)
    assert routed(gains, 0.5).tolist() == pytest.approx(drawn.tolist())
    assert routed(gains, 0.0).sum() == 0
    assert routed(gains, 1.0).tolist() == [1.0] * 4


PEOPLE_AND_JUDGES = ("WeOpenML__PandaLM-7B@d78b6a45", "PandaLM__gpt-3.5-turbo@1cf5f8bc")


def test_released_labels_of_pandalm_by_a_plain_loop(data: Path) -> None:
    folder = data / "pandalm/data"
    labelled = json.loads((folder / "testset-v1.json").read_text())
    judged = {
        name: {row["idx"]: row for row in json.loads((folder / f"{name}-testset-v1.json").read_text())}
        for name in ("gpt-3.5-turbo", "pandalm-7b")
    }

    def label(row: dict[str, Any]) -> str:
        said = next(str(value) for key, value in row.items() if key.endswith("_result"))
        return "0" if said == "Tie" else said

    counts = dict.fromkeys(("pairs", "people", "ai", "both", "sides", "apart"), 0)
    for row in labelled:
        votes = [str(row[f"annotator{k}"]) for k in (1, 2, 3)]
        people = max(votes, key=votes.count)
        ai, model = (label(judged[name][row["idx"]]) for name in ("gpt-3.5-turbo", "pandalm-7b"))
        if ai not in ("0", "1", "2"):
            continue
        counts["pairs"] += 1
        counts["people"] += model == people
        counts["ai"] += model == ai
        counts["both"] += ai == people
        counts["apart"] += ai != people
        counts["sides"] += ai != people and model == people
    found = compare_annotators(*(RESULTS / name / "pandalm@1" for name in PEOPLE_AND_JUDGES)).whole
    assert found.pairs == counts["pairs"] == 974
    assert found.with_people.value == pytest.approx(counts["people"] / counts["pairs"])
    assert found.with_ai.value == pytest.approx(counts["ai"] / counts["pairs"])
    assert found.ai_with_people.value == pytest.approx(counts["both"] / counts["pairs"])
    assert found.sides_with_people.value == pytest.approx(counts["sides"] / counts["apart"])
    assert found.sides_with_people.n == counts["apart"]


def test_what_the_page_says_of_pandalm(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    model, ai = (str(RESULTS / name / "pandalm@1") for name in PEOPLE_AND_JUDGES)
    assert exit_code("annotators", model, "--ai", ai, "--source", str(data), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    page = (Path(__file__).parents[3] / "docs/raters.md").read_text("utf-8")
    by_feature = {each["feature"]: each for each in said["by_feature"]}
    near = 1 - by_feature["length difference=low"]["ai_with_people"]["value"]
    assert near == max(1 - each["ai_with_people"]["value"] for each in by_feature.values() if each["pairs"] > 100)
    figures = [said["whole"][name]["value"] for name in ("ai_with_people", "with_ai", "with_people")]
    for value in (*figures, near):
        assert f"{value:.3f}".lstrip("0") in page
    assert f"{said['whole']['pairs']} a label" in page


def test_a_record_of_other_rows_and_what_is_not_there(made: Path, tmp_path: Path) -> None:
    other = RESULTS / PEOPLE_AND_JUDGES[1] / "pandalm@1"
    with pytest.raises(RmbenchError, match=r"it is of pandalm .* of the rows of both"):
        compare_annotators(made, other)
    with pytest.raises(RmbenchError, match='Did you mean "judge"'):
        compare_annotators(made, ["juge"])
    with pytest.raises(RmbenchError, match='Did you mean "topic"'):
        compare_annotators(made, ["judge"], by=["topik"])
    with pytest.raises(RmbenchError, match=r"shares: 1.5 is no share"):
        compare_annotators(made, ["judge"], shares=(1.5,))
    results = rmbench.run("baseline:length", "llmbar", source="sample", out=tmp_path)
    with pytest.raises(RmbenchError, match='no annotator of its rows is called "gpt4"; they name none'):
        compare_annotators(results.folder("llmbar"), ["gpt4"])

"""`rmbench dissect`: what is planted in rows is found, and what is left out is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.reports.dissection import dissect
from rmbench.reports.dissection.fit import PEOPLE, alike
from rmbench.reports.dissection.properties import SIMPLE, of_texts
from tests._make import exit_code, make_example, write_lines

N = 300


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The record and the properties of rows whose people like `kind` and dislike `long`; the model likes `long`."""
    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(0)
    rows, features, scores = [], [], {}
    for k in range(N):
        of: dict[str, list[Any]] = {name: rng.integers(0, 2, 2).tolist() for name in ("kind", "long", "none")}
        people = 2 * (of["kind"][0] - of["kind"][1]) - (of["long"][0] - of["long"][1]) + rng.logistic()
        scores[f"r{k}"] = [3 * of["long"][side] + float(rng.logistic()) for side in (0, 1)]
        features.append({"id": f"r{k}", "features": of})
        rows.append(
            {
                "id": f"r{k}",
                "prompt": f"q{k}",
                "response_a": f"a{k}",
                "response_b": f"b{k}",
                "winner": "a" if people > 0 else "b",
                "topic": "odd" if k % 2 else "even",
            }
        )
    data = write_lines(folder / "rows.jsonl", rows)
    scored = write_lines(
        folder / "scores.jsonl", [{"task": "rows", "id": name, "scores": each} for name, each in scores.items()]
    )
    rmbench.run(f"scores:{scored}", data=data, out=folder / "out")
    (record,) = (folder / "out").glob("*/*/record.json")
    return record.parent, write_lines(folder / "features.jsonl", features)


def test_planted_tastes_are_found(made: tuple[Path, Path]) -> None:
    folder, features = made
    found = dissect(folder, features=features, scale=0.5, draws=400, by="topic")
    assert found.properties == ("kind", "long", "none")
    assert [scenario.name for scenario in found.scenarios] == ["all rows", "topic=even", "topic=odd"]
    whole = found.scenarios[0]
    assert whole.pairs == N
    kind, long, none = (0, 1, 2)
    assert whole.people.low[kind] > 1
    assert whole.people.high[long] < 0
    assert whole.model.low[long] > 1.5
    for fit in (whole.model, whole.people):
        assert fit.low[none] < 0 < fit.high[none]
        assert fit.r_hat is not None
        assert fit.r_hat < 1.05
    assert whole.model.low[kind] < 0 < whole.model.high[kind]
    assert whole.similarity is not None
    assert whole.similarity < 0
    assert sum(scenario.pairs for scenario in found.scenarios[1:]) == N
    mode = dissect(folder, features=features, scale=0.5, method="map", folds=5)
    assert mode.scenarios[0].model.weights == pytest.approx(whole.model.weights, abs=0.1)
    similar = alike([found, found])
    assert similar[found.model, found.model] == pytest.approx(1.0)
    by_hand = np.mean([scenario.similarity for scenario in found.scenarios[1:]])
    assert similar[PEOPLE, found.model] == pytest.approx(by_hand)


def test_what_is_left_out_is_counted(made: tuple[Path, Path], tmp_path: Path) -> None:
    folder, features = made[0], tmp_path / "features.jsonl"
    lines = made[1].read_text("utf-8").splitlines()
    first = json.loads(lines[0])
    first["features"]["kind"][0] = None
    features.write_text("\n".join([json.dumps(first), *lines[3:]]), "utf-8")
    found = dissect(folder, features=features, method="map")
    assert found.left_out == {"a property is unknown": 1, "no properties of the row": 2}
    assert found.scenarios[0].pairs == N - 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: it is no JSON"),
        ('{"id": 1, "features": {"a": [1, 0]}}', r'line 1: expected \{"id": "\.\.\."'),
        ('{"id": "r0", "features": {"a": 1}}', 'line 1: property "a": expected a list with a number or null'),
        ('{"id": "r0", "features": {"a": [1, true]}}', 'property "a": expected a list'),
        ('{"id": "r0", "features": {"a": [1, 0, 2]}}', 'row "r0" has 2 candidates, and property "a" 3 figures'),
        ('{"id": "r0", "features": {}}', "line 1: it names no property"),
        ('{"id": "r299x", "features": {"a": [1, 0]}}', r'none of its ids is that of a row of .*Did you mean "r299"\?'),
        (
            '{"id": "r0", "features": {"kind": [1, 0]}}\n{"id": "r1", "features": {"kinds": [1, 0]}}',
            'line 2: it has.*"kind',
        ),
        (
            '{"id": "r0", "features": {"a": [1, 0]}}\n{"id": "r0", "features": {"a": [1, 0]}}',
            'id "r0" is there already',
        ),
    ],
)
def test_a_broken_file_of_properties(line: str, message: str, made: tuple[Path, Path], tmp_path: Path) -> None:
    folder, features = made[0], tmp_path / "features.jsonl"
    features.write_text(line, "utf-8")
    with pytest.raises(RmbenchError, match=message):
        dissect(folder, features=features, method="map")


def test_a_group_that_there_is_not(made: tuple[Path, Path]) -> None:
    folder, features = made
    with pytest.raises(RmbenchError, match=r'--by: "topics" is no group of the rows\. Did you mean "topic"\?'):
        dissect(folder, features=features, method="map", by="topics")


def test_simple_properties_of_texts() -> None:
    lists = "1. One\n2. Two\n- three"
    code = "Use this:\n```python\nx\n```"
    refusal = "I'm sorry, but I can't help with that."
    agreement = "You're absolutely right, perhaps. Great question!"
    row = make_example("r", "Where does the river Thames begin?", lists, code, refusal, agreement, "The river Thames!")
    found = of_texts({"r": row})["r"]
    assert set(found) == set(SIMPLE)
    assert found["length"] == tuple(float(len(each.text)) for each in row.candidates)
    assert found["lists"] == (3, 0, 0, 0, 0)
    assert found["code"] == (0, 2, 0, 0, 0)
    assert found["refusal"] == (0, 0, 1, 0, 0)
    assert found["hedges"] == (0, 0, 0, 1, 0)
    assert found["agreement"] == (0, 0, 0, 2, 0)
    assert found["overlap"][-1] == pytest.approx(2 / 5)  # where, does, river, thames, begin


def test_the_command(made: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder, features = made
    assert exit_code("dissect", str(folder), "--features", str(features), "--draws", "40", "--by", "topic") == 0
    assert "topic=odd: 150 pairs" in capsys.readouterr().out
    data = str(features.parent / "rows.jsonl")
    assert exit_code("dissect", str(folder), "--data", data, "--method", "map", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["records"][0]["properties"] == list(SIMPLE)
    assert found["similarity"][0]["models"][0] == PEOPLE

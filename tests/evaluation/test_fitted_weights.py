"""A user's weights from a few choices: the mode by another optimiser, and the curve by a plain loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize

import rmbench
from rmbench.errors import RmbenchError
from rmbench.evaluation.fitted_weights import fit_weights, mode_of_weights
from tests._make import exit_code, write_lines
from tests.evaluation.test_objectives import NAMES, Multi, objectives_of

TASTE = (0.0, -1.0, 0.5)
"""Of the user whose labels the rows have: short and safe."""
N = 80


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a model of three objectives on the rows of one user, and of another person of opposite taste."""
    folder = tmp_path_factory.mktemp("user")
    rows = []
    for k in range(N):
        a, b = (f"{'word ' * ((7 * k + side) % 11)}{k}{side}" for side in (0, 1))
        worth = [sum(w * o for w, o in zip(TASTE, objectives_of(f"q{k}\n{text}"), strict=True)) for text in (a, b)]
        first = (worth[0] > worth[1]) == (k % 4 != 3)
        person = "other" if k % 4 == 3 else "user"
        rows.append(
            {
                "id": f"r{k}",
                "prompt": f"q{k}",
                "response_a": a,
                "response_b": b,
                "winner": "a" if first else "b",
                "person": person,
            }
        )
    data = write_lines(folder / "rows.jsonl", rows)
    model: Any = Multi()
    return rmbench.run(model, data=data, columns={"rater": "person"}, out=folder / "out").folder("rows")


def test_the_mode_by_another_optimiser() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 3, 40):
        x, scale = rng.normal(size=(n, 3)) * [1.0, 30.0, 0.01], np.array([1.0, 25.0, 0.02])

        def cost(w: Any, x: Any = x, scale: Any = scale) -> float:
            return float(np.logaddexp(0, -(x / scale) @ w).sum() + w @ w / 2)

        found = optimize.minimize(
            cost, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 9999}
        )
        assert mode_of_weights(x, scale) == pytest.approx(found.x / scale, abs=1e-4, rel=1e-4)


def choices(folder: Path, lines: list[dict[str, Any]]) -> Path:
    return write_lines(folder / "choices.jsonl", lines)


def test_the_users_taste_is_found_and_held_against_their_other_rows(stored: Path, tmp_path: Path) -> None:
    rows = {row.id: row for row in rmbench.read_rows(stored)}
    mine = [name for name, row in rows.items() if row.rater == "user"]
    asked, left = mine[:24], mine[24:]
    found = fit_weights(stored, choices(tmp_path, [{"id": name} for name in asked]), seed=1)
    assert (found.examples, found.held_out) == (24, len(left))
    assert found.objectives == NAMES
    assert [point.examples for point in found.curve] == [0, 1, 2, 4, 8, 16, 24]
    assert found.weights[1] < 0 < found.weights[2]

    def accuracy(weights: tuple[float, ...]) -> float:
        right = 0
        for name in left:
            scores = [
                sum(w * o for w, o in zip(weights, one, strict=True)) for one in rows[name].judgment.parts["objectives"]
            ]
            edge = rows[name].gold.relation[0]
            better, worse = (edge.i, edge.j) if edge.strength > 0 else (edge.j, edge.i)
            right += scores[better] > scores[worse]
        return right / len(left)

    assert found.curve[0].value == pytest.approx(accuracy((1.0, 0.0, 0.0)))
    assert found.curve[-1].value == pytest.approx(accuracy(found.weights))
    assert found.curve[-1].value > 0.85 > found.curve[0].value
    assert found.curve[1].value < found.curve[-1].value
    again = fit_weights(stored, choices(tmp_path, [{"id": name} for name in asked]), seed=1)
    assert again == found


def test_choices_that_the_record_does_not_hold(stored: Path, tmp_path: Path) -> None:
    rows = {row.id: row for row in rmbench.read_rows(stored)}
    others = [name for name, row in rows.items() if row.rater == "other"][:12]
    lines = []
    for name in others:
        edge = rows[name].gold.relation[0]
        better, worse = (edge.i, edge.j) if edge.strength > 0 else (edge.j, edge.i)
        lines.append({"id": name, "preferred": worse, "over": better})
    contrary = fit_weights(stored, choices(tmp_path, lines))
    own = fit_weights(stored, choices(tmp_path, [{"id": name} for name in others]))
    assert contrary.weights == pytest.approx(tuple(-each for each in own.weights))


def test_the_command(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = choices(tmp_path, [{"id": f"r{k}"} for k in (0, 1, 2, 4, 5, 6)])
    assert exit_code("rescore", str(stored), "--fit-weights", str(file), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert exit_code("rescore", str(stored), "--fit-weights", str(file)) == 0
    assert said["objective_weights"] in " ".join(capsys.readouterr().out.split())
    assert not list(tmp_path.glob("out"))
    weights = said["objective_weights"]
    assert exit_code("rescore", str(stored), "--objective-weights", weights, "--out", str(tmp_path / "out")) == 0
    capsys.readouterr()
    for words in ([], ["--fit-weights", str(file), "--objective-weights", "safety=1"]):
        assert exit_code("rescore", str(stored), *words) == 2
        assert "give --objective-weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"id": "r999"}], 'has no row "r999"'),
        ([{"id": "r0", "preferred": 0}], "line 1: expected"),
        ([{"id": "r0", "preferred": 2, "over": 0}], "two of the row's 2 candidates"),
        ([{"id": "r0", "prefered": 2, "over": 0}], "line 1: expected"),
        ([], "names no row"),
        ([{"id": f"r{k}"} for k in range(N)], "no row of"),
    ],
)
def test_what_cannot_be(stored: Path, tmp_path: Path, lines: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        fit_weights(stored, choices(tmp_path, lines))


def test_a_model_without_objectives(tmp_path: Path) -> None:
    results = rmbench.run("baseline:length", "llmbar", source="sample", out=tmp_path)
    file = choices(tmp_path, [{"id": "Natural/0"}])
    with pytest.raises(RmbenchError, match="no objectives to weigh"):
        fit_weights(results.folder("llmbar"), file)

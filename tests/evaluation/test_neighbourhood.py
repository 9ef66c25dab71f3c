"""Directions near a user's: the paper's neighbourhoods, and choices by a plain loop over stored objectives."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.evaluation.neighbourhood import neighbourhoods, neighbours_of
from rmbench.records.store import find
from tests._make import exit_code
from tests.evaluation.test_objectives import Multi, run

NEAR = {10: (10, 5, 15, 0, 20), 30: (30, 25, 35, 20, 40), 40: (40, 35, 30, 25, 20), 45: (40, 35, 30, 25, 20)}
"""Target -> neighbours in degrees, by the released directions; 45 itself is no candidate."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(run(tmp_path_factory.mktemp("stored")).out)


@pytest.mark.parametrize("degrees", NEAR)
def test_the_papers_neighbourhoods(degrees: int) -> None:
    assert neighbours_of(degrees) == NEAR[degrees]


def test_choices_by_a_plain_loop(stored: Path) -> None:
    angle = math.radians(30)
    weights = {"helpfulness": 2 * math.cos(angle), "verbosity": 2 * math.sin(angle)}
    found = {each.task: each for each in neighbourhoods(stored, weights)}
    assert len(found) == 3
    for place in find(stored):
        record = rmbench.read_record(place)
        one = found[f"{record.task.id}@{record.task.version}"]
        assert one.degrees == pytest.approx(30)
        assert one.neighbours == NEAR[30]
        agreement: list[float] = []
        own: list[float] = []
        mean: list[float] = []
        worst: list[float] = []
        for row in rmbench.read_rows(place):
            plane = [(each[0], each[1]) for each in row.judgment.parts["objectives"]]

            def pick(degrees: float, plane: list[tuple[float, float]] = plane) -> int:
                scores = [x * math.cos(math.radians(degrees)) + y * math.sin(math.radians(degrees)) for x, y in plane]
                return scores.index(max(scores))

            along = [x * math.cos(angle) + y * math.sin(angle) for x, y in plane]
            picks = [pick(degrees) for degrees in NEAR[30]]
            agreement.append(sum(each == pick(30) for each in picks) / 5)
            own.append(max(along))
            mean.append(sum(along[each] for each in picks) / 5)
            worst.append(min(along[each] for each in picks))
        n = len(own)
        assert (one.rows, one.left_out) == (n, 0)
        assert one.agreement.value == pytest.approx(sum(agreement) / n)
        assert one.own == pytest.approx(sum(own) / n)
        assert one.mean.value == pytest.approx(sum(mean) / n)
        assert one.worst.value == pytest.approx(sum(worst) / n)
        assert sum(worst) <= sum(mean) <= sum(own) + 1e-9
    assert any(each.agreement.value != 1 for each in found.values())


def test_failed_rows_are_counted(tmp_path: Path) -> None:
    folder = Path(run(tmp_path, Multi(broken="water")).out)
    assert sum(each.left_out for each in neighbourhoods(folder, "1,0.3,0")) > 0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("helpfulness=1", "weighs 1"),
        ("1,1,1", "weighs 3"),
        ("helpfulness=-1,verbosity=0.1", "directions from -40 to 40 are known"),
    ],
)
def test_what_has_no_neighbourhood(weights: str, message: str, stored: Path) -> None:
    with pytest.raises(RmbenchError, match=message):
        neighbourhoods(stored, weights)


def test_the_command(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("rescore", str(stored), "--objective-weights", "helpfulness=1,verbosity=0.5", "--out", str(tmp_path))
    assert exit_code(*words, "--neighbourhood") == 0
    assert "neighbours that choose alike" in capsys.readouterr().out
    assert exit_code(*words, "--neighbourhood", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["neighbourhood"]) == 3

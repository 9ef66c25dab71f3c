"""Best-of-N curves of a board."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

import rmbench
from rmbench.boards import build, tabulate
from rmbench.boards.site.best_of import best_of_chart, curves
from rmbench.records.store import find, read_rows

ADMITTED = ("sample", "fake", "baseline")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("best") / "results"
    for model in ("fake:oracle", "baseline:length"):
        rmbench.run(model, "ppe-correctness", source="sample", out=out)
    return out


def test_a_model_picks_among_every_two_answers(results: Path) -> None:
    found = curves(tabulate("ppe", results, allow=ADMITTED))
    assert [row.name for _, row, _ in found] == ["fake:oracle", "baseline:length"]
    (place,) = [folder for folder in find(results) if "length" in str(folder)]
    by_benchmark: dict[str, list[float]] = {}
    for judged in read_rows(place):
        rewards, right = judged.judgment.rewards, [ratings[0] for ratings in judged.gold.ratings]
        assert rewards is not None
        picks = [
            (right[i] + right[j]) / 2 if rewards[i] == rewards[j] else right[i if rewards[i] > rewards[j] else j]
            for i, j in combinations(range(judged.size), 2)
        ]
        by_benchmark.setdefault(judged.groups["benchmark"], []).append(sum(picks) / len(picks))
    means = [sum(each) / len(each) for each in by_benchmark.values()]
    assert found[1][2][1].value == pytest.approx(sum(means) / len(means), abs=1e-12)
    assert found[0][2][-1].value == 1.0


def test_the_chart_holds_every_point(results: Path) -> None:
    points = best_of_chart(curves(tabulate("ppe", results, allow=ADMITTED)))["data"]["values"]
    assert [point["n"] for point in points] == 2 * list(range(1, 33))
    assert all(point["low"] <= point["value"] <= point["high"] for point in points)


def test_the_page_has_it_and_other_boards_have_none(results: Path, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert", reason="need the extra `board`: itables, altair, vl-convert")
    page = build("ppe", results, tmp_path, allow=ADMITTED).read_text("utf-8")
    assert "Best of N" in page
    assert "fake:oracle: .344 at 1, 1.000 at 32." in page
    rmbench.run("fake:oracle", "rm-bench", source="sample", out=tmp_path / "other")
    assert curves(tabulate("rm-bench", tmp_path / "other", allow=ADMITTED)) == []

"""Records of rows with shots: those that do not say how their rows were asked, and what takes rows as independent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.evaluation.fitted_weights import fit_weights
from rmbench.evaluation.rerun import rerun
from rmbench.reports.dissection import dissect
from rmbench.tasks import asked
from rmbench.tasks.asked import question_of
from rmbench.tasks.shots.rows import with_shots
from tests._make import exit_code, write_lines
from tests.evaluation.test_objectives import Multi
from tests.tasks.shots.test_shots import write_people

PEOPLE = {"rater": "person"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_people(tmp_path_factory.mktemp("people"), rows=6)


@pytest.fixture(scope="module")
def stored(data: Path) -> Path:
    model: Any = Multi()
    results = rmbench.run(model, data=data, columns=PEOPLE, shots="0,2", out=data.parent / "out")
    return results.folder("people-few-shot")


@pytest.fixture(scope="module")
def unsaid(data: Path) -> Path:
    """The record as it was written before records said how rows were asked."""
    own = with_shots
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asked, "with_shots", lambda *given: replace(own(*given), asked=None))
        results = rmbench.run("fake:oracle", data=data, columns=PEOPLE, shots="0,2", out=data.parent / "old")
    return results.folder("people-few-shot")


def test_an_older_record_keeps_its_figures_and_says_why_it_has_no_texts(
    data: Path, unsaid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rmbench.read_record(unsaid).data.asked is None
    words = {
        ("show", str(unsaid)): 0,
        ("verify", str(unsaid)): 0,
        ("report", str(unsaid)): 0,
        ("compare", str(unsaid), str(unsaid)): 0,
    }
    for each, status in words.items():
        assert exit_code(*each) == status
    printed = " ".join(capsys.readouterr().out.split())
    assert "few_shot 1.0000" in printed
    assert "gain 0.0000" in printed
    why = "were asked with --shots or --reference by a version that did not keep how"
    for given in ([], ["--data", str(data), "--columns", "rater=person"]):
        assert exit_code("view", str(unsaid), "--text", "--limit", "1", *given) == 0
        assert why in " ".join(capsys.readouterr().out.split())
        assert exit_code("verify", str(unsaid), "--rerun", "2", *given) == 2
        assert why in " ".join(capsys.readouterr().err.split())
    with pytest.raises(RmbenchError, match="did not keep how"):
        rerun(unsaid, 2, model="fake:oracle")


def test_a_task_of_ones_own_may_have_such_a_name(data: Path, tmp_path: Path) -> None:
    mine = tmp_path / "tea-few-shot.jsonl"
    mine.write_bytes(data.read_bytes())
    folder = rmbench.run("fake:oracle", data=mine, columns=PEOPLE, out=tmp_path / "out").folder("tea-few-shot")
    assert rerun(folder, 3, model="fake:oracle", data=mine, columns=PEOPLE).other == ()


def test_a_question_of_the_choices_is_in_no_other_form_among_the_rows_held_out(stored: Path, tmp_path: Path) -> None:
    rows = {row.id: row for row in rmbench.read_rows(stored)}
    mine = [row for row in rows.values() if row.rater == "p0"]
    assert len(mine) == 2 * 4
    assert len({question_of(row) for row in mine}) == 4
    choices = write_lines(tmp_path / "choices.jsonl", [{"id": mine[0].id}])
    assert fit_weights(stored, choices).held_out == 6  # three other questions, at two numbers of shots


def test_a_fit_of_independent_rows_takes_each_question_once(stored: Path, data: Path, tmp_path: Path) -> None:
    rows = list(rmbench.read_rows(stored))
    features = write_lines(tmp_path / "f.jsonl", [{"id": row.id, "features": {"x": [1, 0]}} for row in rows])
    with pytest.raises(RmbenchError, match="its rows ask each question several times"):
        dissect(stored, features=features)
    model: Any = Multi()
    once = rmbench.run(model, data=data, columns=PEOPLE, shots="2", out=tmp_path / "once").folder("people-few-shot")
    assert dissect(once, features=features, draws=40).scenarios[0].pairs > 0

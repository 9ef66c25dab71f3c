"""A record whose numbers do not follow from its rows is refused, the field named, by every command that reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rmbench
from rmbench.evaluation.rerun import rerun
from rmbench.records.store import RECORD_NAME, find, read
from rmbench.reports.audit import problems
from tests._make import exit_code, write_sealed

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    rmbench.run("tiny-bt", "all", source="sample", out=folder)
    rmbench.run("tiny-bt", "reward-bench,rm-bench", source="sample", out=folder, limit=4)
    rmbench.run("fake:coin", "all", source="sample", out=folder)
    rmbench.run("fake:broken", "rm-bench,judgebench", source="sample", out=folder)
    return folder


@pytest.fixture
def record(out: Path, tmp_path: Path) -> Path:
    (folder,) = [folder for folder in find(out) if folder.name == "reward-bench@1+sample" and "tiny-bt" in str(folder)]
    return shutil.copytree(folder, tmp_path / folder.parent.name / folder.name)


def test_honest_records_hold(out: Path) -> None:
    folders = find(out)
    assert len(folders) > 30
    assert [line for folder in folders for line in problems(folder)] == []


def set_(*path: str | int, to: Any) -> Edit:
    def edit(data: dict[str, Any]) -> None:
        place: Any = data
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return edit


def drop_a_value(data: dict[str, Any]) -> None:
    del data["results"][0]


def flatter(data: dict[str, Any]) -> None:
    """A whole false headline that agrees with itself."""
    data["results"][0] |= {"value": 0.999, "low": 0.99, "high": 1.0}


FORGED: list[tuple[Edit, str, str]] = [
    (set_("results", 0, "value", to=0.999), "results", "value is 0.999, and the rows give"),
    (set_("results", 0, "value", to=57.3), "results", "value is 57.3, and the rows give"),
    (set_("results", 0, "low", to=0.0), "results", "low is 0"),
    (set_("results", 0, "high", to=1.0), "results", "high is 1"),
    (set_("results", 0, "n", to=2985), "results", "n is 2985"),
    (set_("results", 0, "coverage", to=0.5), "results", "coverage is 0.5"),
    (set_("results", 0, "chance", to=0.1), "results", "chance is 0.1"),
    (set_("results", 0, "comparisons", to=9), "results", "comparisons is 9"),
    (set_("results", 0, "flags", to=["low_coverage"]), "results", "flags is ['low_coverage']"),
    (set_("results", 0, "interval", to="wilson"), "results", "interval is wilson"),
    (set_("results", 3, "value", to=0.0), "results", "value is 0"),
    (flatter, "results", "value is 0.999"),
    (drop_a_value, "results", "the overall value of"),
    (set_("flags", to=[]), "flags", 'flags: "demo" is missing|flags: "sample" is missing'),
    (set_("counts", "judged", to=2985), "counts", "counts: the record says"),
    (set_("counts", "failed", to=3), "counts", "counts: the record says"),
    (set_("failed", to=[{"id": "x", "why": "y"}]), "failed", "failed: the record says"),
    (set_("data", "rows", to=2985), "data", "data.rows: the record says 2985"),
    (set_("orders", to={"consistent": 1, "first": 0, "second": 0, "total": 1, "rows": 1}), "orders", "orders: the"),
]


@pytest.mark.parametrize(("edit", "part", "hint"), FORGED)
def test_a_forged_number_is_named(edit: Edit, part: str, hint: str, record: Path) -> None:
    """By its part where it was edited by hand, and by its field where the digests were made anew."""
    data = json.loads((record / RECORD_NAME).read_text())
    edit(data)
    (record / RECORD_NAME).write_text(json.dumps(data))
    (said,) = problems(record)
    assert f'"{part}" was changed after the record was written' in said
    write_sealed(record / RECORD_NAME, data)
    assert any(word in line for line in problems(record) for word in hint.split("|"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("data", "source"), "hub"),
        (("model", "name"), "org/other"),
        (("model", "family"), "gpm"),
        (("model", "flags"), []),
        (("model", "revision"), "1234"),
        (("task", "version"), 2),
        (("task", "metrics", 0, "chance"), 0.1),
        (("run", "seed"), 7),
        (("run", "versions"), {}),
    ],
)
def test_whatever_cannot_be_computed_again_has_a_digest(path: tuple[Any, ...], value: Any, record: Path) -> None:
    data = json.loads((record / RECORD_NAME).read_text())
    set_(*path, to=value)(data)
    (record / RECORD_NAME).write_text(json.dumps(data))
    assert f'"{path[0]}" was changed after the record was written' in problems(record)[0]
    del data["digests"]
    (record / RECORD_NAME).write_text(json.dumps(data))
    assert "digests: this key is missing" in problems(record)[0]


@pytest.mark.parametrize("command", ["show", "validate", "verify"])
def test_every_command_refuses_a_forged_record(command: str, record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(command, str(record)) == 0
    data = json.loads((record / RECORD_NAME).read_text())
    flatter(data)
    write_sealed(record / RECORD_NAME, data)
    capsys.readouterr()
    assert exit_code(command, str(record)) == 2
    assert "value is 0.999, and the rows give" in capsys.readouterr().err


def test_a_sound_record_is_remembered_by_its_bytes(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RMBENCH_CACHE", str(tmp_path / "cache"))
    assert problems(record) == []
    monkeypatch.setattr("rmbench.reports.audit.measure", None)  # nothing is computed again
    assert problems(record) == []
    data = json.loads((record / RECORD_NAME).read_text())
    write_sealed(record / RECORD_NAME, {**data, "flags": [*data["flags"], "official"]})
    with pytest.raises(TypeError):
        problems(record)
    assert exit_code("cache", "clear") == 0
    assert not (tmp_path / "cache" / "audited").exists()


def test_rows_judged_again_agree(record: Path) -> None:
    outcome = rerun(record, 5, model="tiny-bt")
    assert (outcome.rows, outcome.other) == (5, ())
    assert str(outcome) == "5 of 5 rows judged again agree"


def test_rows_of_one_record_are_judged_again_at_a_time(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("verify", str(out), "--rerun", "4") == 2
    assert "--rerun takes the folder of one record" in capsys.readouterr().err


def test_an_invented_table_does_not_survive_judging_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The judgments of another model under a good name hold together, and give themselves away."""
    rmbench.run("baseline:length", "rm-bench", source="sample", out=tmp_path)
    (folder,) = find(tmp_path)
    data = json.loads((folder / RECORD_NAME).read_text())
    data["model"] |= {"name": "tiny-bt", "family": "scalar", "flags": []}
    write_sealed(folder / RECORD_NAME, data)
    assert problems(folder) == []
    assert exit_code("verify", str(folder), "--rerun", "4", "--model", "tiny-bt") == 2
    assert "0 of 4 rows judged again agree; others are" in " ".join(capsys.readouterr().err.split())
    assert read(folder).data.rows == 10

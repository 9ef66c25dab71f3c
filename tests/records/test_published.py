"""Records of kind "published": figures without rows, and how old records read beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.gate import compare, gate
from rmbench.records import store
from rmbench.records.record import Record
from tests._make import write_sealed

MakeRecord = Callable[..., Record]
WHERE = "someone/somewhere@0123abc: README.md"


def published(made: Record, **changed: object) -> Record:
    whole = made.model_dump() | {"kind": "published", "judgments": None, "flags": ["published"], "failed": []}
    whole["run"] = whole["run"] | {"source_of_scores": WHERE}
    return Record.model_validate(whole | changed)


def test_it_is_one_file_and_holds(tmp_path: Path, record: MakeRecord) -> None:
    whole = published(record())
    folder = store.folder_of(tmp_path, store.write_published(tmp_path, whole))
    assert [path.name for path in folder.iterdir()] == ["record.json"]
    assert store.find(tmp_path) == [folder]
    assert store.read(folder).model_copy(update={"digests": None}) == whole
    assert store.verify(folder) == []
    data = json.loads((folder / "record.json").read_text("utf-8"))
    assert (data["kind"], data["judgments"], data["run"]["source_of_scores"]) == ("published", None, WHERE)
    assert list(data) == sorted(data)


@pytest.mark.parametrize("reader", [store.read_rows, store.read_credits])
def test_there_are_no_rows_to_read(tmp_path: Path, record: MakeRecord, reader: Callable[[Path], object]) -> None:
    folder = store.folder_of(tmp_path, store.write_published(tmp_path, published(record())))
    with pytest.raises(RmbenchError, match="published figures only, and no rows"):
        reader(folder)


def test_each_kind_has_its_own_writer(tmp_path: Path, record: MakeRecord) -> None:
    with pytest.raises(RmbenchError, match="it is measured"):
        store.write_published(tmp_path, record())
    with pytest.raises(RmbenchError, match="it is published"):
        store.write(tmp_path, published(record()), [])
    assert not list(tmp_path.iterdir())


def test_it_takes_the_place_of_a_measured_record_whole(tmp_path: Path, record: MakeRecord) -> None:
    folder = store.folder_of(tmp_path, store.write(tmp_path, record(rows=0), []))
    assert (folder / "judgments.parquet").is_file()
    store.write_published(tmp_path, published(record(rows=0)))
    assert [path.name for path in folder.iterdir()] == ["record.json"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "published", "run.source_of_scores": WHERE}, "a published record has no rows"),
        ({"judgments": None}, "a measured record has a table of rows"),
        ({"kind": "published", "judgments": None}, "names its source"),
        ({"kind": "guessed"}, "kind: expected one of measured, published"),
    ],
)
def test_what_contradicts_itself_is_refused(
    tmp_path: Path, record: MakeRecord, changed: dict[str, object], message: str
) -> None:
    folder = store.folder_of(tmp_path, store.write(tmp_path, record(rows=0), []))
    data = json.loads((folder / "record.json").read_text("utf-8"))
    for key, value in changed.items():
        part, _, name = key.rpartition(".")
        (data[part] if part else data)[name] = value
    write_sealed(folder / "record.json", data)
    with pytest.raises(RmbenchError, match=r"record\.json") as caught:
        store.read(folder)
    assert message in str(caught.value)


def test_a_record_from_before_there_were_kinds_is_measured(tmp_path: Path, record: MakeRecord) -> None:
    folder = store.folder_of(tmp_path, store.write(tmp_path, record(rows=0), []))
    data = json.loads((folder / "record.json").read_text("utf-8"))
    del data["kind"], data["run"]["source_of_scores"], data["digests"]
    data["schema_version"] = 1
    (folder / "record.json").write_text(json.dumps(data), "utf-8")
    old = store.read(folder)
    assert (old.kind, old.run.source_of_scores) == ("measured", None)
    assert store.verify(folder) == []


def test_compare_and_gate_refuse_it(tmp_path: Path, record: MakeRecord) -> None:
    store.write(tmp_path / "a", record(rows=0), [])
    store.write_published(tmp_path / "b", published(record(rows=0)))
    said = "B's record holds published figures alone: without rows there is nothing to compare"
    (task,) = compare(tmp_path / "a", tmp_path / "b").tasks
    assert task.comparison is None
    assert task.refused == said
    result = gate(tmp_path / "a", tmp_path / "b")
    assert (result.verdict, result.exit_code) == ("broken", 3)
    assert said in result.to_markdown()


def test_a_setting_that_an_older_record_does_not_know_forbids_no_comparison(tmp_path: Path, record: MakeRecord) -> None:
    older, other = record(rows=0), record(rows=0)
    newer = record(rows=0)
    newer.task.metrics[0]["tie"] = 0.0
    other.task.metrics[0]["tie"] = 0.5
    for name, one in (("older", older), ("newer", newer), ("other", other)):
        store.write(tmp_path / name, one, [])
    refused = {
        name: compare(tmp_path / "older", tmp_path / name).tasks[0].refused for name in ("older", "newer", "other")
    }
    assert refused["newer"] == refused["older"]
    assert "declared" not in refused["newer"]
    assert refused["other"] == "the task's first metric is declared differently (tie)"

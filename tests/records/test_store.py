"""Records on disk: exact there and back, whole or not at all, and distrusted when read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmbench.errors import RmbenchError
from rmbench.records import store
from rmbench.records.digest import sha256_file
from rmbench.records.record import Record
from rmbench.types import Judged
from tests._make import write_sealed

MakeRecord = Callable[..., Record]


@pytest.fixture
def written(tmp_path: Path, record: MakeRecord, rows: list[Judged]) -> Path:
    store.write(tmp_path, record(), rows, {"pair": 1.0, "triple": 0.5, "broken": None})
    return tmp_path / "org__model@0123abcd" / "some-task@2"


def change(folder: Path, **keys: Any) -> None:
    """Rewrite keys of record.json, given as key or key__inner."""
    path = folder / "record.json"
    data = json.loads(path.read_text())
    for key, value in keys.items():
        place = data
        *outer, last = key.split("__")
        for name in outer:
            place = place[name]
        place[last] = value
    write_sealed(path, data)


def test_there_and_back(written: Path, record: MakeRecord, rows: list[Judged]) -> None:
    assert store.read_rows(written) == rows
    assert repr(store.read_rows(written / "record.json")) == repr(rows)  # -0.0, 7 and 7.5, tuples
    assert store.read_credits(written) == {"pair": 1.0, "triple": 0.5, "broken": None}
    found = store.read(written)
    assert found.model_copy(update={"judgments": record().judgments, "digests": None}) == record()
    assert found.judgments.sha256 == sha256_file(written / "judgments.parquet")
    assert found.judgments.rows == 3
    assert store.verify(written) == []
    assert sorted(path.name for path in written.iterdir()) == ["judgments.parquet", "record.json"]


def test_write_returns_what_it_wrote(tmp_path: Path, record: MakeRecord, rows: list[Judged]) -> None:
    returned = store.write(tmp_path, record(), rows)
    assert returned == store.read(store.folder_of(tmp_path, returned))
    assert set(store.read_credits(store.folder_of(tmp_path, returned)).values()) == {None}


def test_equal_runs_write_equal_bytes(tmp_path: Path, record: MakeRecord, rows: list[Judged]) -> None:
    folders = [store.folder_of(tmp_path / name, store.write(tmp_path / name, record(), rows)) for name in ("a", "b")]
    for name in ("record.json", "judgments.parquet"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_the_json_is_sorted_and_ends_its_line(written: Path) -> None:
    text = (written / "record.json").read_text("utf-8")
    data = json.loads(text)
    assert list(data) == sorted(data)
    assert list(data["run"]) == sorted(data["run"])
    assert text.endswith("}\n")
    assert "\u00e9very" in text


def test_no_rows(tmp_path: Path, record: MakeRecord) -> None:
    folder = store.folder_of(tmp_path, store.write(tmp_path, record(rows=0), []))
    assert store.read_rows(folder) == []
    assert store.verify(folder) == []


def test_a_failed_write_leaves_the_old_record(
    written: Path, tmp_path: Path, record: MakeRecord, rows: list[Judged], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in written.iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RmbenchError, match=r"some-task@2: cannot write the record \(No space left"):
        store.write(tmp_path, record(), rows[:1])
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before
    assert store.verify(written) == []


def test_stopped_between_the_files_leaves_no_lie(
    written: Path, tmp_path: Path, record: MakeRecord, rows: list[Judged], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def stop(path: Path, target: Path) -> Path:
        done = replace(path, target)
        if Path(target).name == "judgments.parquet":
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        store.write(tmp_path, record(), rows[:1])
    assert store.find(tmp_path) == []  # a new table beside the old record would not be told from a changed one
    monkeypatch.undo()
    store.write(tmp_path, record(), rows[:1])
    assert store.read_rows(written) == rows[:1]


def test_every_flipped_byte_is_seen(written: Path) -> None:
    table = written / "judgments.parquet"
    whole = table.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        table.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        (problem,) = store.verify(written)
        assert "judgments.parquet: its sha256 is not the one in record.json" in problem
        with pytest.raises(RmbenchError, match="sha256"):
            store.read_rows(written)
    table.unlink()
    assert "judgments.parquet: missing" in store.verify(written)[0]


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"schema_version": 3}, "schema_version 3 is newer than 2"),
        ({"schema_version": None}, "no schema_version"),
        ({"schema_version": True}, "no schema_version"),
        ({"model__nmae": "x"}, r'model\.nmae: .*Did you mean "name"\?'),
        ({"task__version": "2"}, r"task\.version: "),
        ({"results": [{"metric": "m"}]}, r"results\[0\]\.group: this key is missing"),
        ({"judgments__file": "../../../etc/passwd"}, "not a plain file name"),
        ({"judgments__file": ".."}, "not a plain file name"),
        ({"judgments__file": "record\u0000.json"}, "not a plain file name"),
        ({"judgments__file": "other.parquet"}, "other.parquet: missing"),
        ({"judgments__rows": 4}, r"judgments\.rows: 4, but judgments\.parquet has 3"),
        ({"judgments__sha256": "0" * 64}, "its sha256 is not"),
    ],
)
def test_a_tampered_record_is_one_clear_error(written: Path, keys: dict[str, Any], message: str) -> None:
    change(written, **keys)
    with pytest.raises(RmbenchError, match=message) as caught:
        store.read_rows(written)
    assert str(written) in str(caught.value)
    assert store.verify(written) == [str(caught.value)]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"schema_version": NaN}', b'{"a": 1}']
)
def test_what_is_no_record(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(RmbenchError, match=r"record\.json"):
        store.read(tmp_path)


def test_nan_never_passes(written: Path) -> None:
    text = (written / "record.json").read_text()
    (written / "record.json").write_text(text.replace('"chance": 0.5', '"chance": NaN'))
    with pytest.raises(RmbenchError, match="NaN is not a JSON number"):
        store.read(written)


def test_no_record_here(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=r"no record\.json here"):
        store.read(tmp_path)
    with pytest.raises(RmbenchError, match="no such folder"):
        store.find(tmp_path / "absent")


def test_find(tmp_path: Path, record: MakeRecord, rows: list[Judged]) -> None:
    made = [
        store.folder_of(tmp_path, store.write(tmp_path, record(model=model, task=task), rows))
        for model, task in [("org/b", "t"), ("org/a", "u"), ("org/a", "t")]
    ]
    assert store.find(tmp_path) == sorted(made)
    assert store.find(made[0]) == [made[0]]
    (tmp_path / "empty").mkdir()
    assert store.find(tmp_path / "empty") == []


Edit = Callable[[dict[str, Any]], None]


def rewrite(folder: Path, edits: Sequence[Edit], schema: pa.Schema | None = None) -> None:
    """Change rows of the table and make its digest right again, as somebody with intent would."""
    path = folder / "judgments.parquet"
    table = pq.read_table(path)
    found = table.to_pylist()
    for edit in edits:
        edit(found[0])
    pq.write_table(pa.Table.from_pylist(found, schema=schema or table.schema), path)
    change(folder, judgments__sha256=sha256_file(path))


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda row: row["relation"][0].update(i=7), "relation names candidates 7 and 1 of 2"),
        (lambda row: row["relation"][0].update(j=-1), "relation names candidates 0 and -1 of 2"),
        (lambda row: row.update(rewards=[1.0]), "rewards has 1 entries for 2"),
        (lambda row: row.update(rewards=[1.0, float("nan")]), "a score is NaN or infinite"),
        (lambda row: row.update(directed=[[1.0], [1.0]]), r"directed is not \[2, 2\]"),
        (lambda row: row.update(parts=[("logp", [[1.0]])]), "parts 'logp' has 1"),
        (lambda row: row.update(ratings=[[1.0]]), "ratings has"),
        (lambda row: row.update(ratings=[[1.0], [2.0]]), "one column per dimension"),
        (lambda row: row.update(status="fine"), "status is 'fine'"),
        (lambda row: row.update(size=-1), "size is -1"),
        (lambda row: row.update(weight=float("inf")), "weight is inf"),
        (lambda row: row.update(lengths=[1, 2, 3]), "lengths has 3"),
    ],
)
def test_a_row_that_contradicts_itself(written: Path, edit: Edit, message: str) -> None:
    rewrite(written, [edit])
    with pytest.raises(RmbenchError, match=message) as caught:
        store.read_rows(written)
    assert "judgments.parquet: row 'pair'" in str(caught.value)


@pytest.mark.parametrize(
    "verdict, message",
    [
        ({"shown": [0, 2]}, "shows candidates"),
        ({"value": "2"}, "pick verdict has the value 2"),
        ({"value": "true"}, "pick verdict has the value True"),
        ({"value": "0.0"}, "pick verdict has the value 0.0"),
        ({"kind": "ranking", "value": "[0, 5]"}, "ranking verdict"),
        ({"kind": "rating", "value": '"7"'}, "rating verdict"),
        ({"kind": "guess"}, "kind 'guess'"),
        ({"status": "maybe"}, "status 'maybe'"),
        ({"value": "{"}, "not JSON"),
    ],
)
def test_a_verdict_that_makes_no_sense(written: Path, verdict: dict[str, Any], message: str) -> None:
    sound = {"shown": [1, 0], "kind": "pick", "value": "1", "status": "ok", "vote": 0, "logprob": None}
    rewrite(written, [lambda row: row.update(verdicts=[{**sound, **verdict}])])
    with pytest.raises(RmbenchError, match=message):
        store.read_rows(written)


def test_columns_are_checked(written: Path) -> None:
    path = written / "judgments.parquet"
    table = pq.read_table(path)
    nullable = table.schema.set(0, pa.field("id", pa.string()))
    for changed, message in [
        (table.rename_columns(["idd", *table.column_names[1:]]), "unknown column 'idd'.* Did you mean \"id\""),
        (table.drop_columns(["cluster"]), "column 'cluster' is missing"),
        (table.set_column(5, "size", pa.array(["2"] * 3)), "column 'size' is"),
        (table.cast(nullable), "column 'id' is"),
    ]:
        pq.write_table(changed, path)
        change(written, judgments__sha256=sha256_file(path))
        with pytest.raises(RmbenchError, match=message):
            store.read_rows(written)
    path.write_bytes(b"PAR1 but no table PAR1")
    change(written, judgments__sha256=sha256_file(path))
    with pytest.raises(RmbenchError, match="not a readable Parquet file"):
        store.read_rows(written)


def test_a_record_of_the_largest_size_is_read_and_a_larger_one_is_not(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (written / "record.json").stat().st_size
    monkeypatch.setattr(store, "_LARGEST_RECORD", size)
    assert store.read(written).task.id == "some-task"
    monkeypatch.setattr(store, "_LARGEST_RECORD", size - 1)
    with pytest.raises(RmbenchError, match=r"record\.json: larger than 0 MiB, so it is no record"):
        store.read(written)

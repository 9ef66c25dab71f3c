"""Where a user's rows may lie: files of every format, folders that `datasets` saved, sets of the hub."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.own.declare import own_task
from rmbench.tasks.registry import load_file
from rmbench.tasks.rows import hub
from rmbench.tasks.sources import load

ROWS = [{"prompt": f"q{k}", "chosen": f"good {k}", "rejected": f"bad {k}"} for k in range(3)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def arrow(rows: list[dict[str, Any]]) -> bytes:
    table, out = pa.Table.from_pylist(rows), pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return out.getvalue().to_pybytes()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    out = pa.BufferOutputStream()
    pa.parquet.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue().to_pybytes()


CSV = b"prompt,chosen,rejected\n" + b"".join(b"q%d,good %d,bad %d\n" % (k, k, k) for k in range(3))
FILES: dict[str, bytes] = {
    "rows.jsonl": LINES,
    "rows.ndjson": LINES,
    "rows.json": json.dumps(ROWS, indent=1).encode(),
    "lines.json": LINES,
    "one line.json": LINES.splitlines()[0],
    "under.json": json.dumps({"version": 1, "data": ROWS}).encode(),
    "by id.json": json.dumps({f"r{k}": row for k, row in enumerate(ROWS)}, indent=1).encode(),
    "rows.csv": CSV,
    "rows.parquet": parquet(ROWS),
    "rows.arrow": arrow(ROWS),
    "rows.jsonl.gz": gzip.compress(LINES),
    "rows.csv.xz": lzma.compress(CSV),
    "rows.jsonl.zst": pa.compress(LINES, codec="zstd", asbytes=True),
    "Größe & Maß.jsonl": LINES,
    "数据.jsonl": LINES,
    "rewardbench-2.jsonl": LINES,
}


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    own = own_task(str(tmp_path / name))
    loaded = load(own.task)
    texts = [[each.prompt[0].text, *(c.text for c in each.candidates)] for each in loaded.examples]
    assert texts == [list(row.values()) for row in ROWS][: 1 if name == "one line.json" else 3]
    assert (loaded.source, loaded.missing, loaded.total) == ("folder", (), len(texts))


def test_ids_are_of_the_files_name_and_none_is_that_of_a_bundled_task(tmp_path: Path) -> None:
    ids = []
    for name in ("Größe & Maß.jsonl", "rewardbench-2.jsonl", "数据.jsonl", "a_b.test.jsonl.gz"):
        (tmp_path / name).write_bytes(FILES.get(name, FILES["rows.jsonl.gz"]))
        ids.append(own_task(str(tmp_path / name)).task.id)
    assert ids[:2] == ["gr-e-ma", "own-rewardbench-2"]
    assert ids[2].startswith("rows-")
    assert ids[3] == "a-b-test"


def test_numbers_of_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["prompt", "answer_a", "answer_b", "overall_preference", "domain"])
        writer.writerows([["q", "4", "5", "-2", "1"], ["q", "007", "8", "1.5", "2"]])
    own = own_task(str(path), {"winner": "overall_preference", "positive": "second"})
    examples = load(own.task).examples
    assert [[c.text for c in each.candidates] for each in examples] == [["4", "5"], ["007", "8"]]
    assert [[(e.i, e.j, e.strength) for e in each.gold.relation] for each in examples] == [[(0, 1, 2.0)], [(1, 0, 1.5)]]


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Path]:
    import datasets

    datasets.disable_progress_bars()

    def saver(what: Any) -> Path:
        what.save_to_disk(tmp_path / "saved")
        return tmp_path / "saved"

    return saver


def test_a_folder_that_datasets_saved(saved: Callable[[Any], Path]) -> None:
    import datasets

    folder = saved(datasets.Dataset.from_list(ROWS * 2))
    own = own_task(str(folder))
    assert (own.task.id, len(load(own.task).examples)) == ("saved", 6)


def test_several_files_of_a_folder_are_read_in_order(tmp_path: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved", num_shards=3)
    loaded = load(own_task(str(tmp_path / "saved")).task)
    assert [each.prompt[0].text for each in loaded.examples] == ["q0", "q1", "q2"]
    assert [each.id for each in loaded.examples] == ["data/0", "data/1", "data/2"]


def test_the_splits_of_a_folder(saved: Callable[[Any], Path]) -> None:
    import datasets

    parts = {"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS[:1])}
    folder = saved(datasets.DatasetDict(parts))
    with pytest.raises(RmbenchError, match=f"expected one of its splits: --data {folder}:train, --data {folder}:test"):
        own_task(str(folder))
    own = own_task(f"{folder}:test")
    assert (own.task.id, len(load(own.task).examples)) == ("saved-test", 1)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda folder: (folder / "x.jsonl").write_bytes(LINES), r"no state\.json.* It has x\.jsonl: name one of them"),
        (lambda folder: (folder / "state.json").write_text("{"), r"state\.json: expected a JSON object"),
        (lambda folder: (folder / "state.json").write_text("{}"), r"state\.json: names no data file"),
        (
            lambda folder: (folder / "state.json").write_text('{"_data_files": [{"filename": "../x.arrow"}]}'),
            r"state\.json: names '\.\./x\.arrow', which is no file of the folder",
        ),
    ],
)
def test_folders_that_datasets_did_not_save(tmp_path: Path, make: Callable[[Path], Any], message: str) -> None:
    make(tmp_path)
    with pytest.raises(RmbenchError, match=message):
        own_task(str(tmp_path))


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("pair.jsonl", b"", r'pair\.jsonl: no such file or folder\. Did you mean "pairs\.jsonl"\?'),
        ("pairs.txt", b"x", "the name shows no format. Expected a file"),
        ("empty.jsonl", b"\n", "nothing but white space"),
        ("two.json", json.dumps({"train": ROWS, "test": ROWS}).encode(), "several keys hold rows: train, test"),
        ("broken.jsonl", b'{"prompt": ', "line 1, column 12: is not JSON"),
        ("list.json", b"[]", "holds no row"),
        ("nested.json", b'{"a": ' + b"[" * 100_000, r"nested\.json, line 1.* is not JSON"),
    ],
)
def test_what_holds_no_rows(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / "pairs.jsonl").write_bytes(LINES)
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RmbenchError, match=message):
        own_task(str(tmp_path / name))


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def on_the_hub(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = []

    def loader(name: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        asked.append({"hub": name, **arguments})
        return ROWS

    def splits(_: str, config: str | None, __: str) -> tuple[str, ...]:
        return ("train", "test") if config is None else ("train",)

    monkeypatch.setattr(hub, "_load", loader)
    monkeypatch.setattr("rmbench.tasks.own.place.splits_of", splits)
    monkeypatch.setattr("rmbench.tasks.own.place.pinned", lambda _, revision: revision or COMMIT)
    return asked


@pytest.mark.parametrize(
    "text, arguments, task",
    [
        ("org/set:test", {"split": "test", "revision": COMMIT}, "set-test"),
        ("org/set@v2:test", {"split": "test", "revision": "v2"}, "set-test"),
        ("org/set:easy", {"name": "easy", "split": "train", "revision": COMMIT}, "set-easy-train"),
        ("org/set:easy:train", {"name": "easy", "split": "train", "revision": COMMIT}, "set-easy-train"),
    ],
)
def test_a_set_of_the_hub_is_pinned(on_the_hub, text: str, arguments: dict[str, Any], task: str) -> None:
    own = own_task(text)
    loaded = load(own.task, "hub")
    assert on_the_hub == [{"hub": "org/set", **arguments}] * 2
    assert (own.task.id, own.task.hub, own.task.hub_revision) == (task, "org/set", arguments["revision"])
    assert [each.prompt[0].text for each in loaded.examples] == ["q0", "q1", "q2"]
    assert f'revision = "{arguments["revision"]}"' in own.toml


def test_a_set_of_several_splits_asks_for_one(on_the_hub) -> None:
    with pytest.raises(RmbenchError, match="--data org/set: expected one of its splits: org/set:train, org/set:test"):
        own_task("org/set")


def test_the_declaration_reads_the_same_rows_as_the_data(tmp_path: Path) -> None:
    """What `task init` prints, kept beside the data or above it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_bytes(LINES)
    own = own_task(str(tmp_path / "data" / "rows.jsonl"))
    for folder in (tmp_path, tmp_path / "data"):
        written = own_task(str(tmp_path / "data" / "rows.jsonl"), beside=folder)
        (folder / "mine.toml").write_text(written.toml)
        task = load_file(folder / "mine.toml")
        loaded, before = load(task), load(own.task)
        assert (task.id, loaded.digest, loaded.examples) == (own.task.id, before.digest, before.examples)


def test_the_shards_of_a_split_are_read_where_all_are_there(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{k}", "chosen": "g", "rejected": "b"} for k in range(4)]
    folder = tmp_path / "data"
    folder.mkdir()
    for part in (1, 0):
        lines = "".join(json.dumps(row) + "\n" for row in rows[2 * part : 2 * part + 2])
        (folder / f"train-{part:05}-of-00002.jsonl").write_text(lines)
    own = own_task(str(folder))
    assert (own.task.id, list(own.rows)) == ("data-train", rows)
    (folder / "train-00001-of-00002.jsonl").unlink()
    with pytest.raises(RmbenchError, match=r"no state\.json"):
        own_task(str(folder))


def test_a_link_to_nothing_says_so(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").symlink_to("../blobs/abc")
    with pytest.raises(RmbenchError, match=r"a link to \.\./blobs/abc, which is not there"):
        own_task(str(tmp_path / "rows.jsonl"))

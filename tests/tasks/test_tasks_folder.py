"""Upstream's own files: found, decompressed, read, and named when something is wrong with them."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import load_file
from rmbench.tasks.rows.files import stem
from rmbench.tasks.sources import ids, load
from rmbench.tasks.task import Loaded, Task

Rows = list[dict[str, Any]]


@pytest.fixture
def task(declaration: str, write: Callable[..., Path]) -> Task:
    return load_file(write(declaration))


def read(task: Task, folder: Path, name: str, content: bytes) -> Loaded:
    path = folder / "mine" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return load(task, folder)


def lines(rows: Rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_rows_become_examples(task: Task, rows: Rows, place: Callable[..., Path]) -> None:
    folder = place(rows)
    loaded = load(task, str(folder))
    first = loaded.examples[0]
    assert first.id == "1"
    assert [(message.role, message.text) for message in first.prompt] == [("user", "What rises in an oven?")]
    assert [candidate.text for candidate in first.candidates] == ["Dough.", "Snow."]
    assert [(edge.i, edge.j, edge.strength) for edge in first.gold.relation] == [(0, 1, 1.0)]
    assert dict(first.groups) == {"topic": "Food"}
    assert loaded.group_totals == {"topic=Food": 1, "topic=Sky": 1}
    assert (loaded.source, loaded.total, loaded.missing) == ("folder", 2, ())
    (fact,) = loaded.files
    content = (folder / "mine" / "rows.jsonl").read_bytes()
    assert (fact.name, fact.rows, fact.sha256) == ("rows.jsonl", 2, hashlib.sha256(content).hexdigest())
    assert ids(task, folder) == ("1", "2")


def test_the_folder_may_be_the_data_set_itself(task: Task, rows: Rows, place: Callable[..., Path]) -> None:
    folder = place(rows)
    assert load(task, folder / "mine").digest == load(task, folder).digest


@pytest.mark.parametrize("name, pack", [("rows.jsonl.gz", gzip.compress), ("rows.jsonl.xz", lzma.compress)])
def test_compressed_files_are_read_as_they_are(
    name: str, pack: Callable[[bytes], bytes], task: Task, rows: Rows, tmp_path: Path
) -> None:
    packed = read(task, tmp_path / "a", name, pack(lines(rows)))
    plain = read(task, tmp_path / "b", "rows.jsonl", lines(rows))
    assert packed.digest == plain.digest
    assert packed.files[0].name == name


def test_a_plain_file_stands_for_a_declared_gz(
    rows: Rows, declaration: str, write: Callable[..., Path], tmp_path: Path
) -> None:
    task = load_file(write(declaration.replace('"rows.jsonl"', '"rows.jsonl.gz"')))
    assert len(read(task, tmp_path, "rows.jsonl", lines(rows)).examples) == 2


@pytest.mark.parametrize("name", ["rows.json", "rows.parquet"])
def test_formats_agree(name: str, rows: Rows, declaration: str, write: Callable[..., Path], tmp_path: Path) -> None:
    wanted = read(load_file(write(declaration)), tmp_path / "a", "rows.jsonl", lines(rows)).digest
    task = load_file(write(declaration.replace("rows.jsonl", name)))
    if name.endswith("json"):
        content = b"\xef\xbb\xbf" + json.dumps(rows, indent=2).encode()
    else:
        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
        content = sink.getvalue().to_pybytes()
    assert read(task, tmp_path / "b", name, content).digest == wanted


def test_a_declared_format_beats_the_name(
    rows: Rows, declaration: str, write: Callable[..., Path], tmp_path: Path
) -> None:
    text = declaration.replace('paths = ["rows.jsonl"]', 'paths = ["rows.json"]\nformat = "jsonl"')
    assert len(read(load_file(write(text)), tmp_path, "rows.json", lines(rows)).examples) == 2


@pytest.mark.parametrize(
    "content, hint",
    [
        (b'{"key": 1}\n{"key": \n', "rows.jsonl, line 2, column 9: is not JSON"),
        (b"[1, 2]\n", "rows.jsonl, line 1: expected a JSON object"),
        (b"[" * 100_000, "rows.jsonl, line 1: is not JSON"),
        (b"\n\n", "rows.jsonl: it is nothing but white space"),
        (b"", "rows.jsonl: it is an empty file"),
    ],
)
def test_broken_lines_are_named(content: bytes, hint: str, task: Task, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError) as caught:
        read(task, tmp_path, "rows.jsonl", content)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    "name, content, hint",
    [
        ("rows.json", b'{"key": 1}', "expected one JSON array"),
        ("rows.json", b'[{"key": 1},\n 3]', "rows.json, row 1: expected a JSON object"),
        ("rows.json", b'[{"key": 1},\n{"key" 3}]', "rows.json, line 2, column 8: is not JSON"),
        ("rows.json.gz", b"not gzip", "rows.json.gz: cannot be decompressed"),
        ("rows.json.xz", lzma.compress(b"[" + b" " * 5000)[:40], "rows.json.xz: cannot be decompressed"),
        (
            "rows.json.gz",
            gzip.compress(b"[" + bytes(range(256)) * 9, mtime=0)[:60],
            "rows.json.gz: cannot be decompressed",
        ),
        ("rows.parquet", b"PAR1 not really", "rows.parquet: is not readable Parquet"),
        ("rows.txt", b"x", "rows.txt: unknown format"),
    ],
)
def test_broken_files_are_named(
    name: str, content: bytes, hint: str, declaration: str, write: Callable[..., Path], tmp_path: Path
) -> None:
    task = load_file(write(declaration.replace("rows.jsonl", name)))
    with pytest.raises(RmbenchError) as caught:
        read(task, tmp_path, name, content)
    assert hint in str(caught.value)


def test_lines_end_at_newlines_alone(task: Task, rows: Rows, tmp_path: Path) -> None:
    rows[0]["question"] = "one\u2028two\x85three"
    content = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\r\n" for row in rows)
    loaded = read(task, tmp_path, "rows.jsonl", content)
    assert loaded.examples[0].prompt[0].text == "one\u2028two\x85three"


SPLIT = """paths = ["a/bread.jsonl", "a/soup.jsonl", "b/moon.jsonl"]
capture = ["a/{topic}.jsonl", "b/{topic}.jsonl"]"""


def test_missing_files_are_named(
    rows: Rows, declaration: str, write: Callable[..., Path], place: Callable[..., Path]
) -> None:
    task = load_file(write(declaration.replace('paths = ["rows.jsonl"]', SPLIT)))
    bare = [{key: value for key, value in row.items() if key != "topic"} for row in rows]
    folder = place(bare[:1], "b/moon.jsonl")
    loaded = load(task, folder)
    assert loaded.missing == ("a/bread.jsonl", "a/soup.jsonl")
    assert loaded.total == 2
    place(bare[1:], "a/bread.jsonl")
    loaded = load(task, folder)
    assert [each.groups["topic"] for each in loaded.examples] == ["Food", "Sky"]  # in the order of the declaration
    assert [fact.name for fact in loaded.files] == ["a/bread.jsonl", "b/moon.jsonl"]


def test_a_path_that_contradicts_its_rows(
    rows: Rows, declaration: str, write: Callable[..., Path], place: Callable[..., Path]
) -> None:
    task = load_file(write(declaration.replace('paths = ["rows.jsonl"]', SPLIT)))
    with pytest.raises(RmbenchError, match=r"a/soup\.jsonl, row 0: column \"topic\" is 'bread'.*'soup'"):
        load(task, place(rows, "a/soup.jsonl"))


def test_layouts_are_tried_in_order(
    rows: Rows, declaration: str, write: Callable[..., Path], place: Callable[..., Path]
) -> None:
    text = declaration.replace("[[files]]", '[[files]]\npaths = ["whole.jsonl"]\n\n[[files]]')
    task = load_file(write(text))
    folder = place(rows[:1])
    assert [fact.name for fact in load(task, folder).files] == ["rows.jsonl"]
    place(rows, "whole.jsonl")
    assert [fact.name for fact in load(task, folder).files] == ["whole.jsonl"]


def test_rows_that_are_not_there(task: Task, rows: Rows, place: Callable[..., Path]) -> None:
    assert load(task, place(rows[:1])).missing == ("1 of 2 rows",)
    with pytest.raises(RmbenchError, match="mine: 3 rows, but version 1 has 2"):
        load(task, place([*rows, {**rows[0], "key": 3}]))


def test_globs_and_constant_columns(
    rows: Rows, declaration: str, write: Callable[..., Path], place: Callable[..., Path]
) -> None:
    text = declaration.replace('paths = ["rows.jsonl"]', 'paths = ["part-*.jsonl"]\nset = { topic = "soup" }')
    task = load_file(write(text))
    for row in rows:
        del row["topic"]
    place(rows[1:], "part-2.jsonl")
    loaded = load(task, place(rows[:1], "part-1.jsonl"))
    assert [each.id for each in loaded.examples] == ["1", "2"]
    assert {each.groups["topic"] for each in loaded.examples} == {"Food"}


def test_no_file_at_all_says_what_was_expected(task: Task, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError) as caught:
        load(task, tmp_path)
    message = str(caught.value)
    assert '"rows.jsonl"' in message
    assert str(tmp_path / "mine") in message
    assert "https://example.org/mine" in message


@pytest.mark.parametrize("source, hint", [("/no/such/folder", "nor a folder"), ("sampel", 'Did you mean "sample"?')])
def test_a_source_that_is_none(source: str, hint: str, task: Task) -> None:
    with pytest.raises(RmbenchError) as caught:
        load(task, source)
    assert hint in str(caught.value)


def test_no_sample_says_where_it_would_lie(task: Task) -> None:
    with pytest.raises(RmbenchError, match="it has no sample"):
        load(task, "sample")


def test_a_users_own_sample(task: Task, rows: Rows, tmp_path: Path) -> None:
    folder = tmp_path / "samples" / "mine"
    folder.mkdir(parents=True)
    (folder / "rows.jsonl").write_bytes(lines(rows))
    loaded = load(task, "sample")
    assert (loaded.source, loaded.total) == ("sample", 2)


def test_one_id_twice_names_both_rows(task: Task, rows: Rows, place: Callable[..., Path]) -> None:
    rows[1]["key"] = 1
    with pytest.raises(RmbenchError, match=r'rows\.jsonl, row 1: id "1" is that of rows\.jsonl, row 0'):
        load(task, place(rows))


def test_stem() -> None:
    assert stem("data/filtered-00000-of-00001.parquet") == "filtered"
    assert stem("harmless-base/test.jsonl.gz") == "test"
    assert stem("topical_chat.json") == "topical_chat"


def test_shards_are_counted_through(
    rows: Rows, declaration: str, write: Callable[..., Path], place: Callable[..., Path]
) -> None:
    text = declaration.replace('"rows.jsonl"', '"x-00000-of-00002.jsonl", "x-00001-of-00002.jsonl"')
    task = load_file(write(text.replace('id = ["key"]', "")))
    place(rows[:1], "x-00000-of-00002.jsonl")
    assert ids(task, place(rows[1:], "x-00001-of-00002.jsonl")) == ("x/0", "x/1")

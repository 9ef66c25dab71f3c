"""Files of every form: CSV, rows under a key, rows as values of an object, plain texts, joined files, digests."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import load_file
from rmbench.tasks.rows.fields import RawRow, as_text, figure
from rmbench.tasks.rows.formats import rows_of
from rmbench.tasks.rows.paths import captured, filled, filled_names
from rmbench.tasks.sources import load
from rmbench.tasks.task import Loaded


@dataclass
class Form:
    format: str | None = None
    keyed: str | None = None


def test_csv_cells_are_texts() -> None:
    content = '\ufeffa,b\r\n1,"x, ""y""\nz"\r\n,\r\n'.encode()
    assert rows_of("t.csv", content, Form()) == [{"a": "1", "b": 'x, "y"\nz'}, {"a": "", "b": ""}]


@pytest.mark.parametrize(
    "content, hint",
    [
        (b"a,b\n1\n", "t.csv, line 2: 1 cells, but the header names 2 columns"),
        (b"a,a\n1,2\n", "the header names a column twice"),
        (b'a,b\n"1,2\n', "is not readable CSV"),
    ],
)
def test_broken_csv_is_named(content: bytes, hint: str) -> None:
    with pytest.raises(RmbenchError, match=hint):
        rows_of("t.csv", content, Form())


@pytest.mark.parametrize(
    "name, content",
    [
        ("t.jsonl", b'{"a": "x", "other": NaN}\n{"a": "y", "other": -Infinity}\n'),
        ("t.jsonl", b'{"a": "x", "other": "caf\xe9"}\n{"a": "y"}\n'),
        ("t.jsonl", b'{"a": "x", "other": ' + b"9" * 5000 + b'}\n{"a": "y"}\n'),
        ("t.jsonl", b'{"a": "x", "other": "\\ud800"}\n{"a": "y"}\n'),
        ("t.json", b'[{"a": "x", "other": Infinity}, {"a": "y", "other": "\xff"}]'),
        ("t.csv", b"a,other\nx,nan\ny,caf\xe9\n"),
    ],
)
def test_a_fault_in_a_column_that_nobody_reads_is_none(name: str, content: bytes) -> None:
    rows = [RawRow(name, "t", at, row) for at, row in enumerate(rows_of(name, content, Form()))]
    assert [as_text(row, "a", row.values["a"]) for row in rows] == ["x", "y"]


@pytest.mark.parametrize(
    "content, hint",
    [
        (b'{"a": NaN}', r't.jsonl, row 0: column "a": expected a finite number, found NaN'),
        (b'{"a": -Infinity}', "found -Infinity"),
        (b'{"a": ' + b"9" * 5000 + b"}", "expected a finite number, found Infinity"),
        (b'{"a": ' + b"9" * 400 + b"}", "found a whole number beyond the range of a float"),
    ],
)
def test_a_number_that_is_not_finite_is_refused_where_it_is_read(content: bytes, hint: str) -> None:
    row = RawRow("t.jsonl", "t", 0, rows_of("t.jsonl", content, Form())[0])
    with pytest.raises(RmbenchError, match=hint):
        figure(row, "a")
    with pytest.raises(RmbenchError, match="expected a text"):
        as_text(row, "a", row.values["a"], cast=True)


@pytest.mark.parametrize("name, content", [("t.jsonl", b'{"a": "caf\xe9"}'), ("t.csv", b"a\ncaf\xe9\n")])
def test_text_that_is_not_utf8_is_refused_where_it_is_read(name: str, content: bytes) -> None:
    row = RawRow(name, "t", 0, rows_of(name, content, Form())[0])
    with pytest.raises(RmbenchError, match='row 0: column "a": character 3 is the byte 0xE9, so the file is not UTF-8'):
        as_text(row, "a", row.values["a"])


def test_cells_of_parquet_that_python_cannot_hold(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    late = pyarrow.array([10**17, 0], pyarrow.timestamp("ms"))
    text = pyarrow.array([b"caf\xe9", b"tea"]).view(pyarrow.utf8())
    columns = pyarrow.table({"a": ["x", "y"], "late": late, "latin": text})
    pyarrow.parquet.write_table(columns, tmp_path / "t.parquet")
    rows = rows_of("t.parquet", (tmp_path / "t.parquet").read_bytes(), Form())
    assert [row["a"] for row in rows] == ["x", "y"]
    assert rows[1]["latin"] == "tea"
    row = RawRow("t.parquet", "t", 0, rows[0])
    for column in ("late", "latin"):
        with pytest.raises(RmbenchError, match=f'row 0: column "{column}": expected a text, found a value that cannot'):
            as_text(row, column, row.values[column])


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize("name", ["t.jsonl", "t.json", "t.csv", "t.parquet", "t.arrow", "t.jsonl.gz", "t.ndjson.zst"])
@pytest.mark.parametrize(
    "content, hint",
    [
        (POINTER, "a Git LFS pointer; `git lfs pull`"),
        (b"\xef\xbb\xbf" + POINTER, "a Git LFS pointer"),
        (b"/annex/objects/SHA256E-s12--ab.jsonl\n", "a git-annex pointer"),
        (b"<!DOCTYPE html><html><title>404</title></html>", "a web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page or an XML reply"),
        (b"", "an empty file"),
    ],
)
def test_what_stands_in_place_of_the_data_is_named(name: str, content: bytes, hint: str) -> None:
    with pytest.raises(RmbenchError, match=f"{name}: it is {hint}"):
        rows_of(name, content, Form())


@pytest.mark.parametrize(
    "name, content, hint",
    [
        ("t.jsonl", gzip.compress(b'{"a": 1}', mtime=0), "expected JSON Lines, but its first bytes are those of gzip"),
        ("t.parquet", b"PK\x03\x04\x00", "expected Parquet, but its first bytes are those of ZIP"),
        ("t.csv", "a\n1".encode("utf-16"), "expected CSV, but its first bytes are those of text in UTF-16"),
        ("t.json", b"PAR1\x00\x00", "expected JSON, but its first bytes are those of Parquet"),
        ("t.arrow", b"PAR1\x00\x00", "expected Arrow, but its first bytes are those of Parquet"),
    ],
)
def test_another_format_than_the_name_says_is_named(name: str, content: bytes, hint: str) -> None:
    with pytest.raises(RmbenchError, match=f"{name}: {hint}"):
        rows_of(name, content, Form())


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_csv_gives_back_what_was_written(cells: list[tuple[str, str]]) -> None:
    import csv
    import io

    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["a", "b"])
    writer.writerows(cells)
    content = out.getvalue().encode("utf-8", "surrogatepass")
    try:
        content.decode()
    except UnicodeDecodeError:
        return
    if any("\x00" in cell for pair in cells for cell in pair):
        return
    assert [(row["a"], row["b"]) for row in rows_of("t.csv", content, Form())] == cells


def test_zstandard_and_other_endings_of_lines() -> None:
    packed = pyarrow.compress(b'{"a": 1}\n', codec="zstd", asbytes=True)
    assert rows_of("t.ndjson.zst", packed, Form()) == rows_of("t.ndjson", b'{"a": 1}\n', Form()) == [{"a": 1}]
    with pytest.raises(RmbenchError, match=r"t\.jsonl\.zst: cannot be decompressed"):
        rows_of("t.jsonl.zst", packed[:-4], Form())


def test_rows_under_a_key() -> None:
    content = json.dumps({"data": {"rows": [{"a": 1}]}}).encode()
    assert rows_of("t.json", content, Form(), under="data.rows") == [{"a": 1}]
    with pytest.raises(RmbenchError, match=r'no key "dta" of "dta\.rows"\. Did you mean "data"\?'):
        rows_of("t.json", content, Form(), under="dta.rows")


def test_rows_as_values_of_an_object() -> None:
    content = json.dumps({"k1": {"a": 1}, "k2": {"a": 2}}).encode()
    assert rows_of("t.json", content, Form(keyed="key")) == [{"key": "k1", "a": 1}, {"key": "k2", "a": 2}]
    lines = b'{"0": {"a": 1}}\n{"7": 0.5}\n'
    assert rows_of("t.jsonl", lines, Form(keyed="id")) == [{"id": "0", "a": 1}, {"id": "7", "value": 0.5}]
    with pytest.raises(RmbenchError, match='column "a" is 1'):
        rows_of("t.json", content, Form(keyed="a"))
    with pytest.raises(RmbenchError, match="one JSON object whose values are the rows"):
        rows_of("t.json", b"[]", Form(keyed="a"))


def test_rows_that_are_plain_texts() -> None:
    assert rows_of("t.json", b'["x", "y"]', Form(), scalar="prompt") == [{"prompt": "x"}, {"prompt": "y"}]


@settings(deadline=None, max_examples=40)
@given(
    st.binary(max_size=60),
    st.sampled_from(["t.csv", "t.json", "t.jsonl", "t.parquet", "t.arrow", "t.json.gz", "t.csv.zst"]),
)
def test_any_bytes_are_rows_or_one_error(content: bytes, name: str) -> None:
    told = ""
    rows: list[dict[str, Any]] = []
    try:
        rows = rows_of(name, content, Form())
    except RmbenchError as error:
        told = str(error)
    assert all(isinstance(row, dict) for row in rows)
    assert told == "" or name in told


def test_templates() -> None:
    assert filled_names("{model}/{@row:05}.jpg") == ["model", "@row"]
    assert filled("{model}/{@row:05}.jpg", {"model": "sd", "@row": "12"}.__getitem__) == "sd/00012.jpg"
    assert captured("a/{x}/{y}.json", "a/b/c.json") == {"x": "b", "y": "c"}


Loader = Callable[..., Loaded]


@pytest.fixture
def loaded(declaration: str, write: Callable[..., Path], tmp_path: Path) -> Loader:
    """Load files by the declaration with some of its text replaced: name -> bytes."""

    def loader(files: dict[str, bytes], changes: dict[str, str], **options: Any) -> Loaded:
        text = declaration
        for before, after in changes.items():
            assert before in text
            text = text.replace(before, after)
        for name, content in files.items():
            (tmp_path / "mine").mkdir(exist_ok=True)
            (tmp_path / "mine" / name).write_bytes(content)
        return load(load_file(write(text)), tmp_path, **options)

    return loader


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_numbers_of_a_csv(loaded: Loader) -> None:
    content = b"key,question,good,bad,topic,w\n1,Q,g,b,bread,2.5\n2,R,h,c,moon,3\n"
    changes = {'paths = ["rows.jsonl"]': 'paths = ["rows.csv"]\nnumbers = ["w"]'}
    changes['id = ["key"]'] = 'id = ["key"]\nweight = "w"'
    found = loaded({"rows.csv": content}, changes)
    assert [each.weight for each in found.examples] == [2.5, 3.0]
    with pytest.raises(RmbenchError, match=r'rows\.csv, row 1: column "w": \'x\' is no number'):
        loaded({"rows.csv": content.replace(b",3\n", b",x\n")}, changes)
    with pytest.raises(RmbenchError, match='no column "v"'):
        loaded({"rows.csv": content}, {**changes, 'paths = ["rows.jsonl"]': 'paths = ["rows.csv"]\nnumbers = ["v"]'})


def test_a_second_file_is_joined(loaded: Loader, rows: list[dict[str, Any]]) -> None:
    prompts = [{"question": row.pop("question"), "text_id": row["key"]} for row in rows]
    join = 'paths = ["rows.jsonl"]\njoin = [{ path = "prompts.json", on = "key", key = "text_id" }]'
    files = {"rows.jsonl": as_lines(rows), "prompts.json": json.dumps(prompts).encode()}
    found = loaded(files, {'paths = ["rows.jsonl"]': join})
    assert [each.prompt[0].text for each in found.examples] == [p["question"] for p in prompts]
    assert [file.name for file in found.files] == ["rows.jsonl", "prompts.json"]
    with pytest.raises(RmbenchError, match=r"\"key\" '2' is no \"text_id\" of prompts\.json"):
        loaded({**files, "prompts.json": json.dumps(prompts[:1]).encode()}, {'paths = ["rows.jsonl"]': join})
    with pytest.raises(RmbenchError, match="'1' occurs twice"):
        loaded({**files, "prompts.json": json.dumps(prompts + prompts).encode()}, {'paths = ["rows.jsonl"]': join})


def test_join_by_row_number(loaded: Loader, rows: list[dict[str, Any]]) -> None:
    for number, row in enumerate(rows):
        row["sentence"] = number
    extra = as_lines([{"hint": "x"}, {"hint": "y"}])
    join = 'paths = ["rows.jsonl"]\njoin = [{ path = "extra.jsonl", on = "sentence", key = "@row" }]'
    changes = {'paths = ["rows.jsonl"]': join, 'rejected = "bad"': 'rejected = "bad"\ncontext = { hint = "hint" }'}
    found = loaded({"rows.jsonl": as_lines(rows), "extra.jsonl": extra}, changes)
    assert [each.context["hint"] for each in found.examples] == ["x", "y"]


def test_a_changed_file_is_an_error_unless_allowed(loaded: Loader, rows: list[dict[str, Any]]) -> None:
    content = as_lines(rows)
    digest = hashlib.sha256(content).hexdigest()
    changes = {'paths = ["rows.jsonl"]': f'paths = ["rows.jsonl"]\nsha256 = {{ "rows.jsonl" = "{digest}" }}'}
    assert len(loaded({"rows.jsonl": content}, changes).examples) == 2
    changed = content.replace(b"Dough", b"Bread")
    with pytest.raises(RmbenchError, match=r"rows\.jsonl: its sha256 is .* but the task declares .*allow-changed-data"):
        loaded({"rows.jsonl": changed}, changes)
    found = loaded({"rows.jsonl": changed}, changes, allow_changed_data=True)
    assert found.examples[0].candidates[0].text == "Bread."
    assert found.files[0].sha256 == hashlib.sha256(changed).hexdigest()


def test_a_packed_file_has_upstreams_digest(loaded: Loader, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    content = as_lines(rows)
    digest = hashlib.sha256(content).hexdigest()
    changes = {'paths = ["rows.jsonl"]': f'paths = ["rows.jsonl"]\nsha256 = {{ "rows.jsonl" = "{digest}" }}'}
    assert len(loaded({"rows.jsonl.gz": gzip.compress(content)}, changes).examples) == 2


def test_a_digest_names_a_path(declaration: str, write: Callable[..., Path]) -> None:
    zeros = "0" * 64
    changed = f'paths = ["rows.jsonl"]\nsha256 = {{ "row.jsonl" = "{zeros}" }}'
    with pytest.raises(RmbenchError, match=r'files\[0\]\.sha256: "row\.jsonl" is none of the paths.*"rows\.jsonl"'):
        load_file(write(declaration.replace('paths = ["rows.jsonl"]', changed)))
    with pytest.raises(RmbenchError, match="64 hexadecimal digits"):
        load_file(write(declaration.replace('paths = ["rows.jsonl"]', changed.replace(zeros, "12"))))

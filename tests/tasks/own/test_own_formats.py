"""The same rows in every format and shape that is read: the same examples and digests, whatever their texts."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.ipc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rmbench
from rmbench.tasks.own.declare import own_task
from rmbench.tasks.rows.content import digest_of
from rmbench.tasks.sources import load
from rmbench.types import Example

Rows = list[dict[str, Any]]


def lines(rows: Rows, *, ascii_only: bool = False) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows).encode()


def cells(rows: Rows, between: str = ",", end: str = "\n") -> bytes:
    """A CSV as a spreadsheet saves it; lists as JSON text."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=between, lineterminator=end)
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([json.dumps(cell) if isinstance(cell, list | dict) else cell for cell in row.values()])
    return text.getvalue().encode()


def parquet(rows: Rows, **options: Any) -> bytes:
    file = io.BytesIO()
    pd.DataFrame(rows, **options).to_parquet(file)
    return file.getvalue()


def arrow(rows: Rows) -> bytes:
    file = io.BytesIO()
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    return file.getvalue()


def zstd(content: bytes) -> bytes:
    packed: bytes = pyarrow.compress(content, codec="zstd", asbytes=True)
    return packed


FORMATS: dict[str, tuple[str, Callable[[Rows], bytes]]] = {
    "lines": ("rows.jsonl", lines),
    "escaped": ("rows.ndjson", lambda rows: lines(rows, ascii_only=True)),
    "with a mark and CRLF": ("rows.jsonl", lambda rows: b"\xef\xbb\xbf" + lines(rows).replace(b"\n", b"\r\n")),
    "with blank lines": ("rows.jsonl", lambda rows: lines(rows).replace(b"\n", b"\n\n")),
    "lines called .json": ("rows.json", lambda rows: b"\xef\xbb\xbf" + lines(rows)),
    "an array": ("rows.json", lambda rows: json.dumps(rows, indent=1).encode()),
    "an array with a mark": ("rows.json", lambda rows: b"\xef\xbb\xbf" + json.dumps(rows).encode()),
    "under a key": ("rows.json", lambda rows: b"\xef\xbb\xbf" + json.dumps({"meta": 1, "data": rows}).encode()),
    "gzip": ("rows.jsonl.gz", lambda rows: gzip.compress(lines(rows))),
    "two gzips": ("rows.jsonl.gz", lambda rows: gzip.compress(lines(rows[:1])) + gzip.compress(lines(rows[1:]))),
    "xz": ("rows.json.xz", lambda rows: lzma.compress(json.dumps(rows).encode())),
    "zstd": ("rows.jsonl.zst", lambda rows: zstd(lines(rows))),
    "Parquet": ("rows.parquet", parquet),
    "Parquet with an index": ("rows.parquet", lambda rows: parquet(rows, index=range(7, 7 + len(rows)))),
    "Arrow": ("rows.arrow", arrow),
    "CSV": ("rows.csv", cells),
    "CSV of a spreadsheet": ("rows.csv", lambda rows: b"\xef\xbb\xbf" + cells(rows, end="\r\n") + b"\r\n"),
    "TSV": ("rows.tsv", lambda rows: cells(rows, "\t")),
}
READ = "prompt", "candidates", "gold", "groups", "id", "cluster"

# Neither a surrogate nor what an exporter of a spreadsheet cannot write; each text says something.
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).map(lambda text: f"x{text}")


def turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def of_layout(layout: str, asked: str, good: str, bad: str, k: int) -> dict[str, Any]:
    if layout == "chosen and rejected":
        return {"prompt": asked, "chosen": good, "rejected": bad}
    if layout == "messages":
        both = {"chosen": [turn("assistant", good)], "rejected": [turn("assistant", bad)]}
        return {"prompt": [turn("user", asked)], **both}
    if layout == "whole conversations":
        return {
            side: [turn("user", asked), turn("assistant", text)] for side, text in (("chosen", good), ("rejected", bad))
        }
    if layout == "one message each":
        return {"prompt": asked, "chosen": turn("assistant", good), "rejected": turn("assistant", bad)}
    if layout == "a winner":
        return {"prompt": asked, "answer_a": good, "answer_b": bad, "winner": ("A", "B", "tie")[k % 3]}
    if layout == "a winner by number":
        return {"prompt": asked, "answer_a": good, "answer_b": bad, "winner": (1, 2, 0)[k % 3]}
    if layout == "scores beside":
        return {"prompt": asked, "answer_a": good, "answer_b": bad, "score_a": k - 1, "score_b": 0.5}
    if layout == "a rating":
        return {"prompt": asked, "response": good, "rating": [0.5, -2.0, 1e9][k % 3]}
    return {"prompt": asked, "completion": good, "label": k % 2 == 0}


LAYOUTS = (
    *("chosen and rejected", "messages", "whole conversations", "one message each", "a winner", "a winner by number"),
    *("scores beside", "a rating", "right or wrong"),
)


def examples_of(folder: Path, form: str, rows: Rows) -> tuple[Example, ...]:
    name, content = FORMATS[form]
    (folder / name).write_bytes(content(rows))
    return load(own_task(str(folder / name)).task).examples


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_every_format_gives_the_same_examples(data: st.DataObject) -> None:
    layout = data.draw(st.sampled_from(LAYOUTS))
    triples = data.draw(
        st.lists(st.tuples(texts, texts, texts), min_size=3, max_size=5, unique_by=lambda each: each[0])
    )
    # No answer begins with its prompt by chance, which would be another layout.
    rows = [of_layout(layout, f"q{q}", f"a{g}", f"b{b}", k) for k, (q, g, b) in enumerate(triples)]
    with tempfile.TemporaryDirectory() as folder:
        read = {
            form: examples_of(Path(folder), form, rows) for form in ("lines", data.draw(st.sampled_from([*FORMATS])))
        }
    first, *others = read.values()
    assert [each.prompt[-1].text for each in first] == [f"q{q}" for q, _, _ in triples]
    assert [each.candidates[0].text for each in first] == [f"a{g}" for _, g, _ in triples]
    for other in others:
        for name in READ:
            assert [getattr(each, name) for each in other] == [getattr(each, name) for each in first]
        assert digest_of(other) == digest_of(first)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_value_of_a_plain_loop(form: str, tmp_path: Path) -> None:
    pairs = [("one", "four"), ("three", "two"), ("seven", "seven"), ("eleven", "ten"), ("é", "ß.")]
    rows = [{"prompt": f"q{k}", "chosen": a, "rejected": b, "domain": "ab"[k % 2]} for k, (a, b) in enumerate(pairs)]
    name, content = FORMATS[form]
    (tmp_path / name).write_bytes(content(rows))

    def length(conversations: Any) -> list[float]:
        return [float(len(turns[-1]["content"])) for turns in conversations]

    results = rmbench.run(model=length, data=str(tmp_path / name), out=tmp_path / "out")
    assert results.headline("rows").value == pytest.approx(sum(len(a) > len(b) for a, b in pairs) / len(pairs))

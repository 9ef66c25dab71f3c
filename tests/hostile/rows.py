"""Hostile files of rows and of scores: each a folder with a task's files, or one file of scores."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.case import KINDS_OF_FILE, Case, Outcome, put

__all__ = ["ROWS", "words"]

_TASK = """\
id = "mine"
version = 1
title = "Pairs"
family = "text"
modality = "text"
shape = "pair"
n = 2
verified = true
[source]
git = "https://example.org/mine"
folder = "mine"
[[files]]
paths = ["rows.{ending}"]
[columns]
prompt = "question"
chosen = "good"
rejected = "bad"
[rows]
id = ["key"]
[[metric]]
name = "accuracy"
rule = "pair"
chance = 0.5
"""
GOOD = {"key": 1, "question": "What rises in an oven?", "good": "Dough.", "bad": "Snow."}
_PART = 2**23


def words(case: Case, folder: Path) -> list[str]:
    """The command line that reads a case."""
    if case.name.startswith("scores"):
        file = next(folder.glob("scores.*"))
        return [
            "run",
            "--model",
            f"scores:{file}",
            "--tasks",
            "rm-bench",
            "--source",
            "sample",
            "--out",
            f"{folder}.out",
        ]
    task = folder / "mine.toml"
    return [
        "run",
        "--model",
        "baseline:length",
        "--tasks",
        str(task),
        "--source",
        str(folder),
        "--out",
        f"{folder}.out",
    ]


def _case(name: str, ending: str, content: Callable[[], bytes] | bytes | str, outcome: Outcome = "refused") -> Case:
    """A task whose file of rows has this content."""

    def make(folder: Path) -> None:
        (folder / "mine.toml").write_text(_TASK.replace("{ending}", ending))
        (folder / "mine").mkdir()
        (folder / "mine" / f"rows.{ending}").write_bytes(_bytes(content))

    return Case(f"{ending} {name}", make, outcome)


def _special(kind: str) -> Case:
    def make(folder: Path) -> None:
        (folder / "mine.toml").write_text(_TASK.replace("{ending}", "jsonl"))
        (folder / "mine").mkdir()
        put(folder / "mine" / "rows.jsonl", kind)

    return Case(f"jsonl is a {kind}", make)


def _special_scores(kind: str) -> Case:
    return Case(f"scores is a {kind}", lambda folder: put(folder / "scores.jsonl", kind))


def _task(name: str, make: Callable[[Path], object]) -> Case:
    return Case(f"task {name}", lambda folder: make(folder / "mine.toml"))


def _scores(name: str, ending: str, content: Callable[[], bytes] | bytes | str) -> Case:
    return Case(f"scores {name}", lambda folder: (folder / f"scores.{ending}").write_bytes(_bytes(content)))


def _bytes(content: Callable[[], bytes] | bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content if isinstance(content, bytes) else content()


def zeros(opener: Any, size: int) -> Callable[[], bytes]:
    def made() -> bytes:
        out = io.BytesIO()
        with opener(out, "wb") as stream:
            for _ in range(size // _PART):
                stream.write(b"\0" * _PART)
        return out.getvalue()

    return made


def members(count: int) -> Callable[[], bytes]:
    """A gzip file of many members, each of 8 MB."""
    return lambda: gzip.compress(b"\0" * _PART) * count


def twice() -> bytes:
    return gzip.compress(zeros(gzip.open, 2**30)())


def zst_of_zeros() -> bytes:
    import pyarrow

    out = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(out, "zstd") as stream:
        for _ in range(2**30 // _PART):
            stream.write(b"\0" * _PART)
    return out.getvalue().to_pybytes()


def arrow_of_nulls() -> bytes:
    import pyarrow.ipc

    out = pyarrow.BufferOutputStream()
    rows = pyarrow.table({name: pyarrow.nulls(10**9) for name in GOOD})
    with pyarrow.ipc.new_stream(out, rows.schema) as stream:
        stream.write_table(rows)
    return out.getvalue().to_pybytes()


def xz_of_dictionary() -> bytes:
    return lzma.compress(b"x" * 1000, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**30, "preset": 0}])


def table(columns: Callable[[], dict[str, Any]], **options: Any) -> Callable[[], bytes]:
    def made() -> bytes:
        import pyarrow
        import pyarrow.parquet

        out = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns()), out, **options)
        return out.getvalue()

    return made


def nulls(count: int) -> Callable[[], dict[str, Any]]:
    def made() -> dict[str, Any]:
        import pyarrow

        return {name: pyarrow.nulls(count, pyarrow.int32()) for name in GOOD}

    return made


def repeated(length: int, count: int) -> Callable[[], dict[str, Any]]:
    def made() -> dict[str, Any]:
        import pyarrow

        text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * count, pyarrow.int32()), ["x" * length])
        return {"key": list(range(count)), "question": text, "good": text, "bad": text}

    return made


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def row(**changes: Any) -> str:
    return json.dumps({**GOOD, **changes})


_PARQUET = table(lambda: {name: [value] for name, value in GOOD.items()})

ROWS = (
    *map(_special, KINDS_OF_FILE),
    _case("of 4 GB in 4 MB", "jsonl.gz", zeros(gzip.open, 2**32)),
    _case("of 1 GB in 150 kB", "jsonl.xz", zeros(lzma.open, 2**30)),
    _case("of 1 GB in 30 kB", "jsonl.zst", zst_of_zeros),
    _case("cut", "jsonl.zst", lambda: zst_of_zeros()[:200]),
    _case("of a billion nulls", "arrow", arrow_of_nulls),
    _case("that is text", "arrow", "hello"),
    _case("of 500 members", "json.gz", members(500)),
    _case("packed twice", "json.gz", twice),
    _case("cut", "jsonl.gz", lambda: gzip.compress(b"x" * 10_000)[:30]),
    _case("flipped", "jsonl.gz", lambda: gzip.compress(bytes(range(256)) * 99)[:200] + b"\xff" * 200),
    _case("that is text", "jsonl.gz", "hello"),
    _case("cut", "jsonl.xz", lambda: lzma.compress(b"x" * 10_000)[:60]),
    _case("that is text", "jsonl.xz", "hello"),
    _case("with a dictionary of 1 GB", "jsonl.xz", xz_of_dictionary),
    _case("nested 100,000 deep", "json", nested(100_000)),
    _case("nested in a row", "jsonl", '{"key": ' + nested(100_000) + "}"),
    _case("of a million digits", "jsonl", '{"key": ' + "1" * 1_000_000 + "}"),
    _case("of 1e999", "jsonl", '{"key": 1, "question": 1e999, "good": "a", "bad": "b"}'),
    _case("of NaN", "jsonl", '{"key": NaN}'),
    _case("that is no UTF-8", "jsonl", b'{"key": "\xff\xfe"}'),
    _case("in UTF-16", "jsonl", json.dumps(GOOD).encode("utf-16")),
    _case("of zeros", "jsonl", b"\0" * 1000),
    _case("of numbers", "json", "[1, 2]"),
    _case("that is a number", "json", "7"),
    _case("that is an object", "json", "{}"),
    _case("of rows that are lists", "jsonl", "[1]"),
    _case("without a key", "jsonl", '{"key": 1}'),
    _case("with a null byte", "jsonl", row(question="a\0b"), "rows"),
    _case("with a lone surrogate", "jsonl", '{"key": 1, "question": "\\ud800", "good": "a", "bad": "b"}', "rows"),
    _case("of ids that are lists", "jsonl", row(key=[[1]])),
    _case("of two equal ids", "jsonl", row() + "\n" + row()),
    _case("of objects for texts", "jsonl", row(good={"a": {"b": 1}})),
    _case("with a cell of 40 MB", "csv", "key,question,good,bad\n1," + "x" * 40_000_000 + ",a,b\n"),
    _case("with an open quote", "csv", 'key,question,good,bad\n1,"' + "x\n" * 100_000),
    _case("with other columns", "csv", "key,question,good,bad\n1,2\n"),
    _case("with one column twice", "csv", "key,key,good,bad\n1,2,3,4\n"),
    _case("with a null byte", "csv", "key,question,good,bad\n1,a\0b,c,d\n", "rows"),
    _case("of a billion nulls", "parquet", table(nulls(200_000_000))),
    _case("of one text 100,000 times", "parquet", table(repeated(1_000_000, 100_000))),
    _case(
        "of a text of 400 MB",
        "parquet",
        table(lambda: {"key": [1], "question": ["x" * 400_000_000]}, compression="zstd"),
    ),
    _case("cut", "parquet", lambda: _PARQUET()[:-20]),
    _case("whose end lies", "parquet", lambda: _PARQUET()[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1"),
    _case(
        "flipped",
        "parquet",
        lambda: bytes(each ^ 0xFF if 4 < index < 60 else each for index, each in enumerate(_PARQUET())),
    ),
    _case("of two marks", "parquet", b"PAR1PAR1"),
    _task("is nested", lambda file: file.write_text("a = " + nested(100_000))),
    _task("is a device", lambda file: put(file, "zero")),
    _task("is a FIFO", lambda file: put(file, "fifo")),
    _task("is no UTF-8", lambda file: file.write_bytes(b'id = "\xff"')),
    _task("has a number of a million digits", lambda file: file.write_text("n = " + "9" * 1_000_000)),
    _task("is a loop of links", lambda file: put(file, "loop")),
    *(_special_scores(kind) for kind in KINDS_OF_FILE if kind not in ("loop", "dangling")),
    _scores("nested", "jsonl", '{"task": "rm-bench", "id": "a", "scores": ' + nested(100_000) + "}"),
    _scores("of a million digits", "jsonl", '{"task": "rm-bench", "id": "a", "scores": [' + "1" * 1_000_000 + "]}"),
    _scores("that are no UTF-8", "jsonl", b'{"task": "\xff"}'),
    _scores("of one line of 200 MB", "jsonl", lambda: b'{"task": "' + b"x" * 200_000_000),
    _scores("that are a list", "jsonl", "[1]"),
    _scores("of a billion nulls", "parquet", table(nulls(200_000_000))),
    _scores("of one text 100,000 times", "parquet", table(repeated(1_000_000, 100_000))),
    _scores("cut", "parquet", lambda: _PARQUET()[:-20]),
)

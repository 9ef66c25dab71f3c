"""Records whose rows are read a batch at a time: the same rows and verdicts, in memory that does not grow."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from rmbench.boards import show
from rmbench.errors import RmbenchError
from rmbench.gate import compare
from rmbench.metrics.paired.difference import differences
from rmbench.metrics.rows import collection
from rmbench.records import stored, table
from rmbench.records.headline import headline_spec
from rmbench.records.store import find, iter_rows, read, read_rows
from rmbench.records.stored import StoredRows
from rmbench.reports.audit import problems
from tests._make import put_record


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of a few rows, and no table that is held."""
    monkeypatch.setattr(stored, "_HELD", 0)
    monkeypatch.setattr(table, "_BATCH", 7)
    monkeypatch.setattr(collection, "_BATCH", 5)


def record(root: Path, shift: float, count: int = 60, name: str = "org/a") -> Path:
    """Margins that change sign, three rows a prompt, some of them failed, in two groups."""
    margins = [((k * 7919 + 31) % 101) / 101 - shift for k in range(count)]
    groups = [{"domain": "code" if k % 4 else "math"} for k in range(count)]
    clusters = [f"p{(k * 7) % 20}" for k in range(count)]
    return put_record(root, margins, name=name, failed=(3, 17), groups=groups, clusters=clusters)


@pytest.mark.usefixtures("small")
def test_rows_of_a_large_table_are_those_of_the_list(tmp_path: Path) -> None:
    folder = record(tmp_path, 0.4)
    rows = StoredRows(folder, read(folder))
    assert list(rows) == list(rows) == list(iter_rows(folder)) == read_rows(folder)
    assert len(rows) == 60


@pytest.mark.usefixtures("small")
def test_a_comparison_in_batches_is_that_of_the_whole_lists(tmp_path: Path) -> None:
    a, b = record(tmp_path / "a", 0.4), record(tmp_path / "b", 0.55, name="org/b")
    (task,) = compare(tmp_path / "a", tmp_path / "b").tasks
    whole = differences(read_rows(a), read_rows(b), headline_spec(read(a)))
    assert whole is not None
    assert task.comparison is not None
    assert (task.comparison.value_a, task.comparison.difference) == (whole.nested.mean_of_rows(whole.a), whole.mean)
    assert task.comparison.clusters == whole.groups == 20
    assert (task.comparison.b, task.comparison.c) == whole.discordant
    changed = [(row, x, y) for row, x, y in zip(whole.ids, whole.a, whole.b, strict=True) if x != y]
    assert sorted((flip.id, flip.a, flip.b) for flip in task.flips) == sorted(changed)
    assert list(task.flips[1:3]) == [task.flips[1], task.flips[2]] == list(task.flips)[1:3]
    assert len(task.flips) > 5  # of several batches


@pytest.mark.usefixtures("small")
def test_an_audit_in_batches_finds_what_one_of_lists_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [record(tmp_path / name, 0.4, name=f"org/{name}") for name in "ab"]
    assert [problems(folder) for folder in folders] == [[], []]
    wrong = put_record(
        tmp_path / "c",
        [1.0] * 20,
        name="org/c",
        changed={"": {"counts": {"judged": 19, "failed": 1, "unparsed": 0, "truncated": 0, "ties": 0}}},
    )
    found = problems(wrong)
    monkeypatch.setattr(stored, "_HELD", 20_000)
    assert found == problems(wrong) != []


@pytest.mark.usefixtures("small")
def test_a_board_of_large_tables_is_the_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, shift in (("a", 0.2), ("b", 0.5), ("c", 0.8)):
        record(tmp_path / name, shift, name=f"org/{name}")
    file = tmp_path / "pairs.toml"
    file.write_text('id = "pairs"\ntitle = "Pairs"\ntasks = ["pairs"]\nmin_coverage = 0.5\n', "utf-8")
    streamed = show(file, tmp_path, allow=("sample",)).to_dict()
    assert [row["model"] for row in streamed["rows"]] == ["org/a", "org/b", "org/c"]
    monkeypatch.setattr(stored, "_HELD", 20_000)
    assert show(file, tmp_path, allow=("sample",)).to_dict() == streamed


def test_rows_that_the_record_does_not_count_are_an_error_at_the_end(tmp_path: Path) -> None:
    folder = record(tmp_path, 0.4)
    facts = read(folder)
    assert facts.judgments is not None
    more = facts.model_copy(update={"judgments": facts.judgments.model_copy(update={"rows": 61})})
    with pytest.raises(RmbenchError, match=r"judgments\.rows: 61, but judgments\.parquet has 60"):
        list(StoredRows(folder, more))


def read_all(root: Path) -> None:
    for _ in iter_rows(find(root)[0]):
        pass


def peak(call: Callable[[], object]) -> int:
    """Bytes that Python's objects take at most."""
    tracemalloc.start()
    call()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_reading_takes_no_more_memory_for_more_rows_and_comparing_a_few_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_HELD", 0)
    monkeypatch.setattr(table, "_BATCH", 256)
    monkeypatch.setattr(collection, "_BATCH", 256)
    counts = (1_000, 8_000)
    for count in counts:
        for name, shift in (("a", 0.4), ("b", 0.45)):
            record(tmp_path / f"{count}{name}", shift, count, f"org/{name}")
    compare(tmp_path / "1000a", tmp_path / "1000b")  # what is imported and looked up once
    small, large = ((tmp_path / f"{count}a", tmp_path / f"{count}b") for count in counts)
    assert peak(lambda: read_all(large[0])) < 1.2 * peak(lambda: read_all(small[0]))
    more = peak(lambda: compare(*large)) - peak(lambda: compare(*small))
    assert more < 7_000 * 200  # a row as Python objects takes 660 bytes, and there were two

"""Any rows survive the table exactly."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.records.table import read_table, write_table
from rmbench.types import TIE, Edge, Gold, Judged, Judgment, Verdict

words = st.text(max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
statuses: st.SearchStrategy[Any] = st.sampled_from(["ok", "unparsed", "failed"])


@st.composite
def verdicts(draw: st.DrawFn, size: int) -> Verdict:
    candidate = st.integers(0, size - 1)
    shown = tuple(draw(st.lists(candidate, min_size=1, max_size=4)))
    found: tuple[Any, Any] = draw(
        st.one_of(
            st.tuples(st.just("pick"), candidate | st.just(TIE)),
            st.tuples(st.just("ranking"), st.lists(candidate, max_size=4).map(tuple)),
            st.tuples(st.just("rating"), st.integers(-9, 9) | numbers),
            st.tuples(st.just("label"), words),
        )
    )
    kind, value = found
    status = draw(statuses)
    return Verdict(
        shown, kind, value if status == "ok" else None, status, draw(st.integers(0, 99)), draw(st.none() | numbers)
    )


@st.composite
def judged(draw: st.DrawFn) -> Judged:
    size = draw(st.integers(1, 4))

    def vector(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(inner, min_size=size, max_size=size).map(tuple)

    def matrix(columns: int) -> st.SearchStrategy[Any]:
        return vector(st.lists(numbers, min_size=columns, max_size=columns).map(tuple))

    candidate = st.integers(0, size - 1)
    edges = st.builds(Edge, candidate, candidate, numbers, words, words, st.lists(words, max_size=2).map(tuple))
    dimensions = tuple(draw(st.lists(words, max_size=2)))
    gold = Gold(
        relation=tuple(draw(st.lists(edges, max_size=3))),
        ratings=draw(st.just(()) | matrix(len(dimensions))),
        dimensions=dimensions,
        labels=draw(st.dictionaries(words, st.integers(-(2**63), 2**63 - 1), max_size=2)),
    )
    id_ = draw(words)
    judgment = Judgment(
        id=id_,
        rewards=draw(st.none() | vector(numbers)),
        directed=draw(st.none() | matrix(size)),
        parts=draw(st.dictionaries(words, matrix(draw(st.integers(0, 3))), max_size=2)),
        verdicts=tuple(draw(st.lists(verdicts(size), max_size=3))),
        status=draw(statuses),
        error=draw(words),
        lengths=draw(st.just(()) | vector(st.integers(0, 2**40))),
        truncated=draw(st.just(()) | vector(st.booleans())),
    )
    groups = draw(st.dictionaries(words, words, max_size=3))
    weight = draw(st.floats(0, 1e9))
    return Judged(id_, size, gold, judgment, groups, draw(words), weight, draw(words))


@settings(deadline=None, max_examples=60)
@given(st.lists(judged(), max_size=4), st.lists(st.none() | numbers, min_size=4, max_size=4))
def test_rows_survive(rows: list[Judged], credits_: list[float | None]) -> None:
    by_id = {row.id: credit for row, credit in zip(rows, credits_, strict=False)}
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "first.parquet", Path(folder) / "second.parquet"
        write_table(first, rows, by_id)
        found = read_table(first)
        assert repr([row for row, _ in found]) == repr(rows)  # repr tells -0.0 from 0.0 and 1 from 1.0
        assert [credit for _, credit in found] == [by_id[row.id] for row in rows]
        write_table(second, [row for row, _ in found], by_id)
        assert first.read_bytes() == second.read_bytes()


def test_many_row_groups(tmp_path: Path) -> None:
    rows = [
        Judged(str(number), 2, Gold(), Judgment(str(number), rewards=(number / 7, 0.0))) for number in range(20_000)
    ]
    write_table(tmp_path / "table", rows, None)
    assert [row for row, _ in read_table(tmp_path / "table")] == rows
    with pq.ParquetFile(tmp_path / "table") as file:
        assert [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)] == [
            8192,
            8192,
            20_000 - 16_384,
        ]


def test_rows_with_and_without_texts_and_masses_share_a_table(tmp_path: Path) -> None:
    """One judged row of three wrote a text, and another was read by option probabilities."""
    pick = Verdict((0, 1), "pick", 0)
    judgments = [
        Judgment("a", verdicts=(pick,), rationale=("because",)),
        Judgment("b", verdicts=(replace(pick, mass=0.75),)),
        Judgment("c", rewards=(1.0, 0.0)),
    ]
    rows = [Judged(judgment.id, 2, Gold(), judgment) for judgment in judgments]
    rows[1] = replace(rows[1], prompt_sha256="ab" * 32)
    write_table(tmp_path / "table", rows, None)
    assert [row for row, _ in read_table(tmp_path / "table")] == rows

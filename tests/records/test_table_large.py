"""Tables of several row groups: the bytes that one table at once gives, and rows that share what is alike."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmbench.collector import paused
from rmbench.records import table, table_rows
from rmbench.records.table import SCHEMA, read_table, write_table
from rmbench.types import Edge, Gold, Judged, Judgment


def row(number: int, relation: tuple[Edge, ...] = (Edge(0, 1),), **groups: str) -> Judged:
    judgment = Judgment(f"row-{number}", rewards=(number / 7, -1.0), lengths=(3, 4), truncated=(False, True))
    return Judged(judgment.id, 2, Gold(relation), judgment, groups, cluster=f"c{number // 3}")


def test_its_bytes_are_those_of_one_table_written_at_once(tmp_path: Path) -> None:
    rows = [row(number, goal=f"g{number % 5}") for number in range(9000)]
    credits_ = {each.id: float(number % 2) for number, each in enumerate(rows)}
    write_table(tmp_path / "ours.parquet", rows, credits_)
    plain = [table._columns(each, credits_[each.id]) for each in rows]
    whole = pa.Table.from_pylist([{name: each[name] for name in SCHEMA.names} for each in plain], schema=SCHEMA)
    pq.write_table(whole, tmp_path / "whole.parquet", compression="zstd", row_group_size=8192, version="2.6")
    assert (tmp_path / "ours.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert read_table(tmp_path / "ours.parquet") == [(each, credits_[each.id]) for each in rows]


def test_rows_without_anything_keep_their_kinds(tmp_path: Path) -> None:
    rows = [row(0, ()), row(1, (), goal="g"), row(2, (Edge(0, 1, -0.0),)), row(3, (Edge(0, 1, 0.0),)), row(4)]
    write_table(tmp_path / "a.parquet", rows, None)
    back = [judged for judged, _ in read_table(tmp_path / "a.parquet")]
    assert back == rows
    assert [repr(judged.gold) for judged in back] == [repr(judged.gold) for judged in rows]  # -0.0 is not 0.0


@pytest.mark.parametrize("kept", [3, 4096])
def test_what_rows_have_in_common_is_there_once(kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_rows, "_SHARED", kept)
    rows = [row(number, goal=f"g{number % 2}", file=f"f{number // 4}") for number in range(20)]
    write_table(tmp_path / "a.parquet", rows, None)
    back = [judged for judged, _ in read_table(tmp_path / "a.parquet")]
    assert back == rows
    if kept > 20:
        assert back[0].groups is back[2].groups
        assert len({id(each.gold) for each in back}) == 1
        assert len({id(each.judgment.truncated) for each in back}) == 1


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", [], None)
    assert read_table(tmp_path / "a.parquet") == []


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_is_paused_and_then_as_it_was(before: bool) -> None:
    was = gc.isenabled()
    try:
        (gc.enable if before else gc.disable)()
        with contextlib.suppress(ValueError), paused():
            assert not gc.isenabled()
            raise ValueError
        assert gc.isenabled() == before
    finally:
        (gc.enable if was else gc.disable)()

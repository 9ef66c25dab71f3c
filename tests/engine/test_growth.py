"""Streams take no more memory for more rows, and the benchmark of growth measures what it says."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from rmbench.engine import encode
from rmbench.engine.stream import stream
from rmbench.records.store import find, read_rows

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def growth() -> Iterator[Any]:
    sys.path.insert(0, str(BENCHMARKS))
    yield import_module("growth")
    sys.path.remove(str(BENCHMARKS))


def test_a_streams_memory_does_not_grow_with_its_rows(growth: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_WINDOW", 256)
    peaks = []
    for count in (200, 1000, 4000):  # the first is warm-up
        tracemalloc.start()
        assert sum(judgment.status == "ok" for judgment in stream(growth.pairs(count), growth.Cheap())) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 2 * peaks[1]  # of four times the rows; a window or two more may be there at one moment


def test_every_stage_of_the_benchmark_runs(growth: Any, tmp_path: Path) -> None:
    for number in range(growth.RECORDS):
        assert growth.measured("put", 30, tmp_path / str(number)) == {}
    assert [len(read_rows(place)) for place in find(tmp_path)] == [30] * growth.RECORDS
    for stage in growth.STAGES:
        found = growth.measured(stage, 30, tmp_path)
        assert found["seconds"] > 0, stage
        assert found["mb"] >= 0, stage

"""The benchmark of the driver measures every stage that it names, on the sample of a task."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def driver_cost() -> Iterator[Any]:
    sys.path.insert(0, str(BENCHMARKS))
    yield import_module("driver_cost")
    sys.path.remove(str(BENCHMARKS))


def test_every_stage_of_the_benchmark_runs(driver_cost: Any) -> None:
    found = driver_cost.measure("rm-bench", "tiny-bt", 4, 10**9, "sample")
    assert found["tokens a row (no time)"] > 10
    assert {"read", "render", "tokenise", "plan (shared)", "commit", "assemble", "metrics"} <= found.keys()
    assert all(value >= 0 for value in found.values())
    assert found["1,000 tokens encoded a second"] > 0

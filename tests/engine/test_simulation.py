"""Simulated clusters: the real pool loses nothing, keeps many workers busy, and a simulated second is what it says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from rmbench.engine.interfaces import Job
from rmbench.models.protocols import Encoded, Group

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def simulation() -> Iterator[Any]:
    sys.path.insert(0, str(BENCHMARKS))
    yield import_module("simulate")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def windows(simulation: Any) -> Any:
    return simulation.made_windows(16_000)


def test_one_worker_alone_takes_as_long_as_its_jobs(simulation: Any, windows: Any) -> None:
    costs = simulation.Costs(rate=3000, job=0, row=0, token=0, slow_workers=0)
    found = simulation.simulate(windows, 1, costs)
    alone = sum(simulation.seconds(job, costs) for window in windows for job in window.jobs)
    assert found.wall == pytest.approx(alone, rel=0.01)
    assert found.efficiency == pytest.approx(1, rel=0.01)
    assert (found.sent, found.deaths) == (found.jobs, 0)


def test_work_counts_a_shared_prefix_once_and_the_keys_that_are_seen(simulation: Any) -> None:
    job = Job(0, (Encoded("a", 10), Encoded("b", 12), Encoded("c", 5)), (Group(8, 2), Group(0, 1)))
    keys = sum(range(1, 11)) + sum(range(9, 13)) + sum(range(1, 6))
    assert simulation.tokens_and_work(job) == (10 + 4 + 5, pytest.approx(19 + 3.75e-5 * keys))


def test_many_workers_are_kept_busy_and_a_barrier_costs_much(simulation: Any, windows: Any) -> None:
    costs = simulation.Costs(rate=3000, cores=4)
    without = simulation.simulate(windows * 16, 64, costs)
    barrier = simulation.simulate(windows * 16, 64, replace(costs, barrier=True))
    assert 0.97 < without.efficiency <= 1
    assert barrier.efficiency < without.efficiency - 0.2


def test_deaths_lose_nothing_and_cost_what_was_under_way(simulation: Any, windows: Any) -> None:
    costs = simulation.Costs(rate=3000, between_failures=1200, slow_jobs=0.001)
    found = simulation.simulate(windows * 4, 16, costs, seed=3)
    assert found.deaths > 3
    assert found.jobs < found.sent < found.jobs + 10 * found.deaths + 50
    assert 0.6 < found.efficiency < 1
    assert found == simulation.simulate(windows * 4, 16, costs, seed=3)


def test_shards_do_what_one_driver_cannot(simulation: Any, windows: Any) -> None:
    costs = simulation.Costs(rate=30_000, cores=4, slow_workers=0)
    one = simulation.simulate(windows * 32, 256, costs)
    many = simulation.sharded(windows * 32, 256, 16, costs)
    assert many.jobs == one.jobs
    assert many.efficiency > one.efficiency + 0.1

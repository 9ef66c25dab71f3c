"""Batches go into the score cache together, within a second, and whatever ends a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from rmbench.engine import filling as module
from rmbench.engine.filling import Filling
from rmbench.engine.interfaces import EngineOptions
from rmbench.engine.judge import judge

SMALL = EngineOptions(batch_rows=2)


class Cache:
    """Keeps each put by itself."""

    def __init__(self) -> None:
        self.puts: list[dict[str, str]] = []

    def get(self, fingerprint: str, keys: Sequence[str]) -> Mapping[str, str]:
        return {}

    def put(self, fingerprint: str, results: Mapping[str, str]) -> None:
        self.puts.append(dict(results))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in its only item."""
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


def test_quick_batches_are_put_together(clock: list[float], scorer: Any, examples: Any) -> None:
    cache, model = Cache(), scorer()
    judging = judge("t", examples, model, cache=cache, options=SMALL)
    assert len(model.batches) > 2
    (put,) = cache.puts
    assert len(put) == judging.statistics.unique
    assert set(put.values()) == {text for one in _one_by_one(clock, scorer, examples) for text in one.values()}


def _one_by_one(clock: list[float], scorer: Any, examples: Any) -> list[dict[str, str]]:
    """What is put where every batch takes two seconds."""

    class Slow(scorer):  # type: ignore[misc]
        def forward(self, batch: Any) -> Any:
            clock[0] += 2
            return super().forward(batch)

    cache = Cache()
    judge("t", examples, Slow(), cache=cache, options=SMALL)
    return cache.puts


def test_slow_batches_are_put_at_once(clock: list[float], scorer: Any, examples: Any) -> None:
    puts = _one_by_one(clock, scorer, examples)
    assert len(puts) > 2
    assert all(1 <= len(put) <= 2 for put in puts)


def test_what_waits_is_bounded(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 3)
    cache = Cache()
    filling = Filling(cache, "m")
    for number in range(7):
        filling.put({str(number): "x"})
        assert len(cache.puts) == (number + 1) // 3
    filling.flush()
    assert [len(one) for one in cache.puts] == [3, 3, 1]


def test_a_second_after_the_last_commit_a_row_waits_no_longer(clock: list[float]) -> None:
    cache = Cache()
    filling = Filling(cache, "m")
    filling.put({"a": "x"})
    clock[0] += 0.9
    filling.put({"b": "x"})
    assert cache.puts == []
    clock[0] += 0.1
    filling.put({"c": "x"})
    assert [sorted(one) for one in cache.puts] == [["a", "b", "c"]]
    clock[0] += 0.9
    filling.put({"d": "x"})
    assert len(cache.puts) == 1
    filling.flush()
    assert sorted(cache.puts[1]) == ["d"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_whatever_ends_a_run_finished_batches_are_kept(
    clock: list[float], scorer: Any, examples: Any, error: type[BaseException]
) -> None:
    class Stopped(scorer):  # type: ignore[misc]
        def forward(self, batch: Any) -> Any:
            if len(self.batches) == 3:
                raise error
            return super().forward(batch)

    cache, model = Cache(), Stopped()
    options = EngineOptions(batch_rows=2, try_batches=False)
    if error is KeyboardInterrupt:
        with pytest.raises(error):
            judge("t", examples, model, cache=cache, options=options)
    else:
        judge("t", examples, model, cache=cache, options=options)
    (put,) = cache.puts
    assert len(put) == 6


def test_nothing_is_put_where_nothing_was_computed(clock: list[float]) -> None:
    cache = Cache()
    filling = Filling(cache, "m")
    filling.put({})
    filling.flush()
    unkept = Filling(None, "m")
    unkept.put({"a": "x"})
    unkept.flush()
    assert cache.puts == []

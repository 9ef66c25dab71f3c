"""One stream of jobs a task: whatever the order in which results come, the judgments and what is kept are the same."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rmbench.engine import encode
from rmbench.engine.ahead import Ahead
from rmbench.engine.compute import compute
from rmbench.engine.interfaces import EngineOptions, Job, MemoryLedger, Side
from rmbench.engine.judge import Judging, judge
from rmbench.engine.serialization import RowResult
from rmbench.engine.stream import stream
from rmbench.types import Example

SMALL = EngineOptions(batch_rows=3)
REQUESTS = 20  # of a window


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_WINDOW", REQUESTS)


class Shuffled:
    """An executor elsewhere, with so many places; jobs are done in an order drawn from a seed, and `hold` of them wait
    until no other is left."""

    in_process = False

    def __init__(self, places: int, seed: int = 0, hold: Callable[[Job], bool] = lambda job: False) -> None:
        self.places, self.hold = places, hold
        self.random = random.Random(seed)
        self.taken: list[int] = []

    def run(
        self, scorer: Any, jobs: Iterable[Job | None], side: Side
    ) -> Generator[tuple[int, list[RowResult]], None, None]:
        waiting: list[Job] = []
        stream = iter(jobs)
        over = False
        while True:
            while not over and len(waiting) < self.places:
                job = next(stream, self)
                over = job is self
                if not isinstance(job, Job):
                    break
                waiting.append(job)
                self.taken.append(job.index)
            if over and not waiting:
                return
            free = [job for job in waiting if not self.hold(job)]
            if not free and not over:
                time.sleep(0.001)
                continue
            job = self.random.choice(free or waiting)
            waiting.remove(job)
            yield job.index, compute(scorer, job.rows, side, job.groups)


class Ledger(MemoryLedger):
    """Counts what is committed."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: Counter[tuple[str, str, int, tuple[str, ...]]] = Counter()

    def commit(self, task: str, plan_digest: str, index: int, payload: Sequence[str]) -> None:
        self.commits[task, plan_digest, index, tuple(payload)] += 1
        super().commit(task, plan_digest, index, payload)


class Cache(dict[str, str]):
    """A score cache in memory, of one model."""

    def get(self, fingerprint: str, keys: Sequence[str]) -> Mapping[str, str]:  # type: ignore[override]
        return {key: self[key] for key in keys if key in self}

    def put(self, fingerprint: str, results: Mapping[str, str]) -> None:
        self.update(results)


def many(example: Any, count: int = 95) -> list[Example]:
    """With rows that are equal across windows, and some that fail."""
    texts = [("poison" if n % 17 == 3 else "x") * (n % 11 + 1) for n in range(count)]
    return [example(f"e{n}", f"prompt {n % 7}", text, "y" * (n % 5)) for n, text in enumerate(texts)]


def judged(scorer: Any, examples: Sequence[Example], **given: Any) -> Judging:
    poison = {f"prompt {n}\n{'poison' * (k + 1)}": float("nan") for n in range(7) for k in range(11)}
    return judge("task", examples, scorer(poison=poison), options=SMALL, **given)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.integers(1, 40), seed=st.integers(0, 99), cached=st.booleans())
def test_the_order_of_results_does_not_matter(scorer: Any, example: Any, places: int, seed: int, cached: bool) -> None:
    examples = many(example)
    found = []
    for executor in (Shuffled(1), Shuffled(places, seed)):
        ledger, cache = Ledger(), Cache() if cached else None
        judging = judged(scorer, examples, executor=executor, ledger=ledger, cache=cache)
        found.append((judging.judgments, judging.facts(), judging.cached, ledger.commits, cache))
    assert found[0] == found[1]
    assert any(one.status == "failed" for one in found[0][0])
    assert (found[0][2] > 0) == cached


def test_what_a_journal_and_a_cache_hold_is_not_computed_again(scorer: Any, example: Any) -> None:
    examples = many(example)
    ledger, cache = Ledger(), Cache()
    first = judged(scorer, examples, executor=Shuffled(9), ledger=ledger, cache=cache)
    failed = sum(one.status == "failed" for one in first.judgments)
    for stores in ({"ledger": ledger}, {"cache": cache}, {"ledger": ledger, "cache": cache}):
        again = Shuffled(9)
        assert judged(scorer, examples, executor=again, **stores).judgments == first.judgments
        assert 0 < len(again.taken) <= failed  # the failed rows alone


def test_later_windows_do_not_wait_for_a_slow_job(scorer: Any, example: Any) -> None:
    """All other jobs of the task are done before the first one is."""
    order: list[int] = []
    watched = Shuffled(4, hold=lambda job: job.index == 1)
    run = watched.run

    def noted(*given: Any) -> Any:
        for index, results in run(*given):
            order.append(index)
            yield index, results

    watched.run = noted  # type: ignore[method-assign, assignment]
    judging = judged(scorer, many(example), executor=watched)
    assert judging.judgments == judged(scorer, many(example)).judgments
    assert order[-1] == 1
    assert len(order) > 20


def test_at_most_two_windows_are_prepared_before_they_are_asked_for(scorer: Any, example: Any) -> None:
    asked: list[int] = []

    class Slow(scorer):  # type: ignore[misc]
        def forward(self, batch: Any) -> Any:
            time.sleep(0.002)
            return super().forward(batch)

        def encode(self, requests: Any) -> Any:
            asked.append(len(requests))
            return super().encode(requests)

    begun = 0
    for count, _ in enumerate(stream(many(example, 200), Slow(), options=EngineOptions(batch_rows=1))):
        begun = count // (REQUESTS // 2) + 1
        assert len(asked) <= begun + 2 + (count % 10 == 9)
    assert begun == 20


def test_windows_that_need_no_computing_are_handed_over_one_by_one(scorer: Any, example: Any) -> None:
    """All is known already, so no result ever comes; still the rows are not read to their end."""
    examples = many(example, 400)
    cache = Cache()
    list(stream(examples, scorer(), cache=cache))
    taken = 0

    def counted() -> Iterator[Example]:
        nonlocal taken
        for one in examples:
            taken += 1
            yield one

    model = scorer()
    for executor in (None, Shuffled(5)):
        taken = 0
        next(stream(counted(), model, cache=cache, executor=executor))
        assert taken <= 3 * REQUESTS // 2
    assert model.batches == []


def test_progress_of_a_window_follows_that_of_the_one_before(scorer: Any, example: Any, recorder: Any) -> None:
    judging = judged(scorer, many(example), executor=Shuffled(30), progress=recorder)
    encoding, *windows = recorder.stretches
    assert encoding[0] == "task (encoding)"
    assert len(windows) == 10
    assert all(name == "task" and (rows, tokens) == (done, ended) for name, rows, tokens, done, ended in windows)
    assert sum(each[1] for each in windows) == judging.statistics.unique


def test_trials_have_the_model_for_themselves(scorer: Any, example: Any) -> None:
    """A trial may leave something in the modules that a batch of the window before it would read."""
    beside: list[int] = []
    guard = threading.Lock()

    class Threaded(scorer):  # type: ignore[misc]
        threads = 3
        under_way = 0

        def forward(self, batch: Any) -> Any:
            with guard:
                self.under_way += 1
                if threading.current_thread() is threading.main_thread():
                    beside.append(self.under_way)
            time.sleep(0.001)
            try:
                return super().forward(batch)
            finally:
                with guard:
                    self.under_way -= 1

    judging = judge("task", many(example), Threaded(), options=SMALL)
    assert judging.judgments == judge("task", many(example), scorer(), options=SMALL).judgments
    assert len(beside) >= 10
    assert set(beside) == {1}


def test_an_awaited_row_that_fails_is_computed_again(scorer: Any, example: Any) -> None:
    """As it is where the cache is asked for it: failures are not kept there."""
    examples = [example(f"e{n}", "p", "same" if n % 10 == 4 else f"a{n}", f"b{n}") for n in range(40)]
    tries = 0

    class Fails(scorer):  # type: ignore[misc]
        def forward(self, batch: Any) -> Any:
            nonlocal tries
            if any(row.payload == "p\nsame" for row in batch.rows):
                tries += 1
                if tries <= 2:
                    raise ValueError("not now")
            return super().forward(batch)

    options = EngineOptions(batch_rows=1)
    judging = judge("t", examples, Fails(), options=options, cache=Cache(), executor=Shuffled(100, 3))
    assert [one.id for one in judging.judgments if one.status == "failed"] == ["e4", "e14"]
    assert tries == 3
    assert judging.cached == 1  # the fourth window has it from the third


def test_ctrl_c_keeps_what_was_done_in_every_open_window(scorer: Any, example: Any) -> None:
    class Stops(Shuffled):
        def run(self, *given: Any) -> Any:
            for count, done in enumerate(super().run(*given)):
                if count == 12:
                    raise KeyboardInterrupt
                yield done

    ledger, cache = Ledger(), Cache()
    with pytest.raises(KeyboardInterrupt):
        judged(scorer, many(example), executor=Stops(30, 5), ledger=ledger, cache=cache)
    assert ledger.commits
    assert len(cache) >= 12
    again = Shuffled(30)
    resumed = judged(scorer, many(example), executor=again, ledger=ledger, cache=cache)
    assert resumed.judgments == judged(scorer, many(example)).judgments
    assert resumed.resumed_batches > 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, None])
def test_what_nobody_wants_is_not_encoded_to_its_end(
    scorer: Any, example: Any, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | None
) -> None:
    """After Ctrl-C, and where the caller takes no more judgments; a window may take seconds to encode."""
    monkeypatch.setattr(encode, "_ENCODE_ROWS", 1)
    calls = 0

    class Slow(scorer):  # type: ignore[misc]
        def encode(self, requests: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > REQUESTS:
                time.sleep(0.05)
            return super().encode(requests)

        def forward(self, batch: Any) -> Any:
            if error is not None and calls > REQUESTS + 2:
                raise error
            time.sleep(0.02)
            return super().forward(batch)

    judgments = stream(many(example), Slow(), options=EngineOptions(batch_rows=1))
    if error is None:
        next(judgments)
        judgments.close()  # type: ignore[attr-defined]
    else:
        with pytest.raises(error):
            list(judgments)
    assert calls < 2 * REQUESTS


def test_ahead_makes_no_more_than_asked_and_raises_in_place() -> None:
    made: list[int] = []

    def make(item: int) -> int:
        made.append(item)
        if item == 5:
            raise ValueError("five")
        return item * item

    with Ahead(make, iter(range(9)), 2, lambda: None) as ahead:
        assert [ahead.take() for _ in range(3)] == [0, 1, 4]
        time.sleep(0.05)
        assert made == [0, 1, 2, 3, 4]
        assert ahead.ready
        assert [ahead.take(), ahead.take()] == [9, 16]
        with pytest.raises(ValueError, match="five"):
            ahead.take()
    with Ahead(make, iter(()), 2, lambda: None) as none:
        assert none.take() is None

"""The rules of a pool, on a fleet that is a list of events and a clock that is a number."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.engine import encode, places
from rmbench.engine.apart import Question
from rmbench.engine.fleet import Answered, CannotOpen, Died, Event, Opened, Work
from rmbench.engine.interfaces import LOOK_AGAIN, EngineOptions, Job
from rmbench.engine.judge import judge
from rmbench.engine.pool import Pool
from rmbench.engine.serialization import RowResult
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Encoded, Group, ModelFacts

SETTINGS = {"dtype": "bfloat16", "device": "cuda:0", "attn": "sdpa"}
FACTS = ModelFacts("toy", "0", "scalar", settings=SETTINGS, fingerprint="toy")


class Scorer:
    facts = FACTS
    answers = frozenset({"reward"})


def tokens(job: Job) -> float:
    return float(sum(each.size for each in job.rows))


class FakeFleet:
    """Workers whose openings and answers are events in time; behaviour is given by functions."""

    advice = "Is there memory?"

    def __init__(
        self,
        opening: Callable[[int], Event] = lambda worker: Opened("toy", SETTINGS, f"node{worker}"),
        seconds: Callable[[int, Job], float] = lambda worker, job: tokens(job),
        dies: Callable[[int, Job], bool] = lambda worker, job: False,
        open_seconds: float = 3.0,
    ) -> None:
        self.opening, self.seconds, self.dies, self.open_seconds = opening, seconds, dies, open_seconds
        self.now = 0.0
        self.started = 0
        self.queues: dict[int, list[tuple[int, Job]]] = {}
        self.events: list[tuple[float, int, int, Event]] = []
        self.order = itertools.count()
        self.sent: list[tuple[float, int, int]] = []
        """Time, worker, index of the job."""
        self.ended: list[int] = []
        self.asked: list[int] = []
        """Worker of each question."""
        self.answer: Any = "said"
        self.dies_asked = 0
        """How many questions kill their worker."""
        self.deaths = 0
        self.busy = 0.0

    def clock(self) -> float:
        return self.now

    def start(self) -> int:
        self.started += 1
        self.queues[self.started] = []
        self._later(self.open_seconds, self.started, self.opening(self.started))
        return self.started

    def send(self, worker: int, ticket: int, work: Work | Question) -> None:
        if isinstance(work, Question):
            self.asked.append(worker)
            died = work.what == "sharing" and len(self.asked) <= self.dies_asked
            self._later(0.5, worker, Died("signal SIGKILL") if died else Answered(ticket, self.answer))
            return
        self.sent.append((self.now, worker, work.job.index))
        self.queues[worker].append((ticket, work.job))
        if len(self.queues[worker]) == 1:
            self._begin(worker)

    def wait(self, timeout: float) -> Sequence[tuple[int, Event]]:
        if timeout == LOOK_AGAIN:
            time.sleep(0.001)  # whoever makes jobs works in real time, and this clock stands still meanwhile
            return []
        if not self.events or self.events[0][0] > self.now + timeout:
            self.now += timeout
            return []
        self.now, _, worker, event = heapq.heappop(self.events)
        if worker not in self.queues:
            return []
        if isinstance(event, Died | CannotOpen):
            del self.queues[worker]
        elif isinstance(event, Answered) and self.queues[worker] and event.ticket == self.queues[worker][0][0]:
            del self.queues[worker][0]
            if self.queues[worker]:
                self._begin(worker)
        return [(worker, event)]

    def end(self, worker: int) -> None:
        self.ended.append(worker)
        self.queues.pop(worker, None)

    def stop(self) -> None:
        self.ended += self.queues
        self.queues.clear()

    def _later(self, seconds: float, worker: int, event: Event) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.order), worker, event))

    def _begin(self, worker: int) -> None:
        ticket, job = self.queues[worker][0]
        if self.dies(worker, job):
            self.deaths += 1
            self._later(0.1, worker, Died("signal SIGKILL"))
            return
        seconds = self.seconds(worker, job)
        self.busy += seconds
        self._later(seconds, worker, Answered(ticket, [result(row) for row in job.rows]))


def result(row: Encoded) -> RowResult:
    return RowResult({"reward": np.array([row.ids[0]], dtype=np.float32)})


def row(number: int, size: int = 1) -> Encoded:
    return Encoded(str(number), size, (number,) * size)


def jobs(count: int, rows: int = 2, size: int = 1, groups: bool = False) -> list[Job]:
    shape = (Group(0, 1),) * rows if groups else ()
    return [Job(n, tuple(row(n * rows + k, size) for k in range(rows)), shape) for n in range(count)]


class Ran:
    """What a pool gave for jobs."""

    def __init__(self, fleet: FakeFleet, count: int, given: Sequence[Job | None], scorer: Any = Scorer) -> None:
        self.notes: list[str] = []
        self.found: dict[int, list[RowResult]] = {}
        self.order: list[int] = []
        with Pool(fleet, count, self.notes.append, fleet.clock) as pool:
            for index, results in pool.run(scorer(), given, "right"):
                assert index not in self.found, "committed twice"
                self.found[index] = results
                self.order.append(index)

    def check(self, given: Sequence[Job], failed: Sequence[str] = ()) -> None:
        """Every row has its own result, except those that failed."""
        assert self.found.keys() == {job.index for job in given}
        for job in given:
            for each, got in zip(job.rows, self.found[job.index], strict=True):
                assert bool(got.error) == (each.key in failed), each.key
                assert got.error or got.values["reward"][0] == each.ids[0]


def test_all_workers_work_and_each_job_is_done_once() -> None:
    fleet, given = FakeFleet(), jobs(40)
    Ran(fleet, 4, given).check(given)
    assert Counter(index for _, _, index in fleet.sent) == Counter(range(40))
    assert {worker for _, worker, _ in fleet.sent} == {1, 2, 3, 4}
    assert min(at for at, _, _ in fleet.sent) >= fleet.open_seconds  # ready before work
    assert fleet.now == pytest.approx(3 + 40 * 2 / 4)
    assert not fleet.queues  # all were ended


def test_jobs_are_taken_only_while_there_is_room() -> None:
    taken = 0

    def stream() -> Iterator[Job | None]:
        nonlocal taken
        for count, job in enumerate(jobs(40)):
            if count % 5 == 4:
                yield None
            taken += 1
            yield job

    fleet = FakeFleet()
    with Pool(fleet, 3, print, fleet.clock) as pool:
        for done, _ in enumerate(pool.run(Scorer(), stream(), "right")):  # type: ignore[arg-type]
            assert taken <= done + 1 + 2 * 3
    assert taken == 40


def test_a_worker_that_dies_loses_no_row_and_stops_no_other() -> None:
    given = jobs(60)
    dying = {7}

    def dies(worker: int, job: Job) -> bool:
        return job.index in dying and not dying.remove(job.index)  # type: ignore[func-returns-value]

    fleet = FakeFleet(dies=dies, open_seconds=5)
    Ran(fleet, 3, given).check(given)
    sends = Counter(index for _, _, index in fleet.sent)
    died_at, dead = next((at, worker) for at, worker, index in fleet.sent if index == 7)
    assert sends[7] == 2
    assert sum(sends.values()) == 62  # again what was in flight in that worker, and no more
    others = [at for at, worker, _ in fleet.sent if worker != dead and died_at < at < died_at + 7]
    assert len(others) >= 4
    assert fleet.started == 4


def test_only_the_oldest_piece_is_blamed() -> None:
    """A worker has two jobs when it dies; the one behind is sent again together with others, not as a suspect."""
    given = jobs(2)
    first = [0]

    def dies(worker: int, job: Job) -> bool:
        return job.index == 0 and bool(first) and first.pop() == 0

    fleet = FakeFleet(dies=dies)
    Ran(fleet, 1, given).check(given)
    again = [index for _, worker, index in fleet.sent if worker == 2]
    assert again == [0, 1]
    at = {index: at for at, worker, index in fleet.sent if worker == 2}
    assert at[0] < at[1]  # nothing beside the suspect


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_row_that_kills_fails_alone(groups: bool, workers: int) -> None:
    given = jobs(30, rows=12, groups=groups)
    fleet = FakeFleet(dies=lambda worker, job: any(row.key == "101" for row in job.rows))
    ran = Ran(fleet, workers, given)
    ran.check(given, failed=["101"])
    (error,) = (each.error for results in ran.found.values() for each in results if each.error)
    assert error == "the worker process died twice on it (signal SIGKILL)"
    assert fleet.deaths == 4


@settings(max_examples=60, deadline=None)
@given(
    workers=st.integers(1, 6),
    count=st.integers(0, 25),
    poison=st.sets(st.integers(0, 74), max_size=4),
    flaky=st.sets(st.integers(0, 400), max_size=8),
    slow=st.sets(st.integers(0, 25), max_size=2),
)
def test_whatever_dies_every_row_has_its_own_result(
    workers: int, count: int, poison: set[int], flaky: set[int], slow: set[int]
) -> None:
    """Rows that kill, machines that go, jobs that are slow: rows fail only where they kill."""
    given = jobs(count, rows=3)
    begun = itertools.count()

    def dies(worker: int, job: Job) -> bool:
        return any(int(row.key) in poison for row in job.rows) or next(begun) in flaky

    def seconds(worker: int, job: Job) -> float:
        return 500.0 if job.index in slow and worker <= workers else 3.0

    fleet = FakeFleet(dies=dies, seconds=seconds)
    ran = Ran(fleet, workers, given)
    assert ran.found.keys() == {job.index for job in given}
    for job in given:
        for each, got in zip(job.rows, ran.found[job.index], strict=True):
            assert not got.error or int(each.key) in poison or flaky
            assert got.error or got.values["reward"][0] == each.ids[0]
            assert got.error or int(each.key) not in poison


def test_dying_before_ready_is_an_error_of_the_run() -> None:
    for workers in (1, 2, 5):
        fleet = FakeFleet(opening=lambda worker: Died("signal SIGKILL"))
        message = r"^a worker died before it had opened the model \(signal SIGKILL\)\. Is there memory\?$"
        with pytest.raises(RmbenchError, match=message):
            Ran(fleet, workers, jobs(5))
        assert sum(isinstance(event, Died) for *_, event in fleet.events) + 3 >= fleet.started - workers
        assert fleet.started - workers < 3
        assert not fleet.sent


def test_one_death_while_opening_is_tried_again() -> None:
    given = jobs(9)
    fleet = FakeFleet(opening=lambda n: Died("exit code 1") if n == 2 else Opened("toy", SETTINGS, "a"))
    Ran(fleet, 2, given).check(given)
    assert fleet.started == 3


def test_a_worker_that_cannot_open_is_left_out_with_a_note() -> None:
    given = jobs(20)
    fleet = FakeFleet(opening=lambda n: CannotOpen("OSError: no disk", "n2") if n == 2 else Opened("toy", SETTINGS))
    ran = Ran(fleet, 3, given)
    ran.check(given)
    assert ran.notes == ["a worker on n2 cannot open the model and is left out: OSError: no disk"]
    assert fleet.started == 3


def test_where_no_worker_can_open_there_is_one_error() -> None:
    notes: list[str] = []
    fleet = FakeFleet(opening=lambda worker: CannotOpen("OSError: gone", "n"))
    with (
        Pool(fleet, 3, notes.append, fleet.clock) as pool,
        pytest.raises(RmbenchError, match=r"^a worker cannot open the model: OSError: gone$"),
    ):
        list(pool.run(Scorer(), jobs(3), "right"))  # type: ignore[arg-type]
    assert notes == []


@pytest.mark.parametrize(
    ("fingerprint", "changed", "message"),
    [
        ("other", {"dtype": "float32"}, r"fingerprints other and toy\)\. dtype is float32 there and bfloat16 here\."),
        ("toy", {"device": "cpu"}, r"device is cpu there and cuda here\. Say --device where they should agree\."),
        ("other", {}, r"Were its files changed meanwhile\?"),
    ],
)
def test_another_model_is_refused_by_node_and_setting(
    fingerprint: str, changed: Mapping[str, str], message: str
) -> None:
    def opening(worker: int) -> Event:
        return Opened(fingerprint, {**SETTINGS, **changed}, "n2") if worker == 2 else Opened("toy", SETTINGS, "n1")

    with pytest.raises(RmbenchError, match=r"the worker on n2 opened another model than this process on .*" + message):
        Ran(FakeFleet(opening=opening), 2, jobs(5))


@pytest.mark.parametrize("device", ["cuda:3", "cuda (NVIDIA H200)"])
def test_the_number_and_the_name_of_a_device_do_not_count(device: str) -> None:
    given = jobs(3)
    Ran(FakeFleet(opening=lambda n: Opened("toy", {**SETTINGS, "device": device})), 1, given).check(given)


def test_a_late_job_goes_to_a_second_worker_and_the_first_answer_counts() -> None:
    """With what is behind it in the same worker; the late worker gets nothing new and is ended with the run."""
    given = jobs(30)
    fleet = FakeFleet(seconds=lambda worker, job: 10_000.0 if worker == 1 and job.index >= 20 else 2.0)
    Ran(fleet, 2, given).check(given)
    twice = [index for index, times in Counter(index for *_, index in fleet.sent).items() if times > 1]
    assert 1 <= len(twice) <= 2
    assert fleet.now < 120
    assert 1 in fleet.ended


def test_a_late_answer_after_all_counts_once() -> None:
    """The slow worker answers first, or second: no job is committed twice, and its other work goes on."""
    for late in (13.0, 14.5, 40.0):
        given = jobs(60)
        fleet = FakeFleet(seconds=lambda worker, job, late=late: late if job.index == 20 and worker == 1 else 2.0)  # type: ignore[misc]
        Ran(fleet, 2, given).check(given)


def test_a_long_row_is_not_late() -> None:
    given = [*jobs(30), Job(99, (row(999, 200),))]
    fleet = FakeFleet()
    Ran(fleet, 2, given).check(given)
    assert len(fleet.sent) == 31


def test_deaths_are_bounded() -> None:
    fleet = FakeFleet(dies=lambda worker, job: True)
    with pytest.raises(RmbenchError, match=r"workers died 40 times .* signal SIGKILL.*--batch-tokens"):
        Ran(fleet, 2, jobs(100))


def test_after_an_error_a_pool_begins_anew() -> None:
    fleet = FakeFleet()
    with Pool(fleet, 2, print, fleet.clock) as pool:
        abandoned = pool.run(Scorer(), jobs(20), "right")  # type: ignore[arg-type]
        next(abandoned)
        abandoned.close()
        assert sorted(fleet.ended) == [1, 2]
        assert len(list(pool.run(Scorer(), jobs(5), "right"))) == 5  # type: ignore[arg-type]
    assert fleet.started == 4


def test_what_was_heard_when_a_call_ended_is_not_lost() -> None:
    """Several workers open and die at one moment; the caller leaves after the first result."""

    class AtOnce(FakeFleet):
        def wait(self, timeout: float) -> Sequence[tuple[int, Event]]:
            heard = list(super().wait(timeout))
            while heard and self.events and self.events[0][0] <= self.now:
                heard += super().wait(0)
            return heard

    fleet = AtOnce(dies=lambda worker, job: worker in (2, 3) and job.index < 6, seconds=lambda worker, job: 0.1)
    with Pool(fleet, 3, print, fleet.clock) as pool:
        abandoned = pool.run(Scorer(), jobs(6), "right")  # type: ignore[arg-type]
        next(abandoned)
        abandoned.close()
        given = [Job(job.index + 10, job.rows) for job in jobs(9)]
        assert len(list(pool.run(Scorer(), given, "right"))) == 9  # type: ignore[arg-type]


def test_sixty_four_workers_do_not_wait_for_one_another(
    monkeypatch: pytest.MonkeyPatch, scorer: Any, example: Any
) -> None:
    """Through the planner and the engine. With a barrier after each window of 340 jobs, they reach 77%."""
    monkeypatch.setattr(encode, "_WINDOW", 1024)
    random = np.random.default_rng(0)
    sizes = random.lognormal(4.5, 0.6, 4096).astype(int) + 1
    examples = [example(f"e{n}", f"{n} ", "a" * sizes[n], "b" * sizes[-n]) for n in range(4096)]
    speeds = np.where(random.random(65) < 0.02, 0.5, 1.0)
    fleet = FakeFleet(seconds=lambda worker, job: 0.01 + tokens(job) / 3000 / speeds[worker], open_seconds=0.0)

    class Model(scorer):  # type: ignore[misc]
        facts = FACTS

    options = EngineOptions(batch_rows=3, try_batches=False)
    with Pool(fleet, 64, print, fleet.clock) as pool:
        judging = judge("t", examples, Model(), executor=pool, options=options)
    assert len({one.id for one in judging.judgments}) == 4096
    assert len(fleet.sent) > 2600
    assert fleet.busy / (64 * fleet.now) >= 0.95


def test_a_thousand_workers_are_not_all_asked_at_each_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    has_room = vars(places.Place)["has_room"].fget

    def counted(worker: places.Place) -> bool:
        nonlocal asked
        asked += 1
        return bool(has_room(worker))

    monkeypatch.setattr(places.Place, "has_room", property(counted))
    for workers in (10, 200):
        asked, given = 0, jobs(5 * workers)
        Ran(FakeFleet(), workers, given).check(given)
        assert asked <= 12 * workers  # twice for each job, and when they open


def test_a_question_is_put_again_where_its_worker_dies() -> None:
    fleet, notes = FakeFleet(), list[str]()
    fleet.dies_asked = 1
    with Pool(fleet, 3, notes.append, fleet.clock) as pool:
        assert pool.ask(Question("sharing")) == "said"
        assert pool.ask(Question("sharing")) == "said"
    assert len(set(fleet.asked)) == 2
    assert fleet.asked[1] == fleet.asked[2]  # the one whose model has had the trial
    assert notes == ["a worker died (signal SIGKILL); another takes its place and its work"]


def test_a_question_that_kills_twice_is_an_error_and_an_answer_may_be_one() -> None:
    fleet = FakeFleet()
    fleet.dies_asked = 2
    with (
        Pool(fleet, 2, print, fleet.clock) as pool,
        pytest.raises(RmbenchError, match="workers died 2 times while they"),
    ):
        pool.ask(Question("sharing"))
    fleet = FakeFleet()
    fleet.answer = RmbenchError("no template")
    with Pool(fleet, 2, print, fleet.clock) as pool, pytest.raises(RmbenchError, match=r"^no template$"):
        pool.ask(Question("sharing"))


def test_workers_that_alone_open_the_model_speak_as_this_process_would() -> None:
    fleet = FakeFleet(lambda worker: CannotOpen("RmbenchError: x", "n", "folder: no head") if worker else Died(""))
    with Pool(fleet, 2, print, fleet.clock) as pool, pytest.raises(RmbenchError, match=r"^folder: no head$"):
        pool.ask(Question("apart"))


def test_workers_that_alone_open_the_model_are_compared() -> None:
    fleet = FakeFleet(
        lambda worker: Opened("toy", {**SETTINGS, "dtype": ["float16", "float32"][worker % 2]}, f"n{worker}")
    )
    with (
        Pool(fleet, 2, print, fleet.clock) as pool,
        pytest.raises(RmbenchError, match=r"worker on n2 .* on n1 .*dtype is"),
    ):
        deque(map(pool.ask, [Question("apart")] * 5))


@pytest.mark.parametrize("kills", [0, 1])
def test_what_is_asked_while_jobs_are_made_loses_none(kills: int) -> None:
    """Answers and deaths that come meanwhile are not lost, and no job is computed for nothing."""
    fleet, given = FakeFleet(), jobs(30)
    fleet.dies_asked = kills
    with Pool(fleet, 3, print, fleet.clock) as pool:

        def made() -> Iterator[Job]:
            for job in given:
                if job.index % 7 == 3:
                    assert pool.ask(Question("sharing")) == "said"
                yield job

        found = dict(pool.run(Scorer(), made(), "right"))  # type: ignore[arg-type]
    assert {index: [float(each.values["reward"][0]) for each in results] for index, results in found.items()} == {
        job.index: [float(each.ids[0]) for each in job.rows] for job in given
    }
    assert len(fleet.sent) <= len(given) + 2 * kills

"""Workers that hang, on a fleet whose clock is a number: what does nothing is given up, what is slow is waited for."""

from __future__ import annotations

import heapq
import math
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rmbench.engine import overdue, pulse
from rmbench.engine.apart import Question
from rmbench.engine.fleet import Alive, Event, Work
from rmbench.engine.fleet_processes import ProcessFleet
from rmbench.engine.interfaces import Job
from rmbench.engine.judge import judge
from rmbench.engine.pool import Pool
from rmbench.engine.pulse import Pulse
from rmbench.errors import RmbenchError
from tests.engine.test_pool import FakeFleet, Ran, Scorer, jobs
from tests.engine.toy_worker import OpenToy, Toy

HOUR = 3600.0
HANGS = math.inf


class Beating(FakeFleet):
    """A fleet whose workers give a sign of life a minute, as long as `beats` of worker and time says so."""

    def __init__(
        self,
        opens: Callable[[int], float] = lambda worker: 3.0,
        beats: Callable[[int, float], bool] = lambda worker, now: False,
        starts: Callable[[int], bool] = lambda worker: True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.opens, self.beats, self.starts = opens, beats, starts
        self.told: set[int] = set()
        """Workers whose first sign was given."""
        self.hangs_asked: set[int] = set()
        """Workers that never answer a question."""

    def start(self) -> int:
        self.open_seconds = self.opens(self.started + 1)
        number = super().start()
        if self.starts(number):
            self._later(0.0, number, Alive(f"n{number}", 100 + number))
        return number

    def send(self, worker: int, ticket: int, work: Work | Question) -> None:
        if isinstance(work, Question) and worker in self.hangs_asked:
            self.asked.append(worker)
        else:
            super().send(worker, ticket, work)

    def wait(self, timeout: float) -> Sequence[tuple[int, Event]]:
        heard = list(super().wait(timeout))
        for worker, event in list(heard):
            if isinstance(event, Alive):
                heapq.heappush(self.events, (self.now + 60, next(self.order), worker, event))
                if worker in self.told and not self.beats(worker, self.now):
                    heard.remove((worker, event))
                self.told.add(worker)
        return heard


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_that_do_nothing_while_they_open_are_one_error(workers: int) -> None:
    fleet = Beating(opens=lambda worker: HANGS)
    message = (
        r"^a worker cannot open the model: process 10\d on n\d gave no sign of life for 10 minutes while it opened the "
        r"model\. It neither computed nor read: do the disk and the network answer .*\?$"
    )
    with pytest.raises(RmbenchError, match=message):
        Ran(fleet, workers, jobs(3))
    assert 600 < fleet.now < 610
    assert sorted(set(fleet.ended)) == list(range(1, workers + 1))
    assert fleet.started == workers  # another would hang as well


def test_where_this_process_has_no_model_the_error_is_the_same() -> None:
    fleet = Beating(opens=lambda worker: HANGS)
    with Pool(fleet, 2, print, fleet.clock) as pool, pytest.raises(RmbenchError, match=r"^process 102 on n2 gave no"):
        pool.ask(Question("apart"))


def test_one_that_hangs_while_it_opens_is_left_out() -> None:
    fleet, given = (
        Beating(opens=lambda worker: HANGS if worker == 2 else 3.0, seconds=lambda worker, job: 50.0),
        jobs(60),
    )
    ran = Ran(fleet, 3, given)
    ran.check(given)
    (note,) = ran.notes
    assert note.startswith("a worker on n2 cannot open the model and is left out: process 102 on n2 gave no sign of")
    assert fleet.started == 3


def test_a_model_that_takes_hours_is_waited_for_while_it_is_read() -> None:
    fleet, given = Beating(opens=lambda worker: 5 * HOUR, beats=lambda worker, now: now < 5 * HOUR), jobs(3)
    ran = Ran(fleet, 2, given)
    ran.check(given)
    assert (ran.notes, fleet.started) == ([], 2)


def test_one_that_stops_reading_is_given_up_ten_minutes_later() -> None:
    fleet = Beating(opens=lambda worker: HANGS, beats=lambda worker, now: now < HOUR)
    with pytest.raises(RmbenchError, match="no sign of life for 10 minutes while it opened"):
        Ran(fleet, 1, jobs(3))
    assert HOUR < fleet.now - 600 + 60 < HOUR + 70


def test_a_question_that_hangs_is_put_to_another_worker() -> None:
    fleet, notes = Beating(), list[str]()
    fleet.hangs_asked = {1, 2}
    with Pool(fleet, 2, notes.append, fleet.clock) as pool:
        fleet.hangs_asked = {1}
        assert pool.ask(Question("sharing")) == "said"
        assert pool.ask(Question("sharing")) == "said"
    assert fleet.asked[0] == 1
    assert fleet.asked[1] == fleet.asked[2] != 1
    (note,) = notes
    assert note == (
        "a worker died (process 101 on n1 gave no sign of life for 10 minutes while it tried the model out); another "
        "takes its place and its work"
    )


def test_a_question_that_hangs_twice_is_one_error() -> None:
    fleet = Beating()
    fleet.hangs_asked = {1, 2, 3, 4}
    with (
        Pool(fleet, 2, print, fleet.clock) as pool,
        pytest.raises(RmbenchError, match=r"^workers died 2 times while they tried the model out \(process 10\d on n"),
    ):
        pool.ask(Question("sharing"))
    assert fleet.now < 1300


@pytest.mark.parametrize("workers", [1, 3])
def test_a_job_that_hangs_once_is_computed_by_another_worker(workers: int) -> None:
    given, hung = jobs(20), {4}

    def seconds(worker: int, job: Job) -> float:
        return HANGS if job.index in hung and not hung.remove(job.index) else 2.0  # type: ignore[func-returns-value]

    fleet = Beating(seconds=seconds)
    ran = Ran(fleet, workers, given)
    ran.check(given)
    if workers == 1:  # else it is late first, another has it, and the run ends without the one that hangs
        (note,) = ran.notes
        assert "process 101 on n1 gave no sign of life for 10 minutes while it computed a batch of 2 rows" in note
    assert fleet.now < 1300


@pytest.mark.parametrize("workers", [1, 2])
def test_a_row_on_which_workers_hang_fails_alone(workers: int) -> None:
    given = jobs(12, rows=5)
    fleet = Beating(seconds=lambda worker, job: HANGS if any(row.key == "17" for row in job.rows) else 2.0)
    ran = Ran(fleet, workers, given)
    ran.check(given, failed=["17"])
    (error,) = (each.error for results in ran.found.values() for each in results if each.error)
    hung = r"(gave no sign of life for|did not come to an end in) 10 minutes while it computed a batch of 1 row"
    assert re.fullmatch(rf"the worker process died twice on it \(process 10\d on n\d {hung}\)", error)


def test_a_batch_that_takes_hours_is_waited_for_while_it_is_computed() -> None:
    fleet, given = Beating(seconds=lambda worker, job: 3 * HOUR, beats=lambda worker, now: True), jobs(3)
    ran = Ran(fleet, 1, given)
    ran.check(given)
    assert (ran.notes, len(fleet.sent)) == ([], 3)


def test_a_batch_that_never_ends_is_given_up_however_busy_its_worker_is() -> None:
    """It would take 2 s, by what others took."""
    given, hung = jobs(20), {14}

    def seconds(worker: int, job: Job) -> float:
        return HANGS if job.index in hung and not hung.remove(job.index) else 2.0  # type: ignore[func-returns-value]

    fleet = Beating(seconds=seconds, beats=lambda worker, now: True)
    ran = Ran(fleet, 1, given)
    ran.check(given)
    (note,) = ran.notes
    assert "process 101 on n1 did not come to an end in 10 minutes while it computed a batch of 2 rows" in note


def test_a_long_batch_is_not_given_up_for_a_hundred_short_ones() -> None:
    pace = overdue.Pace()
    for _ in range(20):
        pace.add(100, 2.0)
    assert pace.is_late(1000, 100.1)
    assert not pace.is_late(1000, 99.9)
    assert not pace.is_lost(1000, 1999.9)
    assert pace.is_lost(1000, 2000.1)
    assert not pace.is_lost(100, 599.0)


def test_workers_with_nothing_to_do_are_silent() -> None:
    fleet = Beating(seconds=lambda worker, job: 500.0)
    with Pool(fleet, 2, print, fleet.clock) as pool:
        for start in (0, 10):
            given = [Job(start + job.index, job.rows) for job in jobs(4)]
            assert len(list(pool.run(Scorer(), given, "right"))) == 4  # type: ignore[arg-type]
            fleet.now += 5 * HOUR
        pool.ask(Question("sharing"))
    assert fleet.started == 2


def test_workers_that_wait_for_room_in_a_cluster_are_told_of_and_waited_for() -> None:
    """Worker 2 starts after two hours, worker 3 never."""
    fleet = Beating(
        opens=lambda worker: {1: 3.0, 2: 2 * HOUR}.get(worker, HANGS),
        starts=lambda worker: worker == 1,
        seconds=lambda worker, job: 500.0,
    )
    given = jobs(40)
    ran = Ran(fleet, 3, given)
    ran.check(given)
    (note,) = ran.notes
    assert note.startswith("2 of 3 workers have not started: there is no room for them in the cluster now. They join")
    assert {worker for _, worker, _ in fleet.sent} == {1, 2}


def test_a_pulse_is_work_or_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    done = {"at": 0.0, "seconds": 0.0, "bytes": 0}
    monkeypatch.setattr(pulse, "_done", lambda: tuple(done.values()))
    beat = Pulse()
    for seconds, read, expected in [(0.1, 900, False), (3.1, 0, True), (0.0, 1_000_001, True), (2.9, 999_999, False)]:
        done["at"] += 60
        done["seconds"] += seconds
        done["bytes"] += read
        assert beat.beats() is expected


def test_the_pulse_of_this_process() -> None:
    beat = Pulse()
    time.sleep(0.2)
    assert not beat.beats()
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert beat.beats()
    stop = threading.Event()
    thread = threading.Thread(target=lambda: [sum(range(10_000)) for _ in iter(stop.is_set, True)])
    thread.start()  # of any of its threads
    time.sleep(0.2)
    stop.set()
    thread.join()
    assert beat.beats()


class Busy(Toy):
    """Computes for five seconds."""

    def forward(self, batch: Any) -> dict[str, Any]:
        until = time.monotonic() + 5
        while "BUSY" in str(batch.rows[0].payload) and time.monotonic() < until:
            pass
        return super().forward(batch)


class OpensSlowly(OpenToy):
    """Hangs, or opens what computes for five seconds, as its folder says."""

    def __call__(self) -> Toy:
        time.sleep(1000 if self.marks == "hangs" else 0)
        return Busy()


def set_silence(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    for module in ("overdue", "pool"):
        monkeypatch.setattr(f"rmbench.engine.{module}.SILENT", seconds)


def test_a_process_that_hangs_while_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    set_silence(monkeypatch, 2.0)
    began = time.monotonic()
    with (
        Pool(ProcessFleet(OpensSlowly("hangs"), 1), 1, note=print) as pool,
        pytest.raises(RmbenchError, match=r"^process \d+ on .* gave no sign of life .* while it opened the model\. It"),
    ):
        pool.ask(Question("apart"))
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("busy", [True, False])
def test_a_process_that_is_busy_is_told_from_one_that_was_stopped(
    monkeypatch: pytest.MonkeyPatch, example: Any, busy: bool
) -> None:
    """Both answer nothing for longer than a worker may be silent."""
    monkeypatch.setattr("rmbench.engine.fleet_processes.BEAT", 0.3)
    notes, examples = list[str](), [example("e0", "BUSY" if busy else "idle", "a", "b")]

    def note(line: str) -> None:
        notes.append(line)
        set_silence(monkeypatch, 600)  # the next one opens

    fleet = ProcessFleet(OpensSlowly("busy"), 1)
    with Pool(fleet, 1, note) as pool:
        pool.ask(Question("sharing"))  # now it is open
        set_silence(monkeypatch, 2.0 if busy else 4.0)
        (process,) = fleet._processes.values()
        if not busy:
            os.kill(process.pid, signal.SIGSTOP)
        judging = judge("t", examples, Toy(), executor=pool)
    assert [one.status for one in judging.judgments] == ["ok"]
    if busy:
        assert notes == []
    else:
        (line,) = notes
        assert f"process {process.pid} on" in line

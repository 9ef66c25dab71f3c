"""What many workers would reach: the real planner's chunks and the real pool of workers, with workers that compute
nothing and a clock that is only counted.

    python benchmarks/simulate.py                              # rows of made lengths
    RMBENCH_DATA=FOLDER python benchmarks/simulate.py --real    # RM-Bench and RMB, by tiny-bt's tokenizer
    python benchmarks/simulate.py --workers 64 --rate 3000 --hours-between-failures 2

A figure is work / (speed of all workers x wall clock) from when the workers have opened the model, which takes 20 s, in
which the driver begins to encode. A job takes 10 ms and (tokens + 3.75e-5 x visible keys) / rate, give or take 3%: an
8B model's attention against its other work. 2% of the workers run at half speed. A driver encodes windows of 8,192
requests, at most two ahead of the one that is being sent, and spends time on every job, row and token. Each shard has a
driver of its own, and rows by the hash of their prompt.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rmbench.engine.fleet import Answered, Died, Event, Opened, Work
from rmbench.engine.interfaces import Job
from rmbench.engine.plan import plan
from rmbench.engine.pool import Pool
from rmbench.engine.serialization import RowResult
from rmbench.models.protocols import Encoded, ModelFacts

BUDGET = 16_384
"""Tokens of a chunk, as on a GPU."""
WINDOW = 8192
AHEAD = 2
KEYS = 3.75e-5
"""Work per visible key, in tokens: 0.524 of 13,960 MFLOP, of an 8B model."""
JOB_SECONDS = 0.01
PROMPT_ROWS = 3
"""Rows that a prompt has, about: how unequal shards become."""


@dataclass(frozen=True)
class Window:
    """Requests that are encoded and planned together."""

    jobs: tuple[Job, ...]
    asked: int
    """Tokens of all of them."""


@dataclass(frozen=True)
class Costs:
    """What a driver and its workers cost, and what happens to them."""

    rate: float = 30_000
    """Tokens that a worker computes in a second."""
    job: float = 1e-3
    """Driver's seconds for a job: pickled, sent, received, committed."""
    row: float = 30e-6
    token: float = 0.45e-6
    """Of encoding on one core, a token asked."""
    cores: int = 1
    """That encode."""
    slow_workers: float = 0.02
    slow_jobs: float = 0.0
    """Share of jobs that take twenty times as long."""
    between_failures: float = math.inf
    """Mean seconds until a worker dies."""
    opens: float = 20.0
    """Seconds that a worker takes to open the model at the start, while the driver encodes."""
    noticed: float = 15.0
    reopened: float = 120.0
    barrier: bool = False
    """Whether a window is sent only when all before it are done, as it was once."""


@dataclass(frozen=True)
class Outcome:
    """Of a simulated run."""

    efficiency: float
    wall: float
    sent: int
    """Jobs sent, those that were sent again or to a second worker counted each time."""
    jobs: int
    deaths: int


@dataclass
class _Machine:
    """A simulated worker."""

    speed: float
    free: float
    """When it has done what it holds."""
    dies: float
    queue: list[tuple[float, int]] = field(default_factory=list)
    """When each piece is done, and its ticket."""


class SimulatedFleet:
    """A `Fleet` whose seconds are counted."""

    advice = ""

    def __init__(self, costs: Costs, workers: int, seed: int) -> None:
        self.now = 0.0
        self.sent = self.deaths = 0
        self.speeds: list[float] = []
        self._costs = costs
        self._draw = random.Random(seed)
        self._first = workers
        self._machines: dict[int, _Machine] = {}
        self._events: list[tuple[float, int, int, Event]] = []
        self._order = itertools.count()
        self._numbers = itertools.count(1)
        self._result = RowResult()

    def start(self) -> int:
        """The first ones find the model's files at hand."""
        number, costs = next(self._numbers), self._costs
        opened = self.now + (costs.opens if number <= self._first else costs.reopened)
        if number <= self._first:
            self.speeds.append(0.5 if self._draw.random() < costs.slow_workers else 1.0)
            speed = self.speeds[-1]
        else:
            speed = 1.0
        life = self._draw.expovariate(1 / costs.between_failures) if costs.between_failures < math.inf else math.inf
        self._machines[number] = _Machine(speed, opened, opened + life)
        self._tell(opened, number, Opened("simulated"))
        if life < math.inf:
            self._tell(opened + life + costs.noticed, number, Died("signal SIGKILL"))
        return number

    def send(self, worker: int, ticket: int, work: Work) -> None:
        """Half of a job's cost to the driver is sending it."""
        self._spend(work.job)
        self.sent += 1
        machine = self._machines[worker]
        begun = max(self.now, machine.free)
        slow = 20 if self._draw.random() < self._costs.slow_jobs else 1
        machine.free = (
            begun + seconds(work.job, self._costs) * self._draw.lognormvariate(0, 0.03) * slow / machine.speed
        )
        if machine.free <= machine.dies:
            self._tell(machine.free, worker, Answered(ticket, [self._result] * len(work.job.rows)))

    def wait(self, timeout: float) -> Sequence[tuple[int, Event]]:
        """The next thing that happens; the driver may be late for it."""
        until = self.now + timeout
        while self._events and self._events[0][0] <= until:
            when, _, worker, event = heapq.heappop(self._events)
            if worker not in self._machines:
                continue  # it was ended
            self.now = max(self.now, when)
            if isinstance(event, Answered):
                self.now += self._costs.job / 2 + len(event.results) * self._costs.row / 2  # type: ignore[arg-type]
            if isinstance(event, Died):
                self.deaths += 1
                del self._machines[worker]
            return [(worker, event)]
        self.now = until
        return []

    def end(self, worker: int) -> None:
        """Nothing is heard of it."""
        self._machines.pop(worker, None)

    def stop(self) -> None:
        """All of them."""
        self._machines.clear()

    def _spend(self, job: Job) -> None:
        self.now += self._costs.job / 2 + len(job.rows) * self._costs.row / 2

    def _tell(self, when: float, worker: int, event: Event) -> None:
        heapq.heappush(self._events, (when, next(self._order), worker, event))


class _Scorer:
    """Whatever the pool asks of one."""

    facts = ModelFacts("simulated", "0", "scalar", fingerprint="simulated")
    answers = frozenset({"reward"})


def tokens_and_work(job: Job) -> tuple[int, float]:
    """Tokens computed, and the work of them with the keys that they see, both in tokens."""
    tokens = keys = 0.0
    at = 0
    for group in job.groups:
        own = [row.size - group.prefix for row in job.rows[at : at + group.rows]]
        at += group.rows
        tokens += group.prefix + sum(own)
        keys += group.prefix * (group.prefix + 1) / 2 + sum(n * group.prefix + n * (n + 1) / 2 for n in own)
    return int(tokens), tokens + KEYS * keys


def seconds(job: Job, costs: Costs) -> float:
    """Of a job on a worker of full speed."""
    return JOB_SECONDS + tokens_and_work(job)[1] / costs.rate


def simulate(windows: Sequence[Window], workers: int, costs: Costs, seed: int = 0) -> Outcome:
    """One driver with its workers."""
    fleet = SimulatedFleet(costs, workers, seed)
    done: list[int] = []

    def jobs() -> Iterator[Job | None]:
        encoded = 0.0  # when the last window was
        begun: list[float] = []
        sent = 0
        for number, window in enumerate(windows):
            earliest = begun[number - AHEAD - 1] if number > AHEAD else 0.0
            encoded = max(encoded, earliest) + window.asked * costs.token / costs.cores
            while fleet.now < encoded or (costs.barrier and len(done) < sent):
                yield None
            begun.append(fleet.now)
            for job in window.jobs:
                sent += 1
                yield replace(job, index=sent)

    scorer: Any = _Scorer()
    with Pool(fleet, workers, lambda line: None, lambda: fleet.now) as pool:
        for index, _ in pool.run(scorer, jobs(), "right"):
            done.append(index)
    whole = [job for window in windows for job in window.jobs]
    work = sum(seconds(job, costs) for job in whole)
    wall = fleet.now - costs.opens
    return Outcome(work / (sum(fleet.speeds) * wall), wall, fleet.sent, len(whole), fleet.deaths)


def sharded(windows: Sequence[Window], workers: int, shards: int, costs: Costs, seed: int = 0) -> Outcome:
    """A driver for each shard, with its part of the workers; the last one to be done counts."""
    if shards == 1:
        return simulate(windows, workers, costs, seed)
    draw = random.Random(seed)
    jobs = [job for window in windows for job in window.jobs]
    draw.shuffle(jobs)
    asked = sum(window.asked for window in windows) / len(jobs)
    prompts = sum(len(job.rows) for job in jobs) / PROMPT_ROWS
    part = prompts / shards
    shares = [max(0.1, draw.gauss(part, math.sqrt(part))) for _ in range(shards)]
    cuts = [round(len(jobs) * upto / sum(shares)) for upto in itertools.accumulate(shares, initial=0.0)]
    a_window = max(1, len(jobs) // len(windows))
    outcomes = []
    for shard, (start, stop) in enumerate(itertools.pairwise(cuts)):
        own = jobs[start:stop]
        parts = [tuple(own[at : at + a_window]) for at in range(0, len(own), a_window)]
        outcomes.append(
            simulate([Window(each, int(asked * len(each))) for each in parts], workers // shards, costs, seed + shard)
        )
    wall = max(each.wall for each in outcomes)
    mean = sum(each.efficiency * each.wall for each in outcomes) / len(outcomes) / wall
    return Outcome(mean, wall, sum(each.sent for each in outcomes), len(jobs), sum(each.deaths for each in outcomes))


def planned(encoded: Sequence[Encoded], budget: int = BUDGET) -> Window:
    """A window as the planner cuts it, its rows without their tokens."""
    made = plan(encoded, budget, share=True)
    jobs = tuple(
        Job(0, tuple(_light(encoded[made.first[row]]) for row in chunk.rows), chunk.groups) for chunk in made.chunks
    )
    return Window(jobs, made.statistics.asked_tokens)


def _light(entry: Encoded) -> Encoded:
    return Encoded(entry.key, entry.size)


def made_windows(rows: int, seed: int = 0) -> list[Window]:
    """Two to six answers of some 250 tokens to prompts of some 200, the longest of thousands."""
    draw = random.Random(seed)
    encoded: list[Encoded] = []
    windows = []
    while rows > 0:
        number = draw.randrange(10**9)
        prompt = tuple((number + place) % 50_000 for place in range(_length(draw, 200)))
        for answer in range(draw.randint(2, 6)):
            start = draw.randrange(10**9)
            ids = prompt + tuple((start + place) % 50_000 for place in range(_length(draw, 250)))
            encoded.append(Encoded(f"{number}/{answer}/{start}", len(ids), ids))
            rows -= 1
        if len(encoded) >= WINDOW or rows <= 0:
            windows.append(planned(encoded))
            encoded = []
    return windows


def _length(draw: random.Random, median: int) -> int:
    return min(20_000, max(17, int(draw.lognormvariate(math.log(median), 0.9))))


def real_windows(tasks: Sequence[str] = ("rm-bench", "rmb-bon", "rmb-pairwise")) -> list[Window]:
    """The rows of these tasks by tiny-bt's tokenizer, none of them cut off."""
    from rmbench.engine.encode import encode_window, windows_of
    from rmbench.engine.interfaces import SilentProgress
    from rmbench.models.open import open_model
    from rmbench.models.options import OpenOptions
    from rmbench.tasks.registry import get
    from rmbench.tasks.sources import load

    scorer: Any = open_model("tiny-bt", OpenOptions(max_length=10**6))
    windows = []
    for task in tasks:
        for examples in windows_of(load(get(task)).examples, pairs=False):
            window = encode_window(examples, scorer, "chat", "", SilentProgress())
            windows.append(planned([entry for entry in window.encoded if not entry.error]))
    return windows


def main() -> None:
    """The tables, or one run."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--real", action="store_true", help="rows of RM-Bench and RMB, below RMBENCH_DATA")
    arguments.add_argument("--rows", type=int, default=1_000_000, help="about how many; those there are, repeated")
    arguments.add_argument("--rate", type=float, action="append", help="tokens a second and worker [30000 and 3000]")
    arguments.add_argument("--workers", type=int, action="append", help="[8, 64, 256 and 1024]")
    arguments.add_argument("--workers-per-shard", type=int, default=64)
    arguments.add_argument("--hours-between-failures", type=float, default=0, help="of a worker; 0: none fails")
    arguments.add_argument("--slow-jobs", type=float, default=0.0, help="share of jobs that take twenty times as long")
    arguments.add_argument("--cores", type=int, default=4, help="that encode, of each driver")
    given = arguments.parse_args()
    base = real_windows() if given.real else made_windows(40_000)
    rows = sum(len(job.rows) for window in base for job in window.jobs)
    windows = base * max(1, round(given.rows / rows))
    jobs = sum(len(window.jobs) for window in windows)
    print(f"{rows * (len(windows) // len(base)):,} rows in {jobs:,} jobs")
    print("tokens/s  workers  one driver  with a barrier  shards  sharded  sent again  deaths")
    failures = 3600 * given.hours_between_failures or math.inf
    for rate in given.rate or (3_000, 30_000):
        costs = Costs(rate=rate, between_failures=failures, slow_jobs=given.slow_jobs, cores=given.cores)
        for workers in given.workers or (8, 64, 256, 1024):
            shards = max(1, workers // given.workers_per_shard)
            one = simulate(windows, workers, costs)
            barrier = simulate(windows, workers, replace(costs, barrier=True))
            many = sharded(windows, workers, shards, costs) if shards > 1 else one
            again = many.sent - many.jobs
            print(
                f"{rate:8,.0f}  {workers:7,}  {one.efficiency:10.3f}  {barrier.efficiency:14.3f}  {shards:6}  "
                f"{many.efficiency:7.3f}  {again:10,}  {many.deaths:6,}",
                flush=True,
            )


if __name__ == "__main__":
    main()

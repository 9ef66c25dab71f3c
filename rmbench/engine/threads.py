"""Jobs in this process: one after the other, or several at once where the model says that it pays."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from rmbench.engine.compute import compute
from rmbench.engine.interfaces import Job, Side
from rmbench.engine.serialization import RowResult
from rmbench.models.protocols import ParallelScorer, Scorer

__all__ = ["ThreadExecutor"]


class ThreadExecutor:
    """As many threads as a `ParallelScorer` has; for other scorers the caller's own thread."""

    def run(self, scorer: Scorer, jobs: Sequence[Job], side: Side) -> Iterator[tuple[int, list[RowResult]]]:
        """As `Executor` says. An exception of a job ends the run, as does Ctrl-C; jobs under way are waited for."""
        threads = min(scorer.threads if isinstance(scorer, ParallelScorer) else 1, len(jobs))
        if threads <= 1:
            for job in jobs:
                yield job.index, compute(scorer, job.rows, side, job.groups)
            return
        pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="scorer")
        waiting = iter(jobs)
        under_way: dict[Future[list[RowResult]], int] = {}
        try:
            while True:
                for job in itertools.islice(waiting, 2 * threads - len(under_way)):
                    under_way[pool.submit(compute, scorer, job.rows, side, job.groups)] = job.index
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    yield under_way.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

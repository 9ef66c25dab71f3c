"""Calls in threads of this process: batches of a scorer that may compute several at once, questions to a judge."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TypeVar

from rmbench.engine.compute import compute
from rmbench.engine.interfaces import LOOK_AGAIN, Job, Side
from rmbench.engine.serialization import RowResult
from rmbench.models.protocols import DecodingScorer, Encoded, ParallelScorer, Scorer

__all__ = ["ThreadExecutor", "in_threads"]

_DECODERS = max(2, min(4, os.cpu_count() or 2))
"""Threads that decode media; decoders work without Python's lock, and a batch's pixels are held for each."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class ThreadExecutor:
    """As many threads as a `ParallelScorer` has; for other scorers the caller's own thread, with media decoded ahead in
    others."""

    in_process = True

    def run(
        self, scorer: Scorer, jobs: Iterable[Job | None], side: Side
    ) -> Generator[tuple[int, list[RowResult]], None, None]:
        """An exception of a job ends the run, as does Ctrl-C; jobs under way are waited for."""
        threads = scorer.threads if isinstance(scorer, ParallelScorer) else 1
        if threads <= 1 and isinstance(scorer, DecodingScorer):
            yield from _decoded_ahead(scorer, jobs, side)
            return

        def results(job: Job) -> list[RowResult]:
            return compute(scorer, job.rows, side, job.groups)

        for job, done in in_threads(results, jobs, threads, queued=2 * threads, wait_at_end=True):
            yield job.index, done


def _decoded_ahead(
    scorer: DecodingScorer, jobs: Iterable[Job | None], side: Side
) -> Generator[tuple[int, list[RowResult]], None, None]:
    """Jobs computed one after another, the media of the next ones being decoded meanwhile."""

    def decoded(job: Job) -> tuple[Encoded, ...]:
        return scorer.decoded(job.rows)

    for job, rows in in_threads(decoded, jobs, _DECODERS, queued=_DECODERS + 1, wait_at_end=True):
        yield job.index, compute(scorer, rows, side, job.groups)


def in_threads(
    call: Callable[[Item], Result], items: Iterable[Item | None], threads: int, *, queued: int, wait_at_end: bool
) -> Iterator[tuple[Item, Result]]:
    """Items with what a call gives for each, in the order in which calls end.

    Args:
        call: made from several threads at once; with one thread or none, from the caller's own.
        items: its arguments, one a call; None where none is ready yet, while calls are under way.
        threads: how many.
        queued: how many items the threads hold at a time, those under way included.
        wait_at_end: whether calls under way are waited for when another one raises, or on Ctrl-C.
    """
    if threads <= 1:
        for item in items:
            if item is not None:
                yield item, call(item)
        return
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="rmbench")
    waiting = iter(items)
    under_way: dict[Future[Result], Item] = {}
    ended: SimpleQueue[Future[Result]] = SimpleQueue()  # to wait for one of many futures takes a time for each of them
    try:
        while True:
            none_ready = False
            for item in itertools.islice(waiting, queued - len(under_way)):
                if none_ready := item is None:
                    break
                future = pool.submit(call, item)
                under_way[future] = item
                future.add_done_callback(ended.put)
            if not under_way:
                return
            timeout = LOOK_AGAIN if none_ready else None
            try:
                future = ended.get(timeout=timeout)
            except Empty:
                continue
            yield under_way.pop(future), future.result()
    finally:
        pool.shutdown(wait=wait_at_end, cancel_futures=True)

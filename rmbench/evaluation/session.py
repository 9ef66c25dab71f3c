"""What a run works with besides model and rows: the journal, the score cache, and where batches are computed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmbench.errors import RmbenchError
from rmbench.evaluation.options import RunOptions

if TYPE_CHECKING:
    from rmbench.engine.interfaces import Executor, Progress, ScoreCache
    from rmbench.models.protocols import Responder, Scorer
    from rmbench.records.journal import Journal

    Opener = Callable[[], Scorer | Responder]

__all__ = ["Work", "work_with"]


@dataclass(frozen=True, slots=True)
class Work:
    """Handed down from the run to every task and split."""

    settings: RunOptions
    journal: Journal
    progress: Progress
    cache: ScoreCache | None = None
    executor: Executor | None = None
    """None: in this process."""


@contextlib.contextmanager
def work_with(
    settings: RunOptions, journal: Journal, progress: Progress, opener: Opener | None = None
) -> Iterator[Work]:
    """The means of one run, released at its end.

    Args:
        settings: whether the cache is used, and how many worker processes there are.
        journal: open already.
        progress: told of the work.
        opener: opens the model in a worker process; None for a model that exists in this process alone.

    Raises:
        RmbenchError: the cache cannot be opened, or workers are asked of a model that cannot be opened in them.
    """
    from rmbench.engine.cache import open_cache

    with contextlib.ExitStack() as stack:
        cache = stack.enter_context(open_cache(use=settings.cache))
        executor = None
        if settings.workers > 1:
            from rmbench.engine.workers import Workers

            if opener is None:
                raise RmbenchError("--workers: each worker opens the model itself, so it must be given by its name.")
            executor = stack.enter_context(Workers(opener, settings.workers))
        yield Work(settings, journal, progress, cache, executor)

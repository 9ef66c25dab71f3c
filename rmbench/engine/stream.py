"""Streaming: examples in, judgments out, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from rmbench.engine.helpers import Helpers
from rmbench.engine.interfaces import EngineOptions, Executor, Progress, ScoreCache, SilentProgress
from rmbench.engine.prepare import Scoring
from rmbench.engine.score import score
from rmbench.engine.threads import ThreadExecutor
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Scorer
from rmbench.types import Example, Judgment

__all__ = ["stream"]


class _NoLedger:
    """A ledger that stores nothing, since the caller has every judgment already."""

    def done(self, task: str, plan_digest: str) -> Mapping[int, Sequence[str]]:
        """Nothing."""
        return {}

    def commit(self, task: str, plan_digest: str, index: int, payload: Sequence[str]) -> None:
        """Store nothing."""

    def damaged(self, why: str) -> RmbenchError:
        """Not asked for, since nothing is stored."""
        return RmbenchError(why)


def stream(
    examples: Iterable[Example],
    scorer: Scorer,
    *,
    task_id: str = "stream",
    render: Literal["chat", "raw"] = "chat",
    options: EngineOptions | None = None,
    progress: Progress | None = None,
    cache: ScoreCache | None = None,
    executor: Executor | None = None,
) -> Iterator[Judgment]:
    """Judgments in the order of the examples, some thousands of rows behind them.

    Rows are planned a window at a time (8,192 requests), the next one encoded while this one is computed. Equal rows of
    one window are computed once; those further apart too, where there is a `cache`. Nothing is resumed.

    Raises:
        RmbenchError: the scorer breaks its protocol.
    """
    progress = progress or SilentProgress()
    with Helpers(progress.note) as helpers:
        run = Scoring(
            task_id=task_id,
            scorer=scorer,
            render=render,
            options=options or EngineOptions(),
            ledger=_NoLedger(),
            executor=executor or ThreadExecutor(),
            progress=progress,
            cache=cache if scorer.facts.fingerprint else None,
            helpers=helpers,
        )
        for part in score(run, examples):
            yield from part.judgments

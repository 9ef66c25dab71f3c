"""Judges the examples of a task with a model."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from rmbench.engine.helpers import Helpers
from rmbench.engine.interfaces import (
    EngineOptions,
    Executor,
    Ledger,
    MemoryLedger,
    Progress,
    ScoreCache,
    SilentProgress,
)
from rmbench.engine.plan import PlanStatistics
from rmbench.engine.prepare import Scoring
from rmbench.engine.respond import respond
from rmbench.engine.score import score
from rmbench.engine.threads import ThreadExecutor
from rmbench.errors import RmbenchError
from rmbench.models.protocols import (
    FRAME_REPEATED,
    SPECIAL_TOKENS_IN_TEXT,
    TEMPLATE_DROPPED_TEXT,
    TEMPLATE_IGNORED_TOOLS,
    Responder,
    Scorer,
)
from rmbench.types import Example, Judgment, Setting

__all__ = ["WAYS", "EngineOptions", "Judging", "Ledger", "MemoryLedger", "Progress", "SilentProgress", "judge"]


WAYS = ("alone", "padded", "shared")
"""Of several ways in which parts of a task were computed, the first is that of the task."""

_NOTES = {
    TEMPLATE_DROPPED_TEXT: "template dropped text",
    TEMPLATE_IGNORED_TOOLS: "template left tools out, which the model does not read,",
    SPECIAL_TOKENS_IN_TEXT: "messages hold special tokens",
    FRAME_REPEATED: "the one frame of a video was shown twice",
}
"""Remark -> what users are told of it."""


@dataclass(frozen=True, slots=True)
class Judging:
    """The judgments of a task, and how they were computed."""

    judgments: tuple[Judgment, ...]
    """In the order of the examples."""
    statistics: PlanStatistics
    seconds: float
    """Wall clock of this process alone, encoding included."""
    halved: bool
    """A batch did not fit into memory and was split, now or before a resumption."""
    resumed_batches: int
    """Batches taken from the ledger."""
    options: EngineOptions = field(default_factory=EngineOptions)
    budget: int | None = None
    """Tokens of a batch; None for responders."""
    sharing: str = "padded"
    """How rows were computed: "shared" (a prefix that rows share once), "padded" (each row whole), or "alone" (each row
    whole and in a batch of its own, since some of the results depend on the rows beside it)."""
    cached: int = 0
    """Unique rows taken from the score cache."""
    resumed_rows: int = 0
    """Unique rows, of responders examples, taken from the ledger."""
    remarks: Mapping[str, int] = field(default_factory=dict)
    """How many requests carry each remark, e.g. "pool_index_mismatch"; for those of `_NOTES`, how
    many examples have such a request."""

    def reused(self) -> dict[str, int]:
        """How many rows were not computed by this run, and where they came from; unlike `facts` it depends on what ran
        before."""
        return {"cache": self.cached, "journal": self.resumed_rows}

    def facts(self) -> dict[str, Setting]:
        """How the work was cut up, for the record; the same for a resumed run as for an undisturbed one."""
        counts = self.statistics
        return {
            "batch_tokens": self.budget,
            "batch_rows": self.options.batch_rows,
            "padding_side": self.options.padding_side,
            "requests": counts.requests,
            "unique_rows": counts.unique,
            "asked_tokens": counts.asked_tokens,
            "unique_tokens": counts.unique_tokens,
            "computed_tokens": counts.computed_tokens,
            "padded_tokens": counts.padded_tokens,
            "sharing": self.sharing,
            "padding_share": round(counts.padding_share, 6),
            "halved": self.halved,
            **self.remarks,
        }


def judge(
    task_id: str,
    examples: Sequence[Example],
    model: Scorer | Responder,
    *,
    render: Literal["chat", "raw"] = "chat",
    options: EngineOptions | None = None,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
    cache: ScoreCache | None = None,
    executor: Executor | None = None,
    helpers: Helpers | None = None,
) -> Judging:
    """Judge every example; what fails is a judgment with status "failed" and the reason.

    Args:
        task_id: the task's id, for responders and the ledger.
        examples: with unique ids.
        model: a scorer, whose requests are planned, or a responder, which answers whole examples.
        render: how conversations become text.
        options: how work is cut up.
        ledger: finished batches are taken from it and committed to it, whole; not for a model without a fingerprint,
            which cannot be told from another one.
        progress: receives reports.
        cache: results of equal rows, from whatever task or run, are taken from it and put into it.
        executor: where batches are computed; None: in this process.
        helpers: processes that encode rows where that is the limit; None: this one alone does.

    Raises:
        RmbenchError: an id twice; a model that is neither, or that breaks its protocol.
    """
    options = options or EngineOptions()
    progress = progress or SilentProgress()
    _check_ids(task_id, examples)
    began = time.perf_counter()
    if not model.facts.fingerprint or ledger is None:
        ledger = MemoryLedger()
    if isinstance(model, Scorer):
        # Hidden states are as large as the rows themselves, and are read once.
        row_cache = cache if model.facts.fingerprint and "hidden" not in model.answers else None
        threads = executor or ThreadExecutor()
        run = Scoring(task_id, model, render, options, ledger, threads, progress, row_cache, helpers)
        judging = _score(run, examples)
    elif isinstance(model, Responder):
        judgments, resumed = respond(task_id, examples, model, options.window, ledger, progress)
        count = len(examples)
        judging = Judging(
            tuple(judgments),
            PlanStatistics(count, count, 0, 0, 0),
            seconds=0.0,
            halved=False,
            resumed_batches=len(resumed),
            resumed_rows=sum(resumed),
            remarks=Counter(remark for judgment in judgments for remark in judgment.remarks),
        )
    else:
        raise RmbenchError(f"{type(model).__name__} is neither a Scorer nor a Responder.")
    return replace(judging, seconds=time.perf_counter() - began, options=options)


def _check_ids(task_id: str, examples: Sequence[Example]) -> None:
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise RmbenchError(f"{task_id}: two examples have the id {example.id!r}; ids must be unique.")
        seen.add(example.id)


def _score(scoring: Scoring, examples: Sequence[Example]) -> Judging:
    parts = list(score(scoring, examples))
    remarks: Counter[str] = Counter()
    for part in parts:
        remarks.update(part.remarks)
    rows = sum(len(part.judgments) for part in parts)
    for remark, what in _NOTES.items():
        if count := remarks[remark]:
            scoring.progress.note(f"{scoring.task_id}: {what} in {count:,} of {rows:,} rows")
    return Judging(
        judgments=tuple(judgment for part in parts for judgment in part.judgments),
        statistics=sum((part.statistics for part in parts), PlanStatistics()),
        seconds=0.0,
        halved=any(part.halved for part in parts),
        resumed_batches=sum(part.resumed for part in parts),
        resumed_rows=sum(part.resumed_rows for part in parts),
        budget=parts[0].budget if parts else None,
        sharing=min((part.sharing for part in parts), key=WAYS.index, default="padded"),
        cached=sum(part.cached for part in parts),
        remarks=remarks,
    )

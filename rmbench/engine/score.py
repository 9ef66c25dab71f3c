"""Scores examples with a Scorer: encode ahead, plan, take results from ledger and cache, compute the rest, assemble."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal
from weakref import WeakKeyDictionary

from rmbench.engine.assemble import assemble
from rmbench.engine.batch import in_groups
from rmbench.engine.batch_trial import batch_dependence
from rmbench.engine.encode import Window, encode_window, windows_of
from rmbench.engine.filling import filling
from rmbench.engine.interfaces import EngineOptions, Executor, Job, Ledger, Progress, ScoreCache, SilentProgress
from rmbench.engine.known import from_cache, from_ledger, left, model_key
from rmbench.engine.parts import join_row, units_of
from rmbench.engine.plan import Chunk, Plan, PlanStatistics, plan
from rmbench.engine.serialization import RowResult, dump_result
from rmbench.engine.threads import ThreadExecutor
from rmbench.models.abilities import Closable
from rmbench.models.protocols import Encoded, Scorer, SharingScorer
from rmbench.types import Example, Judgment

__all__ = ["Scored", "Scoring", "score"]

_PADDED_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Scoring:
    """What scoring a task needs in addition to its rows."""

    task_id: str
    scorer: Scorer
    render: Literal["chat", "raw"]
    options: EngineOptions
    ledger: Ledger
    executor: Executor
    progress: Progress
    cache: ScoreCache | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """The judgments of one window of examples, and how they were computed."""

    judgments: tuple[Judgment, ...]
    statistics: PlanStatistics
    budget: int
    """Tokens of a batch."""
    sharing: str
    """As in `Judging`."""
    halved: bool
    resumed: int
    """Batches taken from the ledger."""
    resumed_rows: int
    """Rows of these."""
    cached: int
    """Rows taken from the score cache."""
    remarks: Mapping[str, int] = field(default_factory=dict)


def score(scoring: Scoring, examples: Iterable[Example]) -> Iterator[Scored]:
    """Window after window, each encoded while the one before it is computed."""
    windows = windows_of(examples, pairs="pair" in scoring.scorer.answers)
    first = next(windows, None)
    if first is None:
        return
    current = _encoded(scoring, first, scoring.progress)
    with ThreadPoolExecutor(1, thread_name_prefix="encode") as ahead:
        while True:
            upcoming: Future[Window] | None = None
            following = next(windows, None)
            if following is not None:
                upcoming = ahead.submit(_encoded, scoring, following, SilentProgress())
            yield _score_window(scoring, current)
            if upcoming is None:
                return
            current = upcoming.result()


def _encoded(scoring: Scoring, examples: Sequence[Example], progress: Progress) -> Window:
    return encode_window(examples, scoring.scorer, scoring.render, f"{scoring.task_id} (encoding)", progress)


def _score_window(scoring: Scoring, window: Window) -> Scored:
    units, parts_at = units_of(window.encoded)
    run = _Run(scoring, units)
    results = run.results()
    rows = [
        join_row(scoring.scorer, row, [run.result(results, unit) for unit in at])
        for row, at in zip(window.encoded, parts_at, strict=True)
    ]
    judgments = tuple(
        assemble(scoring.scorer, example, window.encoded[at.start : at.stop], rows[at.start : at.stop])
        for example, at in zip(window.examples, window.places, strict=True)
    )
    return Scored(
        judgments=judgments,
        statistics=run.planned.statistics,
        budget=run.budget,
        sharing="shared" if run.shared else "alone" if run.alone else "padded",
        halved=any(result.halved for result in results),
        resumed=run.resumed,
        resumed_rows=run.resumed_rows,
        cached=run.cached,
        remarks=window.remarks + Counter(remark for judgment in judgments for remark in judgment.remarks),
    )


class _Run:
    """One window's rows: the plan, the results known already, and the computing of the rest."""

    def __init__(self, scoring: Scoring, units: Sequence[Encoded]) -> None:
        self._scoring = scoring
        self._units = units
        self._cache_key = model_key(scoring.scorer)
        self.cached = 0
        self.resumed = self.resumed_rows = 0
        self.shared = self.alone = False
        self._plan(share=self._may_share())
        if self.shared and self._jobs:
            self._try_sharing()
        if self._batches_in_process():
            self._try_batches()

    def results(self) -> list[RowResult]:
        """A result per unique row."""
        scoring, total = self._scoring, self.planned.statistics
        results: list[RowResult | None] = [None] * total.unique
        progress = scoring.progress
        progress.start(scoring.task_id, total.unique, total.computed_tokens)
        for index, chunk in enumerate(self.planned.chunks):
            for row in chunk.rows:
                results[row] = self._known.get(row)
            if index not in self._jobs:
                progress.advance(len(chunk.rows), self._tokens(chunk))
                self._keep(index, chunk, results)
        jobs = list(self._jobs.values())
        executor = scoring.executor
        if self.alone and isinstance(executor, ThreadExecutor):
            # What a forward derives from its batch it may keep in its modules, where another thread would read it.
            executor = ThreadExecutor(1)
        with filling(scoring.cache, self._cache_key) as put:
            for index, done in executor.run(scoring.scorer, jobs, scoring.options.padding_side):
                chunk = self.planned.chunks[index]
                missing = [row for row in chunk.rows if results[row] is None]
                for row, result in zip(missing, done, strict=True):
                    results[row] = result
                texts = self._keep(index, chunk, results)
                put(self._by_key(missing, done, texts))
                if any(result.halved for result in done):
                    progress.note(
                        f"{scoring.task_id}: a batch of {len(done)} rows did not fit into memory and was split"
                    )
                progress.advance(len(chunk.rows), self._tokens(chunk))
        return [result for result in results if result is not None]

    def result(self, results: Sequence[RowResult], unit: int) -> RowResult:
        """The result of a unit, from those of the unique rows."""
        row = self.planned.row_of[unit]
        return RowResult(error=self.planned.errors[unit]) if row is None else results[row]

    def _may_share(self) -> bool:
        ready = all(unit.ids and not unit.kind for unit in self._units if not unit.error)
        return self._scoring.options.share and ready and isinstance(self._scoring.scorer, SharingScorer)

    def _plan(self, *, share: bool, alone: bool = False) -> None:
        """Make the plan, then take the results that the ledger and the cache have."""
        scoring = self._scoring
        scorer = scoring.scorer
        own = scorer.chunk_tokens if share and isinstance(scorer, SharingScorer) else _PADDED_TOKENS
        self.budget = scoring.options.batch_tokens or own
        self.shared, self.alone = share, alone
        self.planned = plan(self._units, self.budget, 1 if alone else scoring.options.batch_rows, share=share)
        self._digest = _digest(self.planned, scoring)
        sizes = [len(chunk.rows) for chunk in self.planned.chunks]
        finished = from_ledger(scoring.ledger, scoring.task_id, self._digest, scorer, sizes)
        self._from_ledger = {index for index, done in finished.items() if not any(result.error for result in done)}
        self._known: dict[int, RowResult] = {}
        for index, done in finished.items():
            rows = zip(self.planned.chunks[index].rows, done, strict=True)
            self._known.update({row: result for row, result in rows if not result.error})
        self.resumed, self.resumed_rows = len(finished), len(self._known)
        self._look_up()
        waiting = {
            index: left(chunk, self._known)
            for index, chunk in enumerate(self.planned.chunks)
            if any(row not in self._known for row in chunk.rows)
        }
        self._jobs = {
            index: Job(index, tuple(map(self._row, rows)), groups) for index, (rows, groups) in waiting.items()
        }

    def _look_up(self) -> None:
        cache = self._scoring.cache
        if cache is None:
            return
        row_of = {
            self._row(row).key: row for chunk in self.planned.chunks for row in chunk.rows if row not in self._known
        }
        cached = from_cache(
            cache, self._cache_key, self._scoring.scorer, {key: self._row(row) for key, row in row_of.items()}
        )
        self._known.update({row_of[key]: result for key, result in cached.items()})
        self.cached = len(cached)

    def _try_sharing(self) -> None:
        """The sharing trial on real rows, before anything counts; where it fails, rows are padded."""
        scorer = self._scoring.scorer
        if not isinstance(scorer, SharingScorer):
            return
        sharing = scorer.sharing([in_groups(job.rows, job.groups) for job in self._jobs.values()])
        if sharing.shares:
            return
        _note_once(
            self._scoring.progress, f"{scorer.facts.name}: rows are padded and share no prefix, since {sharing.why}"
        )
        self._plan(share=False)

    def _batches_in_process(self) -> bool:
        """Whether a batch of ours is one of the model; a server makes batches of its own."""
        ours = self._scoring.options.try_batches and not isinstance(self._scoring.scorer, Closable)
        return ours and any(len(job.rows) > 1 for job in self._jobs.values())

    def _try_batches(self) -> None:
        """The batch trial on real rows; where a row's results depend on the rows beside it, each is computed alone."""
        scorer, side = self._scoring.scorer, self._scoring.options.padding_side
        rows = [row for job in self._jobs.values() for row in job.rows]
        change = batch_dependence(scorer, rows, self.budget, side, packed=self.shared)
        if change is not None and self.shared:
            self._plan(share=False)
            change = batch_dependence(scorer, rows, self.budget, side, packed=False)
        if change is None:
            return
        _note_once(
            self._scoring.progress,
            f"{scorer.facts.name}: every row is computed alone, since its results depend on the rows beside it (in a "
            f"trial they changed by {change:.2g})",
        )
        self._plan(share=False, alone=True)

    def _row(self, row: int) -> Encoded:
        return self._units[self.planned.first[row]]

    def _tokens(self, chunk: Chunk) -> int:
        whole = sum(self._row(row).size for row in chunk.rows)
        return whole - sum(group.prefix * (group.rows - 1) for group in chunk.groups)

    def _keep(self, index: int, chunk: Chunk, results: Sequence[RowResult | None]) -> dict[int, str]:
        """Commit a whole chunk to the ledger, unless it came from there, or has nothing but failures to keep: a run
        that goes on computes those again, since their cause may be gone. Returns what it wrote of each row."""
        done = {row: result for row in chunk.rows if (result := results[row]) is not None}
        whole = len(done) == len(chunk.rows) and not all(result.error for result in done.values())
        if index in self._from_ledger or not whole:
            return {}
        texts = {row: dump_result(result) for row, result in done.items()}
        self._scoring.ledger.commit(self._scoring.task_id, self._digest, index, list(texts.values()))
        return texts

    def _by_key(self, rows: Sequence[int], results: Sequence[RowResult], texts: Mapping[int, str]) -> dict[str, str]:
        """What the cache keeps of rows just computed; that a batch was split is nothing of the row's."""
        return {
            self._row(row).key: dump_result(replace(result, halved=False)) if result.halved else texts[row]
            for row, result in zip(rows, results, strict=True)
            if not result.error
        }


_noted: WeakKeyDictionary[Progress, set[str]] = WeakKeyDictionary()


def _note_once(progress: Progress, text: str) -> None:
    """Note a line once a run, not once a task."""
    noted = _noted.setdefault(progress, set())
    if text not in noted:
        noted.add(text)
        progress.note(text)


def _digest(planned: Plan, scoring: Scoring) -> str:
    """sha256 over the chunks, and whatever else may change a score."""
    scorer = scoring.scorer
    parts = [planned.digest, scorer.facts.fingerprint, scoring.options.padding_side, sorted(scorer.answers)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

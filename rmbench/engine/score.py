"""Examples through a scorer: encode ahead, plan, look up what is known, compute the rest, put together."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal
from weakref import WeakKeyDictionary

from rmbench.engine.assemble import assemble
from rmbench.engine.batch import in_groups
from rmbench.engine.compute import reason
from rmbench.engine.interfaces import EngineOptions, Executor, Job, Ledger, Progress, ScoreCache, SilentProgress
from rmbench.engine.parts import join_row, units_of
from rmbench.engine.plan import Chunk, Plan, PlanStatistics, plan
from rmbench.engine.requests import requests_of
from rmbench.engine.serialization import RowResult, dump_result, load_results
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Encoded, Group, Request, Scorer, SharingScorer
from rmbench.types import Example, Judgment

__all__ = ["Scored", "Scoring", "score"]

_ENCODE_ROWS = 256
"""Requests given to the tokenizer at once: enough for its threads, few enough that progress shows."""

_WINDOW = 8192
"""Requests planned together. Equal rows further apart are found in the score cache; memory does not grow with rows."""

_PADDED_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Scoring:
    """Everything besides the rows that scoring a task needs."""

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
    """What came of one window of examples."""

    judgments: tuple[Judgment, ...]
    statistics: PlanStatistics
    budget: int
    """Tokens of a batch."""
    shared: bool
    """Whether prefixes were shared; else rows were padded."""
    halved: bool
    resumed: int
    """Batches taken from the ledger."""
    cached: int
    """Rows taken from the score cache."""
    remarks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Window:
    """Examples with their rows."""

    examples: Sequence[Example]
    encoded: Sequence[Encoded]
    places: Sequence[range]


def score(scoring: Scoring, examples: Iterable[Example]) -> Iterator[Scored]:
    """Window after window, each encoded while the one before it is computed."""
    windows = _cut(examples, pairs="pair" in scoring.scorer.answers)
    first = next(windows, None)
    if first is None:
        return
    current = _encode(scoring, first, scoring.progress)
    with ThreadPoolExecutor(1, thread_name_prefix="encode") as ahead:
        while True:
            upcoming: Future[_Window] | None = None
            following = next(windows, None)
            if following is not None:
                upcoming = ahead.submit(_encode, scoring, following, SilentProgress())
            yield _score_window(scoring, current)
            if upcoming is None:
                return
            current = upcoming.result()


def _cut(examples: Iterable[Example], *, pairs: bool) -> Iterator[list[Example]]:
    """Runs of examples with about as many requests as a window holds."""
    window: list[Example] = []
    requests = 0
    for example in examples:
        size = len(example.candidates)
        window.append(example)
        requests += size * (size - 1) if pairs else size
        if requests >= _WINDOW:
            yield window
            window, requests = [], 0
    if window:
        yield window


def _encode(scoring: Scoring, examples: Sequence[Example], progress: Progress) -> _Window:
    """All requests encoded, equal rows sharing their ids, so that memory grows with unique rows alone."""
    requests, places = requests_of(examples, scoring.render, in_pairs="pair" in scoring.scorer.answers)
    progress.start(f"{scoring.task_id} (encoding)", len(requests), 0)
    encoded: list[Encoded] = []
    firsts: dict[str, Encoded] = {}
    for start in range(0, len(requests), _ENCODE_ROWS):
        chunk = requests[start : start + _ENCODE_ROWS]
        entries = _encode_chunk(chunk, scoring.scorer)
        if len(entries) != len(chunk):
            name = scoring.scorer.facts.name
            raise RmbenchError(f"{name}: encode gave {len(entries)} rows for {len(chunk)} requests.")
        for entry in entries:
            first = entry if entry.error else firsts.setdefault(entry.key, entry)
            encoded.append(replace(entry, ids=first.ids) if first.ids == entry.ids else entry)
        progress.advance(len(chunk), 0)
    return _Window(examples, encoded, places)


def _encode_chunk(chunk: Sequence[Request], scorer: Scorer) -> list[Encoded]:
    try:
        return list(scorer.encode(chunk))
    except RmbenchError:
        raise  # no template, no tokenizer: true of every row
    except Exception as error:
        if len(chunk) == 1:
            return [Encoded(key="", size=0, error=reason(error))]
    return [entry for request in chunk for entry in _encode_chunk([request], scorer)]


def _score_window(scoring: Scoring, window: _Window) -> Scored:
    units, parts_at = units_of(window.encoded)
    run = _Run(scoring, units)
    results = run.results()
    rows = [
        join_row(scoring.scorer, row, [run.result(results, unit) for unit in at])
        for row, at in zip(window.encoded, parts_at, strict=True)
    ]
    judgments = tuple(
        assemble(
            scoring.scorer,
            example.id,
            len(example.candidates),
            window.encoded[at.start : at.stop],
            rows[at.start : at.stop],
        )
        for example, at in zip(window.examples, window.places, strict=True)
    )
    return Scored(
        judgments=judgments,
        statistics=run.planned.statistics,
        budget=run.budget,
        shared=run.shared,
        halved=any(result.halved for result in results),
        resumed=run.resumed,
        cached=run.cached,
        remarks=Counter(remark for row in window.encoded for remark in row.remarks),
    )


class _Run:
    """One window's rows: the plan, what is known of it already, and the computing of the rest."""

    def __init__(self, scoring: Scoring, units: Sequence[Encoded]) -> None:
        self._scoring = scoring
        self._units = units
        self.cached = 0
        self.resumed = 0
        self.shared = False
        self._plan(share=self._may_share())
        if self.shared and self._jobs:
            self._try_sharing()

    def results(self) -> list[RowResult]:
        """A result per unique row."""
        scoring, total = self._scoring, self.planned.statistics
        found: list[RowResult | None] = [None] * total.unique
        progress = scoring.progress
        progress.start(scoring.task_id, total.unique, total.computed_tokens)
        for index, chunk in enumerate(self.planned.chunks):
            for row in chunk.rows:
                found[row] = self._known.get(row)
            if index not in self._jobs:
                progress.advance(len(chunk.rows), self._tokens(chunk))
                self._keep(index, chunk, found)
        jobs = list(self._jobs.values())
        for index, done in scoring.executor.run(scoring.scorer, jobs, scoring.options.padding_side):
            chunk = self.planned.chunks[index]
            missing = [row for row in chunk.rows if found[row] is None]
            for row, result in zip(missing, done, strict=True):
                found[row] = result
            self._keep(index, chunk, found)
            self._cache(missing, done)
            if any(result.halved for result in done):
                progress.note(f"{scoring.task_id}: a batch of {len(done)} rows did not fit into memory and was split")
            progress.advance(len(chunk.rows), self._tokens(chunk))
        return [result for result in found if result is not None]

    def result(self, results: Sequence[RowResult], unit: int) -> RowResult:
        """The result of a unit, from those of the unique rows."""
        row = self.planned.row_of[unit]
        return RowResult(error=self.planned.errors[unit]) if row is None else results[row]

    def _may_share(self) -> bool:
        ready = all(unit.ids and not unit.kind for unit in self._units if not unit.error)
        return self._scoring.options.share and ready and isinstance(self._scoring.scorer, SharingScorer)

    def _plan(self, *, share: bool) -> None:
        """The plan, before the ledger is looked at; then what the ledger and the cache know of it."""
        scoring = self._scoring
        scorer = scoring.scorer
        own = scorer.chunk_tokens if share and isinstance(scorer, SharingScorer) else _PADDED_TOKENS
        self.budget = scoring.options.batch_tokens or own
        self.shared = share
        self.planned = plan(self._units, self.budget, scoring.options.batch_rows, share=share)
        self._digest = _digest(self.planned, scoring)
        kept = scoring.ledger.done(scoring.task_id, self._digest)
        self._kept = {index for index in kept if index < len(self.planned.chunks)}
        self._known: dict[int, RowResult] = {}
        for index in self._kept:
            rows = self.planned.chunks[index].rows
            self._known.update(zip(rows, load_results(kept[index], len(rows)), strict=True))
        self.resumed = len(self._kept)
        self._look_up()
        left = {
            index: _left(chunk, self._known)
            for index, chunk in enumerate(self.planned.chunks)
            if any(row not in self._known for row in chunk.rows)
        }
        self._jobs = {
            index: Job(index, tuple(self._row(row) for row in rows), groups) for index, (rows, groups) in left.items()
        }

    def _look_up(self) -> None:
        cache = self._scoring.cache
        if cache is None:
            return
        asked = {
            self._row(row).key: row for chunk in self.planned.chunks for row in chunk.rows if row not in self._known
        }
        kept = cache.get(_cache_name(self._scoring.scorer), list(asked))
        self._known.update({asked[key]: load_results([text], 1)[0] for key, text in kept.items()})
        self.cached = len(kept)

    def _try_sharing(self) -> None:
        """Sharing is tried on real rows before anything counts; where it is refused, rows are padded."""
        scorer = self._scoring.scorer
        if not isinstance(scorer, SharingScorer):
            return
        said = scorer.sharing([in_groups(job.rows, job.groups) for job in self._jobs.values()])
        if said.shares:
            return
        _note_once(self._scoring.progress, f"{scorer.facts.name}: rows are padded and share nothing, since {said.why}")
        self._plan(share=False)

    def _row(self, row: int) -> Encoded:
        return self._units[self.planned.first[row]]

    def _tokens(self, chunk: Chunk) -> int:
        whole = sum(self._row(row).size for row in chunk.rows)
        return whole - sum(group.prefix * (group.rows - 1) for group in chunk.groups)

    def _keep(self, index: int, chunk: Chunk, found: Sequence[RowResult | None]) -> None:
        """A whole chunk into the ledger; what came from there is not written again."""
        rows = [result for result in (found[row] for row in chunk.rows) if result is not None]
        if index not in self._kept and len(rows) == len(chunk.rows):
            payload = [dump_result(result) for result in rows]
            self._scoring.ledger.commit(self._scoring.task_id, self._digest, index, payload)

    def _cache(self, rows: Sequence[int], results: Sequence[RowResult]) -> None:
        cache = self._scoring.cache
        if cache is not None:
            good = {
                self._row(row).key: dump_result(replace(result, halved=False))
                for row, result in zip(rows, results, strict=True)
                if not result.error
            }
            cache.put(_cache_name(self._scoring.scorer), good)


_noted: WeakKeyDictionary[Progress, set[str]] = WeakKeyDictionary()


def _note_once(progress: Progress, text: str) -> None:
    """Told once a run, not once a task."""
    said = _noted.setdefault(progress, set())
    if text not in said:
        said.add(text)
        progress.note(text)


def _left(chunk: Chunk, known: Mapping[int, RowResult]) -> tuple[list[int], tuple[Group, ...]]:
    """What of a chunk is still to be computed, and in which groups."""
    if not chunk.groups:
        return [row for row in chunk.rows if row not in known], ()
    rows: list[int] = []
    groups: list[Group] = []
    at = iter(chunk.rows)
    for group in chunk.groups:
        missing = [row for row in itertools.islice(at, group.rows) if row not in known]
        rows += missing
        if missing:
            groups.append(Group(group.prefix if len(missing) > 1 else 0, len(missing)))
    return rows, tuple(groups)


def _digest(planned: Plan, scoring: Scoring) -> str:
    """The chunks, and whatever else may move a score."""
    scorer = scoring.scorer
    parts = [planned.digest, scorer.facts.fingerprint, scoring.options.padding_side, sorted(scorer.answers)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _cache_name(scorer: Scorer) -> str:
    """What besides the row decides its result."""
    return hashlib.sha256(json.dumps([scorer.facts.fingerprint, sorted(scorer.answers)]).encode()).hexdigest()

"""One window's rows: the plan, the results that are there already, and the jobs that give the rest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rmbench.engine.assemble import assemble
from rmbench.engine.batch import in_groups
from rmbench.engine.computing import Computing
from rmbench.engine.filling import Filling
from rmbench.engine.interfaces import Job
from rmbench.engine.known import from_cache, from_ledger, left, model_key
from rmbench.engine.parts import join_row
from rmbench.engine.plan import Chunk, Plan
from rmbench.engine.prepare import Planned, Prepared, Scored, Scoring, planned
from rmbench.engine.serialization import RowResult, dump_result
from rmbench.engine.trials import beside_others, note_padded, packing, shares_prefixes
from rmbench.models.abilities import Closable
from rmbench.models.protocols import Encoded, Group

__all__ = ["WindowRun"]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows of a chunk that a job computes."""

    chunk: int
    rows: Sequence[int]
    groups: tuple[Group, ...]


class WindowRun:
    """The computing of one window. Its jobs may be done in any order, among those of other windows."""

    def __init__(self, scoring: Scoring, prepared: Prepared, computing: Computing, filling: Filling) -> None:
        """`computing`: the keys that this and other open windows compute. `filling`: holds nothing back now, so that
        what earlier windows have computed is in the cache."""
        self._scoring = scoring
        self._prepared = prepared
        self._computing = computing
        self._filling = filling
        self._waiting: deque[_Piece] = deque()
        self._issued: dict[int, _Piece] = {}
        self._announced: list[str] = []
        self._awaited: dict[str, int] = {}
        self._shown = self.tried = False
        self._rows_done = self._tokens_done = 0
        self._take_plan(prepared.planned)
        if not self._waiting:
            self._start()

    tried: bool
    """Whether the trials are over, or were not needed."""

    @property
    def has_jobs(self) -> bool:
        """Whether there are jobs that were not handed out yet."""
        return bool(self._waiting)

    @property
    def alone(self) -> bool:
        """Whether results depend on the rows beside a row. What a forward derives from its batch it may keep in its
        modules, where another thread would read it."""
        return self._by.alone

    @property
    def complete(self) -> bool:
        """Whether every row has its result."""
        return self.tried and not self._missing

    def try_out(self) -> None:
        """The sharing trial and the batch trial, on real rows and before anything counts; nothing else may run in the
        model meanwhile."""
        if self._by.share:
            batches = [in_groups(tuple(map(self._row, piece.rows)), piece.groups) for piece in self._waiting]
            if not shares_prefixes(self._scoring, batches):
                self._replan(share=False)
        else:
            note_padded(self._scoring, packing(self._scoring))
        ours = self._scoring.options.try_batches and not isinstance(self._scoring.scorer, Closable)
        if ours and any(len(piece.rows) > 1 for piece in self._waiting):  # a server makes batches of its own
            rows = [self._row(row) for piece in self._waiting for row in piece.rows]
            share, alone = beside_others(self._scoring, rows, self._by)
            if (share, alone) != (self._by.share, self._by.alone):
                self._replan(share=share, alone=alone)
        self._start()

    def next_job(self, number: int) -> Job:
        """The next job, under the number by which `take` will know it."""
        piece = self._issued[number] = self._waiting.popleft()
        return Job(number, tuple(map(self._row, piece.rows)), piece.groups)

    def take(self, number: int, results: Sequence[RowResult]) -> None:
        """What was computed for a job: it is kept, and handed to those who wait for it."""
        piece = self._issued.pop(number)
        texts = self._fill_in(piece.chunk, dict(zip(piece.rows, results, strict=True)))
        if self._scoring.cache is not None:
            self._keep(piece.rows, results, texts)
        if any(result.halved for result in results):
            self._scoring.progress.note(
                f"{self._scoring.task_id}: a batch of {len(results)} rows did not fit into memory and was split"
            )

    def show(self) -> None:
        """Report progress from now on, and what is done so far; after the trials, which may change the plan."""
        if self._shown or not self.tried:
            return
        total = self._plan.statistics
        self._scoring.progress.start(self._scoring.task_id, total.unique, total.computed_tokens)
        self._shown = True
        self._advance(0, 0)

    def scored(self) -> Scored:
        """The judgments, once it is complete."""
        scorer, window, prepared = self._scoring.scorer, self._prepared.window, self._prepared
        rows = [
            join_row(scorer, row, [self._of_unit(unit) for unit in at])
            for row, at in zip(window.encoded, prepared.places, strict=True)
        ]
        shares = self._by.share or packing(self._scoring).shares
        judgments = tuple(
            assemble(scorer, example, window.encoded[at.start : at.stop], rows[at.start : at.stop])
            for example, at in zip(window.examples, window.places, strict=True)
        )
        return Scored(
            judgments=judgments,
            statistics=self._plan.statistics,
            budget=self._by.budget,
            sharing="alone" if self._by.alone else "shared" if shares else "padded",
            halved=any(result.halved for result in self._results if result is not None),
            resumed=self._resumed,
            resumed_rows=self._resumed_rows,
            cached=self._cached,
            remarks=window.remarks + Counter(remark for judgment in judgments for remark in judgment.remarks),
        )

    def _take_plan(self, by: Planned) -> None:
        """Take the results that the ledger and the cache have for a plan; its other rows become jobs."""
        self._computing.forget(self._announced)
        for key in self._awaited:
            self._computing.leave(key, self._receive)
        self._by, self._plan = by, by.plan
        self._digest = _digest(by.plan, self._scoring)
        self._results: list[RowResult | None] = [None] * len(by.plan.first)
        self._left = [len(chunk.rows) for chunk in by.plan.chunks]
        self._missing = len(by.plan.first)
        self._known = self._in_ledger()
        self._look_up()
        there = dict.fromkeys(self._awaited.values(), RowResult()) | self._known
        lefts = [left(chunk, there) for chunk in by.plan.chunks]
        self._waiting = deque(_Piece(index, rows, groups) for index, (rows, groups) in enumerate(lefts) if rows)
        if self._scoring.cache is not None:
            self._announced = [self._row(row).key for piece in self._waiting for row in piece.rows]
            self._computing.begin(self._announced)

    def _start(self) -> None:
        """The plan is final: what is known counts."""
        self.tried = True
        for index, chunk in enumerate(self._plan.chunks):
            self._fill_in(index, {row: self._known[row] for row in chunk.rows if row in self._known})
        self._known = {}

    def _in_ledger(self) -> dict[int, RowResult]:
        """Unique row -> its result, of finished batches."""
        scoring = self._scoring
        sizes = [len(chunk.rows) for chunk in self._plan.chunks]
        finished = from_ledger(scoring.ledger, scoring.task_id, self._digest, scoring.scorer, sizes)
        self._from_ledger = {index for index, done in finished.items() if not any(result.error for result in done)}
        known: dict[int, RowResult] = {}
        for index, done in finished.items():
            rows = zip(self._plan.chunks[index].rows, done, strict=True)
            known.update({row: result for row, result in rows if not result.error})
        self._resumed, self._resumed_rows = len(finished), len(known)
        return known

    def _look_up(self) -> None:
        """Add what the cache has; rows that an earlier window computes are awaited."""
        cache = self._scoring.cache
        self._cached, self._awaited = 0, {}
        if cache is None:
            return
        row_of = {self._row(row).key: row for row in range(len(self._plan.first)) if row not in self._known}
        scorer, units = self._scoring.scorer, {key: self._row(row) for key, row in row_of.items()}
        cached = from_cache(cache, model_key(scorer), scorer, units)
        self._known.update({row_of[key]: result for key, result in cached.items()})
        self._cached = len(cached)
        self._awaited = {key: row for key, row in row_of.items() if key not in cached and key in self._computing}
        for key in self._awaited:
            self._computing.wait(key, self._receive)

    def _receive(self, key: str, result: RowResult) -> bool:
        """Take an awaited row's result; one that failed is computed here."""
        row = self._awaited.pop(key)
        index = next(index for index, chunk in enumerate(self._plan.chunks) if row in chunk.rows)
        if result.error:
            groups = (Group(0, 1),) if self._by.share else ()
            self._waiting.append(_Piece(index, [row], groups))
            return True
        self._cached += 1
        self._fill_in(index, {row: replace(result, halved=False)})
        return False

    def _replan(self, *, share: bool, alone: bool = False) -> None:
        self._take_plan(planned(self._scoring, self._prepared.units, share=share, alone=alone))

    def _row(self, row: int) -> Encoded:
        return self._prepared.units[self._plan.first[row]]

    def _of_unit(self, unit: int) -> RowResult:
        """The result of a unit, from those of the unique rows."""
        row = self._plan.row_of[unit]
        result = None if row is None else self._results[row]
        return RowResult(error=self._plan.errors[unit]) if result is None else result

    def _fill_in(self, index: int, results: Mapping[int, RowResult]) -> dict[int, str]:
        """Store results of a chunk's rows, and commit the chunk once it has all of them. Returns what it wrote of each
        row."""
        chunk = self._plan.chunks[index]
        for row, result in results.items():
            self._results[row] = result
        self._left[index] -= len(results)
        self._missing -= len(results)
        if not results or self._left[index]:
            return {}
        self._advance(len(chunk.rows), self._tokens(chunk))
        return self._commit(index, chunk)

    def _commit(self, index: int, chunk: Chunk) -> dict[int, str]:
        """Commit a whole chunk to the ledger, unless it came from there, or has nothing but failures to keep: a run
        that goes on computes those again, since their cause may be gone."""
        done = {row: result for row in chunk.rows if (result := self._results[row]) is not None}
        if index in self._from_ledger or all(result.error for result in done.values()):
            return {}
        texts = {row: dump_result(result) for row, result in done.items()}
        self._scoring.ledger.commit(self._scoring.task_id, self._digest, index, list(texts.values()))
        return texts

    def _keep(self, rows: Sequence[int], results: Sequence[RowResult], texts: Mapping[int, str]) -> None:
        """Put computed rows into the cache and hand them to those who wait; that a batch was split is nothing of the
        row's."""
        kept = {}
        for row, result in zip(rows, results, strict=True):
            if not result.error:
                written = None if result.halved else texts.get(row)
                kept[self._row(row).key] = written or dump_result(replace(result, halved=False))
        self._filling.put(kept)
        for row, result in zip(rows, results, strict=True):
            self._computing.done(self._row(row).key, result)

    def _advance(self, rows: int, tokens: int) -> None:
        self._rows_done += rows
        self._tokens_done += tokens
        if self._shown and self._rows_done:
            self._scoring.progress.advance(self._rows_done, self._tokens_done)
            self._rows_done = self._tokens_done = 0

    def _tokens(self, chunk: Chunk) -> int:
        whole = sum(self._row(row).size for row in chunk.rows)
        return whole - sum(group.prefix * (group.rows - 1) for group in chunk.groups)


def _digest(planned: Plan, scoring: Scoring) -> str:
    """sha256 over the chunks, and whatever else may change a score."""
    scorer = scoring.scorer
    parts = [planned.digest, scorer.facts.fingerprint, scoring.options.padding_side, sorted(scorer.answers)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

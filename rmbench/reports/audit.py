"""A record's numbers held against its rows: what can be computed again is, and whatever differs is named.

A record whose numbers and rows agree can still be invented from end to end; see docs/trust.md.
"""

from __future__ import annotations

import contextlib
import math
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

from rmbench.engine.cache import cache_file
from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec, is_linear
from rmbench.metrics.credit.row import credit
from rmbench.metrics.judging.intransitive import intransitive
from rmbench.metrics.judging.position_bias import orders
from rmbench.metrics.judging.summary import judge_values
from rmbench.metrics.judging.votes import VotedRows, voted
from rmbench.metrics.measure import measure
from rmbench.metrics.policies.idealised import implicit_specs
from rmbench.metrics.rows.collection import batches
from rmbench.records.derived import counts_of, flag_partial
from rmbench.records.digest import sha256_file
from rmbench.records.headline import specs
from rmbench.records.record import Record, ValueRecord
from rmbench.records.store import RECORD_NAME, read, table_of
from rmbench.records.stored import StoredRows
from rmbench.records.table_rows import Row
from rmbench.types import Judged, Judgment, Value

__all__ = ["forget", "problems"]

_FITTED = frozenset({"threshold_accuracy", "threshold_macro_f1", "probe"})
"""Rules that fit something on rows which no record holds, so that their values cannot be computed again."""
_NUMBERS = ("value", "low", "high", "chance")
_MARKS = "audited"
"""Folder beside the score cache."""
_ROUNDING = 1e-9
"""Values computed again on another machine differ by less than this, relative to numbers above 1."""


def problems(folder: Path) -> list[str]:
    """What is wrong with the record in a folder, a line each; empty where nothing is.

    The digests of both files; then counts, failed rows, credits, flags and every value with its interval, n, coverage
    and chance, computed again from the rows. Values of rules that fit something on other rows are held against their
    range alone. That a record is sound is remembered beside the score cache, under the digest of its bytes.
    """
    try:
        record = read(folder)
        if record.kind == "published":
            return []
        mark = _mark(folder if folder.is_dir() else folder.parent)
        if mark is not None and mark.exists():
            table_of(folder, record)  # which the record's bytes do not vouch for
            return []
        declared, rows = specs(record), StoredRows(folder, record)
        seen = _seen(record, declared[0], rows)
        found = [*_facts(record, seen), *_flags(record), *_values(record, declared, rows, seen)]
    except RmbenchError as error:
        return [str(error)]
    if mark is not None and not found:
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time alone
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
    return [f"{folder}: {line}" for line in found]


def _mark(folder: Path) -> Path | None:
    """The empty file that stands for a sound record of these very bytes, found so by this release; None where there is
    no cache."""
    cache = cache_file()
    if cache is None:
        return None
    record = sha256_file(folder / RECORD_NAME)  # which holds the digest of the rows
    return cache.parent / _MARKS / f"{record}-{metadata.version('rmbench')}"


def forget() -> None:
    """Forget which records were found sound."""
    cache = cache_file()
    if cache is not None:
        shutil.rmtree(cache.parent / _MARKS, ignore_errors=True)


@dataclass(slots=True)
class _Seen:
    """What one pass over the rows shows."""

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)
    without_rewards: list[Judgment] = field(default_factory=list)
    with_parts: list[Judged] = field(default_factory=list)
    judge: bool = False
    """Whether a row has verdicts."""
    groups: Counter[str] = field(default_factory=Counter)
    """Rows by `name=value`."""
    credit: str = ""
    """The first row whose credit does not follow from its judgment, and how."""


def _seen(record: Record, head: MetricSpec, rows: StoredRows) -> _Seen:
    seen = _Seen()
    for batch in batches(rows.table()):
        judgments = [row.judgment for row, _ in batch]
        seen.rows += len(batch)
        seen.counts.update(counts_of([row.gold for row, _ in batch], judgments).model_dump())
        seen.failed += [(row.id, row.error) for row in judgments if row.status == "failed"]
        seen.without_rewards += [row for row in judgments if row.rewards is None]
        seen.with_parts += [row for row, _ in batch if row.judgment.parts]
        seen.judge = seen.judge or any(row.verdicts for row in judgments)
        seen.groups.update(f"{name}={value}" for row, _ in batch for name, value in row.groups.items())
        seen.credit = seen.credit or _wrong_credit(record, head, batch)
    return seen


def _facts(record: Record, seen: _Seen) -> Iterator[str]:
    again: dict[str, Any] = {
        "data.rows": (record.data.rows, seen.rows),
        "counts": (record.counts.model_dump(), {name: seen.counts[name] for name in record.counts.model_dump()}),
        "failed": ([(row.id, row.why) for row in record.failed], seen.failed),
    }
    if "rescored_from" not in record.run.engine:
        again["intransitive"] = (_plain(record.intransitive), _plain(intransitive(seen.without_rewards)))
        again["orders"] = (_plain(record.orders), _plain(orders(seen.without_rewards)))
    for key, (said, computed) in again.items():
        if said != computed:
            yield f"{key}: the record says {_short(said)}, its rows give {_short(computed)}"
    if seen.credit:
        yield seen.credit


def _plain(facts: Any) -> Any:
    if facts is None:
        return None
    return facts.model_dump() if hasattr(facts, "model_dump") else asdict(facts)


def _wrong_credit(record: Record, head: MetricSpec, batch: Sequence[Row]) -> str:
    counted = voted([row for row, _ in batch], record.model.settings)
    for row, (_, said) in zip(counted, batch, strict=True):
        computed = credit(row, head).value if is_linear(head) else None
        if not _alike(said, computed):
            return f"row {row.id}: its credit is {_short(said)}, and its judgment gives {_short(computed)}"
    return ""


def _flags(record: Record) -> Iterator[str]:
    needed = {
        "sample": record.data.source == "sample",
        "partial": bool(record.data.missing),
        "failed_rows": record.counts.failed > 0,
        "unverified": not record.task.verified,
        "contaminated": record.task.id in record.model.trained_on,
        "fake": record.model.family == "fake",
        "baseline": record.model.family == "baseline",
        **dict.fromkeys(record.model.flags, True),
    }
    for flag, holds in needed.items():
        if holds and flag not in record.flags:
            yield f'flags: "{flag}" is missing'


def _values(record: Record, declared: Sequence[MetricSpec], rows: StoredRows, seen: _Seen) -> Iterator[str]:
    computed = {(value.metric, value.group): value for value in _measured(record, declared, rows, seen)}
    fitted = _fitted(declared)
    said = {(value.metric, value.group): value for value in record.results}
    if len(said) < len(record.results):
        yield "results: a value occurs twice"
    for spec in declared:
        if (spec.name, None) not in said:
            yield f"results: the overall value of {spec.name} is missing"
    for (metric, group), value in said.items():
        name = f"results: {metric}" + (f" of {group}" if group else "")
        again = computed.get((metric, group))
        if again is not None:
            yield from (f"{name}: {line}" for line in _differences(value, again, whole=_is_whole(record)))
        elif metric not in fitted:
            yield f"{name}: its rows give no such value"
        if value.coverage is not None and not 0 <= value.coverage <= 1:
            yield f"{name}: coverage is {value.coverage:g}, and no share"
        ends = [value.low, value.value, value.high]
        known = [end for end in ends if end is not None]
        if len(known) == len(ends) and any(b < a - _ROUNDING for a, b in pairwise(known)):
            yield f"{name}: value {value.value:g} is outside its interval"


def _measured(record: Record, declared: Sequence[MetricSpec], rows: StoredRows, seen: _Seen) -> list[Value]:
    fitted = _fitted(declared)
    metrics = tuple(spec for spec in declared if spec.name not in fitted)
    if not metrics:
        return []
    rescored = "rescored_from" in record.run.engine
    counted = rows if rescored else VotedRows(rows, record.model.settings)
    totals = _totals(record, seen)
    asked = metrics if rescored else (*metrics, *implicit_specs(seen.with_parts, metrics))
    seed = record.run.seed
    values = measure(counted, asked, answer_kind=record.model.answer_kind, totals=totals, seed=seed)
    if not rescored and seen.judge:
        values += judge_values(rows, metrics, values, record.model.settings, totals, seed)
    return flag_partial(values, record.data.missing)


def _fitted(declared: Sequence[MetricSpec]) -> frozenset[str]:
    """Names of the metrics that need the fit split, by themselves or in a mean."""
    own = {spec.name for spec in declared if spec.rule in _FITTED}
    return frozenset(own | {spec.name for spec in declared if own & set(spec.of)})


def _totals(record: Record, seen: _Seen) -> dict[str | None, int]:
    """Rows of the whole task version: all of them by the task's own count, those of groups by the rows where none is
    missing. Whatever else a record knew of its totals, it says by its coverage."""
    data = record.data
    own = [row for row in data.excluded if not row.id.startswith("fit/")]
    totals: dict[str | None, int] = {None: record.task.n - len(own)}
    if data.source == "sample" and data.limit is None:
        totals[None] = seen.rows
    if data.source == "sample" and data.limit is not None:
        del totals[None]
    return totals | (seen.groups if _is_whole(record) else {})


def _is_whole(record: Record) -> bool:
    return record.data.limit is None and not record.data.missing


def _differences(said: ValueRecord, computed: Value, *, whole: bool) -> Iterator[str]:
    """`whole`: the rows are all of the task version, so that no coverage is out of reach."""
    for key in (*_NUMBERS, "n", "comparisons", "coverage", "interval", "flags"):
        one, other = getattr(said, key), getattr(computed, key)
        if key == "flags":
            one, other = sorted(one), sorted(other)
        if key == "coverage" and other is None and not whole:
            continue
        if not _alike(one, other):
            yield f"{key} is {_short(one)}, and the rows give {_short(other)}"


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        both = one is not None and other is not None
        return both and math.isclose(one, other, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    return bool(one == other)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 120 else text[:117] + "..."

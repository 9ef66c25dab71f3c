"""The shards of a run put together: the record that one run over all rows writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rmbench.errors import RmbenchError
from rmbench.evaluation.all_failed import AllFailedError, refuse_all_failed
from rmbench.evaluation.compatibility import keep_short, totals_without, voting_settings, without_states
from rmbench.evaluation.existing import other_result
from rmbench.evaluation.judging import of_fit_split
from rmbench.evaluation.reasons import reasons_of
from rmbench.evaluation.results import Results, Skipped

if TYPE_CHECKING:
    from rmbench.records.record import Record, RunFacts
    from rmbench.records.shards import Placed, Shard
    from rmbench.types import Judged

__all__ = ["merge"]

_SHARD_OPTION = re.compile(r"\s--shard[= ]\S+")
_OPTIONS = frozenset(
    {"batch_tokens", "batch_rows", "padding_side", "sharing", "halved", "padding_share"}
    | {"executor", "workers", "tensor_parallel", "gpus_per_worker", "cpus_per_worker"}
)
"""Entries of `run.engine` that are no counts."""


class _Found(NamedTuple):
    """A shard and where it lies."""

    folder: Path
    shard: Shard


def merge(
    shards: str | Path | Sequence[str | Path], *, out: Path | str = "results", overwrite: bool = False
) -> Results:
    """The records of runs that shared the rows of their tasks by `shard=`, equal to those of one run over all rows.

    Values, intervals, counts, digests and rows are those of the one run, bit for bit where the model's answer to a row
    depends on no other row of its batch. What differs are the facts of the run: times and counts of the engine are
    summed over the shards, `run.engine` has `shards`.

    Args:
        shards: folders that hold shards, the `out` of the runs, or folders in them.
        out: the results folder to write to.
        overwrite: replace a record in `out` although other data, settings or metrics made it.

    Returns:
        The results, one record per task.

    Raises:
        RmbenchError: a folder without shards; shards of several models; of a task one that is missing, there twice, or
            of another model, version, data, settings or number of shards. Nothing is written then.
    """
    found = _found([shards] if isinstance(shards, str | Path) else shards)
    by_task: dict[str, list[_Found]] = {}
    for each in found:
        by_task.setdefault(each.shard.record.task.id, []).append(each)
    for task, of_task in by_task.items():
        _check(task, of_task)
    _check_one_model(found)
    out = Path(out)
    if not overwrite:
        _refuse_other_results(by_task.values(), out)
    records: list[Record] = []
    skipped: list[Skipped] = []
    reasons: dict[str, str] = {}
    for task, of_task in by_task.items():
        try:
            record, why = _merged(of_task, out)
        except AllFailedError as error:
            skipped.append(Skipped(task, error.why, error.rows))
            continue
        records.append(record)
        reasons |= {task: why} if why else {}
    return _results(found[0].shard.record, records, skipped, reasons, out)


def _results(
    first: Record, records: Sequence[Record], skipped: Sequence[Skipped], reasons: Mapping[str, str], out: Path
) -> Results:
    from rmbench.records.slug import model_slug

    if not records:
        raise AllFailedError(skipped[0].task, skipped[0].why, skipped[0].failed_rows)
    source = ", ".join(sorted({record.data.source for record in records}))
    folder = str(out / model_slug(first.model.name, first.model.revision))
    return Results(first.model.name, source, tuple(records), tuple(skipped), folder, reasons)


def _found(folders: Sequence[str | Path]) -> list[_Found]:
    """The shards below the folders, each once."""
    from rmbench.records.shards import find_shards, read_shard
    from rmbench.records.store import find

    places: dict[Path, Path] = {}
    for folder in map(Path, folders):
        here = find_shards(folder)
        if not here:
            whole = find(folder)
            why = f" ({whole[0]} is a whole record, which needs no merging)" if whole else ""
            raise RmbenchError(f"{folder}: no shard is here{why}; `rmbench run --shard I/N --out FOLDER` makes them.")
        places |= {place.resolve(): place for place in here}
    if not places:
        raise RmbenchError("merge: name the folders of the shards.")
    return [_Found(place, read_shard(place)) for place in places.values()]


def _check_one_model(found: Sequence[_Found]) -> None:
    first = found[0]
    for each in found:
        if why := _of_other_model(first.shard, each.shard):
            raise RmbenchError(f"{each.folder} is of another model than {first.folder}: {why}. Merge one at a time.")


def _check(task: str, found: Sequence[_Found]) -> None:
    """Raise RmbenchError unless these are all shards of one result, each once."""
    first = found[0]
    for each in found:
        if why := _difference(first.shard, each.shard):
            raise RmbenchError(f"{task}: {each.folder} and {first.folder} are no shards of one run: {why}.")
    by_index: dict[int, Path] = {}
    for folder, shard in found:
        if (index := shard.shard.index) in by_index:
            raise RmbenchError(f"{task}: shard {shard.number} is there twice: {by_index[index]} and {folder}.")
        by_index[index] = folder
    of = first.shard.shard.of
    if missing := [index for index in range(1, of + 1) if index not in by_index]:
        names = ", ".join(f"{index}/{of}" for index in missing[:10]) + ", ..." * (len(missing) > 10)
        raise RmbenchError(
            f"{task}: {len(missing)} of {of} shards {'is' if len(missing) == 1 else 'are'} missing: {names}."
        )
    for kind, rows in (("places", first.shard.shard.rows), ("fit_places", first.shard.shard.fit_rows)):
        if sorted(place for _, shard in found for place in getattr(shard.shard, kind)) != list(range(rows)):
            raise RmbenchError(f"{task}: the shards do not hold each of its {rows} rows once ({kind}).")


def _difference(one: Shard, other: Shard) -> str:
    """Why two shards are of different results or different partitions, or ""."""
    if one.shard.of != other.shard.of:
        return f"one is {other.number} and the other {one.number}"
    if why := _of_other_model(one, other):
        return why
    mine, theirs = one.record, other.record
    if mine.task.version != theirs.task.version:
        return f"version {theirs.task.version} of the task and version {mine.task.version}"
    if mine.task != theirs.task:
        return "the task was declared differently"
    if mine.run.seed != theirs.run.seed:
        return f"seed {theirs.run.seed} and seed {mine.run.seed}"
    changed = _changed(mine.data.model_dump(exclude={"rows"}), theirs.data.model_dump(exclude={"rows"}))
    if changed:
        return f"other data: {changed}"
    shared = {"index", "places", "fit", "fit_places"}
    if changed := _changed(one.shard.model_dump(exclude=shared), other.shard.model_dump(exclude=shared)):
        return f"other rows: {changed}"
    versions = mine.run.versions.keys() & theirs.run.versions.keys()
    changed = _changed(*({name: each.run.versions[name] for name in versions} for each in (mine, theirs)))
    return f"other software: {changed}" if changed else ""


def _of_other_model(one: Shard, other: Shard) -> str:
    mine, theirs = one.record.model, other.record.model
    if mine.name != theirs.name or mine.revision != theirs.revision:
        return f"{theirs.name}@{theirs.revision} and {mine.name}@{mine.revision}"
    if changed := _changed(mine.settings, theirs.settings):
        return f"other settings: {changed}"
    if mine.fingerprint != theirs.fingerprint:
        return f"the model's fingerprint is {theirs.fingerprint[:8]} and {mine.fingerprint[:8]}"
    changed = _changed(mine.model_dump(exclude={"check"}), theirs.model_dump(exclude={"check"}))
    return f"other facts of the model: {changed}" if changed else ""


def _changed(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """The first key whose value differs, with both values where they are short; "" where none does."""
    for key in sorted(mine.keys() | theirs.keys()):
        if mine.get(key) != theirs.get(key):
            one, other = (f"{each.get(key)}"[:60] for each in (theirs, mine))
            return f"{key} is {one} and {other}" if one != other else f"{key} differs"
    return ""


def _refuse_other_results(by_task: Iterable[Sequence[_Found]], out: Path) -> None:
    from rmbench.records.identity import Identity

    for found in by_task:
        record = found[0].shard.record
        if why := other_result(Identity.of(record), out):
            raise RmbenchError(f"{record.task.id}: {why}")


def _merged(found: Sequence[_Found], out: Path) -> tuple[Record, str]:
    """The record of a task's shards, written, and why rows of it have no verdict."""
    from rmbench.evaluation.measuring import measured
    from rmbench.records.check_mark import read_mark
    from rmbench.records.derived import flag_partial
    from rmbench.records.headline import specs
    from rmbench.records.record import ValueRecord
    from rmbench.records.shards import read_placed
    from rmbench.records.slug import model_slug
    from rmbench.records.store import write

    found = sorted(found, key=lambda each: each.shard.shard.index)
    first, facts = found[0].shard.record, found[0].shard.shard
    tables = [read_placed(folder, shard) for folder, shard in found]
    every = _in_order(judged for judged, _ in tables)
    rows, excluded = keep_short(facts.max_tokens, every)
    refuse_all_failed(first.task.id, first.model.name, rows)
    fit, unfit = keep_short(facts.max_tokens, _in_order(fit for _, fit in tables))
    totals = totals_without(facts.totals, every, excluded)
    total = facts.total - len(excluded)
    settings = dict(voting_settings(first.model.settings, facts.voting, rows))
    whole: dict[str | None, int] = {None: total}
    whole.update(totals)
    values, credits_ = measured(rows, fit, specs(first), settings, first.model.answer_kind, whole, first.run.seed)
    mark = read_mark(out / model_slug(first.model.name, first.model.revision), first.model.fingerprint)
    gone = [{"id": row.id, "why": row.why} for row in (*excluded, *of_fit_split(unfit))]
    record = first.model_validate(
        {
            **first.model_dump(exclude={"digests"}),
            "model": first.model.model_copy(update={"settings": settings, "check": mark}),
            "data": {**first.data.model_dump(), "rows": len(rows), "excluded": [*first.data.excluded, *gone]},
            "run": _run([shard.record.run for _, shard in found], [bool(judged.rows) for judged, _ in tables]),
            "results": [ValueRecord.model_validate(value) for value in flag_partial(values, first.data.missing)],
            **_told(rows, first, total),
        }
    )
    counts = {name: count for name, count in record.run.engine.items() if isinstance(count, int)}
    return write(out, record, [without_states(row) for row in rows], credits_), reasons_of(rows, counts)


def _told(rows: Sequence[Judged], first: Record, total: int) -> dict[str, Any]:
    """What a record says of its rows besides the values."""
    from rmbench.metrics.judging.intransitive import intransitive
    from rmbench.metrics.judging.position_bias import orders
    from rmbench.records.derived import counts_of

    judgments = [row.judgment for row in rows]
    failed = [{"id": each.id, "why": each.error} for each in judgments if each.status == "failed"]
    marks = {
        "failed_rows": bool(failed),
        "partial": bool(first.data.missing),
        "limited": first.data.limit is not None and first.data.limit < total,
    }
    flags = set(first.flags) - marks.keys() | {name for name, holds in marks.items() if holds}
    return {
        "counts": counts_of([row.gold for row in rows], judgments),
        "flags": sorted(flags),
        "failed": failed,
        "intransitive": intransitive(judgments),
        "orders": orders(judgments),
    }


def _in_order(parts: Iterable[Placed]) -> list[Judged]:
    """The rows of all shards, in the order of the task."""
    pairs = [pair for part in parts for pair in zip(part.places, part.rows, strict=True)]
    return [row for _, row in sorted(pairs, key=lambda pair: pair[0])]


def _run(runs: Sequence[RunFacts], used: Sequence[bool]) -> RunFacts:
    """How the numbers were made: the command without its shard, first start and last end, seconds and counts summed.
    How rows were computed is that of the shards that are `used`, which have rows."""
    first = runs[0]
    versions = {name: version for run in runs for name, version in run.versions.items()}
    return first.model_copy(
        update={
            "command": _SHARD_OPTION.sub("", first.command),
            "started": min(run.started for run in runs),
            "finished": max(run.finished for run in runs),
            "seconds": round(sum(run.seconds for run in runs), 3),
            "resumed": any(run.resumed for run in runs),
            "reused": _summed([run.reused for run in runs]),
            "engine": _engine(
                [run.engine for run, has_rows in zip(runs, used, strict=True) if has_rows or not any(used)], len(runs)
            ),
            "versions": versions,
        }
    )


def _engine(engines: Sequence[Mapping[str, Any]], shards: int) -> dict[str, Any]:
    """How the work was cut up, over all shards."""
    from rmbench.engine.judge import WAYS

    counts = [{key: n for key, n in one.items() if type(n) is int and key not in _OPTIONS} for one in engines]
    sums = _summed(counts)
    ways = [str(one["sharing"]) for one in engines]
    places = sums["padded_tokens"]
    return {
        **engines[0],
        **sums,
        "sharing": min(ways, key=WAYS.index),
        "padding_share": round(1 - sums["computed_tokens"] / places, 6) if places else 0.0,
        "halved": any(one["halved"] for one in engines),
        "shards": shards,
    }


def _summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    names = dict.fromkeys(name for one in counts for name in one)
    return {name: sum(one.get(name, 0) for one in counts) for name in names}

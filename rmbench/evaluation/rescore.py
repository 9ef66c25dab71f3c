"""Stored records of a multi-objective model, scored again with other weights of its objectives: no forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.evaluation.objectives import Direction, Weights, direction_in, parse_weights
from rmbench.evaluation.results import Results

if TYPE_CHECKING:
    from rmbench.evaluation.build_record import Stopwatch
    from rmbench.records.record import ModelRecord, Record, RunFacts, ValueRecord
    from rmbench.types import Judged

__all__ = ["rescore"]


def rescore(
    folder: Path | str, objective_weights: Weights | str, *, out: Path | str = "results", command: str = ""
) -> Results:
    """New records from stored ones, with sum over m of w_m times objective m as the reward.

    Values are what `rmbench.run` with these weights gives: the same rows, metrics and seed. A metric that is fitted on
    a task's fit split is left out, since records do not hold that split.

    Args:
        folder: a record, or the folder of one model's records.
        objective_weights: by the objectives' names, 0 for those left out; one number for each in the model's order; or
            either as text, "helpfulness=1,verbosity=-0.3" or "1,0,-0.3".
        out: the results folder to write to. The model keeps its name, and its revision says that it has a direction.
        command: the command line, for the records.

    Raises:
        RmbenchError: a folder without records, or with those of several models; a model without objectives, or with
            a direction already; weights that do not fit.
    """
    from rmbench.records.store import find, model_slug, read

    weights = parse_weights(objective_weights)
    folder, out = Path(folder), Path(out)
    records = [(place, read(place)) for place in find(folder)]
    measured = [(place, record) for place, record in records if record.kind == "measured"]
    models = sorted({f"{record.model.name}@{record.model.revision}" for _, record in measured})
    if len(models) != 1:
        raise RmbenchError(f"{folder}: records of one model are weighed at a time, here are {len(models)}: {models}.")
    written = [_rescored(place, record, weights, out, command) for place, record in measured]
    model = written[0].model
    return Results(
        model=model.name,
        source=written[0].data.source or str(folder),
        records=tuple(written),
        skipped=(),
        out=str(out / model_slug(model.name, model.revision)),
    )


def _rescored(place: Path, record: Record, weights: Weights, out: Path, command: str) -> Record:
    from rmbench.evaluation.build_record import Stopwatch
    from rmbench.metric_spec import is_linear
    from rmbench.metrics.credit.row import credit
    from rmbench.records.derived import counts_of
    from rmbench.records.headline import headline_spec
    from rmbench.records.store import read_rows, write

    watch = Stopwatch()
    direction = direction_in(weights, record.model.settings, record.model.name)
    try:
        rows = [replace(row, judgment=direction.judgment(row.judgment)) for row in read_rows(place)]
    except RmbenchError as error:
        raise RmbenchError(f"{place}: {error}") from error
    head = headline_spec(record)
    values = _values(record, rows)
    changed: dict[str, Any] = {
        "model": _model(record.model, direction),
        "counts": counts_of([row.gold for row in rows], [row.judgment for row in rows]),
        "results": values,
        "intransitive": None,  # rewards are transitive
        "orders": None,
        "run": _run(record, command, watch),
    }
    row_credits = {row.id: credit(row, head).value for row in rows} if is_linear(head) else None
    return write(out, record.model_copy(update=changed), rows, row_credits)


def _values(record: Record, rows: Sequence[Judged]) -> list[ValueRecord]:
    """The record's metrics over rows in the new direction. Which rows failed has not changed, nor has coverage."""
    from rmbench.metrics.measure import measure
    from rmbench.records.derived import flag_partial
    from rmbench.records.headline import specs
    from rmbench.records.record import ValueRecord

    values = measure(rows, specs(record), answer_kind=record.model.answer_kind, seed=record.run.seed)
    coverage = {(value.metric, value.group): value.coverage for value in record.results}
    values = [replace(value, coverage=coverage.get((value.metric, value.group), value.coverage)) for value in values]
    return [ValueRecord.model_validate(value) for value in flag_partial(values, record.data.missing)]


def _model(model: ModelRecord, direction: Direction) -> ModelRecord:
    return model.model_copy(
        update={
            "revision": direction.revision(model.revision),
            "settings": direction.settings(model.settings),
            "fingerprint": direction.fingerprint(model.fingerprint),
            "check": None,
        }
    )


def _run(record: Record, command: str, watch: Stopwatch) -> RunFacts:
    """The facts of the run that judged the rows, with this command, these times, and the digest that the rows had."""
    from rmbench.records.digest import clean_command

    digest = record.judgments.sha256 if record.judgments else ""
    engine = {**record.run.engine, "rescored_from": digest}
    return record.run.model_copy(update={"command": clean_command(command), **watch.times(), "engine": engine})

"""A record's headline: the declaration of its first metric, and that metric's overall value; and those of others."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec
from rmbench.records.record import Record, ValueRecord
from rmbench.validation import validated

__all__ = ["declaration_text", "headline", "headline_spec", "overall", "spec_of", "specs"]


def headline_spec(record: Record) -> MetricSpec:
    """The first metric as it was declared when the record was made, so that its rows can be measured again.

    A mean of other metrics carries them in `parts`. RmbenchError where a declaration in the record is invalid.
    """
    _first(record)
    spec = _spec(record, 0)
    if not spec.of or spec.parts:
        return spec
    indices = {declared.get("name"): index for index, declared in enumerate(record.task.metrics)}
    unknown = [name for name in spec.of if name not in indices]
    if unknown:
        raise RmbenchError(f'record of {record.task.id}: task.metrics.0.of: no metric is called "{unknown[0]}".')
    return replace(spec, parts=tuple(_spec(record, indices[name]) for name in spec.of))


def specs(record: Record) -> tuple[MetricSpec, ...]:
    """All metrics as they were declared when the record was made; RmbenchError where a declaration is invalid."""
    _first(record)
    return tuple(_spec(record, index) for index in range(len(record.task.metrics)))


def _spec(record: Record, index: int) -> MetricSpec:
    where = f"record of {record.task.id}: task.metrics.{index}"
    declared = record.task.metrics[index]
    for key in declared:
        if key not in MetricSpec.__dataclass_fields__:
            near = did_you_mean(key, MetricSpec.__dataclass_fields__)
            raise RmbenchError(f"{where}.{key}: unknown key.{near}")
    return validated(MetricSpec, declared, where)


def spec_of(record: Record, metric: str = "") -> MetricSpec:
    """The metric of that name as it was declared when the record was made, the headline by default.

    RmbenchError where the record declares no such metric, or an invalid one.
    """
    if not metric:
        return headline_spec(record)
    declared = [str(each.get("name")) for each in record.task.metrics]
    if metric not in declared:
        raise RmbenchError(
            f'record of {record.task.id}: no metric is called "{metric}".{did_you_mean(metric, declared)}'
        )
    return _spec(record, declared.index(metric))


def overall(record: Record, metric: str = "") -> ValueRecord:
    """The overall value of a metric, the headline by default; RmbenchError where the record has none."""
    if not metric:
        return headline(record)
    for value in record.results:
        if value.metric == metric and value.group is None:
            return value
    raise RmbenchError(f'record of {record.task.id}: it has no overall value of "{metric}".')


def headline(record: Record) -> ValueRecord:
    """The overall value of the first metric; RmbenchError where the record has none."""
    name = _first(record).get("name")
    for value in record.results:
        if value.metric == name and value.group is None:
            return value
    raise RmbenchError(f'record of {record.task.id}: it has no overall value of its first metric "{name}".')


def declaration_text(spec: MetricSpec) -> str:
    """A metric's declaration as JSON, for comparing: equal texts mean equal metrics."""
    fields = {name: getattr(spec, name) for name in MetricSpec.__dataclass_fields__}
    return json.dumps(fields, sort_keys=True, default=asdict)


def _first(record: Record) -> dict[str, Any]:
    if not record.task.metrics:
        raise RmbenchError(f"record of {record.task.id}: task.metrics is empty.")
    return record.task.metrics[0]

"""Every Eval Ever, https://github.com/evaleval/every_eval_ever, schema 0.3.0: a file per record below
`data/<task>/<developer>/<model>/`, named by a UUID, and beside it a file of its rows where these are asked for.

The fields are those of its eval.schema.json. RewardBench's values are called as its own adapter calls them (`Score`,
`Chat`, `Factuality` ...), so that they stand beside the published ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from rmbench.exchange.formats.every_eval_ever_samples import sample_lines
from rmbench.exchange.formats.written import Files, Format, Stored, Texts, developer_and_model, json_file, listed
from rmbench.metric_spec import MetricSpec, better_of, rule_of
from rmbench.records.digest import digest_of
from rmbench.records.headline import specs
from rmbench.records.record import Record, ValueRecord
from rmbench.records.slug import name_slug

__all__ = ["FORMAT", "SCHEMA_VERSION"]

SCHEMA_VERSION = "0.3.0"
_SCORE = frozenset({"reward-bench", "reward-bench-2"})
"""Tasks whose headline is called "Score" there."""


def _write(records: Sequence[Stored]) -> tuple[Texts, list[str]]:
    files, undefined, notes = Files(), [], []
    for stored in records:
        record = stored.record
        developer, model = developer_and_model(record.model.name)
        values = [value for value in record.results if value.value is not None]
        undefined += [f"{value.metric} of {stored.name}" for value in record.results if value.value is None]
        if not values:
            continue
        digest = digest_of(record.model_dump(mode="json"))
        uuid = UUID(bytes=bytes.fromhex(digest)[:16], version=4)
        name = PurePosixPath("data", name_slug(record.task.id), developer, model, f"{uuid}.json")
        log = _log(record, values, f"{developer}/{model}")
        text, companion = "", name.with_name(f"{uuid}_samples.jsonl")
        if stored.source is not None:
            lines, note = sample_lines(stored, stored.source, log)
            notes += [note] if note else []
            if text := "".join(lines):
                log["detailed_evaluation_results"] = _companion(companion, text)
        files.add(name, json_file(log), stored)
        files.add(companion, text or None, stored)
    if undefined:
        notes.append(f"Values that are undefined have no score there: {listed(undefined)}.")
    return files.texts, notes


def _companion(name: PurePosixPath, text: str) -> dict[str, Any]:
    return {
        "format": "jsonl",
        "file_path": str(name),
        "hash_algorithm": "sha256",
        "checksum": hashlib.sha256(text.encode()).hexdigest(),
        "total_rows": text.count("\n"),
    }


def _log(record: Record, values: Sequence[ValueRecord], model_id: str) -> dict[str, Any]:
    run, started = record.run, _epoch(record.run.finished)
    by_name = {spec.name: spec for spec in specs(record)}
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"{record.task.id}/{model_id}/{started}",
        "evaluation_timestamp": run.finished,
        "retrieved_timestamp": started,
        "source_metadata": {
            "source_name": "rmbench",
            "source_type": "evaluation_run" if record.kind == "measured" else "documentation",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
            **({"additional_details": {"source_of_scores": run.source_of_scores}} if run.source_of_scores else {}),
        },
        "eval_library": {"name": "rmbench", "version": run.versions.get("rmbench", "unknown")},
        "model_info": _model(record, model_id),
        "evaluation_results": [_result(record, value, by_name.get(value.metric)) for value in values],
    }


def _epoch(moment: str) -> str:
    """ISO 8601 -> seconds since 1970, as text; "unknown" where a record from elsewhere holds another form."""
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return "unknown"
    return f"{(at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp():.0f}"


def _model(record: Record, model_id: str) -> dict[str, Any]:
    model = record.model
    local = record.kind == "measured" and not record.run.source_of_scores and model.family not in ("judge", "served")
    details = {
        "deployment_type": "self_deployed" if local else "unknown",
        "model_availability": "unknown",
        "revision": model.revision,
        "family": model.family,
        "fingerprint": model.fingerprint,
        "settings": json.dumps(model.settings, sort_keys=True),
        "parameters": "" if model.parameters is None else str(model.parameters),
        "license": model.license or "",
    }
    transformers = record.run.versions.get("transformers")
    engine = {"inference_engine": {"name": "transformers", "version": transformers}} if transformers and local else {}
    return {
        "name": model.name,
        "id": model_id,
        "developer": model_id.partition("/")[0],
        **engine,
        "additional_details": {key: value for key, value in details.items() if value},
    }


def _result(record: Record, value: ValueRecord, spec: MetricSpec | None) -> dict[str, Any]:
    details = {
        "comparisons": str(value.comparisons),
        "coverage": "" if value.coverage is None else repr(value.coverage),
        "chance": "" if value.chance is None else repr(value.chance),
        "flags": ", ".join([*record.flags, *value.flags]),
        "group": value.group or "",
    }
    uncertainty: dict[str, Any] = {"num_samples": value.n}
    if value.low is not None and value.high is not None:
        uncertainty["confidence_interval"] = {
            "lower": value.low,
            "upper": value.high,
            "confidence_level": 0.95,
            "method": value.interval,
        }
    return {
        "evaluation_result_id": "/".join(
            [f"{record.task.id}@{record.task.version}", value.metric, *([value.group] if value.group else [])]
        ),
        "evaluation_name": _name(record, value, spec),
        "source_data": _source(record),
        "metric_config": _metric(value, spec),
        "score_details": {
            "score": value.value,
            "details": {key: text for key, text in details.items() if text},
            "uncertainty": uncertainty,
        },
        "generation_config": {"generation_args": {"execution_command": record.run.command or "from Python"}},
    }


def _name(record: Record, value: ValueRecord, spec: MetricSpec | None) -> str:
    headline = record.task.metrics[0].get("name")
    shown = [part.partition("=")[2] or part for part in (value.group or "").split(",") if part]
    if not shown and spec is not None and len(spec.where) == 1:  # a metric of one group's rows alone
        (only,) = spec.where.values()
        shown = list(only) if value.metric != headline else []
    if shown:
        group = ", ".join(shown)
        return group if value.metric == headline or not value.group else f"{group} ({value.metric})"
    if value.metric != headline:
        return f"{record.task.id} {value.metric}"
    return "Score" if record.task.id in _SCORE else record.task.id


def _source(record: Record) -> dict[str, Any]:
    data, task = record.data, record.task
    about = {"task": f"{task.id}@{task.version}", "rows_digest": data.digest_of_rows, "source": data.source}
    if data.hub is None:
        return {"source_type": "other", "dataset_name": task.title, "additional_details": about}
    revision = {"hf_revision": data.revision} if data.revision else {}
    return {
        "source_type": "hf_dataset",
        "dataset_name": task.title,
        "hf_repo": data.hub,
        "samples_number": data.rows,
        "additional_details": about | revision,
    }


def _metric(value: ValueRecord, spec: MetricSpec | None) -> dict[str, Any]:
    low, high = (rule_of(spec).low, rule_of(spec).high) if spec else (None, None)
    return {
        "metric_id": value.metric,
        "metric_name": value.metric,
        "metric_kind": spec.rule if spec else value.metric,
        "lower_is_better": spec is not None and better_of(spec) == "lower",
        "score_type": "continuous",
        "min_score": "-Infinity" if low is None else low,
        "max_score": "Infinity" if high is None else high,
    }


FORMAT = Format(
    "every-eval-ever",
    _write,
    has_samples=True,
    cannot_say=(
        "A record does not say who ran it: source_organization_name is unknown and evaluator_relationship other.",
    ),
)

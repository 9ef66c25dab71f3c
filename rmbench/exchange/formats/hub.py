"""Results in a model's repository on the Hugging Face hub: the `model-index` of its README, and `.eval_results/*.yaml`.

Both go through huggingface_hub: `EvalResult` with `eval_results_to_model_index`, and `EvalResultEntry` with
`eval_result_entries_to_yaml` (docs/hub/eval-results).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.exchange.formats.written import Files, Format, Stored, Texts, listed
from rmbench.records.record import Record, ValueRecord
from rmbench.records.slug import model_slug

__all__ = ["EVAL_RESULTS", "MODEL_INDEX", "SOURCE"]

SOURCE = "https://github.com/rmbench/rmbench"
_TASK_TYPE = "preference_evaluation"
"""As RewardBench's own command names it with --upload_metadata_to_hf."""


def _folder(stored: Stored) -> PurePosixPath:
    return PurePosixPath(model_slug(stored.record.model.name, stored.record.model.revision))


def _model_index(records: Sequence[Stored]) -> tuple[Texts, list[str]]:
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    models: dict[PurePosixPath, list[Stored]] = {}
    undefined: list[str] = []
    for stored in records:
        models.setdefault(_folder(stored), []).append(stored)
    files = Files()
    for folder, of_model in models.items():
        name = of_model[0].record.model.name
        results: list[dict[str, Any]] = []
        for stored in of_model:
            undefined += [f"{value.metric} of {stored.name}" for value in stored.record.results if value.value is None]
            entries = [
                EvalResult(**_eval_result(stored, value)) for value in stored.record.results if value.value is not None
            ]
            # One at a time: two tasks of one data set would become one.
            results += eval_results_to_model_index(name, entries)[0]["results"] if entries else []
        if results:
            index = _yaml({"model-index": [{"name": name, "results": results}]})
            files.add(folder / "README.md", f"---\n{index}---\n", of_model[0])
    notes = [f"Values that are undefined are left out: {listed(undefined)}."] if undefined else []
    return files.texts, notes


def _eval_result(stored: Stored, value: ValueRecord) -> dict[str, Any]:
    record = stored.record
    return {
        "task_type": _TASK_TYPE,
        "task_name": "Preference evaluation",
        "dataset_type": record.data.hub or record.task.id,
        "dataset_name": record.task.title,
        "dataset_revision": record.data.revision,
        "dataset_args": {"task": stored.task, "rows_digest": record.data.digest_of_rows},
        "metric_type": value.metric,
        "metric_name": f"{value.metric}, {value.group}" if value.group else value.metric,
        "metric_value": value.value,
        "metric_args": {"group": value.group} if value.group else None,
        "source_name": "rmbench",
        "source_url": SOURCE,
    }


def _eval_results(records: Sequence[Stored]) -> tuple[Texts, list[str]]:
    try:
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    except ImportError as error:
        raise RmbenchError(
            "eval-results needs a newer huggingface_hub, with EvalResultEntry: pip install -U huggingface_hub"
        ) from error
    files, elsewhere, undefined = Files(), [], []
    for stored in records:
        record, value = stored.record, _headline(stored.record)
        if record.data.hub is None:
            elsewhere.append(stored.name)
        elif value is None or value.value is None:
            undefined.append(stored.name)
        else:
            entry = EvalResultEntry(
                dataset_id=record.data.hub,
                task_id=record.task.id,
                value=value.value,
                dataset_revision=record.data.revision,
                date=record.run.finished,
                source_url=SOURCE,
                source_name="rmbench",
                notes=_notes(stored, value),
            )
            name = PurePosixPath(".eval_results", f"{stored.folder.name}.yaml")
            files.add(_folder(stored) / name, _yaml(eval_result_entries_to_yaml([entry])), stored)
    notes = [f"Left out, for their rows are in no data set of the hub: {listed(elsewhere)}."] if elsewhere else []
    notes += [f"Left out, for they have no headline value: {listed(undefined)}."] if undefined else []
    return files.texts, notes


def _yaml(data: Any) -> str:
    import yaml  # a dependency of huggingface_hub

    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def _headline(record: Record) -> ValueRecord | None:
    """None where others published figures of another definition alone."""
    name = record.task.metrics[0].get("name") if record.task.metrics else None
    return next((value for value in record.results if value.group is None and value.metric == name), None)


def _notes(stored: Stored, value: ValueRecord) -> str:
    record = stored.record
    interval = "" if value.low is None else f", 95% interval {value.low:.4f} to {value.high:.4f} ({value.interval})"
    flags = f"; {', '.join(record.flags)}" if record.flags else ""
    scores = f"; scores from {record.run.source_of_scores}" if record.run.source_of_scores else ""
    return f"{stored.task}, {value.metric}, n = {value.n}{interval}; revision {record.model.revision}{flags}{scores}"


MODEL_INDEX = Format(
    "model-index",
    _model_index,
    ("Intervals, n, coverage, chance and flags have no place in a model-index.",),
)
EVAL_RESULTS = Format(
    "eval-results",
    _eval_results,
    (
        "Only the headline is written: a file of .eval_results names a task, and no groups of its rows.",
        "A value appears on a data set's board only where its repository has registered the task_id in its eval.yaml.",
    ),
)

"""The rows of a record as Every Eval Ever's `<uuid>_samples.jsonl`, schema 0.3.0 (its instance_level_eval.schema.json).

A row is a choice among candidates: their texts are `input.choices`, named by letters in that order; the letters of
those that people prefer are `input.reference`. A reward model answers with its scores, a judge with what it wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from rmbench.exchange.formats.written import Stored
from rmbench.metric_spec import MetricSpec, better_of, is_linear
from rmbench.metrics.credit.row import credit
from rmbench.metrics.judging.votes import voted
from rmbench.metrics.rows.answers import in_dimension, is_failed, scores
from rmbench.metrics.rows.gold import compared
from rmbench.metrics.rows.selection import selected_rows
from rmbench.records.headline import headline_spec
from rmbench.reports.texts import Source, conversation_text, examples_of
from rmbench.types import Example, Judged
from rmbench.untrusted.masking import looked_up_once, masked

__all__ = ["sample_lines"]

_FULL = 1 - 1e-9


def sample_lines(stored: Stored, source: Source, log: Mapping[str, Any]) -> tuple[list[str], str]:
    """A line per row that counts in the headline, or in a metric that the headline is the mean of; and a sentence on
    what has none, "" where every row has one.

    Args:
        stored: the record.
        source: where the texts are.
        log: the file of the record, which the lines refer to.

    Raises:
        RmbenchError: the source holds other rows than the record.
    """
    spec = headline_spec(stored.record)
    results = {each["evaluation_result_id"]: each for each in log["evaluation_results"]}
    metrics = {
        f"{stored.task}/{each.name}": each
        for each in spec.parts or (spec,)
        if is_linear(each) and better_of(each) != "neither" and f"{stored.task}/{each.name}" in results
    }
    if not metrics:
        return [], f"No rows of {stored.name}: its headline, {spec.name}, is not a mean of right and wrong rows."
    examples, why = examples_of(stored.folder, stored.record, source)
    if not examples:
        return [], f"No rows of {stored.name}: {why}"
    rows = voted(stored.rows(), stored.record.model.settings)
    lines, counted = [], set()
    with looked_up_once():
        for name, metric in metrics.items():
            about = {
                "schema_version": log["schema_version"],
                "evaluation_id": log["evaluation_id"],
                "model_id": log["model_info"]["id"],
                "evaluation_name": results[name]["evaluation_name"],
                "evaluation_result_id": name,
            }
            for row in selected_rows(rows, metric):
                worth = credit(row, metric).value
                if worth is not None:
                    line = about | _sample(row, worth, metric, examples[row.id])
                    lines.append(json.dumps(masked(line), allow_nan=False) + "\n")
                    counted.add(row.id)
    without = len(rows) - len(counted)
    return lines, f"{without} of {len(rows)} rows of {stored.name} have no right and wrong there." if without else ""


def _sample(row: Judged, worth: float, spec: MetricSpec, example: Example) -> dict[str, Any]:
    asked, reference = conversation_text((*example.shots, *example.prompt)), _preferred(row, spec)
    return {
        "sample_id": row.id,
        "sample_hash": hashlib.sha256("".join([asked, *reference]).encode()).hexdigest(),
        "interaction_type": "single_turn",
        "input": {
            "raw": asked,
            "reference": reference,
            "choices": [conversation_text((*(one.prompt or ()), *one.messages)) for one in example.candidates],
        },
        "output": {"raw": _answers(row)},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": ", ".join(_chosen(in_dimension(row, spec.dimension))),
                "extraction_method": "custom",
                "is_terminal": True,
            }
        ],
        "evaluation": {
            "score": worth,
            "is_correct": worth >= _FULL if better_of(spec) == "higher" else worth <= 1 - _FULL,
        },
        "error": row.judgment.error or None,
        "metadata": dict(row.groups),
    }


def _preferred(row: Judged, spec: MetricSpec) -> list[str]:
    """The candidates that people prefer to another, and no other to them."""
    decided = [one for one in compared(row, spec) if not one.tie]
    return list(_letters({one.i for one in decided} - {one.j for one in decided}))


def _chosen(row: Judged) -> Iterator[str]:
    """The candidate of the highest score; several where they are tied, none where the model gave no order."""
    ordered = None if is_failed(row) else scores(row)
    return _letters([k for k, score in enumerate(ordered) if score == max(ordered)] if ordered else [])


def _answers(row: Judged) -> Sequence[str]:
    judgment = row.judgment
    written = [text for text in judgment.rationale if text]
    if written or is_failed(row):
        return written
    if judgment.directed is not None:
        return [repr(value) for line in judgment.directed for value in line]
    return [repr(value) for value in scores(row) or ()]


def _letters(candidates: Sequence[int] | set[int]) -> Iterator[str]:
    """A, B ... Z, then the numbers 27, 28 ..."""
    return (ascii_uppercase[k] if k < len(ascii_uppercase) else str(k + 1) for k in sorted(candidates))

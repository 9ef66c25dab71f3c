"""RewardBench's files (allenai/reward-bench, scripts/run_rm.py and run_v2.py): `eval-set/<org>/<model>.json`, a model's
accuracy on every subset, and `eval-set-scores/<org>/<model>.json`, its scores of every row as parallel lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

from rmbench.exchange.formats.written import Files, Format, Stored, Texts, developer_and_model, json_file, listed
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.records.headline import headline_spec, specs
from rmbench.records.record import Record
from rmbench.types import Judged

__all__ = ["ITEMS", "RESULTS"]

_TASKS = ("reward-bench", "reward-bench-2")
_TOP = MetricSpec("top", "top", unparsed=0.25)
"""The credit of RewardBench 2's rows outside Ties."""


def _results(records: Sequence[Stored]) -> tuple[Texts, list[str]]:
    return _written(records, "eval-set", lambda stored: _subsets(stored.record))


def _items(records: Sequence[Stored]) -> tuple[Texts, list[str]]:
    def lists(stored: Stored) -> dict[str, Any]:
        return _pairs(stored) if stored.record.task.id == "reward-bench" else _bests(stored)

    measured = [stored for stored in records if stored.record.kind == "measured"]
    files, notes = _written(measured, "eval-set-scores", lists)
    published = [stored.name for stored in records if stored.record.kind != "measured"]
    return files, notes + ([f"Left out, for published figures have no rows: {listed(published)}."] if published else [])


def _written(
    records: Sequence[Stored], folder: str, fill: Callable[[Stored], dict[str, Any]]
) -> tuple[Texts, list[str]]:
    files = Files()
    others = sorted({stored.record.task.id for stored in records if stored.record.task.id not in _TASKS})
    empty = []
    for stored in records:
        if stored.record.task.id in others:
            continue
        if body := fill(stored):
            developer, model = developer_and_model(stored.record.model.name)
            # Each of the two benchmarks has a repository of its own on the hub, with the same folders.
            name = PurePosixPath(f"{stored.record.task.id}-results", folder, developer, f"{model}.json")
            files.add(name, json_file(_head(stored.record) | body, indent=4), stored)
        else:
            empty.append(stored.name)
    notes = (
        [f"Left out, for the format is RewardBench's and RewardBench 2's alone: {listed(others)}."] if others else []
    )
    return files.texts, notes + ([f"Left out, for they have no value of a subset: {listed(empty)}."] if empty else [])


def _head(record: Record) -> dict[str, Any]:
    model = record.model
    kinds = {"judge": "Generative", "implicit": "DPO"}
    usual = "Seq. Classifier" if model.answer_kind == "reward" else "Custom Classifier"
    return {
        "model": model.name,
        "model_type": kinds.get(model.family, usual),
        "chat_template": "tokenizer" if "template" in model.settings else None,
    }


def _subsets(record: Record) -> dict[str, Any]:
    """Subset -> accuracy; RewardBench 2 has a metric for each."""
    first = headline_spec(record)
    found = {
        value.group.removeprefix("subset="): value.value
        for value in record.results
        if value.metric == first.name and value.group and value.group.startswith("subset=")
    }
    overall = {value.metric: value.value for value in record.results if value.group is None}
    for spec in specs(record)[1:]:
        if tuple(spec.where) == ("subset",):
            (subset,) = spec.where["subset"]
            found[subset] = overall.get(spec.name)
    return {subset: value for subset, value in found.items() if value is not None}


def _pairs(stored: Stored) -> dict[str, Any]:
    rows, spec = stored.rows(), headline_spec(stored.record)
    both: list[Sequence[float | None]] = [_scores(row) or (None, None) for row in rows]
    return {
        "id": [_index(row.id) for row in rows],
        "subset": [row.groups.get("subset") for row in rows],
        "results": [credit(row, spec).value for row in rows],
        "scores_chosen": [scores[0] for scores in both],
        "scores_rejected": [scores[1] for scores in both],
    }


def _bests(stored: Stored) -> dict[str, Any]:
    rows = stored.rows()
    return {
        "id": [row.id.partition("/")[2] for row in rows],
        "subset": [row.groups.get("subset") for row in rows],
        "results": [None if row.groups.get("subset") == "Ties" else credit(row, _TOP).value for row in rows],
        "scores": [_scores(row) for row in rows],
        "num_correct": [len({edge.i for edge in row.gold.relation}) for row in rows],
    }


def _scores(row: Judged) -> list[float] | None:
    return None if row.judgment.rewards is None else list(row.judgment.rewards)


def _index(id_: str) -> int | str:
    """`filtered/17` -> 17: the place in the split."""
    place = id_.rpartition("/")[2]
    return int(place) if place.isascii() and place.isdigit() else id_


RESULTS = Format(
    "rewardbench",
    _results,
    ("Intervals, n, coverage, flags, revision and settings have no place in RewardBench's results.",),
)
ITEMS = Format(
    "rewardbench-items",
    _items,
    (
        "The texts of rows are left out, for records do not hold them.",
        "Of RewardBench, id is a row's place in the split, for a record does not hold upstream's.",
        "Of RewardBench 2, Ties has no results, for it is no mean of rows.",
        "Verdicts of judges have no place there beside who was right.",
    ),
)

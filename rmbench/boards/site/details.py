"""The pages behind a board's numbers: of a record, of a model, of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rmbench.boards.figures import interval, parameters, rank_range
from rmbench.boards.site.compare import Rival
from rmbench.boards.site.entries import Entry
from rmbench.boards.site.pages import render
from rmbench.boards.site.paths import model_page
from rmbench.boards.table import BoardTable, Row
from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec, better_of, rule_of
from rmbench.records.headline import headline_spec
from rmbench.records.record import Record, ValueRecord
from rmbench.reports.page import sections
from rmbench.reports.report import Report
from rmbench.text import figure, printable

__all__ = ["model_document", "places_of", "record_document", "task_document"]

_BASELINE = ("baseline", "demo", "fake")


@dataclass(frozen=True, slots=True)
class Place:
    """A model's row on a board."""

    board: str
    title: str
    rank: str
    value: float | None
    interval: str
    models: int


def record_document(entry: Entry, report: Report | None = None) -> str:
    """The page of one record; with its report, where that was made."""
    record = entry.record
    depth = "../" * entry.page.count("/")
    return render(
        "record",
        f"{record.model.name} on {record.task.id}",
        root=depth,
        crumbs=((record.model.name, model_page(record.model.name)),),
        entry=entry,
        record=record,
        value=entry.value,
        check=_check([record]),
        own=entry.page.rpartition("/")[2].removesuffix(".html") + ".json",
        details=_details(record),
        report="" if report is None else sections(report),
    )


def _details(record: Record) -> list[tuple[str, str]]:
    """Settings of the model, what was read and what ran, as (name, text)."""
    model, data, run = record.model, record.data, record.run
    found = [
        ("family", f"{model.family}: {model.why}"),
        *((f"setting {key}", printable(str(value))) for key, value in model.settings.items()),
        ("model fingerprint", model.fingerprint),
        ("trained on", ", ".join(model.trained_on)),
        ("data", " ".join(part for part in (data.source, data.hub, data.revision and f"@{data.revision}") if part)),
        ("data digest", data.digest),
        *((f"file {file.name}", f"{file.rows:,} rows, sha256 {file.sha256}") for file in data.files),
        ("missing", ", ".join(data.missing)),
        ("task digest", record.task.digest),
        ("rows digest", record.judgments.sha256 if record.judgments else ""),
        ("platform", run.platform),
        ("versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
    ]
    return [(name, text) for name, text in found if text]


def model_document(entries: Sequence[Entry], places: Sequence[Place], pairs: Sequence[Rival]) -> str:
    """The page of a model: its places on boards, and every result by task and group.

    Args:
        entries: all records of the model's name on the site.
        places: its rows on the boards.
        pairs: the models that it has a page with.
    """
    ordered = sorted(entries, key=lambda entry: (*entry.task, entry.kind, entry.page))
    records = [entry.record for entry in ordered]
    own = [record.model for record in records if record.kind != "published"] or [records[0].model]
    name = records[0].model.name
    size = next((model.parameters for model in own if model.parameters is not None), None)
    facts = [
        ("Parameters", f"{parameters(size)} ({size:,})" if size else ""),
        ("License", next((model.license for model in own if model.license), "")),
        ("Family", ", ".join(sorted({model.family for model in own} - {"precomputed", "published"}))),
        ("Revisions", ", ".join(sorted({model.revision for model in own}))),
        ("Trained on", ", ".join(sorted({task for model in own for task in model.trained_on}))),
    ]
    return render(
        "model",
        name,
        root="../",
        crumbs=(("models", "models/index.html"),),
        name=name,
        kinds=sorted({entry.kind for entry in ordered}),
        flags=sorted({flag for record in records for flag in record.flags} & set(_BASELINE)),
        check=_check(records),
        facts=[(label, printable(text, 2_000)) for label, text in facts if text],
        places=places,
        results=ordered,
        profiles=[(entry, groups) for entry in ordered if (groups := _groups(entry))],
        commands=tuple(dict.fromkeys(record.run.command for record in records if record.run.command)),
        pairs=pairs,
    )


def _groups(entry: Entry) -> list[ValueRecord]:
    """The headline's values by group, those of one group's name together."""
    return [value for value in entry.record.results if value.metric == entry.value.metric and value.group is not None]


def _check(records: Sequence[Record]) -> str:
    """By the newest check: "passed", "failed" or "unchecked"."""
    checks = [record.model.check for record in records if record.model.check is not None]
    if not checks:
        return "unchecked"
    return "passed" if max(checks, key=lambda check: check.date).passed else "failed"


def places_of(tables: Sequence[BoardTable]) -> dict[str, list[Place]]:
    """Name of a model -> its rows on the boards."""
    places: dict[str, list[Place]] = {}
    for table in tables:
        for row in (*table.rows, *table.printed):
            places.setdefault(row.name, []).append(_place(table, row))
    return places


def _place(table: BoardTable, row: Row) -> Place:
    rank = rank_range(row.rank) if row.rank else str(row.place or "-")
    models = len(table.rows) + len(table.printed)
    return Place(table.board.id, table.board.title, rank, row.aggregate, interval(row.low, row.high), models)


def task_document(entries: Sequence[Entry], boards: Sequence[tuple[str, str]]) -> str:
    """The page of a task version: what it is, and every result on it.

    Args:
        entries: all records of it on the site.
        boards: (id, title) of the boards that it is on.
    """
    newest = max(
        (entry.record for entry in entries), key=lambda record: (record.kind == "measured", record.run.finished)
    )
    task = newest.task
    lower = _lower(newest)

    def order(entry: Entry) -> tuple[bool, float, str]:
        value = entry.value.value
        return value is None, (value or 0.0) * (1 if lower else -1), entry.page

    return render(
        "task",
        task.title,
        root="../",
        crumbs=(("tasks", "tasks/index.html"),),
        task=task,
        metric=_in_words(newest),
        first=task.metrics[0].get("name") if task.metrics else "",
        boards=boards,
        results=sorted(entries, key=order),
    )


def _lower(record: Record) -> bool:
    try:
        return better_of(headline_spec(record)) == "lower"
    except RmbenchError:
        return False


def _in_words(record: Record) -> str:
    """The headline in a sentence or two, from the table of rules."""
    try:
        spec = headline_spec(record)
        return f"{spec.name}: {_rule(spec)}"
    except RmbenchError:
        return "not known to this version of rmbench"


def _rule(spec: MetricSpec) -> str:
    rule = rule_of(spec)
    parts = [rule.summary]
    if spec.parts:
        parts.append("Of " + ", ".join(part.name for part in spec.parts) + ".")
    if spec.levels:
        parts.append(f"Averaged over {', then '.join(level.group for level in spec.levels)}.")
    ties = rule.ties or f"worth {spec.tie:g}"
    parts.append(f"A tie is {ties}." if rule.ties != "no comparison" else "")
    if isinstance(spec.chance, float | int):
        parts.append(f"Guessing reaches {figure(float(spec.chance))}.")
    elif isinstance(spec.chance, Mapping):
        parts.append("Guessing reaches " + ", ".join(f"{figure(v)} by {k}" for k, v in spec.chance.items()) + ".")
    elif spec.chance:
        parts.append("Guessing reaches 1 over the number of candidates.")
    if better_of(spec) == "lower":
        parts.append("Lower is better.")
    parts.append(f"Defined by {rule.source}.")
    return " ".join(part for part in parts if part)

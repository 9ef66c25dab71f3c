"""`rmbench show`: a task, a model card or a record, in full."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rmbench.cli.options import add_options, json_option
from rmbench.text import ColumnLayout, paragraph, printable, text_table

if TYPE_CHECKING:
    from rich.table import Table

    from rmbench.records.record import Record, ValueRecord
    from rmbench.tasks.task import Task

__all__ = ["show"]

_SHOWN = 300
"""Characters of a text of the first row."""


@click.command()
@click.argument("what", metavar="ID|TOML|FOLDER")
@click.option("--group", metavar="NAME=VALUE", help="Of records, only the values of these groups; a glob: domain=*.")
@add_options("show")
@json_option
def show(what: str, as_json: bool, group: str | None, include_path: tuple[str, ...]) -> None:
    """Show a task, a model card or a record.

    ID names a task or a card, TOML is a declaration of your own, of which the first row is shown as it is read; FOLDER
    holds records, which are verified: exit code 2 where one does not hold. Of several records, a line each; of one, or
    with --group, everything.
    """
    path = Path(what)
    if path.is_dir() or path.name == "record.json":
        _show_records(path.parent if path.name == "record.json" else path, as_json, group)
        return
    from rmbench.cli.output import echo, echo_block
    from rmbench.errors import RmbenchError, did_you_mean
    from rmbench.metric_spec import RULES
    from rmbench.models.card import cards
    from rmbench.tasks.registry import known, load_file, plain_name

    if group is not None:
        raise RmbenchError(f"--group chooses values of records, and {what!r} is no folder of records.")
    known_tasks, known_cards = known(include_path), cards()
    name = plain_name(what)
    own = load_file(path) if what.endswith(".toml") else None
    for task in [own] if own else known_tasks.values():
        if own or name in (task.id, *task.aliases):
            echo_block(f"# {task.path}\n{task.path.read_text('utf-8')}")
            for rule in dict.fromkeys(RULES[metric.rule] for metric in task.metrics):
                echo(f"# {rule.name}: {rule.summary} Source: {rule.source}.")
            if task.declaration.source.private:
                echo_block(_first_row(task))
            return
    if what in known_cards:
        card = known_cards[what]
        echo_block(f"# {card.path}\n{card.path.read_text('utf-8')}")
        return
    near = did_you_mean(what, [*known_tasks, *known_cards])
    raise RmbenchError(f"{what!r} is neither a task, a model card nor a folder with records.{near}")


def _first_row(task: Task) -> str:
    """How the first row of a private task is read."""
    from rmbench.tasks.sources import load

    loaded = load(task)
    first = loaded.examples[0]
    lines = [f"# the first of {len(loaded.examples):,} rows, {first.id}:"]
    lines += [f"#   {message.role}: {printable(message.text, _SHOWN)}" for message in first.prompt]
    lines += [f"#   candidate {k}: {printable(each.text, _SHOWN)}" for k, each in enumerate(first.candidates)]
    for edge in first.gold.relation[:10]:
        lines.append(f"#   {edge.i} {'ties' if edge.strength == 0 else 'is better than'} {edge.j}")
    lines += [f"#   ratings {', '.join(map(str, ratings))}" for ratings in first.gold.ratings]
    return "\n".join(lines)


def _show_records(folder: Path, as_json: bool, group: str | None) -> None:
    from rmbench.cli.output import echo, echo_json, print_rich
    from rmbench.errors import RmbenchError
    from rmbench.records.groups import matching
    from rmbench.records.store import find, no_record_in, read
    from rmbench.reports.audit import problems

    places = find(folder)
    if not places:
        raise no_record_in(folder)
    read_records = [(place, read(place)) for place in places]
    groups = [value.group for _, record in read_records for value in record.results if value.group is not None]
    meant = None if group is None else matching(group, groups)
    in_full = len(places) == 1 or group is not None
    found: list[str] = []
    records = []
    for place, record in read_records:
        values = [value for value in record.results if meant is None or value.group in meant]
        records.append({**record.model_dump(mode="json"), "results": [value.model_dump() for value in values]})
        wrong = problems(place)
        found += wrong
        if not as_json and in_full and values:
            for each in _head(place, record):
                print_rich(paragraph(each))
            echo("digests hold, numbers follow from the rows" if not wrong else "THE RECORD DOES NOT HOLD")
            print_rich(_values(values))
    if as_json:
        echo_json(records[0] if len(records) == 1 else records)
    elif not in_full:
        print_rich(_lines(folder, [record for _, record in read_records], places))
        outcome = "of all, digests hold and numbers follow from the rows" if not found else "NOT ALL HOLD"
        echo(f"{len(places):,} records; {outcome}. `rmbench show` on the folder of one shows all its values.")
    if found:
        raise RmbenchError("\n".join(found))


def _lines(folder: Path, records: Sequence[Record], places: Sequence[Path]) -> Table:
    """A line for each record: its headline."""
    from rmbench.evaluation.results import value_with_interval
    from rmbench.records.headline import headline

    columns: list[tuple[str, ColumnLayout]] = [("folder", "fold"), ("metric", "fold"), ("value [95%]", "left")]
    columns += [("n", "right"), ("failed", "right"), ("flags", "fold")]
    rows = []
    for place, record in zip(places, records, strict=True):
        value = headline(record)
        counts = (f"{value.n:,}", f"{record.counts.failed:,}")
        flags = ", ".join(dict.fromkeys((*record.flags, *value.flags)))
        name = place.relative_to(folder).as_posix()
        rows.append((name, value.metric, value_with_interval(value), *counts, flags or "-"))
    return text_table(columns, rows)


def _head(place: Path, record: Record) -> list[str]:
    """What the record is of, a fact a line."""
    from rmbench.evaluation.results import model_notes

    model, data, run = record.model, record.data, record.run
    lines = [
        f"{record.task.title} ({record.task.id}@{record.task.version}) by {model.name}@{model.revision}",
        f"folder   {place}",
        f"model    {model.family}; {model.why}",
        f"settings {', '.join(f'{key}={printable(str(value))}' for key, value in model.settings.items()) or '-'}",
        f"data     {data.source}; {data.rows:,} rows; sha256 {data.digest[:16]}"
        + (f"; missing: {', '.join(data.missing)}" if data.missing else ""),
        f"run      {run.finished}, {run.seconds:g} s, seed {run.seed}; {run.command or 'from Python'}",
        f"flags    {', '.join(record.flags) or '-'}",
    ]
    if model.check is not None:
        outcome = "passed" if model.check.passed else f"FAILED: {', '.join(model.check.failed)}"
        lines.append(f"check    {outcome}, {model.check.date}")
    if run.source_of_scores:
        lines.append(f"scores   {run.source_of_scores}")
    lines += [f"{word:<8} {line}" for word, line in model_notes(record).items()]
    lines += [f"failed   {row.id}: {row.why}" for row in record.failed[:20]]
    if len(record.failed) > 20:
        lines.append(f"failed   and {len(record.failed) - 20} more")
    return lines


def _values(values: Sequence[ValueRecord]) -> Table:
    """A line for each metric's overall value, and one below it for each group."""
    columns: list[tuple[str, ColumnLayout]] = [("metric, group", "fold")]
    columns += [(name, "right") for name in ("value", "95% interval", "n", "comparisons")]
    flagged = any(value.flags for value in values)
    columns += [("flags", "fold")] * flagged
    rows: list[tuple[str, ...]] = []
    metric = None
    for value in values:
        if value.metric != metric and value.group is not None:
            rows.append((value.metric, *[""] * (len(columns) - 1)))
        metric = value.metric
        interval = "-" if value.low is None or value.high is None else f"{value.low:.4f}, {value.high:.4f}"
        number = "-" if value.value is None else f"{value.value:.4f}"
        counts = (f"{value.n:,}", f"{value.comparisons:,}")
        flags = (", ".join(value.flags),) * flagged
        rows.append((value.metric if value.group is None else f"· {value.group}", number, interval, *counts, *flags))
    return text_table(columns, rows, gap=1 if flagged else 2)

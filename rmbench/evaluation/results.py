"""The results of a run: its records and the skipped tasks, as an object, a table, a data frame or plain data."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.records.headline import headline
from rmbench.records.identity import Identity
from rmbench.records.shard_number import ShardNumber
from rmbench.records.shards import shard_identity
from rmbench.text import ColumnLayout, figure, letters_of, line, share, text_table

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

    from rmbench.html import Scale
    from rmbench.records.record import EnsembleFacts, IntransitiveFacts, OrderFacts, Record, ValueRecord

__all__ = ["Results", "Skipped", "model_notes", "value_with_interval"]

_COLUMNS = "task version metric group value low high n comparisons coverage chance flags".split()
"""Columns of a data frame; those of groups hold a "=", so that none has one of these names."""
_NOT_FRACTIONS = {"task", "version", "metric", "group", "n", "comparisons", "flags"}


@dataclass(frozen=True, slots=True)
class Skipped:
    """A selected task that was not run, or of which nothing was measured."""

    task: str
    why: str
    failed_rows: int = 0
    """All its rows, where every one failed for the same reason."""
    missed: bool = False
    """The user named the task, and its data are not there."""


@dataclass(frozen=True, slots=True, repr=False)
class Results:
    """Records of one model on some tasks. Prints as a table in a terminal and in a notebook."""

    model: str
    source: str
    records: tuple[Record, ...]
    skipped: tuple[Skipped, ...]
    out: str
    """The folder that holds the records."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Task id -> why rows of it failed or could not be parsed, the commonest reason of each."""
    tokens: int = 0
    """Read and written by the judge's replies in this run; 0 for other models."""
    cost: float | None = None
    """Of these tokens, where prices are known."""
    shard: ShardNumber | None = None
    """Where these are shards, which; their records have rows and no values until they are merged."""

    def __repr__(self) -> str:
        if self.shard is not None:
            rows = ", ".join(f"{record.task.id}: {record.data.rows} rows" for record in self.records)
            return f"Results(shard {self.shard} of {self.model}: {rows})"
        values = ", ".join(f"{record.task.id}={value_with_interval(headline(record))}" for record in self.records)
        return f"Results({self.model} on {self.source}: {values or 'nothing'})"

    @property
    def failed_rows(self) -> int:
        """Rows the model failed on, over all tasks, those without a record included."""
        recorded = sum(record.counts.failed for record in self.records)
        return recorded + sum(item.failed_rows for item in self.skipped)

    def headline(self, task: str) -> ValueRecord:
        """The official overall value of a task. KeyError names the tasks that have one."""
        for record in self.records:
            if record.task.id == task:
                return headline(record)
        raise KeyError(f"no result for task {task!r}; there are {[record.task.id for record in self.records]}")

    def folder(self, task: str) -> Path:
        """Where the record of a task lies. KeyError as in `headline`."""
        for record in self.records:
            if record.task.id == task:
                identity = Identity.of(record)
                identity = identity if self.shard is None else shard_identity(identity, self.shard)
                return identity.folder(Path(self.out).parent)
        raise KeyError(f"no result for task {task!r}; there are {[record.task.id for record in self.records]}")

    def to_dict(self) -> dict[str, Any]:
        """The object that `rmbench run --json` prints; its schema is `schemas/run.schema.json` in the package."""
        return {
            "model": self.model,
            "source": self.source,
            "results": list(self._rows()),
            "skipped": [{"task": item.task, "why": item.why} for item in self.skipped],
            "failed_rows": self.failed_rows,
            "reasons": dict(self.reasons),
            "intransitive": [
                {"task": record.task.id, **record.intransitive.model_dump()}
                for record in self.records
                if record.intransitive is not None
            ],
            "shard": None if self.shard is None else str(self.shard),
            "out": self.out,
        }

    def to_pandas(self, *, tidy: bool = False) -> pd.DataFrame:
        """The values as a data frame.

        Args:
            tidy: False: a line per task and metric, its overall value with interval, n, coverage and chance, and a
                column for the value of each group, such as `domain=chat` (NaN where a metric has no such group).
                True: a line per value, those of groups too with their intervals; the column `group` is None for
                overall values.

        Figures are numbers, NaN where there is none; `flags` is one text.
        """
        import pandas as pd

        lines = [{**row, "flags": ", ".join(row["flags"])} for row in self._rows()]
        columns = [name for name in _COLUMNS if tidy or name != "group"]
        if not tidy:
            wide: dict[tuple[str, str], dict[str, Any]] = {}
            for row in lines:
                named = {name: row[name] for name in ("task", "version", "metric")}
                whole = wide.setdefault((row["task"], row["metric"]), named)
                whole |= row if row["group"] is None else {row["group"]: row["value"]}
            lines = list(wide.values())
            columns += list(dict.fromkeys(name for row in lines for name in row if name not in _COLUMNS))
        frame = pd.DataFrame(lines, columns=columns)
        return frame.astype(dict.fromkeys(set(columns) - _NOT_FRACTIONS, float))

    def _rows(self) -> Iterator[dict[str, Any]]:
        for record in self.records:
            for value in record.results:
                yield {
                    "task": record.task.id,
                    "version": record.task.version,
                    **value.model_dump(exclude={"interval"}),
                    "flags": sorted({*record.flags, *value.flags}),
                }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        marks = self._marks()
        yield self._table(marks) if self.shard is None else self._table_of_shard(self.shard)
        common = self._common_flags()
        if common:
            yield line(f"All of these are marked: {', '.join(common)}.")
        if marks:
            yield line("Marks: " + ", ".join(f"{letter} {flag}" for flag, letter in marks.items()) + ".")
        for record in self.records:
            yield from (line(f"{record.task.id}: {note}") for note in self._notes(record))
        yield from map(line, self._skipped_lines())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from rich.console import Console

        console = Console(width=100, file=io.StringIO(), force_jupyter=False, color_system=None)
        with console.capture() as captured:
            console.print(self)
        return {"text/plain": captured.get(), "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        """The table as it prints, its intervals drawn, and all values of metrics and groups below it."""
        from rmbench.html import environment

        made = environment()
        made.filters.update(interval=_interval, share=share)
        common = self._common_flags()
        values = [(record, value) for record in self.records for value in record.results]
        return made.from_string((Path(__file__).parent / "results.html").read_text("utf-8")).render(
            results=self,
            headlines=[
                ((record.task.id, headline(record).metric), headline(record), sorted(self._flags(record)))
                for record in self.records
                if self.shard is None
            ],
            others=[
                ((record.task.id, value.metric, value.group or ""), value, sorted({*value.flags} - {*common}))
                for record, value in values
                if len(values) > len(self.records)
            ],
            common=common,
            notes=[f"{record.task.id}: {note}" for record in self.records for note in self._notes(record)],
            scale_for=_scale_for,
        )

    def _notes(self, record: Record) -> list[str]:
        why = self.reasons.get(record.task.id)
        return [*([why] if why else []), *model_notes(record).values()]

    def _skipped_lines(self) -> Iterator[str]:
        """A line for each reason."""
        tasks: dict[str, list[str]] = {}
        for item in self.skipped:
            tasks.setdefault(item.why, []).append(item.task)
        for why, names in tasks.items():
            if len(names) == 1:
                yield f"skipped {names[0]}: {why}"
            else:
                yield f"skipped {len(names)} tasks: {why}: {', '.join(names)}"

    def _common_flags(self) -> list[str]:
        shared = set.intersection(*(set(record.flags) for record in self.records)) if self.records else set()
        return sorted(shared)

    def _flags(self, record: Record) -> set[str]:
        own = () if self.shard is not None else headline(record).flags
        return {*record.flags, *own} - set(self._common_flags())

    def _marks(self) -> dict[str, str]:
        """A letter for each flag that some of the records have and others have not."""
        return letters_of(sorted({flag for record in self.records for flag in self._flags(record)}))

    def _table(self, marks: dict[str, str]) -> Table:
        columns: list[tuple[str, ColumnLayout]] = [("task", "left"), ("metric", "fold"), ("value [95%]", "left")]
        columns += [("n", "right"), ("cover", "right"), ("chance", "right"), ("", "left")]
        rows = []
        for record in self.records:
            value = headline(record)
            letters = "".join(sorted(marks[flag] for flag in self._flags(record)))
            figures = (f"{value.n:,}", share(value.coverage), figure(value.chance))
            rows.append((record.task.id, value.metric, value_with_interval(value), *figures, letters))
        return text_table(columns, rows, title=f"{self.model} on {self._read_from()}")

    def _table_of_shard(self, shard: ShardNumber) -> Table:
        """How the rows ended; values are those of all shards."""
        columns: list[tuple[str, ColumnLayout]] = [("task", "left")]
        columns += [(name, "right") for name in ("rows", "judged", "failed", "unparsed")]
        rows = []
        for record in self.records:
            counts = record.counts
            ends = (record.data.rows, counts.judged, counts.failed, counts.unparsed)
            rows.append((record.task.id, *(f"{count:,}" for count in ends)))
        return text_table(columns, rows, title=f"shard {shard} of {self.model} on {self._read_from()}")

    def _read_from(self) -> str:
        """The source; of "auto" those that the rows came from."""
        from rmbench.tasks.fetch.manifest import data_folder

        if self.source != "auto":
            return self.source
        kinds = sorted({record.data.source for record in self.records}, reverse=True)
        names = ["the hub" if kind == "hub" else str(data_folder()) if kind == "folder" else kind for kind in kinds]
        return " and ".join(names) or "nothing"


def model_notes(record: Record) -> dict[str, str]:
    """What a record holds of the model's consistency besides the values: a clause for each of a few labels."""
    notes = {}
    if record.intransitive is not None:
        notes["cycles"] = _cycles(record.intransitive)
    if record.orders is not None:
        notes["orders"] = _order_agreement(record.orders)
    if record.ensemble is not None:
        notes["members"] = _member_agreement(record.ensemble)
    return notes


def _cycles(facts: IntransitiveFacts) -> str:
    share, rows = figure(facts.cyclic / facts.total), f"{facts.rows:,} row" + "s" * (facts.rows != 1)
    return f"{facts.cyclic:,} of {facts.total:,} triples intransitive ({share}), {rows}"


def _order_agreement(facts: OrderFacts) -> str:
    return (
        f"{facts.consistent:,} of {facts.total:,} pairs are judged alike in both orders "
        f"({figure(facts.consistent / facts.total)}); the one shown first wins twice in {facts.first:,}, the second in "
        f"{facts.second:,}"
    )


def _member_agreement(facts: EnsembleFacts) -> str:
    with_ensemble = ", ".join(f"{member.name} {figure(member.agrees / facts.pairs)}" for member in facts.members)
    between = [
        f"{one.name} and {other.name} {figure(one.alike[place] / facts.pairs)}"
        for number, one in enumerate(facts.members)
        for place, other in enumerate(facts.members)
        if number < place
    ]
    clauses = f"of {facts.pairs:,} pairs the ensemble's order is that of {with_ensemble}"
    return clauses + (f"; alike are {', '.join(between)}" if between else "")


def value_with_interval(value: ValueRecord) -> str:
    """A value and its 95% limits, such as `.542 [.33, .74]`."""
    return f"{figure(value.value)} {_interval(value)}".rstrip()


def _interval(value: ValueRecord) -> str:
    """The limits in brackets; "" where there are none."""
    if value.value is None or value.low is None or value.high is None:
        return ""
    return f"[{figure(value.low, 2)}, {figure(value.high, 2)}]"


def _scale_for(value: ValueRecord) -> Scale | None:
    """The scale to draw a value's interval on; None where there is none, or it is of no fraction or correlation."""
    from rmbench.html import scale_of

    limits = (value.value, value.low, value.high)
    return scale_of([value]) if all(limit is not None and -1 <= limit <= 1 for limit in limits) else None

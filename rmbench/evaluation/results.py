"""What a run returns: records, and what was skipped, as an object, a table, a frame or plain data."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rmbench.records.headline import headline
from rmbench.text import ColumnLayout, figure, letters_of, printable, text_table

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

    from rmbench.records.record import EnsembleFacts, IntransitiveFacts, OrderFacts, Record, ValueRecord

__all__ = ["Results", "Skipped", "asides_of"]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A selected task that was not run."""

    task: str
    why: str


@dataclass(frozen=True, slots=True, repr=False)
class Results:
    """Records of one model on some tasks. Prints as a table in a terminal and in a notebook."""

    model: str
    source: str
    records: tuple[Record, ...]
    skipped: tuple[Skipped, ...]
    out: str
    """The folder that holds the records."""

    def __repr__(self) -> str:
        values = ", ".join(f"{record.task.id}={_with_interval(headline(record))}" for record in self.records)
        return f"Results({self.model} on {self.source}: {values or 'nothing'})"

    @property
    def failed_rows(self) -> int:
        """Rows the model failed on, over all tasks."""
        return sum(record.counts.failed for record in self.records)

    def headline(self, task: str) -> ValueRecord:
        """The official overall value of a task. KeyError names the tasks there are."""
        for record in self.records:
            if record.task.id == task:
                return headline(record)
        raise KeyError(f"no result for task {task!r}; there are {[record.task.id for record in self.records]}")

    def to_dict(self) -> dict[str, Any]:
        """The object that `rmbench run --json` prints; its schema is `schemas/run.schema.json` in the package."""
        return {
            "model": self.model,
            "source": self.source,
            "results": list(self._rows()),
            "skipped": [{"task": item.task, "why": item.why} for item in self.skipped],
            "failed_rows": self.failed_rows,
            "intransitive": [
                {"task": record.task.id, **record.intransitive.model_dump()}
                for record in self.records
                if record.intransitive is not None
            ],
            "out": self.out,
        }

    def to_pandas(self) -> pd.DataFrame:
        """One line per reported value, columns as in `to_dict()["results"]`."""
        import pandas as pd

        return pd.DataFrame(list(self._rows()))

    def _rows(self) -> Iterator[dict[str, Any]]:
        for record in self.records:
            for value in record.results:
                yield {
                    "task": record.task.id,
                    "version": record.task.version,
                    "metric": value.metric,
                    "group": value.group,
                    "value": value.value,
                    "low": value.low,
                    "high": value.high,
                    "n": value.n,
                    "comparisons": value.comparisons,
                    "coverage": value.coverage,
                    "chance": value.chance,
                    "flags": sorted({*record.flags, *value.flags}),
                }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from rich.text import Text

        marks = self._marks()
        yield self._table(marks)
        common = self._common_flags()
        if common:
            yield Text(f"All of these are marked: {', '.join(common)}.")
        if marks:
            yield Text("Marks: " + ", ".join(f"{letter} {flag}" for flag, letter in marks.items()) + ".")
        for record in self.records:
            for line in asides_of(record).values():
                yield Text(printable(f"{record.task.id}: {line}", 2_000))
        for item in self.skipped:
            yield Text(printable(f"skipped {item.task}: {item.why}"))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from rich.console import Console

        console = Console(record=True, width=100, file=io.StringIO(), force_jupyter=False)
        console.print(self)
        html = console.export_html(inline_styles=True, code_format="<pre>{code}</pre>", clear=False)
        return {"text/plain": console.export_text(), "text/html": html}

    def _common_flags(self) -> list[str]:
        shared = set.intersection(*(set(record.flags) for record in self.records)) if self.records else set()
        return sorted(shared)

    def _flags(self, record: Record) -> set[str]:
        return {*record.flags, *headline(record).flags} - set(self._common_flags())

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
            figures = (f"{value.n:,}", f"{value.coverage:.0%}", figure(value.chance))
            rows.append((printable(record.task.id), value.metric, _with_interval(value), *figures, letters))
        return text_table(columns, rows, title=printable(f"{self.model} on {self.source}"))


def asides_of(record: Record) -> dict[str, str]:
    """What a record says of the answers beside its values, by a word for each."""
    found = {}
    if record.intransitive is not None:
        found["circles"] = circles_of(record.intransitive)
    if record.orders is not None:
        found["orders"] = orders_of(record.orders)
    if record.ensemble is not None:
        found["members"] = agreement_of(record.ensemble)
    return found


def orders_of(found: OrderFacts) -> str:
    """How often a model that reads pairs says the same in both orders, as a clause."""
    return (
        f"{found.consistent:,} of {found.total:,} pairs are judged alike in both orders "
        f"({figure(found.consistent / found.total)}); the one shown first wins twice in {found.first:,}, the second in "
        f"{found.second:,}"
    )


def agreement_of(found: EnsembleFacts) -> str:
    """How far the members of an ensemble agree with it and with each other, as clauses."""
    with_it = [f"{member.name} {figure(member.agrees / found.pairs)}" for member in found.members]
    between = [
        f"{one.name} and {other.name} {figure(one.alike[place] / found.pairs)}"
        for number, one in enumerate(found.members)
        for place, other in enumerate(found.members)
        if number < place
    ]
    said = f"of {found.pairs:,} pairs the ensemble's order is that of {', '.join(with_it)}"
    return said + (f"; alike are {', '.join(between)}" if between else "")


def circles_of(found: IntransitiveFacts) -> str:
    """How many triples of candidates a margin model orders in a circle, as a clause."""
    share, rows = figure(found.cyclic / found.total), f"{found.rows:,} row" + "s" * (found.rows != 1)
    return f"{found.cyclic:,} of {found.total:,} triples intransitive ({share}), {rows}"


def _with_interval(value: ValueRecord) -> str:
    if value.value is None or value.low is None or value.high is None:
        return figure(value.value)
    return f"{figure(value.value)} [{figure(value.low, 2)}, {figure(value.high, 2)}]"

"""The rows that are shown, as data."""

from __future__ import annotations

from dataclasses import dataclass

from rmbench.records.record import Record
from rmbench.records.slug import model_slug, task_slug
from rmbench.view.rows import Row

__all__ = ["Shown"]


@dataclass(frozen=True, slots=True, repr=False)
class Shown:
    """Rows of a record with their texts."""

    record: Record
    other: Record | None
    """The second model's, where two are compared."""
    rows: tuple[Row, ...]
    total: int
    """Rows of the record."""
    selection: str
    """Which rows these are, in words."""
    note: str
    """Why there are no texts, and what to do; "" where there are."""
    whole: bool
    """Whether the rows were asked for by their ids, so that no text of them is cut."""

    @property
    def models(self) -> tuple[str, ...]:
        """`name@revision` of the models."""
        records = [self.record] if self.other is None else [self.record, self.other]
        return tuple(f"{record.model.name}@{record.model.revision}" for record in records)

    @property
    def file_name(self) -> str:
        """A safe name for the page, which tells pages apart in the browser's history."""
        names = [model_slug(record.model.name, record.model.revision) for record in (self.record, self.other) if record]
        return f"{task_slug(self.record.task.id, self.record.task.version)}-{'-'.join(names)}"[:120] + ".html"

    def __repr__(self) -> str:
        return f"<{len(self.rows):,} of {self.total:,} rows of {self.record.task.id} by {' and '.join(self.models)}>"

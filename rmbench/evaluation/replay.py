"""Records as a model: the recorded judgments, row by row, once more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.models.protocols import ModelFacts
from rmbench.records.record import ModelRecord, Record
from rmbench.records.store import find, no_record_in, read, read_rows
from rmbench.tasks.task import Loaded, Task
from rmbench.types import Example, Judgment

__all__ = ["Recorded", "holds_records", "open_recorded"]


@dataclass(frozen=True)
class Recorded:
    """A Responder that returns the judgments of records."""

    facts: ModelFacts
    records: Mapping[str, tuple[Path, Record]]
    """By task id: its folder and its record."""
    read: dict[str, dict[str, Judgment]] = field(default_factory=dict)
    """Judgments by id, of the tasks that were judged so far."""

    @property
    def tasks(self) -> frozenset[str]:
        """The tasks that have a record."""
        return frozenset(self.records)

    def other_rows(self, task: Task, loaded: Loaded) -> str:
        """Why the record does not hold these rows, or ""."""
        folder, record = self.records[task.id]
        if record.task.version != task.version:
            return f"{folder} is of version {record.task.version} of the task, and this is version {task.version}"
        recorded = record.data.digest_of_rows
        if recorded != loaded.digest:
            return f"{folder} judged other rows (digest {recorded[:8]}, these are {loaded.digest[:8]})"
        media = record.data.media
        if media and media.files and loaded.media and loaded.media.files and media.digest != loaded.media.digest:
            return f"{folder} judged other images than these"
        return f"{folder} holds no rows of the fit split" if loaded.fit else ""

    def judge(self, task: str, example: Example) -> Judgment:
        """The recorded judgment of the row; a failed one where the record left it out.

        Raises:
            RmbenchError: the record's table is missing or changed, or has another number of candidates.
        """
        folder, record = self.records[task]
        if task not in self.read:
            self.read[task] = {row.id: row.judgment for row in read_rows(folder)}
        judgment = self.read[task].get(example.id)
        if judgment is None:
            why = next((row.why for row in record.data.excluded if row.id == example.id), "it was not judged")
            return Judgment(id=example.id, status="failed", error=f"not in {folder}: {why}")
        size = len(judgment.rewards or judgment.directed or example.candidates)
        if size != len(example.candidates):
            raise RmbenchError(
                f"{folder}: row {example.id!r} has {size} candidates, expected {len(example.candidates)}."
            )
        return judgment


def holds_records(folder: Path) -> bool:
    """Whether a path is a folder of records and not of a checkpoint."""
    return folder.is_dir() and not (folder / "config.json").exists() and bool(find(folder))


def open_recorded(folder: Path) -> Recorded:
    """The records of one model in a folder: the model's own, or one task's.

    Raises:
        RmbenchError: records of several models, of published figures, two of one task, or none.
    """
    records = [(place, read(place)) for place in find(folder)]
    if not records:
        raise no_record_in(folder)
    by_task: dict[str, tuple[Path, Record]] = {}
    first = records[0][1].model
    for place, record in records:
        if record.judgments is None:
            raise RmbenchError(f"{place}: it holds published figures alone, and no rows.")
        if (record.model.name, record.model.revision) != (first.name, first.revision):
            names = f"{first.name}@{first.revision} and {record.model.name}@{record.model.revision}"
            raise RmbenchError(f"{folder} holds records of several models ({names}). Name one model's folder.")
        if record.task.id in by_task:
            raise RmbenchError(
                f"{folder} holds two records of {record.task.id}: {by_task[record.task.id][0]}, {place}."
            )
        by_task[record.task.id] = (place, record)
    return Recorded(_facts(first, by_task), by_task)


def _facts(model: ModelRecord, records: Mapping[str, tuple[Path, Record]]) -> ModelFacts:
    """The model's facts as they were recorded; what pins it are the digests of its tables."""
    tables = sorted((task, record.judgments.sha256) for task, (_, record) in records.items() if record.judgments)
    return ModelFacts(
        name=model.name,
        revision=model.revision,
        family=model.family,
        why=f"{len(records)} of its records",
        answer_kind=model.answer_kind,
        modalities=frozenset(model.modalities),
        parameters=model.parameters,
        license=model.license,
        trained_on=tuple(model.trained_on),
        flags=tuple(model.flags),
        settings=dict(model.settings),
        fingerprint=hashlib.sha256(repr(tables).encode()).hexdigest(),
    )

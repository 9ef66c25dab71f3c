"""The records that a table is held against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.records.record import Record, ValueRecord
from rmbench.records.store import find, read
from rmbench.reports.audit import problems

__all__ = ["Evidence", "Value"]

_LESS = frozenset({"sample", "limited", "partial", "fake", "demo"})
"""Marks of a record that says less than one of the whole benchmark."""


@dataclass(frozen=True, slots=True)
class Value:
    """A number of a record, and where that lies."""

    folder: Path
    figure: ValueRecord


class Evidence:
    """Every record below a folder."""

    def __init__(self, results: Path) -> None:
        """RmbenchError where the folder holds no record, or one that cannot be read."""
        folders = find(results)
        if not folders:
            raise RmbenchError(f"{results} holds no record.json; --results names the folder of the records.")
        self._read = [(folder, read(folder)) for folder in folders]
        self._sound: set[Path] = set()
        self._by_task: dict[tuple[str, str], list[tuple[Path, Record]]] = {}
        for folder, record in self._read:
            self._by_task.setdefault((record.model.name, record.task.id), []).append((folder, record))

    @property
    def records(self) -> Iterator[Record]:
        return (record for _, record in self._read)

    @property
    def models(self) -> list[tuple[str, str]]:
        """(name, revision) of each."""
        return list(dict.fromkeys((record.model.name, record.model.revision) for record in self.records))

    def values(self, model: str, task: str, metric: str, group: str | None) -> list[Value]:
        """What the records of a model (`name` or `name@revision`) say of a number: those of the newest version of the
        benchmark, measured ones before copied figures, whole ones before samples; newest first.

        Raises:
            RmbenchError: one of these records does not hold.
        """
        name, _, revision = model.partition("@")
        of_model = [
            (folder, record)
            for folder, record in self._by_task.get((name, task), [])
            if not revision or record.model.revision == revision
        ]
        newest = max((record.task.version for _, record in of_model), default=0)
        tiers: dict[tuple[bool, bool], list[Value]] = {}
        for folder, record in sorted(of_model, key=lambda each: each[1].run.finished, reverse=True):
            for figure in record.results if record.task.version == newest else ():
                if (figure.metric, figure.group) == (metric, group) and figure.value is not None:
                    tier = record.kind != "measured", bool(_LESS & set(record.flags))
                    tiers.setdefault(tier, []).append(Value(folder, figure))
        best = tiers[min(tiers)] if tiers else []
        for value in best:
            self._check(value.folder)
        return best

    def chances(self, task: str, metric: str, group: str | None) -> list[float]:
        """What guessing reaches, by the records of the benchmark: rewards and verdicts may have their own."""
        found = {
            figure.chance: None
            for record in self.records
            if record.task.id == task
            for figure in record.results
            if (figure.metric, figure.group) == (metric, group) and figure.chance is not None
        }
        return list(found)

    def _check(self, folder: Path) -> None:
        if folder not in self._sound and (wrong := problems(folder)):
            raise RmbenchError("\n".join(wrong[:3]))
        self._sound.add(folder)

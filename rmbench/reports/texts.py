"""The texts of a record's rows, which no record holds, from the source of its task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rmbench.errors import AbsentDataError, RmbenchError
from rmbench.records.record import Record
from rmbench.tasks.asked import asked_rows, unknown_way
from rmbench.tasks.own.declare import own_task
from rmbench.tasks.registry import known
from rmbench.tasks.sources import load
from rmbench.tasks.task import Asked, Task
from rmbench.tasks.where import how_else
from rmbench.types import Conversation, Example, Message

__all__ = ["Source", "conversation_text", "examples_of", "message_text"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the texts are; see `rmbench.run` for each."""

    source: str = "auto"
    data: Sequence[str] = ()
    columns: Mapping[str, str] | None = None
    include_path: Sequence[str] = ()
    allow_changed_data: bool = False

    @classmethod
    def of(
        cls,
        source: Path | str,
        data: Path | str | Sequence[str],
        columns: Mapping[str, str] | None,
        include_path: Path | str | Sequence[str],
        *,
        allow_changed_data: bool,
    ) -> Source:
        """As callers write it: one path or several."""
        several = [[value] if isinstance(value, str | Path) else value for value in (data, include_path)]
        own, folders = ([str(each) for each in paths] for paths in several)
        return cls(str(source), own, columns, folders, allow_changed_data)


def examples_of(folder: Path, record: Record, source: Source) -> tuple[Mapping[str, Example], str]:
    """The rows of a record by id, with their texts; or none, and a sentence that says why and what to do.

    Raises:
        RmbenchError: the source holds other rows than the record's, or is broken.
    """
    task = _task(folder, record, source)
    if task is None:
        if why := unknown_way(record.task.id):
            return {}, f"Without texts: {why}"
        return {}, (
            f"Without texts: no task is called {record.task.id}. Name the rows by --data FILE, or the folder of the "
            "task's TOML by --include-path."
        )
    where = "sample" if source.source == "auto" and record.data.source == "sample" else source.source
    asked = record.data.asked
    drawn = record.data.limit if asked is not None else None
    try:
        loaded = load(task, where, limit=drawn, seed=record.run.seed, allow_changed_data=source.allow_changed_data)
    except AbsentDataError as error:
        return {}, f"Without texts: {error}"
    if asked is not None:
        task, loaded = asked_rows(task, loaded, Asked(**asked.model_dump()), record.run.seed)
    theirs = record.data.digest_of_rows
    if loaded.digest != theirs:
        raise RmbenchError(
            f"{folder}: its rows (digest {theirs}, version {record.task.version} of {record.task.id}) are not those "
            f"of the {_named(where, loaded.source)} (digest {loaded.digest}, version {task.version}). Name the source "
            "that the record was made from: --source auto|hub|sample|FOLDER."
        )
    if loaded.without_texts:
        return {}, f"Without texts: the files at hand hold ids, groups and labels alone. {how_else(task)}"
    return {example.id: example for example in loaded.examples}, ""


def _task(folder: Path, record: Record, source: Source) -> Task | None:
    """The task whose rows the record is of; None where it is not known."""
    name = record.data.asked.task if record.data.asked else record.task.id
    if not source.data:
        return known(source.include_path).get(name)
    own = [own_task(data, source.columns, include=source.include_path).task for data in source.data]
    named = [task for task in own if task.id == name]
    if not named:
        if unknown_way(name):
            return None
        raise RmbenchError(f"{folder}: it is of the task {name}, and --data is {own[0].id}.")
    return named[0]


def _named(where: str, kind: str) -> str:
    return kind if kind in ("hub", "sample") else f"folder {where}" if where != "auto" else "data folder"


def conversation_text(messages: Conversation) -> str:
    """The text of a single turn as it is; of several, each behind its role."""
    if len(messages) == 1:
        return message_text(messages[0])
    return "\n\n".join(f"{message.role}: {message_text(message)}" for message in messages)


def message_text(message: Message) -> str:
    """A message's texts, names of its media, and its further keys."""
    parts = [part.text if part.kind == "text" else f"[{part.kind}: {part.label}]" for part in message.parts]
    return "\n".join(["".join(parts), *(f"{key}: {value}" for key, value in message.extra)])

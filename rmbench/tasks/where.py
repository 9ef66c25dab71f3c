"""Where a task's rows are: the data folder, the hub, a folder of the user's or the sample; and how to get them."""

from __future__ import annotations

import os
from pathlib import Path

from rmbench import resources
from rmbench.errors import AbsentDataError, RmbenchError, did_you_mean
from rmbench.tasks.fetch.manifest import data_folder, fetched_task
from rmbench.tasks.rows.files import expected, find
from rmbench.tasks.task import Task

__all__ = ["folder_of", "how_else", "resolved", "sample_folder", "where_from"]


def resolved(task: Task, source: str) -> tuple[str, list[str]]:
    """The source that a task's rows are read from, "hub", "sample" or a folder; and a line where "auto" stands for the
    hub because the data folder lacks the task.

    Raises:
        AbsentDataError: "auto", and the task's files are neither in the data folder nor on the hub.
        RmbenchError: RMBENCH_DATA names no folder.
    """
    declared = task.declaration.source
    if declared.bundled:
        whole = task.path.parent if find(declared, task.declaration.files, task.path.parent) else sample_folder(task)
        return (source if source == "sample" else str(whole)), []
    if declared.private:
        return _private(task, source), []
    if task.path.suffix != ".toml":  # a set of the hub that the user named as such
        return "hub", []
    if source != "auto":
        return source, []
    folder = data_folder()
    if _is_in(task, folder):
        return str(folder), []
    if os.environ.get("RMBENCH_DATA") and not folder.is_dir():
        raise RmbenchError(f"RMBENCH_DATA names {folder}, which is no folder. `rmbench fetch` fills it.")
    if task.hub is None:
        raise AbsentDataError(f"{task.id}: its files are not in {folder}, and the hub has none. {how_else(task)}")
    return "hub", [f"not in {folder}: its rows are those of the hub"] if folder.is_dir() else []


def _private(task: Task, source: str) -> str:
    """The folder of a private task's files: that of its declaration, or `source` where they are there instead; of its
    sample, if it has one, "sample"."""
    beside = task.path.parent
    if source == "sample":
        return source if (beside / "samples" / task.id).is_dir() else str(beside)
    if source == "auto":
        source = str(data_folder() if _is_in(task, data_folder()) else beside)
    elsewhere = source != "hub" and not find(task.declaration.source, task.declaration.files, beside)
    return source if elsewhere else str(beside)


def _is_in(task: Task, folder: Path) -> bool:
    """Whether the folder holds a file of the task."""
    if not folder.is_dir():
        return False
    there = fetched_task(folder, task.id) is not None
    return there or find(task.declaration.source, task.declaration.files, folder) is not None


def folder_of(source: str) -> Path:
    """The user's folder; RmbenchError where there is none."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        near = did_you_mean(source, ["auto", "hub", "sample"])
        raise RmbenchError(f'source "{source}" is neither "auto", "hub", "sample" nor a folder.{near}')
    return folder


def sample_folder(task: Task) -> Path:
    """Samples lie in `samples/<id>` beside a user's own declaration, or with the bundled ones."""
    folders = [task.path.parent / "samples" / task.id, resources.tasks() / "samples" / task.id]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise RmbenchError(f"{task.id}: it has no sample; expected the folder {' or '.join(map(str, folders))}.")


def where_from(task: Task) -> str:
    """A sentence on where a task's files come from, for a message."""
    if task.declaration.source.private:
        return f" They lie beside {task.path}."
    sources = [f"hub {task.hub}"] if task.hub else []
    sources += [f"git {task.git}"] if task.git else []
    return f" They come from {' or '.join(sources)}; {_fetch(task)} brings them."


def how_else(task: Task) -> str:
    """A sentence on how to get a task's files, for a message."""
    source, files = task.declaration.source, task.declaration.files
    wanted = expected(source, files, Path("FOLDER"))
    if task.declaration.source.private:
        return f"Put them beside {task.path} ({wanted})."
    if task.path.suffix != ".toml":
        return "A file of the rows works too: --data FILE."
    return (
        f"{_fetch(task)} brings the files; or supply them with --source FOLDER or RMBENCH_DATA=FOLDER ({wanted}), or "
        f"use --source sample."
    )


def _fetch(task: Task) -> str:
    own = not task.path.is_relative_to(resources.tasks())
    return f"`rmbench fetch {task.path if own else task.id}`"

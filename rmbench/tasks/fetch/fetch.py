"""Fetching: each task's files are brought beside the data folder, verified, and only then put in their places."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from rmbench.errors import AbsentDataError, RmbenchError
from rmbench.tasks.fetch.bring import bring
from rmbench.tasks.fetch.git import GitRepository
from rmbench.tasks.fetch.hub import HubRepository
from rmbench.tasks.fetch.manifest import (
    FetchedFile,
    FetchedTask,
    Origin,
    data_folder,
    fetched_task,
    is_whole,
    write_entry,
)
from rmbench.tasks.fetch.plan import Opened, Pin, Plan, media_wanted, pins_of, plan_of
from rmbench.tasks.fetch.repository import Progress, Repository, SilentProgress
from rmbench.tasks.fetch.verify import short_hash
from rmbench.tasks.registry import named_tasks, select
from rmbench.tasks.rows.files import find
from rmbench.tasks.sources import load
from rmbench.tasks.task import Task

__all__ = ["Fetched", "fetch", "incomplete"]

_SHOWN = 3
"""Absent files that a note names."""
_WORK = ".rmbench-fetch"
"""Folder of what is not whole yet, below the data folder."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one task."""

    task: str
    outcome: Literal["fetched", "here", "planned", "bundled", "private", "absent", "failed"]
    """here: nothing had to be brought. planned: a dry run brought nothing. private: its files lie beside its
    declaration. absent: the repository holds none of its files."""
    origin: str = ""
    """Where its files are from."""
    files: int = 0
    size: int = 0
    """Bytes, as far as they are known: git says none before files are here."""
    license: str | None = None
    notes: tuple[str, ...] = ()
    why: str = ""
    """Of what is absent or failed."""


def fetch(
    tasks: str | Sequence[str] = "all",
    to: str | Path | None = None,
    *,
    include_path: Sequence[str | Path] = (),
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[Fetched]:
    """Bring the files of every selected task into a folder that `--source` and RMBENCH_DATA can name.

    Files that are there already are verified and not brought again, a download that was cut off goes on where it
    stopped, and a task that cannot be fetched does not stop the next.

    Args:
        tasks: as in `rmbench.run`.
        to: the folder; None: RMBENCH_DATA, else the user's data folder, where `--source auto` looks.
        include_path: folders of task declarations of the user's own.
        dry_run: look up what would be brought, and bring nothing.
        progress: where it reports.

    Returns:
        What became of each task, in the order of the tasks.

    Raises:
        RmbenchError: no such task; the folder cannot be written, or another fetch is writing there.
    """
    selected, folder = select(tasks, include_path), data_folder() if to is None else Path(to).expanduser()
    progress = progress or SilentProgress()
    if dry_run:
        with tempfile.TemporaryDirectory() as elsewhere:
            plan = partial(_plan_task, opened=_opener(Path(elsewhere), progress))
            return [_fetch_task(task, folder, plan) for task in selected]
    with _locked(folder) as work:
        bring_files = partial(_bring_task, folder=folder, work=work, opened=_opener(work, progress), progress=progress)
        outcomes = [_fetch_task(task, folder, bring_files) for task in selected]
        if not any(each.outcome == "failed" for each in outcomes):
            shutil.rmtree(work, ignore_errors=True)
    return outcomes


def incomplete(
    outcomes: Sequence[Fetched], tasks: str | Sequence[str], include_path: Sequence[str | Path] = ()
) -> bool:
    """Whether a task failed, or one that `tasks` names by its id is not to be had."""
    named = named_tasks(tasks, include_path)
    return any(each.outcome == "failed" or (each.outcome == "absent" and each.task in named) for each in outcomes)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """The folder of unfinished work, for this process alone."""
    work = folder / _WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{_WORK}.lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise RmbenchError(f"{folder}: another `rmbench fetch` is writing here; wait until it ends.") from error
    except OSError as error:
        raise RmbenchError(f"{folder}: cannot write here ({error.strerror or error}).") from error
    with lock:
        yield work


def _opener(work: Path, progress: Progress) -> Opened:
    @cache
    def opened(pin: Pin) -> Repository:
        kind, address, revision = pin
        if kind == "hub":
            return HubRepository(address, revision)
        return GitRepository(address, revision, work / f"git-{short_hash(address)}", progress)

    return opened


def _fetch_task(task: Task, folder: Path, act: Callable[[Task], Fetched]) -> Fetched:
    source = task.declaration.source
    if source.bundled or source.private:
        return Fetched(task.id, "bundled" if source.bundled else "private", license=task.license)
    try:
        here = _here(task, folder)
        if here is not None:
            return here
        return act(task)
    except AbsentDataError as error:
        return Fetched(task.id, "absent", why=str(error), license=task.license)
    except RmbenchError as error:
        return Fetched(task.id, "failed", why=str(error), license=task.license)
    except OSError as error:
        return Fetched(task.id, "failed", why=f"{error.strerror or error}: {error.filename}", license=task.license)


def _outcome(
    task: Task, outcome: Literal["fetched", "here"], entry: FetchedTask, further: Sequence[str] = ()
) -> Fetched:
    notes = (*entry.notes, *further)
    return Fetched(task.id, outcome, _words(entry.origins), len(entry.files), entry.size, task.license, notes)


def _words(origins: Sequence[Origin]) -> str:
    return ", ".join(f"{each.address} at {each.commit[:8]}" for each in origins)


def _here(task: Task, folder: Path) -> Fetched | None:
    """The outcome where every file is in its place, fetched or put there by the user; None where something is left."""
    entry = fetched_task(folder, task.id)
    if entry is not None:
        as_declared = [(each.kind, each.address, each.pin) for each in entry.origins] == pins_of(task)
        whole = entry.complete and entry.version == task.version and as_declared
        return _outcome(task, "here", entry) if whole and all(is_whole(folder, file) for file in entry.files) else None
    source, fit = task.declaration.source, task.declaration.fit
    layouts = [task.declaration.files, *([] if fit is None else [fit.files])]
    found = [find(source, files, folder) for files in layouts]
    if task.modality != "text" or any(each is None or each.missing for each in found):
        return None
    paths = [path for each in found if each is not None for path in each.paths]
    size = sum(path.stat().st_size for path in paths)
    return Fetched(task.id, "here", "your own files", len(paths), size, task.license)


def _plan_task(task: Task, opened: Opened) -> Fetched:
    plan = plan_of(task, opened)
    origins = _words([opened(pin).origin for pin in pins_of(task)])
    files = {each.place: each.repository.files[each.path].size for each in plan.wanted}
    size = sum(each or 0 for each in files.values())
    return Fetched(task.id, "planned", origins, len(files), size, task.license, tuple(plan.notes))


def _bring_task(task: Task, folder: Path, work: Path, opened: Opened, progress: Progress) -> Fetched:
    plan, changed = plan_of(task, opened), list[str]()
    files = bring(task, plan.wanted, folder, work, changed, progress)
    entry = _entry(task, plan, opened, files, complete=task.modality == "text")
    write_entry(folder, task.id, entry)
    if entry.complete:
        return _outcome(task, "fetched", entry, changed)
    # Which media there are is known once the rows are read.
    media = load(task, folder).media
    wanted, absent = media_wanted(task, media.absent if media is not None else (), opened)
    files += bring(task, wanted, folder, work, changed, progress)
    if absent:
        shown = ", ".join(absent[:_SHOWN]) + (", ..." if len(absent) > _SHOWN else "")
        are = "file is" if len(absent) == 1 else "files are"
        plan.notes.append(f"{len(absent):,} {task.modality} {are} not in the repository: {shown}")
    entry = _entry(task, plan, opened, files, complete=True)
    write_entry(folder, task.id, entry)
    return _outcome(task, "fetched", entry, changed)


def _entry(task: Task, plan: Plan, opened: Opened, files: list[FetchedFile], *, complete: bool) -> FetchedTask:
    return FetchedTask(
        version=task.version,
        license=task.license,
        origins=[opened(pin).origin for pin in pins_of(task)],
        files=files,
        parts=plan.parts,
        fit_parts=plan.fit_parts,
        notes=plan.notes,
        complete=complete,
        rmbench=importlib.metadata.version("rmbench"),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )

"""Files on their way: brought beside the data folder, verified, and put in their places when all of them are right."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.tasks.fetch.manifest import FetchedFile, is_whole, place_below, read_manifest, sha256_of
from rmbench.tasks.fetch.repository import Progress, Repository, Wanted
from rmbench.tasks.fetch.verify import check_brought, check_declared, is_same, short_hash
from rmbench.tasks.task import Task

__all__ = ["bring"]


def bring(
    task: Task, wanted: Sequence[Wanted], folder: Path, work: Path, notes: list[str], progress: Progress
) -> list[FetchedFile]:
    """Bring the files that are not in their places; all are verified before the first is put in its place.

    Args:
        task: declares what some of the files have to be.
        wanted: the files, in any order; one may be named twice.
        folder: the data folder.
        work: where files are until they are whole; what is there from an earlier call is used.
        notes: takes a line on each file that was fetched before and has changed since; it is kept under another name.
        progress: where it reports.

    Raises:
        RmbenchError: a file cannot be had, or is not the one that is expected; or another one is in its place.
    """
    wanted = list({each.place: each for each in wanted}.values())
    ours = {file.path: file for entry in read_manifest(folder).values() for file in entry.files}
    left = [each for each in wanted if not _in_place(each, place_below(folder, each.place), ours)]
    for repository in dict.fromkeys(each.repository for each in left):
        paths = [each.path for each in left if each.repository is repository]
        repository.bring(paths, _stage(work, repository), progress)
    staged = {each.place: place_below(_stage(work, each.repository), each.path) for each in left}
    for each in left:
        check_brought(each, staged[each.place])
        check_declared(task, each, staged[each.place])
    for each in left:
        place = place_below(folder, each.place)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and not is_whole(folder, ours[each.place]):
            place.replace(place.with_name(f"{place.name}.changed"))
            notes.append(f"{place} had changed since it was fetched; it is {place.name}.changed now")
        staged[each.place].replace(place)
    return [_facts(place_below(folder, each.place), each.place) for each in wanted]


def _in_place(each: Wanted, place: Path, ours: Container[str]) -> bool:
    """Whether the file is in its place already, and not one of another commit, or one that has changed since.

    Raises:
        RmbenchError: what upstream has is a link; or a file that was not fetched is there, which may be the user's only
            copy.
    """
    origin = each.repository.origin
    if each.repository.files[each.path].link:
        raise RmbenchError(f"{each.path} of {origin.address} is a symbolic link, and is not fetched.")
    if not place.exists() and not place.is_symlink():
        return False
    if is_same(each, place):
        return True
    if each.place not in ours:
        raise RmbenchError(
            f"{place} is there and is not {each.path} of {origin.address} at {origin.commit[:8]}. Move it away, or "
            f"fetch to another folder."
        )
    return False


def _stage(work: Path, repository: Repository) -> Path:
    origin = repository.origin
    stage = work / f"files-{short_hash(f'{origin.address} {origin.commit}')}"
    stage.mkdir(exist_ok=True)
    return stage


def _facts(file: Path, place: str) -> FetchedFile:
    return FetchedFile(path=place, size=file.stat().st_size, sha256=sha256_of(file))

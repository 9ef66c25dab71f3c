"""Whether a file is the one that its repository, its task or the manifest says."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rmbench.errors import AbsentDataError, RmbenchError
from rmbench.tasks.fetch.manifest import sha256_of
from rmbench.tasks.fetch.repository import Wanted
from rmbench.tasks.task import Task
from rmbench.untrusted.files import read_file
from rmbench.untrusted.kind import HEAD, stand_in
from rmbench.untrusted.packed import MOST_UNPACKED, plain_name, unpacked

__all__ = ["check_brought", "check_declared", "is_same", "short_hash"]

_PART = 2**20
_NOTHING = "nothing of this task is put in its place."


def check_brought(each: Wanted, file: Path) -> None:
    """Hold a file that was brought against what the repository says of it; a wrong one is deleted.

    Raises:
        AbsentDataError: the repository holds a pointer in the place of the file.
        RmbenchError: names the file, what was expected and what was found.
    """
    entry, address = each.repository.files[each.path], each.repository.origin.address
    pairs: list[tuple[str, object, object]] = [("size", entry.size, file.stat().st_size)]
    if entry.sha256 is not None:
        pairs.append(("sha256", entry.sha256, sha256_of(file)))
    else:
        pairs.append(("git hash", entry.blob, _git_hash(file)))
    for name, expected, found in pairs:
        if expected is not None and expected != found:
            file.unlink()
            raise RmbenchError(f"{each.path} of {address}: expected the {name} {expected}, found {found}; {_NOTHING}")
    with file.open("rb") as stream:
        what = stand_in(stream.read(HEAD))
    if what is not None:
        file.unlink()
        raise AbsentDataError(f"{each.path} of {address}: it is {what}.")


def check_declared(task: Task, each: Wanted, file: Path) -> None:
    """Hold a file that was brought against the sha256 that the task declares for it; a wrong one is deleted.

    Raises:
        RmbenchError: names the file, what was expected and what was found.
    """
    fit = task.declaration.fit
    name = each.place.removeprefix(f"{task.declaration.source.folder}/")
    for layout in (*task.declaration.files, *(() if fit is None else fit.files)):
        declared = layout.sha256.get(name) or layout.sha256.get(plain_name(name))
        if declared is None:
            continue
        content = read_file(file, MOST_UNPACKED)
        found = hashlib.sha256(content).hexdigest()
        if declared not in (found, hashlib.sha256(unpacked(name, content)).hexdigest()):
            file.unlink()
            address = each.repository.origin.address
            raise RmbenchError(
                f"{each.path} of {address}: the task declares the sha256 {declared}, found {found}; {_NOTHING}"
            )


def is_same(each: Wanted, file: Path) -> bool:
    """Whether a file is the one of the repository."""
    entry = each.repository.files[each.path]
    if not file.is_file() or entry.size not in (None, file.stat().st_size):
        return False
    return sha256_of(file) == entry.sha256 if entry.sha256 is not None else _git_hash(file) == entry.blob


def short_hash(text: str) -> str:
    """A name for a folder that belongs to this text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _git_hash(file: Path) -> str:
    digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    with file.open("rb") as stream:
        while part := stream.read(_PART):
            digest.update(part)
    return digest.hexdigest()

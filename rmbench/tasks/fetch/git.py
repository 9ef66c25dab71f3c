"""A git repository at one commit, by the git program: a bare, blobless clone of depth 1, and the wanted blobs alone.

Nothing is checked out, so that no filter, link, submodule or attribute of the repository is looked at; the clone has no
hooks. The user's own configuration of git (proxies, credentials, `insteadOf`) is heeded.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from rmbench.errors import RmbenchError
from rmbench.tasks.fetch.manifest import Origin, place_below
from rmbench.tasks.fetch.repository import MOST_OF_TASK, Entry, Progress, check_room, counted
from rmbench.untrusted.masking import HIDDEN, mask

__all__ = ["GitRepository"]

Stream = IO[bytes] | int | None

_WHOLE = 40
_AT_ONCE = 32
"""Files of one request; what a request brought is kept when the next one is cut off."""
_LOOK = 0.2
"""Seconds between two looks at what has arrived."""
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "maintenance.auto": "false",
    "gc.auto": "0",
    "fetch.negotiationAlgorithm": "noop",
    "fetch.recurseSubmodules": "false",
    "protocol.http.allow": "never",  # where https is declared, no redirection leads out of it
    "protocol.git.allow": "never",
    "protocol.ext.allow": "never",
    "http.lowSpeedLimit": "500",
    "http.lowSpeedTime": "60",
}
_OF_OTHERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE")
"""Variables that git sets for its hooks and that would point it at another repository."""
_LONGEST = 2**16
"""Bytes of what git says that are read."""
_NOT_THERE = ("not our ref", "couldn't find remote ref")
_USER = re.compile(r"//[^/@\s]+@")


class GitRepository:
    """A repository at the declared commit, or at the newest of its main branch."""

    def __init__(self, address: str, pin: str | None, clone: Path, progress: Progress) -> None:
        """Fetch the commit and its trees.

        Args:
            address: an `https://` URL.
            pin: the whole hash of the commit, a branch or a tag; None: the newest commit.
            clone: folder of the bare clone, kept between calls.
            progress: where it reports.

        Raises:
            RmbenchError: git is not installed; the address is no https URL; the repository cannot be reached or has no
                such commit.
        """
        if not address.startswith("https://"):
            raise RmbenchError(f'`git` is "{mask(address)}"; only https:// addresses are fetched.')
        if pin is not None and (pin.startswith("-") or (len(pin) < _WHOLE and set(pin) <= set("0123456789abcdef"))):
            raise RmbenchError(f'`commit` is "{pin}"; git servers give a commit by its whole hash, {_WHOLE} digits.')
        self._address, self._clone = address, clone
        clone.mkdir(parents=True, exist_ok=True)
        for lock in clone.glob("*.lock"):  # of a git that was killed; the data folder has one `rmbench fetch` at a time
            lock.unlink()
        self._run("init", "--quiet", "--bare", "--template=", ".")
        self._run("config", "remote.origin.url", address)
        here = pin is not None and pin in self._sizes("commit")
        commit = pin if pin is not None and here else self._fetch_commit(pin or "HEAD", progress)
        self.origin = Origin(kind="git", address=address, pin=pin, commit=commit)

    @cached_property
    def files(self) -> Mapping[str, Entry]:
        """Every file of the commit by its path; names that are no UTF-8 are left out."""
        entries = {}
        listing = self._run("ls-tree", "-r", "-z", "--full-tree", self.origin.commit)
        for line in listing.split(b"\0"):
            facts, _, path = line.partition(b"\t")
            if path:
                mode, kind, blob = facts.decode().split()
                with contextlib.suppress(UnicodeDecodeError):
                    if kind == "blob":
                        entries[path.decode()] = Entry(blob, link=mode == "120000")
        return entries

    def bring(self, paths: Iterable[str], folder: Path, progress: Progress) -> None:
        """As in `Repository`."""
        wanted = {path: str(self.files[path].blob) for path in paths}
        absent = sorted(set(wanted.values()) - set(self._sizes("blob")))
        fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--filter=blob:none", "--stdin", "origin")
        if absent:
            progress.start(f"{counted(absent)} of {self._address}", None)
        for start in range(0, len(absent), _AT_ONCE):
            self._watched(fetch, "".join(f"{blob}\n" for blob in absent[start : start + _AT_ONCE]), progress)
        sizes = self._sizes("blob")
        check_room([sizes[blob] for blob in wanted.values()], folder)
        for path, blob in wanted.items():
            file = place_below(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as stream:
                self._run("cat-file", "blob", blob, into=stream)

    def _fetch_commit(self, pin: str, progress: Progress) -> str:
        fetch = ("fetch", "--quiet", "--no-tags", "--depth=1", "--filter=blob:none", "origin", pin)
        self._watched(fetch, "", progress)
        return self._run("rev-parse", "--verify", "FETCH_HEAD^{commit}").decode().strip()

    def _sizes(self, kind: str) -> dict[str, int]:
        """The objects of this kind that are here, with their sizes; no other is asked for."""
        known = self._run("cat-file", "--batch-all-objects", "--batch-check").decode().splitlines()
        return {name: int(size) for name, of, size in map(str.split, known) if of == kind}

    def _watched(self, words: Sequence[str], given: str, progress: Progress) -> None:
        """Run a fetch, report what arrives, and end it where more arrives than a task may have."""
        before = _size_of(self._clone)
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as said:  # pipes would fill and block
            stdin.write(given.encode())
            stdin.seek(0)
            with self._started(words, stdin=stdin, stderr=said) as process:
                while process.poll() is None:
                    time.sleep(_LOOK)
                    self._refuse_too_much(before, progress)
            said.seek(0)
            self._refuse_failure(process.returncode, said.read(_LONGEST), words)
        self._refuse_too_much(before, progress)

    def _refuse_too_much(self, before: int, progress: Progress) -> None:
        arrived = _size_of(self._clone) - before
        progress.reached(arrived)
        if arrived > MOST_OF_TASK:
            raise RmbenchError(f"{self._address} sends more than {MOST_OF_TASK:,} bytes.")

    def _run(self, *words: str, into: IO[bytes] | int = subprocess.PIPE) -> bytes:
        with self._started(words, stdin=subprocess.DEVNULL, stdout=into, stderr=subprocess.PIPE) as process:
            out, error = process.communicate()
            self._refuse_failure(process.returncode, error, words)
        return out or b""

    @contextlib.contextmanager
    def _started(
        self, words: Sequence[str], stdin: Stream, stderr: Stream, stdout: Stream = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        environment = {name: value for name, value in os.environ.items() if name not in _OF_OTHERS}
        environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        settings = [word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}")]
        try:
            process = subprocess.Popen(  # noqa: S603 (no shell, and no word of others is read as an option)
                ["git", *settings, *words],  # noqa: S607 (the user's git)
                cwd=self._clone,
                env=environment,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
            )
        except FileNotFoundError:
            raise RmbenchError("the program git, which fetches its files, is not installed.") from None
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def _refuse_failure(self, code: int, error: bytes, words: Sequence[str]) -> None:
        if code == 0:
            return
        lines = [line for line in error.decode("utf-8", "replace").splitlines() if line.strip()]
        why = next((line for line in lines if line.startswith("fatal: ")), lines[-1] if lines else f"code {code}")
        why = mask(_USER.sub(f"//{HIDDEN}@", why.removeprefix("fatal: ")))
        host = urlsplit(self._address).hostname
        if any(sign in why for sign in _NOT_THERE):
            raise RmbenchError(f"{self._address} has no commit, branch or tag {words[-1]}.")
        raise RmbenchError(
            f"{self._address}: git {words[0]}: {why}. Can {host} be reached from here? The same command tries again."
        )


def _size_of(clone: Path) -> int:
    """Bytes of the objects that have arrived."""
    total = 0
    for file in clone.glob("objects/**/*"):
        with contextlib.suppress(OSError):  # git renames what is whole
            total += file.stat().st_size
    return total

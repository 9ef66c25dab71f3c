"""What is known of all rows of files that were read before, kept in the cache folder.

A limit draws a few rows, but a record's digest, its totals and the check of every row cover all of them. Facts are
found by the content of the files, of the declaration and of the code that made the rows, so that they are those that
making all rows again would give; a file that is broken or of another form is not used.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from rmbench.resources import cache_folder
from rmbench.tasks.rows.integrity import OddRows
from rmbench.tasks.task import DataFileFacts, Exclusion

__all__ = ["SplitFacts", "forget", "known", "remember"]

_FOLDER = "rows"
"""Below the cache folder."""
_KEPT = 200
"""Files at most; those used least recently go first."""
_CODE = ("tasks", "untrusted", "types.py", "media_change.py")
"""What makes rows, below the package."""

Key = tuple[str, str, bool, Sequence[DataFileFacts]]
"""The declaration as JSON, how the files hold their rows, whether they hold no texts, and the files."""


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """What covers all rows of a split."""

    ids: tuple[str, ...]
    places: tuple[int, ...]
    """Of each row that `ids` names: its place among the rows that were read and brought into columns."""
    excluded: tuple[Exclusion, ...]
    odd: tuple[OddRows, ...]
    groups: dict[str, int]
    """`name=value` of each group -> its rows."""
    digest: str
    texts_digest: str


_facts = TypeAdapter(SplitFacts)


def known(key: Key, rows: int) -> SplitFacts | None:
    """The facts kept for these files, which have so many `rows` once brought into columns; None where there are none,
    they cannot be read or do not fit, or there is no cache."""
    file = _file(key)
    if file is None:
        return None
    try:
        found = _facts.validate_json(gzip.decompress(file.read_bytes()))
        os.utime(file)
    except (OSError, EOFError, zlib.error, ValidationError):
        return None
    fits = len(found.ids) == len(found.places) and all(0 <= place < rows for place in found.places)
    return found if fits else None


def remember(key: Key, facts: SplitFacts) -> None:
    """Keep the facts, and drop the oldest; a folder that cannot be written costs time alone."""
    file = _file(key)
    if file is None:
        return
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as fresh:
            fresh.write(gzip.compress(_facts.dump_json(facts), 1, mtime=0))
        Path(fresh.name).replace(file)
        for old in sorted(file.parent.iterdir(), key=lambda each: each.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)


def forget() -> None:
    """Drop all that is kept."""
    folder = cache_folder()
    for file in () if folder is None else (folder / _FOLDER).glob("*"):
        file.unlink(missing_ok=True)


def _file(key: Key) -> Path | None:
    folder = cache_folder()
    if folder is None:
        return None
    declaration, form, without_texts, files = key
    named = json.dumps([_code(), declaration, form, without_texts, [asdict(each) for each in files]])
    return folder / _FOLDER / f"{hashlib.sha256(named.encode()).hexdigest()}.json.gz"


@cache
def _code() -> str:
    """The release, and the sha256 of the code that makes rows, which a checkout may change without one."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256(metadata.version("rmbench").encode())
    for name in _CODE:
        place = package / name
        for file in sorted(place.rglob("*.py")) if place.is_dir() else (place,):
            digest.update(file.read_bytes())
    return digest.hexdigest()

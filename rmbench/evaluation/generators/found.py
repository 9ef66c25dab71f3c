"""The images or clips of generators, found by a pattern of paths, and the prompts that they were made for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.tasks.declaration.schema import LayoutRule
from rmbench.tasks.rows.formats import FORMATS, rows_of
from rmbench.untrusted.files import MIB, read_file, read_text
from rmbench.untrusted.packed import plain_name

__all__ = ["Found", "find_media", "read_prompts", "said"]

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
VIDEOS = (".mp4", ".webm", ".mkv", ".mov", ".avi")
_LARGEST = 256 * MIB
_MOST = 1_000_000
"""Files below the pattern's folder that are looked at."""
_SHOWN = 3
_PLACE = re.compile(r"\{([^{}]*)\}")
_TEXTS = ("prompt", "caption", "text", "original_prompt")
_IDS = ("id", "prompt_id", "key", "index")


@dataclass(frozen=True, slots=True)
class Found:
    """Who made what."""

    root: Path
    """The folder that names are relative to."""
    generators: tuple[str, ...]
    """In alphabetical order."""
    prompts: Mapping[str, str]
    """Key -> text, in the order of the file."""
    files: Mapping[tuple[str, str], Mapping[str, str]]
    """(generator, key) -> what the name calls the sample, "" where the pattern has none -> name below `root`."""
    kind: str
    """"image" or "video"."""
    notes: tuple[str, ...]
    """What was passed over, a sentence each."""

    @property
    def samples(self) -> tuple[str, ...]:
        """What samples are called, numbers in their order."""
        called = {sample for samples in self.files.values() for sample in samples}
        return tuple(sorted(called, key=lambda name: (not name.isdecimal(), len(name) * name.isdecimal(), name)))

    @property
    def count(self) -> int:
        """Images or videos that are there."""
        return sum(map(len, self.files.values()))

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """(generator, key) without a file."""
        return tuple((g, key) for g in self.generators for key in self.prompts if (g, key) not in self.files)


def read_prompts(file: Path, column: str | None = None) -> dict[str, str]:
    """Key -> prompt, in the order of the file: `.txt`, a prompt a line; `.json`, a list of prompts or of objects;
    any other format of rows, with a column `prompt`. The key is the column `id` or its like, else the place, from 0.

    Args:
        file: see above.
        column: another column of texts than that of the prompts, of the same keys.

    Raises:
        RmbenchError: no such file, another format, a row without a prompt, two rows of one id.
    """
    rows = _rows(file)
    wanted = _TEXTS if column is None else (column,)
    if not rows:
        raise RmbenchError(f"{file}: there is no prompt in it.")
    if column is not None and any(isinstance(row, str) for row in rows):
        raise RmbenchError(f"{file}: it has no columns, and {column!r} is to be one; expected .csv, .jsonl or objects.")
    texts = [row if isinstance(row, str) else _column(row, wanted) for row in rows]
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            names = "" if isinstance(rows[number], str) else f"; expected a column {' or '.join(wanted)}"
            raise RmbenchError(f"{file}: prompt {number} is not a text{names}.")
    ids = [None if isinstance(row, str) else _column(row, _IDS) for row in rows]
    keys = [str(n) for n in range(len(rows))] if any(one is None for one in ids) else list(map(str, ids))
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RmbenchError(f"{file}: two prompts have the id {twice!r}.")
    return dict(zip(keys, map(str, texts), strict=True))


def _rows(file: Path) -> list[Any]:
    """Prompts, or objects that hold one."""
    if file.suffix.lower() == ".txt":
        text = read_text(file, _LARGEST).removeprefix("\ufeff")
        return text.rstrip("\n").split("\n") if text.strip() else []
    if not plain_name(file.name).endswith(tuple(FORMATS)):
        raise RmbenchError(f"{file}: the name shows no format; expected .txt, {', '.join(FORMATS)}.")
    rows = rows_of(str(file), read_file(file, _LARGEST), LayoutRule(paths=[file.name]), scalar="row")
    return [row["row"] for row in rows] if plain_name(file.name).endswith(".json") else rows


def _column(row: Any, names: Sequence[str]) -> Any:
    if not isinstance(row, Mapping):
        return None
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def find_media(pattern: str, prompts: Mapping[str, str], *, first: int | None = None) -> Found:
    """The files of a pattern such as `out/{generator}/{prompt}.png`.

    Args:
        pattern: `{generator}` and `{prompt}` stand once each, for a part of a path's name; `*` for any other part;
            `{sample}` may stand for what tells several files of one generator and prompt apart. A name's `{prompt}` is
            a key of the prompts; where keys are places, a number with or without zeros before it.
        prompts: by key.
        first: the number of the first prompt, 0 or 1; None: 0, or 1 where a file has the number of prompts and none
            has 0.

    Raises:
        RmbenchError: a pattern without its two marks, no file, two files of one generator and prompt, files of both
            images and videos, or numbers that may begin at 0 as well as at 1.
    """
    root, expression, depth = _compiled(pattern)
    found: dict[tuple[str, str, str], str] = {}
    other: list[str] = []
    for name in _names(root, depth):
        match = expression.fullmatch(name)
        if match is None:
            continue
        if not name.lower().endswith((*IMAGES, *VIDEOS)):
            other.append(name)
            continue
        place = (match["generator"], match["prompt"], match.groupdict().get("sample", ""))
        if place in found:
            several = "" if place[2] else " Where there are several, {sample} says which."
            what = f"{found[place]} and {name} are both {place[0]}'s for prompt {place[1]}"
            raise RmbenchError(f"{pattern}: {what}.{several}")
        found[place] = name
    if not found:
        raise RmbenchError(f"{pattern}: no image or video below {root} has such a name.")
    kinds = {"video" if name.lower().endswith(VIDEOS) else "image" for name in found.values()}
    if len(kinds) > 1:
        raise RmbenchError(f"{pattern}: there are both images and videos; name one suffix in it.")
    key_of = _keys({prompt for _, prompt, _ in found}, prompts, first, pattern)
    files: dict[tuple[str, str], dict[str, str]] = {}
    for (generator, prompt, sample), name in found.items():
        if prompt in key_of:
            files.setdefault((generator, key_of[prompt]), {})[sample] = name
    strays = sorted(name for (_, prompt, _), name in found.items() if prompt not in key_of)
    if not files:
        raise RmbenchError(f"{pattern}: none of {len(found):,} files, such as {strays[0]}, is of a prompt.")
    if sum(map(len, files.values())) + len(strays) < len(found):
        raise RmbenchError(f"{pattern}: some prompts have two files of one generator, with and without zeros.")
    notes = [said(strays, "files are of no prompt")] if strays else []
    notes += [said(sorted(other), "files are neither images nor videos")] if other else []
    generators = tuple(sorted({generator for generator, _ in files}))
    return Found(root, generators, dict(prompts), files, kinds.pop(), tuple(notes))


def _compiled(pattern: str) -> tuple[Path, re.Pattern[str], int]:
    """(folder, expression of names below it, their depth)."""
    marks = _PLACE.findall(pattern)
    if sorted({*marks, "sample"}) != ["generator", "prompt", "sample"] or len(set(marks)) < len(marks):
        like = "out/{generator}/{prompt}.png"
        known = "{generator} and {prompt} once each, and {sample} where there are several images of a prompt"
        raise RmbenchError(f"{pattern}: expected {known}, as in {like}.")
    parts = Path(pattern).parts
    fixed = next(k for k, part in enumerate(parts) if "{" in part or "*" in part)
    root = Path(*parts[:fixed]) if fixed else Path()
    if not root.is_dir():
        raise RmbenchError(f"{pattern}: {root} is no folder.")
    inner = parts[fixed:]
    spelled = re.escape("/".join(inner)).replace(r"\*", "[^/]*")
    spelled = re.sub(r"\\\{(generator|prompt|sample)\\\}", lambda mark: f"(?P<{mark[1]}>[^/]+?)", spelled)
    return root, re.compile(spelled), len(inner)


def _names(root: Path, depth: int) -> Iterator[str]:
    """Names of files so many folders below `root`, in order."""
    seen = 0
    for folder, inner, files in os.walk(root):
        inner.sort()
        below = Path(folder).relative_to(root).parts
        if len(below) >= depth - 1:
            inner.clear()
        if len(below) == depth - 1:
            for file in sorted(files):
                seen += 1
                if seen > _MOST:
                    raise RmbenchError(f"{root}: more than {_MOST:,} files.")
                yield "/".join((*below, file))


def _keys(names: set[str], prompts: Mapping[str, str], first: int | None, pattern: str) -> dict[str, str]:
    """What a file's name says of its prompt -> the prompt's key."""
    count = len(prompts)
    if list(prompts) != [str(n) for n in range(count)]:
        if first is not None:
            raise RmbenchError("--first is for prompts that are known by their numbers; these have ids of their own.")
        return {name: name for name in names if name in prompts}
    numbers = {name: int(name) for name in names if name.isascii() and name.isdecimal()}
    held = set(numbers.values())
    if first is None:
        if 0 not in held and count not in held:
            raise RmbenchError(f"{pattern}: no file has the number 0 or {count}; say by --first which is the first.")
        first = 0 if 0 in held else 1
    return {name: str(number - first) for name, number in numbers.items() if 0 <= number - first < count}


def said(names: Sequence[str], what: str) -> str:
    """How many there are, and the first of them: `2 images are missing: a, b.`"""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    what = what if len(names) > 1 else what.replace("s ", " ", 1).replace(" are ", " is ").replace(" have ", " has ")
    return f"{len(names):,} {what}: {', '.join(names[:_SHOWN])}{more}."

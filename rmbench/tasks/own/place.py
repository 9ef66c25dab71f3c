"""Where a user's own rows lie: a file, a folder that `datasets` saved, or a set of the hub."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.tasks.declaration.schema import LayoutRule, SourceRule
from rmbench.tasks.own.kinds import is_message
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.rows.files import LayoutFiles, number_in, read_all, stem
from rmbench.tasks.rows.formats import FORMATS
from rmbench.tasks.rows.hub import pinned, read_hub, splits_of
from rmbench.untrusted.files import MIB, read_file, read_text
from rmbench.untrusted.packed import MOST_UNPACKED, PACKED, plain_name, unpacked

__all__ = ["Place", "at"]

_HUB = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?((?::[\w.-]+){0,2})", re.ASCII)
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.")
_WHAT = (
    f"a file ({', '.join(FORMATS)}, with {', '.join(PACKED)} or without), a folder that `datasets` saved, or org/name "
    "of the hub"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where rows lie, and the rows."""

    name: str
    """For people: the path as it was given, or the hub's id."""
    stem: str
    """What the task is called after."""
    source: SourceRule
    layout: LayoutRule
    path: Path
    """The file or folder; the layout's paths are below the folder that holds it."""
    rows: Sequence[RawRow]


def at(text: str, numbers: Sequence[str] = ()) -> Place:
    """The rows that `--data` names.

    Args:
        text: a file, a folder, `FOLDER:split`, or `org/name[@revision][:config][:split]`.
        numbers: columns of a CSV that hold numbers where all their cells are.

    Raises:
        RmbenchError: there is no such file, folder or set; it is of no known format, or broken; or it has several
            splits or lists of rows.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return _file(text, path, numbers)
    if path.is_dir():
        return _folder(text, path, "")
    if path.is_symlink():
        raise RmbenchError(f"--data {text}: a link to {path.readlink()}, which is not there.")
    before, _, split = text.rpartition(":")
    if before and split and Path(before).expanduser().is_dir():
        return _folder(text, Path(before).expanduser(), split)
    hub = _HUB.fullmatch(text)
    if hub is None or plain_name(text).endswith(tuple(FORMATS)):
        near = did_you_mean(path.name, [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else [])
        raise RmbenchError(f"--data {text}: no such file or folder.{near} Expected {_WHAT}.")
    return _set(text, hub[1], hub[2], [part for part in hub[3].split(":") if part])


def _file(text: str, path: Path, numbers: Sequence[str]) -> Place:
    plain = plain_name(path.name)
    if not plain.endswith(tuple(FORMATS)):
        raise RmbenchError(f"--data {text}: the name shows no format. Expected {_WHAT}.")
    rule: dict[str, Any] = {"paths": [path.name]}
    if plain.endswith(".json"):
        rule |= _shape_of_json(path)
    rows = _read(path.parent, LayoutRule(**rule))
    if plain.endswith((".csv", ".tsv")):
        there = [name for name in dict.fromkeys(numbers) if name in rows[0].values]
        held = [name for name in there if _are_numbers([row.values[name] for row in rows])]
        if held:
            rule["numbers"] = held
            rows = _read(path.parent, LayoutRule(**rule))
    return Place(text, stem(path.name), SourceRule(), LayoutRule(**rule), path, rows)


def _shape_of_json(path: Path) -> dict[str, str]:
    """How a `.json` file holds its rows, where it is no list of them: lines, under one key, or by their ids."""
    content = unpacked(path.name, read_file(path, MOST_UNPACKED)).removeprefix(codecs.BOM_UTF8).lstrip()
    if not content.startswith(b"{"):
        return {}
    line, _, rest = content.partition(b"\n")
    if rest.strip() and _parsed(line) is not None:
        return {"format": "jsonl"}
    whole = _parsed(content)
    if whole is None:
        return {}  # the reader says what is wrong and where
    lists = [key for key, value in whole.items() if _are_rows(value)]
    if len(lists) > 1:
        raise RmbenchError(f"--data {path}: several keys hold rows: {', '.join(lists)}. Keep one.")
    if lists and "." not in lists[0]:
        return {"under": lists[0]}
    by_id = whole and all(isinstance(value, dict) for value in whole.values())
    return {"keyed": "key"} if by_id else {"format": "jsonl"}


def _are_rows(value: object) -> bool:
    """Whether a value is a list of objects that are no messages of one row."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and not is_message(value[0])


def _parsed(content: bytes) -> dict[str, Any] | None:
    """A JSON object; None for what is none."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _are_numbers(cells: Sequence[Any]) -> bool:
    """Whether cells that are not empty are all numbers, or all true and false."""
    try:
        kinds = {isinstance(number_in(cell), bool) for cell in cells if cell}
    except ValueError:
        return False
    return len(kinds) == 1


def _read(root: Path, layout: LayoutRule) -> list[RawRow]:
    paths = tuple(root / path for path in layout.paths)
    rows, _ = read_all(LayoutFiles(root, layout, paths, ()))
    if not any(row.values for row in rows):
        raise RmbenchError(f"{', '.join(map(str, paths))}: holds no row.")
    return rows


def _folder(text: str, folder: Path, split: str) -> Place:
    folder = folder.resolve() if folder.name in ("", ".", "..") else folder
    if (folder / "dataset_dict.json").is_file():
        splits = _json_of(folder / "dataset_dict.json").get("splits", [])
        if not split and len(splits) == 1:
            split = splits[0]
        if split not in splits:
            raise RmbenchError(
                f"--data {text}: expected one of its splits: {', '.join(f'--data {folder}:{each}' for each in splits)}."
            )
        inner = _folder(text, folder / split, "")
        paths = [f"{folder.name}/{path}" for path in inner.layout.paths]
        layout = LayoutRule(paths=paths)
        return Place(text, f"{folder.name}-{split}", SourceRule(), layout, folder, _read(folder.parent, layout))
    if not (folder / "state.json").is_file():
        files = sorted(each.name for each in folder.iterdir() if plain_name(each.name).endswith(tuple(FORMATS)))
        if shards := _shards(files):
            layout = LayoutRule(paths=[f"{folder.name}/{name}" for name in shards])
            rows = _read(folder.parent, layout)
            return Place(text, f"{folder.name}-{stem(shards[0])}", SourceRule(), layout, folder, rows)
        has = f" It has {', '.join(files[:6])}: name one of them." if files else ""
        raise RmbenchError(f"--data {text}: no state.json, so `datasets` did not save it.{has} Expected {_WHAT}.")
    names = [each.get("filename") for each in _json_of(folder / "state.json").get("_data_files", [])]
    for name in names:
        if not isinstance(name, str) or "/" in name or not (folder / name).is_file():
            raise RmbenchError(f"{folder / 'state.json'}: names {name!r}, which is no file of the folder.")
    if not names:
        raise RmbenchError(f"{folder / 'state.json'}: names no data file.")
    layout = LayoutRule(paths=[f"{folder.name}/{name}" for name in names])
    return Place(text, folder.name, SourceRule(), layout, folder, _read(folder.parent, layout))


def _shards(files: Sequence[str]) -> list[str]:
    """The files of a folder in order, where they are the shards of one split, all of them; else []."""
    found = [_SHARD.search(name) for name in files]
    counts = {int(match[2]) for match in found if match}
    names = {stem(name) for name in files}
    whole = len(names) == len(counts) == 1 and counts == {len(files)} and all(found)
    return sorted(files) if whole else []


def _json_of(path: Path) -> dict[str, Any]:
    content = _parsed(read_text(path, MIB).encode())
    if content is None:
        raise RmbenchError(f"{path}: expected a JSON object.")
    return content


def _set(text: str, hub: str, revision: str | None, parts: Sequence[str]) -> Place:
    revision = pinned(hub, revision)
    config, split = (parts[0], parts[1]) if len(parts) == 2 else (None, parts[0] if parts else None)
    splits = splits_of(hub, config, revision) if len(parts) < 2 else ()
    if len(parts) == 1 and split not in splits:
        config, split = parts[0], None
        splits = splits_of(hub, config, revision)
    if split is None:
        if len(splits) != 1:
            name = ":".join(filter(None, (hub, config)))
            listed = ", ".join(f"{name}:{each}" for each in splits)
            raise RmbenchError(f"--data {text}: expected one of its splits: {listed}.")
        split = splits[0]
    source = SourceRule(hub=hub, revision=revision, config=config, split=split)
    rows, _ = read_hub(source, "A file of the rows works too: --data FILE.")
    if not rows:
        raise RmbenchError(f"--data {text}: holds no row.")
    name = "-".join(filter(None, (hub.split("/")[1], config, split)))
    layout = LayoutRule(paths=[f"{split}.jsonl"])
    return Place(text, name, source, layout, Path(name), rows)

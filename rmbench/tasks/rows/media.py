"""Images and videos of a row: found below the data set's folder, or known by name alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rmbench.errors import RmbenchError
from rmbench.tasks.rows.fields import RawRow, kind_of
from rmbench.types import Conversation, Example, Part

__all__ = ["media_part", "with_media"]


def media_part(row: RawRow, column: str, value: Any, kind: Literal["image", "video"], roots: Sequence[str]) -> Part:
    """The medium that a column names, absent (`path` None) where its file is not below one of the roots.

    Args:
        row: the row, for messages and for the data set's folder; rows of the hub have none, and their media are absent.
        column: what the value is the value of, for messages.
        value: a path below a root, an address, whose last name is looked for, or the hub's {path, bytes}, of which the
            path is taken.
        kind: what it is.
        roots: folders below the data set's folder, tried in this order.

    Raises:
        RmbenchError: the value names nothing, or names a place outside the data set's folder.
    """
    name = value.get("path") if isinstance(value, Mapping) else value
    if not isinstance(name, str) or not name:
        raise row.error(f'column "{column}": expected the name of {_an(kind)}, found {kind_of(name)}.')
    if row.root is None:
        return Part(kind, name=name)
    local = name.partition("?")[0].rsplit("/", 1)[-1] if "://" in name else name
    for root in roots:
        place = _below(row, column, row.root, f"{root}/{local}")
        if place.is_file():
            return Part(kind, name=name, path=str(place))
    return Part(kind, name=name)


def with_media(examples: Sequence[Example], folder: Path) -> tuple[Example, ...]:
    """The examples with each image and video taken from `folder` by its name, `<style>/<index>.jpg` say.

    A medium that is not there stays absent, and its candidate keeps its place.

    Raises:
        RmbenchError: there is no such folder.
    """
    if not folder.is_dir():
        raise RmbenchError(f"{folder}: no such folder of images.")
    root = os.path.normpath(folder)

    def found(part: Part) -> Part:
        place = Path(os.path.normpath(folder / part.name))
        there = part.kind != "text" and place.is_relative_to(root) and place.is_file()
        return replace(part, path=str(place)) if there else part

    def taken(conversation: Conversation) -> Conversation:
        return tuple(replace(message, parts=tuple(map(found, message.parts))) for message in conversation)

    return tuple(
        replace(
            example,
            prompt=taken(example.prompt),
            candidates=tuple(
                replace(
                    candidate,
                    messages=taken(candidate.messages),
                    prompt=None if candidate.prompt is None else taken(candidate.prompt),
                )
                for candidate in example.candidates
            ),
        )
        for example in examples
    )


def _below(row: RawRow, column: str, folder: Path, name: str) -> Path:
    """Rows are distrusted: a name may not lead out of the folder. A user's own links in it may."""
    place = Path(os.path.normpath(folder / name))
    if not place.is_relative_to(os.path.normpath(folder)):
        raise row.error(f'column "{column}": {name!r} leads out of {folder}.')
    return place


def _an(kind: str) -> str:
    return f"an {kind}" if kind == "image" else f"a {kind}"

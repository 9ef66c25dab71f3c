"""Images and videos of a row: files below the data set's folder, or known by name only."""

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
        column: the value's column, for messages.
        value: a path below a root, an address, whose last name is looked for, or the hub's {path, bytes}, of which the
            path is taken.
        kind: image or video.
        roots: folders below the data set's folder, tried in this order.

    Raises:
        RmbenchError: the value is no name, or leads out of the data set's folder.
    """
    name = value.get("path") if isinstance(value, Mapping) else value
    if not isinstance(name, str) or not name:
        raise row.error(f'column "{column}": expected the name of {_an(kind)}, found {kind_of(name)}.')
    if row.root is None:
        return Part(kind, name=name)
    local = name.partition("?")[0].rsplit("/", 1)[-1] if "://" in name else name
    for root in roots:
        file = _below(row, column, row.root, f"{root}/{local}")
        if file.is_file():
            return Part(kind, name=name, path=str(file))
    return Part(kind, name=name)


def with_media(examples: Sequence[Example], folder: Path) -> tuple[Example, ...]:
    """The examples with each image and video taken from `folder` by its name, `<style>/<index>.jpg` say.

    A missing medium stays absent, and its candidate keeps its place.

    Raises:
        RmbenchError: there is no such folder.
    """
    if not folder.is_dir():
        raise RmbenchError(f"{folder}: no such folder of images.")
    root = os.path.normpath(folder)

    def with_file(part: Part) -> Part:
        file = Path(os.path.normpath(folder / part.name))
        exists = part.kind != "text" and file.is_relative_to(root) and file.is_file()
        return replace(part, path=str(file)) if exists else part

    def with_files(conversation: Conversation) -> Conversation:
        return tuple(replace(message, parts=tuple(map(with_file, message.parts))) for message in conversation)

    return tuple(
        replace(
            example,
            prompt=with_files(example.prompt),
            candidates=tuple(
                replace(
                    candidate,
                    messages=with_files(candidate.messages),
                    prompt=None if candidate.prompt is None else with_files(candidate.prompt),
                )
                for candidate in example.candidates
            ),
        )
        for example in examples
    )


def _below(row: RawRow, column: str, folder: Path, name: str) -> Path:
    """Rows are distrusted: a name may not lead out of the folder. A user's own links in it may."""
    file = Path(os.path.normpath(folder / name))
    if not file.is_relative_to(os.path.normpath(folder)):
        raise row.error(f'column "{column}": {name!r} leads out of {folder}.')
    return file


def _an(kind: str) -> str:
    return f"an {kind}" if kind == "image" else f"a {kind}"

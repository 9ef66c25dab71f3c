"""Images and videos of a row: files below the data set's folder, bytes in the row, or known by name only."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rmbench.errors import RmbenchError
from rmbench.tasks.rows.embedded import content_of, written
from rmbench.tasks.rows.fields import RawRow, kind_of
from rmbench.tasks.task import Media
from rmbench.types import Conversation, Example, Part

__all__ = ["media_of_examples", "media_part", "media_parts", "with_media", "with_parts"]


def media_part(row: RawRow, column: str, value: Any, kind: Literal["image", "video"], roots: Sequence[str]) -> Part:
    """The medium that a column names or holds, absent (`path` None) where its file is not below one of the roots.

    Args:
        row: the row, for messages and for the data set's folder; rows of the hub have none, and media that they only
            name are absent.
        column: the value's column, for messages.
        value: a path below a root; an address, whose last name is looked for; bytes, base64 or a `data:` address; or
            the hub's {path, bytes}, whose bytes go first.
        kind: image or video.
        roots: folders below the data set's folder, tried in this order.

    Raises:
        RmbenchError: the value is neither a name nor bytes, or leads out of the data set's folder.
    """
    try:
        content = content_of(value)
    except ValueError as error:
        raise row.error(f'column "{column}": {error}.') from None
    name = value.get("path") if isinstance(value, Mapping) else value
    if content is not None:
        digest, file = written(content)
        own = name if isinstance(value, Mapping) and isinstance(name, str) else ""
        return Part(kind, name=own or digest[:16], path=str(file))
    if not isinstance(name, str) or not name:
        raise row.error(f'column "{column}": expected the name or the bytes of {_an(kind)}, found {kind_of(name)}.')
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

    A medium that is not there is absent, whatever the data set itself has under its name, and its candidate keeps its
    place.

    Raises:
        RmbenchError: there is no such folder, or it has none of the media.
    """
    if not folder.is_dir():
        raise RmbenchError(f"{folder}: no such folder of images.")
    root = os.path.normpath(folder)

    def from_folder(part: Part) -> Part:
        if part.kind == "text":
            return part
        file = Path(os.path.normpath(folder / part.name))
        return replace(part, path=str(file) if file.is_relative_to(root) and file.is_file() else None)

    brought = tuple(with_parts(each, from_folder) for each in examples)
    parts = list(media_parts(brought))
    if parts and all(part.path is None for part in parts):
        raise RmbenchError(f"{folder}: none of the images is there; the first that was looked for is {parts[0].name}.")
    return brought


def media_of_examples(examples: Sequence[Example], folder: Path | None = None) -> Media | None:
    """The media of examples, each file read once; None where the examples show none. One that cannot be read counts as
    absent: its row fails, and says why."""
    paths = sorted({(part.name, part.path or "") for part in media_parts(examples)})
    if not paths:
        return None
    digests = [(name, _digest(path)) for name, path in paths]
    absent = tuple(name for name, digest in digests if digest is None)
    whole = hashlib.sha256(json.dumps(digests).encode()).hexdigest()
    return Media(whole, len(digests) - len(absent), absent, None if folder is None else folder.resolve().name)


def _digest(path: str) -> str | None:
    if not path:
        return None
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def media_parts(examples: Sequence[Example]) -> Iterator[Part]:
    """The images and videos of examples, in the order in which rows show them."""
    for example in examples:
        own = (candidate.prompt or () for candidate in example.candidates)
        for conversation in (example.prompt, *own, *(candidate.messages for candidate in example.candidates)):
            yield from (part for message in conversation for part in message.parts if part.kind != "text")


def with_parts(example: Example, change: Callable[[Part], Part]) -> Example:
    """The example with each part of its messages changed."""

    def changed(conversation: Conversation) -> Conversation:
        return tuple(replace(message, parts=tuple(map(change, message.parts))) for message in conversation)

    candidates = tuple(
        replace(
            candidate,
            messages=changed(candidate.messages),
            prompt=None if candidate.prompt is None else changed(candidate.prompt),
        )
        for candidate in example.candidates
    )
    return replace(example, prompt=changed(example.prompt), candidates=candidates)


def _below(row: RawRow, column: str, folder: Path, name: str) -> Path:
    """Rows are distrusted: a name may not lead out of the folder. A user's own links in it may."""
    file = Path(os.path.normpath(folder / name))
    if not file.is_relative_to(os.path.normpath(folder)):
        raise row.error(f'column "{column}": {name!r} leads out of {folder}.')
    return file


def _an(kind: str) -> str:
    return f"an {kind}" if kind == "image" else f"a {kind}"

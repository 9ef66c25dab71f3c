"""Images and videos that rows name by an address on the web, brought where the user allows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeAlias

from rmbench.tasks.rows.embedded import written
from rmbench.tasks.rows.media import media_parts, with_parts
from rmbench.types import Example, Part
from rmbench.untrusted.addresses import FetchError, fetch_bytes

__all__ = ["with_fetched"]

_Wanted: TypeAlias = tuple[Literal["text", "image", "video"], str]
_AT_ONCE = 8
_MOST = {"image": 2**26, "video": 2**28}
"""Bytes of one medium at most."""


def with_fetched(examples: Sequence[Example]) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """The examples with each image and video fetched that is not here and is named by an address; each address once.

    Only public hosts are asked, see `rmbench.untrusted.addresses`. What could not be fetched stays absent and holds the
    reason.

    Returns:
        The examples, and a note: how many of how many were fetched, with the first reason where one was not.
    """
    wanted = {(part.kind, part.name): None for part in media_parts(examples) if part.path is None and part.is_address}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = dict(zip(wanted, pool.map(_fetched, wanted), strict=True))
    brought = tuple(with_parts(each, lambda part: _of(found, part)) for each in examples)
    return brought, _notes(found.values())


def _of(found: Mapping[_Wanted, Part], part: Part) -> Part:
    return part if part.path is not None else found.get((part.kind, part.name), part)


def _fetched(wanted: _Wanted) -> Part:
    kind, name = wanted
    try:
        _, file = written(fetch_bytes(name, most=_MOST[kind]))
    except FetchError as error:
        return Part(kind, name=name, fault=str(error))
    return Part(kind, name=name, path=str(file))


def _notes(found: Iterable[Part]) -> tuple[str, ...]:
    parts = list(found)
    missed = [part for part in parts if part.path is None]
    if not parts:
        return ()
    first = f"; the first that was not: {missed[0].name} ({missed[0].fault})" if missed else ""
    return (f"fetched from addresses: {len(parts) - len(missed):,} of {len(parts):,} images and videos{first}",)

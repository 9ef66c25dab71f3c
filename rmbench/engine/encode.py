"""Windows of examples with their encoded rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rmbench.engine.compute import reason
from rmbench.engine.interfaces import Progress
from rmbench.engine.requests import requests_of
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Encoded, Request, Scorer
from rmbench.types import Example

__all__ = ["Window", "encode_window", "windows_of"]

_ENCODE_ROWS = 256
"""Requests given to the tokenizer at once: enough for its threads, few enough that progress shows."""

_WINDOW = 8192
"""Requests planned together. Equal rows further apart are found in the score cache; memory does not grow with rows."""


@dataclass(frozen=True, slots=True)
class Window:
    """Examples with their rows."""

    examples: Sequence[Example]
    encoded: Sequence[Encoded]
    places: Sequence[range]


def windows_of(examples: Iterable[Example], *, pairs: bool) -> Iterator[list[Example]]:
    """Runs of examples with about as many requests as a window holds."""
    window: list[Example] = []
    requests = 0
    for example in examples:
        size = len(example.candidates)
        window.append(example)
        requests += size * (size - 1) if pairs else size
        if requests >= _WINDOW:
            yield window
            window, requests = [], 0
    if window:
        yield window


def encode_window(
    examples: Sequence[Example], scorer: Scorer, render: Literal["chat", "raw"], title: str, progress: Progress
) -> Window:
    """All requests encoded, equal rows sharing their ids, so that memory grows with unique rows alone."""
    requests, places = requests_of(examples, render, in_pairs="pair" in scorer.answers)
    progress.start(title, len(requests), 0)
    encoded: list[Encoded] = []
    firsts: dict[str, Encoded] = {}
    for start in range(0, len(requests), _ENCODE_ROWS):
        chunk = requests[start : start + _ENCODE_ROWS]
        entries = _encode_chunk(chunk, scorer)
        if len(entries) != len(chunk):
            raise RmbenchError(f"{scorer.facts.name}: encode gave {len(entries)} rows for {len(chunk)} requests.")
        for entry in entries:
            first = entry if entry.error else firsts.setdefault(entry.key, entry)
            encoded.append(replace(entry, ids=first.ids) if first.ids == entry.ids else entry)
        progress.advance(len(chunk), 0)
    return Window(examples, encoded, places)


def _encode_chunk(chunk: Sequence[Request], scorer: Scorer) -> list[Encoded]:
    try:
        return list(scorer.encode(chunk))
    except RmbenchError:
        raise  # no template, no tokenizer: true of every row
    except Exception as error:
        if len(chunk) == 1:
            return [Encoded(key="", size=0, error=reason(error))]
    return [entry for request in chunk for entry in _encode_chunk([request], scorer)]

"""Windows of examples with their encoded rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rmbench.engine.helpers import Helpers
from rmbench.engine.interfaces import Progress
from rmbench.engine.requests import requests_of
from rmbench.engine.rows import row_maker
from rmbench.models.protocols import (
    FRAME_REPEATED,
    SPECIAL_TOKENS_IN_TEXT,
    TEMPLATE_DROPPED_TEXT,
    TEMPLATE_IGNORED_TOOLS,
    Encoded,
    Request,
    Scorer,
)
from rmbench.types import Example

__all__ = ["Window", "encode_window", "windows_of"]

_ENCODE_ROWS = 256
"""Requests given to the tokenizer at once: enough for its threads, few enough that progress shows."""

_WINDOW = 8192
"""Requests planned together. Equal rows further apart are found in the score cache; memory does not grow with rows."""

OF_EXAMPLES = frozenset({FRAME_REPEATED, SPECIAL_TOKENS_IN_TEXT, TEMPLATE_DROPPED_TEXT, TEMPLATE_IGNORED_TOOLS})
"""Remarks that are counted by example."""

_ALIKE = "the chat template drops text, so that the model reads the same as for"


@dataclass(frozen=True, slots=True)
class Window:
    """Examples with their rows."""

    examples: Sequence[Example]
    encoded: Sequence[Encoded]
    places: Sequence[range]

    @property
    def remarks(self) -> Counter[str]:
        """How many rows carry each remark; of those on an example's text, how many examples."""
        counts = Counter(remark for row in self.encoded for remark in row.remarks)
        for remark in OF_EXAMPLES & counts.keys():
            counts[remark] = sum(
                any(remark in row.remarks for row in self.encoded[at.start : at.stop]) for at in self.places
            )
        return counts


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
    examples: Sequence[Example],
    scorer: Scorer,
    render: Literal["chat", "raw"],
    title: str,
    progress: Progress,
    helpers: Helpers | None = None,
) -> Window:
    """All requests encoded, equal rows sharing their ids, so that memory grows with unique rows alone. With `helpers`,
    in other processes where encoding has kept the model waiting."""
    requests, places = requests_of(examples, render, in_pairs="pair" in scorer.answers)
    maker = row_maker(scorer)
    unique, numbers = _unique(requests) if maker.alone else (requests, range(len(requests)))
    progress.start(title, len(unique), 0)
    chunks = [unique[start : start + _ENCODE_ROWS] for start in range(0, len(unique), _ENCODE_ROWS)]
    entries: list[Encoded] = []
    firsts: dict[str, Encoded] = {}
    for made in map(maker.rows, chunks) if helpers is None else helpers.rows(maker, chunks):
        for entry in made:
            first = entry if entry.error else firsts.setdefault(entry.key, entry)
            entries.append(replace(entry, ids=first.ids) if first is not entry and first.ids == entry.ids else entry)
        progress.advance(len(made), 0)
    encoded = [entries[number] for number in numbers]
    for place in places:
        encoded[place.start : place.stop] = _failed_where_alike(
            requests[place.start : place.stop], encoded[place.start : place.stop]
        )
    return Window(examples, encoded, places)


def _unique(requests: Sequence[Request]) -> tuple[list[Request], list[int]]:
    """Requests that differ in what an encoder reads, without the examples that they are of; and for each request the
    number of its like among them."""
    of: dict[Request, int] = {}
    bare = (Request(one.conversation, one.prompt_messages, one.render, one.against) for one in requests)
    numbers = [of.setdefault(one, len(of)) for one in bare]
    return list(of), numbers


def _failed_where_alike(requests: Sequence[Request], entries: Sequence[Encoded]) -> list[Encoded]:
    """The rows of an example. One that the template gives the text of an earlier one, from which its conversation
    differs, carries that as its error: a tie would be the template's and not the model's."""
    rows = list(entries)
    firsts: dict[str, int] = {}
    for place, (request, entry) in enumerate(zip(requests, entries, strict=True)):
        if entry.error or not entry.text_digest or request.render != "chat":
            continue
        first = firsts.setdefault(entry.text_digest, place)
        if first != place and _content(request) != _content(requests[first]):
            other = f"candidate {first}" if request.against is None else "another pair"
            rows[place] = replace(entry, error=f"{_ALIKE} {other}, from which it differs")
    return rows


def _content(request: Request) -> list[tuple[object, ...]]:
    """Roles, texts and further keys, white space of texts left out."""
    conversation = (*request.conversation, *(request.against or ()))
    return [(message.role, "".join(message.text.split()), *message.extra) for message in conversation]

"""Rows of texts and pictures: their tokens, which of them stand for a picture, where they are read, what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rmbench.models.families.vl.pictures import Shown
from rmbench.models.protocols import Encoded

__all__ = ["Place", "UnreadableError", "VisionRow", "placed", "row_of", "seen", "shared_length"]


class UnreadableError(Exception):
    """A row that cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """A medium in a row."""

    shown: Shown
    start: int
    """Index of the first of its tokens."""

    @property
    def stop(self) -> int:
        """Behind the last of its tokens."""
        return self.start + len(self.shown.ids)


@dataclass(frozen=True, slots=True)
class VisionRow:
    """What a row shows and where it is read: the payload of its `Encoded`."""

    places: tuple[Place, ...]
    spots: tuple[int, ...]
    """Indices of the states that are read."""
    head: int = 0
    """The pass that it belongs to."""


def placed(
    found: Sequence[int], shown: Sequence[Shown], marks: Mapping[int, str]
) -> tuple[tuple[int, ...], tuple[Place, ...]]:
    """The tokens of a text with those of its pictures in their places.

    Args:
        found: the text's tokens, one for each picture.
        shown: the pictures of the conversation, in order.
        marks: token -> the kind of medium whose place it holds.

    Raises:
        UnreadableError: the text has other places than the conversation has pictures.
    """
    wanted = [each.modality for each in shown]
    given = [marks[each] for each in found if each in marks]
    if given != wanted:
        raise UnreadableError(f"the chat template shows {given}, the conversation has {wanted}")
    ids: list[int] = []
    places: list[Place] = []
    for each in found:
        if each in marks:
            places.append(Place(shown[len(places)], len(ids)))
            ids.extend(places[-1].shown.ids)
        else:
            ids.append(each)
    return tuple(ids), tuple(places)


def row_of(row: Encoded) -> VisionRow:
    """A row's payload; that of the warm-up shows nothing and is read at its end."""
    return row.payload if isinstance(row.payload, VisionRow) else VisionRow((), (len(row.ids) - 1,))


def seen(shown: Sequence[Shown]) -> str:
    """What pictures show, by content: rows of one kind show the same."""
    return " ".join(each.key for each in shown)


def shared_length(rows: Sequence[Encoded]) -> int:
    """How many first tokens rows share, pictures compared by content: 0 where no picture is among them, and never so
    many that a row has none of its own or is read within them."""
    if len(rows) < 2:
        return 0
    names: dict[str, int] = {}
    spelled = [_spelled(row, names) for row in rows]
    most = min(min(row_of(row).spots, default=len(row.ids) - 1) for row in rows)
    first = spelled[0][:most]
    for other in spelled[1:]:
        length = next((at for at, (a, b) in enumerate(zip(first, other, strict=False)) if a != b), len(first))
        first = first[: min(length, len(other))]
    length = len(first)
    places = row_of(rows[0]).places
    cut = next((place.start for place in places if place.start < length < place.stop), length)
    return cut if any(place.stop <= cut for place in places) else 0


def _spelled(row: Encoded, names: dict[str, int]) -> list[tuple[int, int]]:
    """The tokens of a row, each with the number of the medium that it is of, 0 for text."""
    found = [(each, 0) for each in row.ids]
    for place in row_of(row).places:
        number = names.setdefault(place.shown.key, len(names) + 1)
        found[place.start : place.stop] = [(each, number) for each in place.shown.ids]
    return found

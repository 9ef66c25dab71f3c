"""Contact sheets: the pictures that models score highest and lowest, and the prompts on which their makers differ most,
as a page that is one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from rmbench.errors import RmbenchError
from rmbench.html import environment
from rmbench.html.shell import document
from rmbench.types import Part, text_of
from rmbench.view.page import visible
from rmbench.view.rows import Row
from rmbench.view.shown import Shown
from rmbench.view.terminal import number
from rmbench.view.thumbnails import Thumbnails

__all__ = ["sheet"]

_HERE = Path(__file__).parent
_ENDS = 6
"""Pictures of a maker that are highest, and as many that are lowest."""
_PROMPTS = 12
_WORDS = 240
"""Characters of a prompt that are shown; all of it is shown where the prompt stands by itself."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """An image or a clip with its score."""

    part: Part
    score: float
    prompt: str
    maker: str
    gold: str


@dataclass(frozen=True, slots=True)
class _Shot:
    """How it is shown."""

    picture: int | None
    why: str
    """Why there is no picture."""
    score: str
    words: str
    alt: str
    gold: str = ""
    best: bool = False


@dataclass(frozen=True, slots=True)
class _Maker:
    name: str
    mean: str
    count: int
    highest: Sequence[_Shot]
    lowest: Sequence[_Shot]


@dataclass(frozen=True, slots=True)
class _Prompt:
    words: str
    shots: Sequence[_Shot]


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    makers: Sequence[_Maker]
    prompts: Sequence[_Prompt]
    without: int
    """Pictures that have no score."""


@dataclass
class _Sheet:
    thumbnails: Thumbnails = field(default_factory=lambda: Thumbnails(across=2))

    def model(self, view: Shown) -> _Model:
        """One model's part of the page."""
        pictures = [one for row in view.rows for one in _scored(row)]
        asked = sum(row.judged.size for row in view.rows)
        if not pictures:
            why = view.note or "no row has both an image or a clip and a score"
            raise RmbenchError(f"{view.record.task.id}: there is nothing for a contact sheet: {why}")
        makers: dict[str, list[_Scored]] = {}
        for one in pictures:
            makers.setdefault(one.maker, []).append(one)
        ordered = sorted(makers, key=lambda name: -_mean(makers[name]))
        return _Model(
            visible(view.models[0]),
            [self._maker(name, makers[name]) for name in ordered],
            list(self._prompts(pictures, ordered)) if len(ordered) > 1 else [],
            asked - len(pictures),
        )

    def _maker(self, name: str, pictures: Sequence[_Scored]) -> _Maker:
        ordered = sorted(pictures, key=lambda one: -one.score)
        few = min(_ENDS, (len(ordered) + 1) // 2)
        low = ordered[max(few, len(ordered) - _ENDS) :][::-1]
        highest, lowest = ([self._shot(one, one.prompt[:_WORDS]) for one in end] for end in (ordered[:few], low))
        return _Maker(visible(name), number(_mean(pictures)), len(pictures), highest, lowest)

    def _prompts(self, pictures: Sequence[_Scored], makers: Sequence[str]) -> Iterator[_Prompt]:
        """Those on which the makers' best pictures are furthest apart."""
        best: dict[str, dict[str, _Scored]] = {}
        for one in pictures:
            own = best.setdefault(one.prompt, {})
            if one.maker not in own or one.score > own[one.maker].score:
                own[one.maker] = one
        several = [(prompt, own) for prompt, own in best.items() if len(own) > 1]
        several.sort(key=lambda each: -_spread(each[1].values()))
        for prompt, own in several[:_PROMPTS]:
            first = max(one.score for one in own.values())
            shots = [self._shot(own[name], name, best=own[name].score == first) for name in makers if name in own]
            yield _Prompt(visible(prompt), shots)

    def _shot(self, one: _Scored, words: str, *, best: bool = False) -> _Shot:
        placed = self.thumbnails.place(one.part)
        why = visible(placed) if isinstance(placed, str) else "" if placed is not None else "no room for its picture"
        alt = visible(f"{one.maker}: {one.prompt[:_WORDS]}" if one.maker else one.prompt[:_WORDS])
        picture = placed if isinstance(placed, int) else None
        return _Shot(picture, why, number(one.score), visible(words), alt, visible(one.gold), best)


def sheet(views: Sequence[Shown]) -> str:
    """The page's text.

    Args:
        views: rows of images or clips by one model each, all of one task.

    Raises:
        RmbenchError: a view without an image or a clip that has a score.
    """
    made = _Sheet()
    models = [made.model(view) for view in views]
    record = views[0].record
    body = environment().from_string((_HERE / "sheet.html").read_text("utf-8"))
    left_out = made.thumbnails.left_out
    return document(
        f"Contact sheet: {record.task.title}",
        Markup(body.render(title=record.task.title, models=models, left_out=left_out)),  # noqa: S704 (it is escaped)
        styles=[_HERE / "assets" / "sheet.css"],
        scripts=[_HERE / "assets" / "sheet.js"],
        single=True,
        data={"pictures": made.thumbnails.uris},
        wide=True,
    )


def _scored(row: Row) -> Iterator[_Scored]:
    """The candidates of a row that are pictures and have a score."""
    answer, example = row.answers[0], row.example
    if example is None or answer.scores is None:
        return
    for k, candidate in enumerate(example.candidates):
        score = answer.scores[k]
        media = [part for message in candidate.messages for part in message.parts if part.kind != "text"]
        if score is not None and media and media[0].path is not None:
            prompt = text_of(example.prompt if candidate.prompt is None else candidate.prompt)
            maker = candidate.source or row.judged.groups.get("generator") or next(iter(row.judged.groups.values()), "")
            yield _Scored(media[0], score, prompt, maker, row.gold[k])


def _mean(pictures: Sequence[_Scored]) -> float:
    return sum(one.score for one in pictures) / len(pictures)


def _spread(pictures: Any) -> float:
    scores = [one.score for one in pictures]
    return float(max(scores) - min(scores))

"""How a rater's earlier choices are written into a prompt: declared as data, one TOML each in `layouts/`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, model_validator

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.tasks.declaration.strict import STRICT
from rmbench.types import Part
from rmbench.validation import read_toml, validated

__all__ = ["ShotLayout", "joined", "layout_named", "shot_layouts"]

Parts = tuple[Part, ...]

_FOLDER = Path(__file__).resolve().parent / "layouts"
_HOLE = re.compile(r"\{(\w+)\}")
_HOLES = {
    "example": {"number", "prompt", "preferred", "dispreferred"},
    "task": {"prompt"},
    "answer": {"answer"},
}


class ShotLayout(BaseModel):
    """The texts of a layout. A newline at the very start of each is not part of it."""

    model_config = STRICT

    name: str
    source: str
    """Where the form is from."""
    place: Literal["prompt", "context"] = "prompt"
    """Where the choices go: before the row in its prompt, or beside it, for judges that read them there; the prompt and
    the answers then stay as they are."""
    example: str
    """One earlier choice: `{number}` from 1, `{prompt}`, `{preferred}` and `{dispreferred}`."""
    task: str
    """What follows the examples: `{prompt}` is the row's own."""
    answer: str
    """A candidate: `{answer}`."""

    @model_validator(mode="after")
    def _has_its_holes(self) -> ShotLayout:
        for key, known in _HOLES.items():
            found = set(_HOLE.findall(getattr(self, key)))
            if found - known or (known - {"number"}) - found:
                raise ValueError(f'"{key}" needs {{{"}, {".join(sorted(known))}}} and no other braces')
        return self

    def filled(self, key: str, **values: Sequence[Part]) -> Parts:
        """One of the texts with its holes filled, in one pass: braces in the values stay as they are."""
        text: str = getattr(self, key)
        pieces = _HOLE.split(text.removeprefix("\n"))  # a text, a name, a text ...
        return joined(
            part for k, piece in enumerate(pieces) for part in (values[piece] if k % 2 else [Part(text=piece)])
        )


def joined(parts: Iterable[Part]) -> Parts:
    """Parts with texts that follow each other as one; at least one part."""
    found: list[Part] = []
    for part in parts:
        if part.kind == "text" and found and found[-1].kind == "text":
            found[-1] = Part(text=found[-1].text + part.text)
        elif part.kind != "text" or part.text:
            found.append(part)
    return tuple(found) or (Part(),)


@cache
def shot_layouts() -> Mapping[str, ShotLayout]:
    """All layouts by name; raises RmbenchError for the first that is wrong."""
    found = {path.stem: validated(ShotLayout, read_toml(path), path) for path in sorted(_FOLDER.glob("*.toml"))}
    for stem, layout in found.items():
        if layout.name != stem:
            raise RmbenchError(f'{_FOLDER / stem}.toml: key "name": "{layout.name}" must be the file\'s name.')
    return found


def layout_named(name: str) -> ShotLayout:
    """A layout; raises RmbenchError where there is none of the name."""
    known = shot_layouts()
    if name not in known:
        listed = ", ".join(known)
        raise RmbenchError(f'--shots-layout: "{name}" is none of {listed}.{did_you_mean(name, known)}')
    return known[name]

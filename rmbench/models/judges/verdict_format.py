"""Where the verdict is in a judge's reply, and how it is spelled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["PLACEHOLDER", "Declared", "Place", "VerdictFormat"]

PLACEHOLDER = re.compile(r"\{(label|value|number|numbers|ranking)\}")
Place = Literal["last", "first-line", "whole", "end", "tag", "tags", "boxed", "json", "facts", "headed"]


class Declared(BaseModel):
    """A part of a declaration."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class VerdictFormat(Declared):
    """Where the verdict is in a reply and how it is spelled; see `rmbench.models.judges.grammar`."""

    reads: Literal["pick", "rating", "ranking", "label"] = "pick"
    """"label": the text in `values` itself is the verdict, as "A=B=Good", a tie of a kind."""
    place: Place = "last"
    """"last": the last line that holds the mark. "first-line": the first line, whole. "whole": the whole answer. "end":
    the answer's very end. "tag": the last <tag>...</tag>. "tags": the last run of them, each whole, as a list.
    "boxed": the last \\boxed{...}, whole. "json": the field `tag` of the last JSON object, whole. "facts": the lists of
    facts in three replies, whose DCScore is the rating (`rmbench.models.judges.caption_facts`). "headed": the lines
    behind `item` under each of `headings`, whose means are the ratings (`rmbench.models.judges.headed`)."""
    tag: str = ""
    """The tag's or the JSON field's name."""
    headings: tuple[str, ...] = Field(default=(), strict=False)
    item: str = ""
    """What names a candidate under a heading, with {label}."""
    total: float | None = None
    """What the scores under a heading add up to."""
    mark: str = "[[{label}]]"
    """Literal text with one placeholder: {label}, {value}, {number}, {numbers} (one for each candidate shown) or
    {ranking} (labels joined by ">", best first)."""
    labels: Literal["letters", "numbers"] = "letters"
    """How candidates are labelled: A, B ... or 1, 2 ..., in the order shown."""
    tie: str = ""
    """The whole mark of a tie."""
    values: Mapping[str, int | float | Literal["tie"]] = Field(default={})
    """{value}: the text -> the position of the better candidate, counted from 0, "tie", or a rating."""
    low: float = 1.0
    high: float = 10.0
    """Range of a rating; a number outside is no verdict."""
    integer: bool = True
    compare: bool = False
    """{numbers}: the candidate with the highest one is picked; equal ones are a tie."""
    ignore_case: bool = False
    """Of ASCII letters alone."""
    cut: bool = False
    """Whether a reply cut off by its length may hold a verdict, where the declared place is complete."""
    options: bool = False
    """Request the probabilities of the texts in `values`; the mark is parsed where the server returns none."""
    options_at: Literal["start", "verdict", "end", "behind"] = "start"
    """Of which token of the reply the options' probabilities are read. "start": the first. "verdict": the first behind
    reasoning, white space and bold marks, as far as `max_tokens` reaches. "end": the last one of the text. "behind":
    the first behind `options_behind` and white space."""
    options_behind: str = ""
    """Literal text of the reply; its first occurrence counts."""
    options_as: Literal["mean", "log-odds"] = "mean"
    """What a rating is, from the options' probabilities. "log-odds": ln p of the higher rated one of two less ln p of
    the other."""
    absent: float | None = Field(default=None, lt=0)
    """"log-odds": the least ln p of an option, also of one that the server does not list; None: as little as it may
    be."""
    constrain: Literal["none", "choices", "json"] = "none"
    """Structured output, where the server supports it: the marks alone, or JSON with a reason and the field."""

    @property
    def form(self) -> str:
        """The mark's placeholder."""
        match = PLACEHOLDER.search(self.mark)
        return match[1] if match else ""

    def label(self, place: int) -> str:
        """The label of the candidate at a position, counted from 0."""
        return chr(ord("A") + place) if self.labels == "letters" else str(place + 1)

    @model_validator(mode="after")
    def _fits_together(self) -> VerdictFormat:
        if len(PLACEHOLDER.findall(self.mark)) != 1:
            raise ValueError("mark: needs one placeholder: {label}, {value}, {number}, {numbers} or {ranking}")
        if (self.form == "value" or self.options) != bool(self.values):
            raise ValueError("values: go with {value} and with options, and with nothing else")
        if self.options_at != "start" and not self.options:
            raise ValueError("options_at: goes with options")
        if (self.options_at == "behind") != bool(self.options_behind):
            raise ValueError('options_behind: goes with options_at = "behind", and with nothing else')
        odds = self.options_as == "log-odds"
        if odds and not (self.options and self.reads == "rating" and len(set(self.values.values())) == 2):
            raise ValueError('options_as: "log-odds" is a rating by two options of different values')
        if self.absent is not None and not odds:
            raise ValueError('absent: goes with options_as = "log-odds"')
        if self.place in ("tag", "tags", "json") and not self.tag:
            raise ValueError(f'tag: the place "{self.place}" needs its name')
        if (self.place == "headed") != bool(self.headings and "{label}" in self.item and self.form == "numbers"):
            raise ValueError('headings, item: go with {numbers} and the place "headed", and with nothing else')
        asks_json, asks_choices = self.constrain == "json", self.constrain == "choices"
        if (asks_json and self.place != "json") or (asks_choices and self.place not in ("whole", "first-line")):
            raise ValueError(f'constrain: "{self.constrain}" does not go with the place "{self.place}"')
        forms = {
            "pick": {"label", "value", "numbers"},
            "rating": {"number", "numbers", "value"},
            "ranking": {"ranking"},
            "label": {"value"},
        }
        if self.reads == "label" and self.options:
            raise ValueError("options: they are read as a pick or a rating")
        if self.form not in forms[self.reads] or self.compare != (self.reads == "pick" and self.form == "numbers"):
            raise ValueError(f"mark: {{{self.form}}} is not read as a {self.reads}")
        return self

"""The schema of `[columns]`: which of upstream's columns hold the prompt, the candidates and the gold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from rmbench.tasks.declaration.strict import STRICT, Label

__all__ = [
    "TEXTS",
    "ColumnRule",
    "Columns",
    "GoldRule",
    "GroupRule",
    "LabelRule",
    "MediaRule",
    "RatingRule",
    "TextRule",
]

TEXTS = "@texts"
"""A group's column that is a short digest of prompt and candidates, a dash, and the place of each candidate among them
when sorted: rows that put the same to people in another order (chosen and rejected) have the same digest."""


class _Strict(BaseModel):
    model_config = STRICT


def _shorthand(value: Any) -> Any:
    """A column's name is short for a rule that takes that column."""
    if isinstance(value, str):
        return {"column": value}
    if not isinstance(value, dict | BaseModel):
        raise ValueError("expected a column's name or a table")
    return value


class ColumnRule(_Strict):
    """A value of a row: `column` may step into objects (`chosen.answer`) and over lists (`losers[].answer`)."""

    column: str | None = None
    first_of: list[str] = []
    """The first of these columns that the row has."""


class TextRule(ColumnRule):
    """A text of a row, a conversation, or a medium."""

    join: list[str] = []
    """Several columns, or the items of lists, joined by `separator` without the empty ones."""
    separator: str = "\n"
    form: Literal["text", "messages", "image", "video"] = "text"
    """`messages`: the column is a list of {role, content}; `image`, `video`: the column names a file."""
    ignore_keys: list[str] = []
    """Keys of messages that are annotations, which no model is to read."""
    joined: bool = False
    """A value that is a list of texts is one text, its items joined by `separator`."""
    cast: bool = False
    """Convert numbers and booleans to text."""
    change: str | None = None
    """How an image or a video is changed before it is shown, with columns in braces: `{kind}:{magnitude}`. Of a prompt
    and of messages: all images and videos in it, those of `prompt_media` among them. See `rmbench.media_change`; a row
    for which nothing but colons is left shows them unchanged."""
    template: str | None = None
    """A text with columns in braces: `videos/{model}/{index:05}.mp4`. `{@row}` is the row's number."""


Text = Annotated[TextRule, BeforeValidator(_shorthand)]


class MediaRule(TextRule):
    """An image or a video before the prompt's text."""

    form: Literal["text", "messages", "image", "video"] = "image"


class GoldRule(_Strict):
    """The human comparisons of a row, by labels, flags, ranks, grades or numbers."""

    column: str | None = None
    columns: list[str] = []
    """One column per candidate, for `flags` and `ranks`."""
    winners: list[list[Label]] = []
    """For each candidate the labels by which it won."""
    tie: list[Label] = []
    """Labels of a tie between all candidates."""
    tie_kinds: dict[str, list[Label]] = {}
    """Kind of tie -> its labels, where annotators distinguish kinds (both good, both bad): the comparison is a tie with
    the tag `tie=<kind>`."""
    skip: list[Label] = []
    """Labels without a decision: they make no comparison."""
    flags: bool = False
    """The value lists, for each candidate, whether it is right (true, false, 1, 0)."""
    right: list[Label] = []
    wrong: list[Label] = []
    """With `flags`: the labels for true and false."""
    index: bool = False
    """The value is the winner's place among the candidates, from 0."""
    ranks: Literal["low", "high"] | None = None
    """The value lists a rank or score per candidate: every pair is compared, equal ones are ties."""
    grades: dict[str, float] = {}
    """Label -> how much better the first of two candidates is; below 0 the second is."""
    positive: Literal["first", "second"] | None = None
    """The value is a number: above 0, this one of two candidates is better by so much."""
    pairs: Literal["low", "high"] | None = None
    """The value lists pairs of indices, [[0, 3], [2, 1]]; the candidate rated higher (or lower) won, equal ones are
    left out."""
    edges: bool = False
    """The value lists comparisons [i, j, strength]: above 0 candidate i is better, below 0 candidate j, 0 is a tie."""
    dimensions: dict[str, str] = {}
    """Dimension -> its column, of the same form. `column` itself, if given, is the comparison without a dimension."""
    annotators: dict[str, str] = {}
    """Annotator -> their column. A path over a list makes one annotator per item, `name1`, `name2` ...; `{}` in it is
    replaced by the dimension's column."""
    majority: bool = False
    """Add the comparison that more than half of the annotators agree on; a row without one is excluded."""


class RatingRule(_Strict):
    """Human ratings of one dimension, one per candidate."""

    column: str | None = None
    """One number, or a list with one per candidate."""
    columns: list[str] = []
    """A column per candidate."""
    mean: list[str] = []
    """For a single candidate: the mean of these columns' numbers."""
    flags: bool = False
    """The ratings are true and false, which are 1 and 0."""


class LabelRule(_Strict):
    """The class of the row's one candidate."""

    column: str
    classes: list[list[Label]] = []
    """For each class, from 0, the values that name it; empty: the column holds the class itself."""


Rating = Annotated[RatingRule, BeforeValidator(_shorthand)]
Labelled = Annotated[LabelRule, BeforeValidator(_shorthand)]


class Columns(_Strict):
    """`[columns]`: which columns hold what. A shape needs some of them and takes no others."""

    prompt: Text | None = None
    prompt_media: list[Annotated[MediaRule, BeforeValidator(_shorthand)]] = []
    """Images or videos before the prompt's text."""
    system: Text | None = None
    """A system message before the prompt; none where the text is empty."""
    tools: Annotated[ColumnRule, BeforeValidator(_shorthand)] | None = None
    """The functions that an assistant may call: a list of JSON schemas, or the JSON text of one."""
    chosen: Text | None = None
    rejected: Text | None = None
    chosen_prompt: Text | None = None
    rejected_prompt: Text | None = None
    chosen_source: Text | None = None
    rejected_source: Text | None = None
    candidates: list[Text] = Field(default=[], min_length=1)
    candidate_sources: list[Text] = []
    candidate_prompts: list[Text] = []
    """One prompt per candidate, where the prompts differ."""
    answers_hold_prompt: bool | None = None
    """Candidates are whole conversations (lists of messages, or transcripts): the prompt is taken off their front.
    Without `prompt`, it is the longest beginning that they have in common, in whole turns. False: texts that all
    begin with their prompt mean to; None: they are an error."""
    gold: GoldRule | None = None
    ratings: dict[str, Rating] = Field(default={}, min_length=1)
    """Dimension -> column of the human ratings."""
    labels: dict[str, Labelled] = Field(default={}, min_length=1)
    """Dimension -> column of the class. `@group` as dimension: the row's value of that group."""
    context: dict[str, Text] = {}


class GroupRule(ColumnRule):
    """`[groups]`: a column as it is, or with its values mapped to names; `@texts` as column says which rows
    put the same question to several raters."""

    values: dict[str, list[Label]] = {}
    """Group value -> the column's values that belong to it; any other value of the column is an error."""
    prefixes: dict[str, list[str]] = {}
    """Group value -> prefixes of the column's values that belong to it; the longest prefix wins."""
    default: str | None = None
    """The group value of a row that lacks the column, or whose value belongs to none; absent: an error."""


Group = Annotated[GroupRule, BeforeValidator(_shorthand)]

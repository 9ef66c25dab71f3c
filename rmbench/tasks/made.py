"""Rows made into examples: all of them, or the few that are drawn where the same files were made before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.tasks.declaration.columns import TEXTS
from rmbench.tasks.known import SplitFacts, known, remember
from rmbench.tasks.rows.column_check import check_columns
from rmbench.tasks.rows.content import digest_of, drawn
from rmbench.tasks.rows.fields import ExcludedError, RawRow
from rmbench.tasks.rows.integrity import Inspected, check_unique, inspect
from rmbench.tasks.rows.prepare import prepare
from rmbench.tasks.rows.shapes import example, identity
from rmbench.tasks.rows.whole import refuse_repeated
from rmbench.tasks.task import DataFileFacts, Exclusion, Task
from rmbench.types import Example

__all__ = ["Made", "RawSplit", "make"]


@dataclass(frozen=True, slots=True)
class RawSplit:
    """A split's rows as upstream has them."""

    rows: Sequence[RawRow]
    files: Sequence[DataFileFacts]
    form: str = ""
    """How the files hold their rows, where their content alone does not say it."""
    without_texts: bool = False
    """Whether the rows are ids, groups and gold alone."""


@dataclass(frozen=True, slots=True)
class Made:
    """The examples drawn, and what is known of all."""

    examples: tuple[Example, ...]
    facts: SplitFacts


def make(task: Task, split: RawSplit, limit: int | None, seed: int) -> Made:
    """The examples of a split, at most `limit` of them, drawn by `seed`; None makes all.

    With a limit, what covers all rows (ids, digests, odd and excluded rows) is kept in the cache folder under the
    content of files, declaration and this package's code, so that the next time only the rows drawn are made.

    Raises:
        RmbenchError: a row is broken, or two have one id; whether they are drawn or not.
    """
    prepared = prepare(task.declaration, split.rows)
    if limit is None:
        examples, facts = _all(task, split, prepared)
        return Made(examples, facts)
    key = (task.declaration.model_dump_json(), split.form, split.without_texts, split.files)
    found = known(key, len(prepared))
    if found is not None:
        places = drawn(found.ids, limit, seed)
        few = [example(task.declaration, prepared[found.places[place]]) for place in places]
        if [each.id for each in few] == [found.ids[place] for place in places]:
            return Made(tuple(few), found)
    examples, facts = _all(task, split, prepared)
    remember(key, facts)
    return Made(tuple(examples[place] for place in drawn(facts.ids, limit, seed)), facts)


def _all(task: Task, split: RawSplit, prepared: Sequence[RawRow]) -> tuple[tuple[Example, ...], SplitFacts]:
    """All examples that stay, and what is known of them."""
    declaration = task.declaration
    pairs: list[tuple[RawRow, Example]] = []
    excluded: list[Exclusion] = []
    check_columns(declaration, prepared)
    places: dict[str, int] = {}
    for place, row in enumerate(prepared):
        try:
            pairs.append((row, example(declaration, row)))
        except ExcludedError as why:
            excluded.append(Exclusion(identity(declaration, row), str(why)))
        else:
            places[pairs[-1][1].id] = place
    check_unique(pairs, str(task.path))
    if declaration.columns.answers_hold_prompt is None and not split.without_texts:
        refuse_repeated(pairs)
    found = (
        Inspected(tuple(each for _, each in pairs), (), ()) if split.without_texts else inspect(declaration.rows, pairs)
    )
    examples = found.examples
    textless = any(layout.absent for layout in declaration.files)
    digests = {name for name, group in declaration.groups.items() if group.column == TEXTS}
    facts = SplitFacts(
        ids=tuple(each.id for each in examples),
        places=tuple(places[each.id] for each in examples),
        excluded=(*excluded, *found.excluded),
        odd=found.odd,
        groups=dict(
            Counter(f"{k}={value}" for each in examples for k, value in each.groups.items() if k not in digests)
        ),
        digest=digest_of(examples, texts=not textless),
        texts_digest=digest_of(examples) if textless and not split.without_texts else "",
    )
    return examples, facts

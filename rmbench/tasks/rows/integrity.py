"""Odd rows (empty candidates, identical candidates, duplicates): kept, excluded or refused as declared, and noted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rmbench.errors import RmbenchError
from rmbench.tasks.declaration.schema import RowRules
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.task import Exclusion
from rmbench.types import Candidate, Example

__all__ = ["Inspected", "check_unique", "inspect"]

_SHOWN = 12
"""Rows that a note names before it counts the rest."""
Rule = Literal["keep", "exclude", "refuse"]


@dataclass(frozen=True, slots=True)
class Inspected:
    """The rows that stay, those excluded, and a note on each kind of odd row."""

    examples: tuple[Example, ...]
    excluded: tuple[Exclusion, ...]
    notes: tuple[str, ...]


def inspect(rules: RowRules, pairs: Sequence[tuple[RawRow, Example]]) -> Inspected:
    """Look for odd rows and treat them as the task declares.

    A candidate is empty if it has neither text, media nor tool calls. Candidates are identical if their own prompt and
    messages are; a row is a duplicate if an earlier one has its prompt, candidates and context, whatever its gold.

    Raises:
        RmbenchError: a row is of a kind that the task refuses.
    """
    excluded: dict[str, str] = {}
    notes: list[str] = []
    for rule, what, is_odd in (
        (rules.empty, "an empty candidate", _has_empty),
        (rules.identical, "identical candidates", _has_identical),
        (rules.duplicate, "the texts of an earlier row", _repeats()),
    ):
        odd = [(row, each) for row, each in pairs if is_odd(each)]
        if not odd:
            continue
        if rule == "refuse":
            raise odd[0][0].error(f'{what}, which the task refuses (id "{odd[0][1].id}").')
        if rule == "exclude":
            excluded.update({each.id: what for _, each in odd})
        notes.append(_note([row for row, _ in odd], what, rule))
    return Inspected(
        tuple(each for _, each in pairs if each.id not in excluded),
        tuple(Exclusion(each.id, excluded[each.id]) for _, each in pairs if each.id in excluded),
        tuple(notes),
    )


def _has_empty(example: Example) -> bool:
    return any(_is_empty(candidate) for candidate in example.candidates)


def _is_empty(candidate: Candidate) -> bool:
    more = any(each.extra or any(part.kind != "text" for part in each.parts) for each in candidate.messages)
    return not more and not candidate.text.strip()


def _has_identical(example: Example) -> bool:
    texts = {(each.prompt, each.messages) for each in example.candidates}
    return len(texts) < len(example.candidates)


def _repeats() -> Callable[[Example], bool]:
    """A predicate that is true of an example whose texts an earlier example had."""
    earlier: set[tuple[object, ...]] = set()

    def repeats(example: Example) -> bool:
        candidates = tuple((each.prompt, each.messages) for each in example.candidates)
        content = (example.prompt, candidates, tuple(sorted(example.context.items())))
        if content in earlier:
            return True
        earlier.add(content)
        return False

    return repeats


def _note(rows: Sequence[RawRow], what: str, rule: Rule) -> str:
    """`data/test.jsonl, rows 3, 17; ...: an empty candidate (2 rows, kept)`."""
    by_file: dict[str, list[str]] = {}
    for row in rows[:_SHOWN]:
        by_file.setdefault(row.file, []).append(str(row.index))
    places = "; ".join(f"{file}, row{'s' * (len(at) > 1)} {', '.join(at)}" for file, at in by_file.items())
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    treatment = "kept" if rule == "keep" else "excluded"
    return f"{places}{more}: {what} ({len(rows)} row{'s' * (len(rows) > 1)}, {treatment})"


def check_unique(pairs: Sequence[tuple[RawRow, Example]], where: str) -> None:
    """Raise `RmbenchError` if two rows have one id."""
    first: dict[str, RawRow] = {}
    for row, each in pairs:
        other = first.setdefault(each.id, row)
        if other is not row:
            raise RmbenchError(
                f'{row.file}, row {row.index}: id "{each.id}" is that of {other.file}, row {other.index}; '
                f"see `rows.id` in {where}."
            )

"""Odd rows: empty candidates, identical candidates, rows that come twice; kept, excluded or refused, and told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rmbench.errors import RmbenchError
from rmbench.tasks.declaration.schema import RowRules
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.task import Exclusion
from rmbench.types import Candidate, Conversation, Example

__all__ = ["Inspected", "check_unique", "inspect"]

_SHOWN = 12
"""Rows that a note names before it counts the rest."""
Rule = Literal["keep", "exclude", "refuse"]


@dataclass(frozen=True, slots=True)
class Inspected:
    """The rows that stay, those that go, and what was found."""

    examples: tuple[Example, ...]
    excluded: tuple[Exclusion, ...]
    notes: tuple[str, ...]


def inspect(rules: RowRules, made: Sequence[tuple[RawRow, Example]]) -> Inspected:
    """Look for odd rows and do with them what the task declares.

    A candidate is empty if it has neither text nor media. Candidates are identical if their own prompt and messages
    are; a row is a duplicate if an earlier one has its prompt, candidates and context, whatever its gold.

    Raises:
        RmbenchError: a row is of a kind that the task refuses.
    """
    dropped: dict[str, str] = {}
    notes: list[str] = []
    for rule, what, is_odd in (
        (rules.empty, "an empty candidate", _has_empty),
        (rules.identical, "identical candidates", _has_identical),
        (rules.duplicate, "the texts of an earlier row", _repeats()),
    ):
        odd = [(row, each) for row, each in made if is_odd(each)]
        if not odd:
            continue
        if rule == "refuse":
            raise odd[0][0].error(f'{what}, which the task refuses (id "{odd[0][1].id}").')
        if rule == "exclude":
            dropped.update({each.id: what for _, each in odd})
        notes.append(_note([row for row, _ in odd], what, rule))
    return Inspected(
        tuple(each for _, each in made if each.id not in dropped),
        tuple(Exclusion(each.id, dropped[each.id]) for _, each in made if each.id in dropped),
        tuple(notes),
    )


def _has_empty(example: Example) -> bool:
    return any(_is_empty(candidate) for candidate in example.candidates)


def _is_empty(candidate: Candidate) -> bool:
    media = any(part.kind != "text" for message in candidate.messages for part in message.parts)
    return not media and not candidate.text.strip()


def _has_identical(example: Example) -> bool:
    texts = {(each.prompt, each.messages) for each in example.candidates}
    return len(texts) < len(example.candidates)


def _repeats() -> Callable[[Example], bool]:
    """A test of whether an example's texts were seen before by this very test."""
    seen: set[tuple[Conversation, tuple[tuple[Conversation | None, Conversation], ...], tuple[tuple[str, str], ...]]]
    seen = set()

    def repeats(example: Example) -> bool:
        candidates = tuple((each.prompt, each.messages) for each in example.candidates)
        content = (example.prompt, candidates, tuple(sorted(example.context.items())))
        if content in seen:
            return True
        seen.add(content)
        return False

    return repeats


def _note(rows: Sequence[RawRow], what: str, rule: Rule) -> str:
    """`data/test.jsonl, rows 3, 17; ...: an empty candidate (2 rows, kept)`."""
    by_file: dict[str, list[str]] = {}
    for row in rows[:_SHOWN]:
        by_file.setdefault(row.file, []).append(str(row.index))
    places = "; ".join(f"{file}, row{'s' * (len(found) > 1)} {', '.join(found)}" for file, found in by_file.items())
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    done = "kept" if rule == "keep" else "excluded"
    return f"{places}{more}: {what} ({len(rows)} row{'s' * (len(rows) > 1)}, {done})"


def check_unique(made: Sequence[tuple[RawRow, Example]], where: str) -> None:
    """Raise `RmbenchError` if two rows have one id."""
    first: dict[str, RawRow] = {}
    for row, each in made:
        other = first.setdefault(each.id, row)
        if other is not row:
            raise RmbenchError(
                f'{row.file}, row {row.index}: id "{each.id}" is that of {other.file}, row {other.index}; '
                f"see `rows.id` in {where}."
            )

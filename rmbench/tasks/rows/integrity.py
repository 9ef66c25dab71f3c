"""Odd rows (empty candidates, identical candidates, duplicates): kept, excluded or refused as declared, and noted."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Literal

from rmbench.errors import RmbenchError
from rmbench.tasks.declaration.schema import RowRules
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.task import Exclusion
from rmbench.types import Candidate, Example

__all__ = ["Inspected", "OddRows", "check_unique", "inspect"]

_SHOWN = 12
"""Rows that a note names before it counts the rest."""


@dataclass(frozen=True, slots=True)
class OddRows:
    """The rows of one kind that is odd, and what was done with them."""

    what: str
    treatment: Literal["kept", "excluded"]
    places: tuple[tuple[str, str, int], ...]
    """Id, file and index of each row."""

    def note(self, ids: Container[str] | None = None) -> str:
        """`data/test.jsonl, rows 3, 17; ...: an empty candidate (2 rows, kept)`; "" without rows.

        `ids` are those of the rows that count, where a limit leaves some out.
        """
        places = [(file, index) for row, file, index in self.places if ids is None or row in ids]
        by_file: dict[str, list[str]] = {}
        for file, index in places[:_SHOWN]:
            by_file.setdefault(file, []).append(str(index))
        text = "; ".join(f"{file}, row{'s' * (len(at) > 1)} {', '.join(at)}" for file, at in by_file.items())
        more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
        counted = f"{len(places)} row{'s' * (len(places) > 1)}, {self.treatment}"
        return f"{text}{more}: {self.what} ({counted})" if places else ""


@dataclass(frozen=True, slots=True)
class Inspected:
    """The rows that stay, those excluded, and the odd ones of each kind."""

    examples: tuple[Example, ...]
    excluded: tuple[Exclusion, ...]
    odd: tuple[OddRows, ...]


def inspect(rules: RowRules, pairs: Sequence[tuple[RawRow, Example]]) -> Inspected:
    """Look for odd rows and treat them as the task declares.

    A candidate is empty if it has neither text, media nor tool calls. Candidates are identical if their own prompt and
    messages are; a row is a duplicate if an earlier one has its prompt, candidates, context and rater, whatever its
    gold.

    Raises:
        RmbenchError: a row is of a kind that the task refuses.
    """
    excluded: dict[str, str] = {}
    kinds: list[OddRows] = []
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
        places = tuple((each.id, row.file, row.index) for row, each in odd)
        kinds.append(OddRows(what, "kept" if rule == "keep" else "excluded", places))
    return Inspected(
        tuple(each for _, each in pairs if each.id not in excluded),
        tuple(Exclusion(each.id, excluded[each.id]) for _, each in pairs if each.id in excluded),
        tuple(kinds),
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
        content = (example.prompt, candidates, tuple(sorted(example.context.items())), example.rater)
        if content in earlier:
            return True
        earlier.add(content)
        return False

    return repeats


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

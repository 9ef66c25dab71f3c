"""Every number of a file's tables, held against records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.exchange.claims.grid import Grid, read_grids
from rmbench.exchange.claims.names import Columns, Models, Target, plain
from rmbench.exchange.claims.number import Agreement, Printed, agreement, printed_number
from rmbench.exchange.claims.stored import Evidence, Value
from rmbench.exchange.claims.verdict import Checked, Claim

__all__ = ["check_file"]

_GUESS = frozenset({"chance", "random", "randomguess", "randomguessing", "randombaseline", "coin"})
_ORDER: dict[Agreement, int] = {"right": 0, "rounded": 1, "different": 2}
_SHARE = 1.5
"""No share or correlation is larger, so a larger number is a percentage."""
_NOTHING = re.compile(r"[-–—−.\s]*|n/?a|nan|none|null|tbd|oom|x|✗|×", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Column:
    at: int
    heading: str
    targets: tuple[Target, ...] | None
    """Several: their mean. None: the mean of the other columns."""
    why: str
    percent: bool = False


def check_file(
    file: Path, results: Path, *, headings: Mapping[str, str], models: Mapping[str, str], task: str | None
) -> Checked:
    """See `rmbench.exchange.verify_table`."""
    grids, unread = read_grids(file)
    evidence = Evidence(results)
    named, known = Columns(evidence, headings, task), Models(evidence, models)
    claims: list[Claim] = []
    notes: list[str] = [*unread]
    for grid in grids:
        found, said = _Table(grid, evidence, named, known).check()
        claims += found
        notes += said
    for option, unused in (("--heading", named.unused), ("--name", known.unused)):
        for given in unused.values():
            words = {cell for grid in grids for row in (*grid.head, *grid.body) for cell in row if cell}
            raise RmbenchError(f"{option} {given}: {file} has no such cell.{did_you_mean(given, words)}")
    if not claims:
        reasons = "\n".join(notes)
        raise RmbenchError(f"{file}: no table of it is about the records in {results}.\n{reasons}".rstrip())
    return Checked(str(file), tuple(claims), tuple(dict.fromkeys(notes)))


class _Table:
    """One table, and what its headings and rows mean."""

    def __init__(self, grid: Grid, evidence: Evidence, columns: Columns, models: Models) -> None:
        self._evidence, self._columns, self._models = evidence, columns, models
        self._grid = grid
        found = self._found(grid)
        if not _has_targets(found):
            turned = _transposed(grid)
            if turned is not None and _has_targets(self._found(turned)) and self._label(turned) is not None:
                self._grid, found = turned, self._found(turned)
        self._found_columns = found
        self._label_at = self._label(self._grid)

    def check(self) -> tuple[list[Claim], list[str]]:
        """The claims; and what was left out, a sentence each."""
        grid, label = self._grid, self._label_at
        if label is None or not _has_targets(self._found_columns):
            names = ", ".join(column.heading for column in self._found_columns if column.heading)[:200]
            what = "no row names a model" if label is None else "no heading names a benchmark"
            whys = sorted((column.why for column in self._found_columns[1:]), key=lambda why: "Did you mean" not in why)
            why = next((why for why in whys if why), "")
            return [], [
                f"{grid.place}: {what} of the records, so this table is left out (columns: {names}). {why}".rstrip()
            ]
        used = [self._with_unit(column) for column in self._found_columns if column.at != label]
        facts = [column.heading for column in used if column.targets == () and not column.why]
        facts = [heading for heading in facts if heading]
        notes = [f"{grid.place}: not checked, for they say what a model is: {', '.join(facts)}."] if facts else []
        claims = [claim for row in grid.body for claim in self._row(row, row[label], used)]
        return claims, notes

    def _found(self, grid: Grid) -> list[_Column]:
        columns = []
        width = len(grid.body[0])
        rows = [row for row in grid.head if not _is_section(row)]
        for at in range(width):
            levels = [row[at] for row in rows]
            targets, why = self._columns.find(levels)
            heading = " ".join(dict.fromkeys(level for level in levels if level))
            columns.append(_Column(at, heading, targets, "" if targets is None else why))
        return columns

    def _label(self, grid: Grid) -> int | None:
        """The column of the models' names: that with the most known ones."""
        counts = [sum(self._is_known(row[at]) for row in grid.body) for at in range(len(grid.body[0]))]
        most = max(counts)
        return counts.index(most) if most else None

    def _is_known(self, label: str) -> bool:
        return bool(label) and bool(self._models.find(label)[0])

    def _with_unit(self, column: _Column) -> _Column:
        """Whether a column's numbers are percentages: one has the sign, or is larger than any share."""
        printed = [number for row in self._grid.body if (number := printed_number(row[column.at])) is not None]
        large = any(number.percent or abs(number.value) > Decimal(str(_SHARE)) for number in printed)
        values = [value.figure.value for row in self._grid.body for value in self._values(row, column)]
        share = all(value is None or abs(value) <= _SHARE for value in values)
        return replace(column, percent=(large or "%" in column.heading) and share)

    def _values(self, row: Sequence[str], column: _Column) -> list[Value]:
        model = "" if self._label_at is None else self._models.find(row[self._label_at])[0]
        return [value for target in column.targets or () for value in self._of(model, target)] if model else []

    def _of(self, model: str, target: Target) -> list[Value]:
        return self._evidence.values(model, target.task, target.metric, target.group)

    def _row(self, row: Sequence[str], label: str, columns: Sequence[_Column]) -> Iterator[Claim]:
        guess = plain(label) in _GUESS
        model, why = ("", "") if guess else self._models.find(label)
        numbers = {column.at: printed_number(row[column.at]) for column in columns}
        if not label or _is_section(row) or (why and not any(numbers.values())):
            return
        found: dict[int, list[Claim]] = {}
        for column in columns:
            cell, number = row[column.at], numbers[column.at]
            if column.targets == () and not column.why:
                continue
            if number is None and (_NOTHING.fullmatch(cell) or not re.search(r"\d", cell)):
                continue
            claim = Claim(self._grid.place, label, column.heading, cell, "value", "no record", why=column.why or why)
            if number is None:
                found[column.at] = [replace(claim, why="the cell is not read as a number")]
            elif not column.targets or why:
                found[column.at] = [claim]
            elif guess:
                found[column.at] = [self._chance_claim(claim, number, column)]
            else:
                found[column.at] = [*self._claims(claim, number, model, column)]
            if number is not None and number.beside:
                found[column.at].append(replace(claim, part="interval", why=f"{number.beside} is not read"))
        for column in columns:
            number = numbers[column.at]
            if column.targets is None and number is not None and not why and not guess:
                found[column.at][0] = self._mean_of_row(found[column.at][0], number, found, columns, column)
        for column in columns:
            yield from found.get(column.at, ())

    def _mean_of_row(
        self,
        claim: Claim,
        number: Printed,
        found: Mapping[int, Sequence[Claim]],
        columns: Sequence[_Column],
        column: _Column,
    ) -> Claim:
        """The mean of the row's benchmarks; of its groups where there are not two benchmarks."""
        others = [each for each in columns if each.targets]
        whole = [each for each in others if all(target.group is None for target in each.targets or ())]
        counted = whole if len(whole) > 1 else others
        return self._mean_claim(
            claim, number, [found[each.at][0].value if each.at in found else None for each in counted], column
        )

    def _claims(self, claim: Claim, number: Printed, model: str, column: _Column) -> Iterator[Claim]:
        targets = column.targets or ()
        found = [self._of(model, target) for target in targets]
        missing = [str(target) for target, values in zip(targets, found, strict=True) if not values]
        if missing:
            yield replace(claim, why=f"no record of {model} has {missing[0]}")
            return
        if len(targets) > 1:
            yield self._mean_claim(claim, number, [values[0].figure.value for values in found], column)
            return
        best, status = min(
            ((value, _agrees(number.value, value.figure.value, column)) for value in found[0]),
            key=lambda pair: _ORDER[pair[1]],
        )
        said = replace(claim, status=status, value=best.figure.value, record=str(best.folder))
        yield said
        yield from _interval(said, number, best, column)

    def _mean_claim(self, claim: Claim, number: Printed, values: Sequence[float | None], column: _Column) -> Claim:
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return replace(claim, why=claim.why or "a mean of columns of which one has no record")
        mean = sum(known) / len(known)
        percent = column.percent or (abs(number.value) > Decimal(str(_SHARE)) and abs(mean) <= _SHARE)
        status = agreement(number.value, mean, percent=percent)
        return replace(claim, status=status, value=mean, why=f"the plain mean of {len(known)} columns")

    def _chance_claim(self, claim: Claim, number: Printed, column: _Column) -> Claim:
        (target, *_) = column.targets or ()
        chances = self._evidence.chances(target.task, target.metric, target.group)
        if not chances:
            return replace(claim, why=f"no record says the chance of {target}")
        agreed = [(agreement(number.value, chance, percent=column.percent), chance) for chance in chances]
        status, chance = min(agreed, key=lambda pair: _ORDER[pair[0]])
        return replace(claim, status=status, value=chance, why="what guessing reaches")


def _agrees(printed: Decimal, value: float | None, column: _Column) -> Agreement:
    return "different" if value is None else agreement(printed, value, percent=column.percent)


def _interval(claim: Claim, number: Printed, value: Value, column: _Column) -> Iterator[Claim]:
    """What is printed of the 95% interval: its ends; or after ±, half its width or its longer side."""
    if number.margin is None and number.limits is None:
        return
    low, middle, high = value.figure.low, value.figure.value, value.figure.high
    if low is None or high is None or middle is None:
        yield replace(claim, part="interval", status="no record", value=None, why="the record has no interval")
        return
    why = f"its 95% interval is {low:.6g} to {high:.6g}"
    if number.limits is not None:
        pairs = zip(number.limits, (low, high), strict=True)
        status = max((_agrees(end, limit, column) for end, limit in pairs), key=_ORDER.__getitem__)
    else:
        margin, widths = number.margin or Decimal(0), ((high - low) / 2, max(high - middle, middle - low))
        status = min((_agrees(margin, width, column) for width in widths), key=_ORDER.__getitem__)
        why += f", half of it {widths[0]:.6g}"
    yield replace(claim, part="interval", status=status, value=None, why=why)


def _is_section(row: Sequence[str]) -> bool:
    """Whether a row is a heading over several columns from the first on."""
    return len(row) > 1 and bool(row[0]) and row[0] == row[1] and not {*row} - {row[0], ""}


def _has_targets(columns: Sequence[_Column]) -> bool:
    return any(column.targets for column in columns)


def _transposed(grid: Grid) -> Grid | None:
    """A table of models side by side, with a benchmark in each row, turned."""
    if not grid.head:
        return None
    rows = (grid.head[-1], *grid.body)
    turned = tuple(zip(*rows, strict=True))
    return Grid(grid.place, turned[:1], turned[1:]) if len(turned) > 1 else None

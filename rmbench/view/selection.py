"""The rows of a record that a user asks for, beside another model's where two are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.judging.votes import voted
from rmbench.metrics.rows.answers import item_scores
from rmbench.records.groups import matching
from rmbench.records.headline import headline_spec
from rmbench.records.record import Record
from rmbench.records.store import find, no_record_in, read, read_table_of
from rmbench.reports.texts import Source, examples_of
from rmbench.types import Example, Judged
from rmbench.view.rows import Answer, Row, answer_of, gold_words
from rmbench.view.shown import Shown

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["View", "selected"]


class View(Shown):
    """Rows of a record with their texts. Prints as text in a terminal."""

    __slots__ = ()

    def to_html(self) -> str:
        """A page that is one file, for a browser; write it with `write_bytes(text.encode())`."""
        from rmbench.view.page import page

        return page(self)

    def to_sheet(self) -> str:
        """A contact sheet of the images or clips, as a page that is one file: the highest and the lowest of each
        generator, and the prompts on which the generators differ most. Raises RmbenchError where there are none."""
        from rmbench.view.sheet import sheet

        return sheet([self])

    def to_csv(self) -> str:
        """A row per line, texts and scores of each candidate in columns; safe to open in a spreadsheet."""
        from rmbench.view.plain import csv_of

        return csv_of(self)

    def to_jsonl(self) -> str:
        """A JSON object per line, everything that is known of the row in it."""
        from rmbench.view.plain import jsonl_of

        return jsonl_of(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rmbench.view.terminal import Lines

        yield Lines(self)


def selected(
    folder: Path,
    source: Source,
    *,
    wrong: bool,
    flipped: Path | None,
    group: str | None,
    worst: int | None,
    ids: Sequence[str],
) -> View:
    """The rows that all selections have in common; see `rmbench.view.view`."""
    folder, record = _one_record(folder)
    spec = headline_spec(record)
    judged, answers = _answers(folder, record, spec)
    other, answers_b = None, None
    if flipped is not None:
        other_folder, other = _other_record(flipped, folder, record)
        answers_b = dict(zip(*_by_id(_answers(other_folder, other, spec)), strict=True))
    examples, note = examples_of(folder, record, source)
    rows = []
    for row, answer in zip(judged, answers, strict=True):
        if answers_b is None or row.id in answers_b:
            both = (answer,) if answers_b is None else (answer, answers_b[row.id])
            rows.append(Row(row, both, gold_words(row, spec), _example(folder, row, examples)))
    words = [f"of {len(rows):,} that both models judged"] if len(rows) < len(judged) else []
    if ids:
        rows = _named(folder, rows, ids)
        words.append("named by id")
    if group is not None:
        rows = _in_groups(rows, group)
        words.append(f"in {group}")
    if wrong:
        rows = [row for row in rows if row.answers[0].outcome not in ("right", "neither")]
        words.append("without full credit")
    if flipped is not None:
        rows = [row for row in rows if _flipped(*row.answers)]
        words.append("whose credit differs")
    if worst is not None:
        rows = _worst(rows, worst)
        words.append("furthest from what people say")
    return View(record, other, tuple(rows), len(judged), ", ".join(words), note, whole=bool(ids))


def _one_record(folder: Path) -> tuple[Path, Record]:
    """The record in a folder, or the only one below it."""
    folder = folder.parent if folder.name == "record.json" else folder
    places = find(folder)
    if not places:
        raise no_record_in(folder)
    if len(places) > 1:
        raise RmbenchError(f"{folder} holds {len(places)} records. Name one: {_listed(places)}.")
    return places[0], read(places[0])


def _other_record(folder: Path, first: Path, record: Record) -> tuple[Path, Record]:
    """The record of the same task in a folder, which must be of the same rows."""
    places = [(place, read(place)) for place in find(folder)]
    of_task = [(place, other) for place, other in places if other.task.id == record.task.id]
    if len(of_task) != 1:
        what = f"{len(of_task)} records" if of_task else "no record"
        others = f" ({_listed([place for place, _ in of_task or places])})" if places else ""
        raise RmbenchError(f"--flipped {folder}: it holds {what} of {record.task.id}{others}; name one record.")
    place, other = of_task[0]
    ours, theirs = record.data.digest_of_rows, other.data.digest_of_rows
    if ours != theirs or record.task.version != other.task.version:
        raise RmbenchError(
            f"{place} is of other rows (digest {theirs}, version {other.task.version} of the task) than {first} "
            f"(digest {ours}, version {record.task.version})."
        )
    return place, other


def _listed(places: Sequence[Path]) -> str:
    return ", ".join(map(str, places[:6])) + (f" and {len(places) - 6} more" if len(places) > 6 else "")


def _answers(folder: Path, record: Record, spec: MetricSpec) -> tuple[list[Judged], list[Answer]]:
    table = read_table_of(folder, record)
    rows = [row for row, _ in table]
    joined = voted(rows, record.model.settings)
    return rows, [answer_of(row, one, worth, spec) for (row, worth), one in zip(table, joined, strict=True)]


def _by_id(rows_and_answers: tuple[list[Judged], list[Answer]]) -> tuple[list[str], list[Answer]]:
    return [row.id for row in rows_and_answers[0]], rows_and_answers[1]


def _example(folder: Path, row: Judged, examples: Mapping[str, Example]) -> Example | None:
    if not examples:
        return None
    example = examples.get(row.id)
    if example is None or len(example.candidates) != row.size:
        has = "no such row" if example is None else f"{len(example.candidates)} candidates there"
        raise RmbenchError(f"{folder}: row {row.id!r} has {row.size} candidates, and the source has {has}.")
    return example


def _named(folder: Path, rows: Sequence[Row], ids: Sequence[str]) -> list[Row]:
    by_id = {row.id: row for row in rows}
    for name in ids:
        if name not in by_id:
            raise RmbenchError(f"{folder}: no row is called {name!r}.{did_you_mean(name, by_id)}")
    return [by_id[name] for name in dict.fromkeys(ids)]


def _in_groups(rows: Sequence[Row], pattern: str) -> list[Row]:
    """The rows of the groups that a pattern means; of groups crossed by commas, those that are in each."""
    known = [label for row in rows for label in sorted(row.labels)]
    for part in pattern.split(",") if pattern not in known else [pattern]:
        meant = matching(part.strip(), known)
        rows = [row for row in rows if row.labels & meant]
    return list(rows)


def _flipped(a: Answer, b: Answer) -> bool:
    return (a.credit, a.outcome) != (b.credit, b.outcome) if a.credit is None else a.credit != b.credit


def _worst(rows: Sequence[Row], most: int) -> list[Row]:
    """Those with the lowest margins; where people rated single items, those whose rank by the model's score is
    furthest from their rank by the rating. Rows that cannot be placed come last."""
    if most < 1:
        raise RmbenchError(f"--worst must be at least 1, not {most}.")
    margins = {row.id: margin for row in rows if (margin := row.answers[0].margin) is not None}
    placed = margins or _rank_distances(rows)
    if not placed:
        raise RmbenchError("--worst: neither margins nor ratings say how far the model is from what people say.")
    return sorted(rows, key=lambda row: placed.get(row.id, float("inf")))[:most]


def _rank_distances(rows: Sequence[Row]) -> dict[str, float]:
    """Row -> minus the difference of its ranks by score and by rating, as shares of the rows."""
    from scipy.stats import rankdata

    rated = [
        (row.id, score[0], row.judged.gold.ratings[0][0])
        for row in rows
        if row.judged.size == 1 and row.judged.gold.ratings and (score := item_scores(row.judged)) is not None
    ]
    rated = [(name, score, rating) for name, score, rating in rated if math.isfinite(score) and math.isfinite(rating)]
    by_score, by_rating = rankdata([score for _, score, _ in rated]), rankdata([rating for *_, rating in rated])
    return {name: -abs(a - b) / len(rated) for (name, *_), a, b in zip(rated, by_score, by_rating, strict=True)}

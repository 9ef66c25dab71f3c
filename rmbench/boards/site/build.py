"""A whole site from boards: the pages, their files, and copies of the records that its numbers link to.

The same records give the same bytes: nothing on a page depends on when or where it was built.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from rmbench.boards.library import Library, spread
from rmbench.boards.site.board import all_rows, board_page, notes_of
from rmbench.boards.site.charts import figures_of
from rmbench.boards.site.compare import compare_document, duels_of, rivals_of
from rmbench.boards.site.data import write_data
from rmbench.boards.site.datatables import script
from rmbench.boards.site.details import model_document, places_of, record_document, task_document
from rmbench.boards.site.entries import Entries, Entry
from rmbench.boards.site.pages import BOARD_SCRIPTS, STYLE, render
from rmbench.boards.site.paths import model_page, task_page
from rmbench.boards.table import BoardTable
from rmbench.engine.interfaces import Progress, SilentProgress
from rmbench.errors import RmbenchError
from rmbench.html.assets import FOLDER, write_assets
from rmbench.records.store import RECORD_NAME
from rmbench.reports import report_of

__all__ = ["build_site"]

_HERE = Path(__file__).parent
_TOP = 5
_MANY_REPORTS = 10
"""Records with reports from which on it pays to start further processes."""
Key = TypeVar("Key", str, tuple[str, int])


@dataclass(frozen=True, slots=True)
class TopRow:
    """One of the first rows of a board."""

    name: str
    rank: tuple[int, int] | None
    value: float | None


@dataclass(frozen=True, slots=True)
class Card:
    """A board on the index."""

    id: str
    title: str
    description: str
    ranked: bool
    top: tuple[TopRow, ...]
    notes: tuple[str, ...]
    models: int
    published: int
    date: str


def build_site(
    tables: Sequence[BoardTable], out: Path, library: Library | None = None, *, reports: bool = False
) -> Path:
    """Write the pages of `tables` and of all that they link to; returns the site's `index.html`.

    Args:
        tables: the boards.
        out: the site's folder.
        library: the records, where they are read already.
        reports: put each record's report on its page, which takes seconds for each.

    Raises:
        RmbenchError: an unwritable folder, or a library that pages need is missing.
    """
    table_script = script()
    entries = Entries(tables, library)
    progress = SilentProgress() if library is None else library.progress
    try:
        write_assets(out, [STYLE, *(_HERE / name for name in BOARD_SCRIPTS if (_HERE / name).exists())])
        (out / FOLDER / "datatables.js").write_bytes(table_script.encode())
        for page, text in _pages(tables, entries, progress):
            _write(out / page, text)
            progress.advance(1, 0)
        many = _MANY_REPORTS if reports else None
        spread(partial(_write_record, out, reports), list(entries), progress, "writing records' pages", many=many)
        for table in tables:
            write_data(table, out / table.board.id)
    except OSError as error:
        raise RmbenchError(f"{out}: cannot write the site ({error.strerror or error}).") from error
    return out / "index.html"


def _write_record(out: Path, with_report: bool, entry: Entry) -> None:
    """The page of a record, and its copy beside it."""
    page = out / entry.page
    report = report_of(entry.folder) if with_report and entry.record.kind == "measured" else None
    _write(page, record_document(entry, report))
    shutil.copyfile(entry.folder / RECORD_NAME, page.with_name(page.name.removesuffix(".html") + ".json"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))


def _pages(tables: Sequence[BoardTable], entries: Entries, progress: Progress) -> Iterator[tuple[str, str]]:
    """(place, text) of every page but those of records."""
    models = _by(entries, lambda entry: entry.model)
    tasks = _by(entries, lambda entry: entry.task)
    places, duels = places_of(tables), duels_of(tables)
    rivals = rivals_of(duels)
    progress.start("writing pages", len(tables) + len(models) + len(duels) + len(tasks) + 3, 0)
    for table in tables:
        yield f"{table.board.id}/index.html", board_page(table, entries, figures_of(table))
    for name, own in models.items():
        yield model_page(name), model_document(own, places.get(name, ()), rivals.get(name, ()))
    for page, ones in duels.items():
        yield page, compare_document(ones, entries)
    for (task, version), own in tasks.items():
        boards = [(t.board.id, t.board.title) for t in tables if t.board.entry_for(task, version)]
        yield task_page(task, version), task_document(own, boards)
    yield "index.html", _index(tables, len(models), sum(1 for _ in entries))
    yield "models/index.html", _models(models)
    yield "tasks/index.html", _tasks(tasks)


def _by(entries: Iterable[Entry], key: Callable[[Entry], Key]) -> dict[Key, list[Entry]]:
    groups: dict[Key, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(key(entry), []).append(entry)
    return dict(sorted(groups.items()))


def _index(tables: Sequence[BoardTable], models: int, records: int) -> str:
    cards = [_card(table) for table in tables]
    cards.sort(key=lambda card: (not card.top, -card.models, card.title.casefold()))
    return render("index", "Reward model leaderboards", root="", boards=cards, models=models, records=records)


def _card(table: BoardTable) -> Card:
    board = table.board
    ranked = [row for row in all_rows(table) if row.aggregate is not None]
    top = tuple(
        TopRow(row.name, row.rank or ((row.place, row.place) if row.place else None), row.aggregate)
        for row in ranked[:_TOP]
    )
    return Card(
        board.id, board.title, board.description, bool(top), top, tuple(notes_of(table)[:1]),
        len(table.rows) + len(table.printed), len(table.published.rows), table.date,
    )  # fmt: skip


def _models(models: dict[str, list[Entry]]) -> str:
    rows = [
        (name, model_page(name), "", (f"{len(own):,}",))
        for name, own in sorted(models.items(), key=lambda one: one[0].casefold())
    ]
    return render(
        "list", "All models", root="../", heading=f"{len(rows)} models", heads=("Model", "Records"), rows=rows
    )


def _tasks(tasks: dict[tuple[str, int], list[Entry]]) -> str:
    rows = [
        (f"{task}@{version}", task_page(task, version), own[0].record.task.title, (f"{len(own):,}",))
        for (task, version), own in tasks.items()
    ]
    return render("list", "All tasks", root="../", heading=f"{len(rows)} tasks", heads=("Task", "Records"), rows=rows)

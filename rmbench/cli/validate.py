"""Checks of what people write by hand: task declarations, model cards, boards; and of records."""

from __future__ import annotations

from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.tasks.suites import FOLDER
from rmbench.validation import read_toml

__all__ = ["validate_all", "validate_file"]


def validate_all() -> list[str]:
    """Check every declaration in the package and every task's sample; one line per kind.

    Raises:
        RmbenchError: the first mistake found.
    """
    from rmbench.boards import boards
    from rmbench.models.card import cards
    from rmbench.tasks.registry import declared, members
    from rmbench.tasks.sources import load
    from rmbench.tasks.suites import suites

    tasks = declared()
    named = [suite for suite in suites().values() if members(suite, tasks)]
    rows = sum(len(load(task, "sample").examples) for task in tasks.values())
    return [
        f"{len(tasks)} tasks are declared right; their samples hold {rows} rows",
        f"{len(cards())} model cards are declared right",
        f"{len(boards())} boards are declared right",
        f"{len(named)} suites select tasks, boards among them",
    ]


def validate_file(path: Path) -> str:
    """Check one file, or a record's folder; returns a line on what it is.

    Raises:
        RmbenchError: what is wrong with it, by file and key.
    """
    if not path.exists():
        raise RmbenchError(f"{path} does not exist.")
    if path.is_dir() or path.name == "record.json":
        return _validate_record(path if path.is_dir() else path.parent)
    if path.suffix != ".toml":
        raise RmbenchError(f"{path} is neither a TOML file nor a record's folder.")
    kind = _kind(path)
    if kind == "task":
        from rmbench.tasks.registry import load_file
        from rmbench.tasks.sources import load

        task = load_file(path)
        read = f", {len(load(task).examples):,} rows read" if task.declaration.source.private else ""
        return f"{path}: task {task.id}{read}"
    if kind == "suite":
        from rmbench.tasks.suites import load_suite

        return f"{path}: suite {load_suite(path).id}"
    if kind == "board":
        from rmbench.boards import load_board

        return f"{path}: board {load_board(path).id}"
    from rmbench.models.card import load_card

    return f"{path}: model card {load_card(path).name}"


def _kind(path: Path) -> str:
    """Task, suite, board or card, by the keys that only one of them has; a suite is a board's beginning, in a folder of
    its own."""
    keys = set(read_toml(path))
    if keys & {"metric", "source", "columns", "shape"}:
        return "task"
    if "tasks" in keys:
        return "suite" if path.resolve().parent.name == FOLDER else "board"
    return "card"


def _validate_record(folder: Path) -> str:
    from rmbench.records.store import find, no_record_in
    from rmbench.reports.audit import problems

    places = find(folder)
    if not places:
        raise no_record_in(folder)
    for place in places:
        wrong = problems(place)
        if wrong:
            raise RmbenchError("\n".join(wrong))
    records = f"{len(places)} record" + "s" * (len(places) > 1)
    return f"{folder}: {records}, digests hold, numbers follow from the rows"

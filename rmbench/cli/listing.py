"""`rmbench tasks`, `rmbench models`, `rmbench validate`: lists of what the package declares, and their checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rmbench.cli.options import add_options, json_option
from rmbench.errors import RmbenchError, did_you_mean
from rmbench.text import ColumnLayout, figure, text_table

if TYPE_CHECKING:
    from rich.table import Table

    from rmbench.models.card import Card
    from rmbench.tasks.suites import Suite
    from rmbench.tasks.task import Task

__all__ = ["models", "tasks", "validate"]


@click.command()
@click.argument("selector", default="all")
@json_option
@click.option("--suites", "of_suites", is_flag=True, help="List the suites, named sets of benchmarks, instead.")
@click.option("--ids", "ids_of", metavar="ID|TOML", help="Print the example ids of one task, one a line.")
@add_options("tasks")
def tasks(
    selector: str,
    as_json: bool,
    of_suites: bool,
    ids_of: str | None,
    source: str,
    include_path: tuple[str, ...],
) -> None:
    """List the benchmarks. SELECTOR is as in `rmbench run --tasks`."""
    from rmbench.cli.output import echo, echo_json, print_rich

    if of_suites:
        if selector != "all" or ids_of:
            raise RmbenchError("--suites lists every suite; `rmbench tasks suite=ID` lists the benchmarks of one.")
        _list_suites(include_path, as_json)
        return
    if ids_of:
        from rmbench.tasks.registry import get, load_file
        from rmbench.tasks.sources import load

        one = load_file(ids_of) if ids_of.endswith(".toml") else get(ids_of, include_path)
        for example in load(one, source).examples:
            echo(example.id)
        return
    from rmbench.tasks.registry import select

    rows = [task_facts(task) for task in select(selector, include_path)]
    if as_json:
        echo_json(rows)
        return
    for family in dict.fromkeys(row["family"] for row in rows):
        print_rich(_task_table(family, [row for row in rows if row["family"] == family]))
        echo()
    echo(f"{len(rows)} benchmark{'s' * (len(rows) != 1)}")
    echo("chance: of a reward / of a verdict where they differ; 1/K: the mean over rows of K candidates.")


def _list_suites(include_path: Sequence[str], as_json: bool) -> None:
    from rmbench.cli.output import echo, echo_json, print_rich
    from rmbench.tasks.registry import folders, known, members
    from rmbench.tasks.suites import suites

    named, tasks = suites(folders(include_path)).values(), known(include_path)
    rows = [suite_facts(suite, members(suite, tasks)) for suite in named]
    if as_json:
        echo_json(rows)
        return
    columns: list[tuple[str, ColumnLayout]] = [("id", "left"), ("title", "fold"), ("tasks", "fold")]
    print_rich(text_table(columns, [(suite.id, suite.title, ", ".join(suite.tasks)) for suite in named]))
    echo(f"{len(named)} suites; `--tasks suite=ID` runs one.")


def suite_facts(suite: Suite, of: Sequence[Task]) -> dict[str, Any]:
    """A line of `rmbench tasks --suites --json`."""
    return {
        "id": suite.id,
        "title": suite.title,
        "description": suite.description,
        "paper": suite.paper,
        "tasks": [task.id for task in of],
    }


def _task_table(family: str, rows: list[dict[str, Any]]) -> Table:
    """One family's benchmarks; 80 columns hold them."""
    columns: list[tuple[str, ColumnLayout]] = [(name, "left") for name in ("id", "shape", "metric")]
    columns += [("n", "right"), ("chance", "right"), ("verified", "left")]
    return text_table(
        columns, [[_cell(row[name]) for name, _ in columns] for row in rows], title=f"{len(rows)} {family}"
    )


def task_facts(task: Task) -> dict[str, Any]:
    """A line of `rmbench tasks --json`."""
    metric = task.metrics[0]
    chance = metric.chance
    return {
        "id": task.id,
        "family": task.family,
        "shape": task.shape,
        "metric": metric.name,
        "n": task.n,
        "chance": dict(chance) if isinstance(chance, dict) else chance,
        "license": task.license,
        "verified": task.verified,
        "modality": task.modality,
    }


@click.command(short_help="List the models that have a card.")
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option("--family", metavar="FAMILY", help="Cards of one family only.")
@json_option
def models(words: tuple[str, ...], family: str | None, as_json: bool) -> None:
    """List the models that have a card: all, or those with every WORD, which may be a glob, in their name or hub id."""
    from rmbench.cli.output import echo, echo_block, echo_json, print_rich
    from rmbench.models.baselines.surface import BASELINES
    from rmbench.models.card import cards

    known = cards()
    selected = [card for card in _of_family(known.values(), family) if _has_words(card, words)]
    if as_json:
        echo_json([model_facts(card) for card in selected])
        return
    if not selected:
        near = did_you_mean(" ".join(words).lower(), known, most=3)
        raise RmbenchError(f"no model card has {' and '.join(map(repr, words))} in its name or hub id.{near}")
    for name in dict.fromkeys(card.family for card in selected):
        print_rich(_card_table(name, [card for card in selected if card.family == name]))
        echo()
    verified = [card.name for card in selected if card.verified]
    cards_word = "model cards" if len(selected) != 1 else "model card"
    echo_block(
        f"{len(selected)} {cards_word}; hub ids: rmbench models --json. layout -: the checkpoint shows it.\n"
        f"Real weights gave published figures for: {', '.join(verified) or 'none of these'}.\n"
        f"Besides: any hub id or folder, scores:FILE, fake:oracle|anti|coin|constant|broken,\n"
        f"baseline:{'|'.join(BASELINES)}"
    )


def _of_family(cards: Iterable[Card], family: str | None) -> list[Card]:
    """Sorted by family and name."""
    listed = sorted(cards, key=lambda card: (card.family, card.name))
    names = sorted({card.family for card in listed})
    if family is not None and family not in names:
        raise RmbenchError(
            f"--family {family}: no card is of it; expected one of {', '.join(names)}.{did_you_mean(family, names)}"
        )
    return [card for card in listed if family in (None, card.family)]


def _has_words(card: Card, words: tuple[str, ...]) -> bool:
    names = f"{card.name} {card.hub or ''}".lower()
    return all(fnmatchcase(names, f"*{word.lower()}*") for word in words)


def _card_table(family: str, cards: list[Card]) -> Table:
    """One family's cards; names are whole at 80 columns, licenses fold."""
    columns: list[tuple[str, ColumnLayout]] = [("name", "left"), ("layout", "left"), ("size", "right")]
    rows = [(card.name, card.layout or "-", _size(card.parameters), card.license or "-") for card in cards]
    return text_table([*columns, ("license", "fold")], rows, title=f"{len(cards)} {family}")


def _size(parameters: int | None) -> str:
    """8_000_000_000 as "8B"."""
    if parameters is None:
        return "-"
    unit, name = (10**9, "B") if parameters >= 10**9 else (10**6, "M")
    return f"{parameters / unit:.3g}{name}"


def model_facts(card: Card) -> dict[str, Any]:
    """A line of `rmbench models --json`."""
    return {
        "name": card.name,
        "family": card.family,
        "hub": card.hub,
        "license": card.license,
        "verified": card.verified,
        "parameters": card.parameters,
        "trained_on": list(card.trained_on),
    }


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def validate(files: tuple[Path, ...]) -> None:
    """Check declarations and records.

    FILES are TOML declarations (tasks, model cards, boards) or folders of records; without FILES, everything that the
    package carries is checked.
    """
    from rmbench.cli.output import echo
    from rmbench.cli.validate import validate_all, validate_file

    lines = [validate_file(path) for path in files] if files else validate_all()
    for line in lines:
        echo(line)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "/".join(map(figure, value.values()))
    if value == "one_over_k":
        return "1/K"
    if isinstance(value, float):
        return figure(value)
    return f"{value:,}" if isinstance(value, int) else str(value)

"""Make `results/`: records of real models from what others released or printed.

python examples/make_results.py --data FOLDER [--out results]

Released scores and verdicts go the ordinary way, through `scores:FILE`, and are marked `released`; printed tables
become records of kind `published`. FOLDER holds upstream's own files. A record that says what the one in `--out` says
already is left alone, so that a second run changes no byte.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from published_tables import published
from released_scores import Release, released

import rmbench
from rmbench.errors import RmbenchError
from rmbench.models.card import card_for, cards
from rmbench.records.record import Record
from rmbench.records.store import (
    JUDGMENTS_NAME,
    RECORD_NAME,
    find,
    folder_of,
    read,
    read_credits,
    read_rows,
    write,
    write_published,
)

__all__ = ["COMMAND", "attributed", "main", "measure", "place"]

COMMAND = "python examples/make_results.py"
TIMES = ("started", "finished", "seconds", "reused")


def measure(releases: Iterable[Release], data: Path, out: Path) -> list[Record]:
    """Run every model's released rows over its tasks and write the records below `out`."""
    by_model: dict[str, list[Release]] = defaultdict(list)
    for release in releases:
        by_model[release.model].append(release)
    records = []
    with tempfile.TemporaryDirectory() as scratch:
        for model, ones in by_model.items():
            file = Path(scratch) / "scores.jsonl"
            rows = ({"task": one.task, "model": model, **row} for one in ones for row in one.rows)
            file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
            runs = Path(scratch) / "runs"
            tasks = [one.task for one in ones]
            results = rmbench.run(f"scores:{file}", tasks, source=str(data), out=runs, command=COMMAND)
            if results.failed_rows > sum(one.lacks for one in ones):
                raise RmbenchError(f"{model}: {results.failed_rows} rows have no score.")
            sources = {one.task: one.source for one in ones}
            for record in results.records:
                folder = folder_of(runs, record)
                whole = attributed(record, sources[record.task.id])
                records.append(write(out, whole, read_rows(folder), read_credits(folder)))
    return records


_CARD_OF = {"xswu/HPSv2": "hpsv2.1"}
"""Repositories of several checkpoints -> the card of the one whose scores were released."""


def attributed(record: Record, source: str) -> Record:
    """The record with the source of its scores, and with what a card says of the model."""
    name = record.model.name
    card = cards()[_CARD_OF[name]] if name in _CARD_OF else card_for(name)
    model, flags = record.model, {*record.flags, "released"}
    if card is not None:
        facts = {"license": card.license, "parameters": card.parameters, "trained_on": list(card.trained_on)}
        model = model.model_copy(update=facts)
        flags |= {"contaminated"} if record.task.id in card.trained_on else set()
    run = record.run.model_copy(update={"source_of_scores": source})
    return record.model_copy(update={"model": model, "run": run, "flags": sorted(flags)})


def place(fresh: Path, out: Path) -> tuple[int, int]:
    """Bring the records of `fresh` to `out`, and take away those of an earlier run that are not made any more.

    Returns:
        (records written, records left alone).
    """
    made = {folder.relative_to(fresh) for folder in find(fresh)}
    for old in find(out) if out.is_dir() else []:
        if old.relative_to(out) not in made and read(old).run.command == COMMAND:
            shutil.rmtree(old)
            if not any(old.parent.iterdir()):
                old.parent.rmdir()
    changed = [name for name in sorted(made) if not _says_the_same(fresh / name, out / name)]
    for name in changed:
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir(parents=True)
        for file in (RECORD_NAME, JUDGMENTS_NAME):
            if (fresh / name / file).is_file():
                shutil.copyfile(fresh / name / file, out / name / file)
    return len(changed), len(made) - len(changed)


def _says_the_same(fresh: Path, old: Path) -> bool:
    if not (old / RECORD_NAME).is_file():
        return False
    first, second = (read(folder).model_dump() for folder in (fresh, old))
    for record in (first, second):
        for key in TIMES:
            del record["run"][key]
        record["digests"].pop("run", None)  # which covers the times
    return first == second


def main() -> None:
    """Make them, and say what changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of upstream's own files")
    parser.add_argument("--out", type=Path, default=Path("results"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        measured = measure(released(given.data), given.data, Path(fresh))
        printed = [write_published(Path(fresh), record) for record in published(given.data)]
        written, kept = place(Path(fresh), given.out)
    print(f"{len(measured)} measured, {len(printed)} published; {written} written, {kept} as they were")


if __name__ == "__main__":
    main()

"""Records made ready for a pull request: copied without what does not belong there, and what they lack, said."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rmbench.errors import RmbenchError
from rmbench.records.digest import hide_tokens, sha256_file
from rmbench.records.record import Record
from rmbench.records.store import (
    JUDGMENTS_NAME,
    RECORD_NAME,
    find,
    folder_of,
    no_record_in,
    read,
    read_table_of,
    write,
    write_published,
)
from rmbench.reports.audit import problems
from rmbench.types import Judged

__all__ = ["Entry", "Lack", "Submission", "prepare"]

_WHOLE = 0.99
"""Coverage that boards ask for unless they declare another."""
_LARGE = 20 * 2**20
"""Bytes of a file that a repository of records takes without a question."""
_LESS = {
    "sample": "it was run on the sample rows of the package",
    "limited": "it was run on some of the rows",
    "partial": "files of the benchmark were absent",
    "fake": "its model is a test double",
    "demo": "its model is the package's demonstration",
}
_LOCAL = frozenset({"baseline", "fake", "callable"})
"""Families of models that are on no hub and need no check."""


Kind = Literal["missing", "note"]


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that stands against a record, or that is worth knowing of it."""

    kind: Kind
    """A note does not keep a record from being entered."""
    what: str
    do: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of the submission."""

    folder: str
    model: str
    """`name@revision`; "" where the record cannot be read."""
    task: str
    """`id@version`."""
    lacks: tuple[Lack, ...]
    written: str = ""
    """Where its copy lies; "" where there is none."""

    @property
    def ready(self) -> bool:
        return all(lack.kind == "note" for lack in self.lacks)


@dataclass(frozen=True, slots=True)
class Submission:
    """Records, and what they lack."""

    entries: tuple[Entry, ...]
    removed: tuple[str, ...] = ()
    """Records of the other folder that are not in this one."""

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return not self.removed and all(entry.ready for entry in self.entries)

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        entries = [{**asdict(entry), "ready": entry.ready} for entry in self.entries]
        return {"ready": self.ready, "records": entries, "removed": list(self.removed)}


def prepare(results: Path, out: Path | None, *, new_to: Path | None, with_rationale: bool) -> Submission:
    """See `rmbench.exchange.submit`."""
    folders = find(results)
    if not folders:
        raise no_record_in(results)
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RmbenchError(f"{out} is not empty: name a new folder, so that nothing old is handed in.")
    removed: list[str] = []
    if new_to is not None:
        before = {folder.relative_to(new_to) for folder in find(new_to)}
        removed = sorted(str(folder) for folder in before - {folder.relative_to(results) for folder in folders})
        folders = [folder for folder in folders if not _same(folder, new_to / folder.relative_to(results))]
    return Submission(tuple(_entry(folder, results, out, with_rationale) for folder in folders), tuple(removed))


def _same(a: Path, b: Path) -> bool:
    """Whether two folders hold the same record and rows."""
    files = [(folder / name) for folder in (a, b) for name in (RECORD_NAME, JUDGMENTS_NAME)]
    digests = [sha256_file(file) if file.is_file() else "" for file in files]
    return digests[:2] == digests[2:]


def _entry(folder: Path, results: Path, out: Path | None, with_rationale: bool) -> Entry:
    try:
        record = read(folder)
        wrong = problems(folder)
    except RmbenchError as error:
        return Entry(str(folder), "", "", (_broken(str(error)),))
    model, task = f"{record.model.name}@{record.model.revision}", f"{record.task.id}@{record.task.version}"
    if wrong:
        return Entry(str(folder), model, task, tuple(_broken(line) for line in wrong[:3]))
    # As it lies, what is too much has to go; a copy goes without it.
    kind: Kind = "missing" if out is None else "note"
    lacks = [*_lacks(record, results), *_files(folder, kind)]
    clean, rows, said = _clean(folder, record, with_rationale, kind)
    written = "" if out is None else str(_copy(folder, out / "results", record, clean, rows))
    return Entry(str(folder), model, task, (*lacks, *said), written)


def _broken(why: str) -> Lack:
    return Lack("missing", f"the record does not hold: {why}", "run it again; a record is never edited by hand.")


def _lacks(record: Record, results: Path) -> Iterator[Lack]:
    """What the record itself says."""
    model, task = record.model, record.task
    run = shlex.join(["rmbench", "run", "--model", model.name, "--tasks", task.id, "--out", str(results)])
    for flag, why in _LESS.items():
        if flag in record.flags:
            do = (
                f"`{shlex.join(['rmbench', 'fetch', task.id])}`, then `{run}`"
                if flag != "fake" and flag != "demo"
                else "enter a real model"
            )
            yield Lack("missing", f"marked {flag}: {why}, and boards refuse it", f"{do}.")
    yield from _coverage(record, run)
    if model.family not in _LOCAL and record.kind == "measured":
        yield from _check(record, results)
        if model.family != "judge" and (model.name.count("/") != 1 or model.name.startswith(("/", ".", "~"))):
            yield Lack(
                "missing",
                f"the model is called {model.name}, and nobody can find it by that name",
                'run it by its name on the hub, org/name; a score file names its model in "model".',
            )
    if model.family == "precomputed" and not record.run.source_of_scores:
        do = "say in the pull request where they come from: repository, commit and file."
        yield Lack("note", "its scores were computed elsewhere, and the record names no source", do)
    unknown = [name for name in ("license", "parameters") if getattr(model, name) is None]
    if unknown and model.family not in _LOCAL:
        do = "add a card in leaderboards/models: docs/adding-a-model.md says what it holds."
        yield Lack("note", f"{' and '.join(unknown)} of the model are unknown and stay empty on boards", do)


def _coverage(record: Record, run: str) -> Iterator[Lack]:
    if record.kind == "published" or {"sample", "limited", "partial"} & set(record.flags):
        return
    name = record.task.metrics[0].get("name") if record.task.metrics else None
    head = next((value for value in record.results if value.metric == name and value.group is None), None)
    if head is None or head.value is None:
        yield Lack("missing", f"its headline, {name}, has no value", f"see `rmbench show`, then `{run}`.")
    elif head.coverage is None or head.coverage < _WHOLE:
        covered = "unknown" if head.coverage is None else f"{head.coverage:.4f}"
        failed = (
            f"{record.counts.failed} of {record.data.rows} rows failed" if record.counts.failed else "rows are missing"
        )
        do = f"`{run}`; `rmbench show` names the rows and their reasons."
        yield Lack("missing", f"coverage is {covered}, less than {_WHOLE:g}: {failed}", do)


def _check(record: Record, results: Path) -> Iterator[Lack]:
    check, run = record.model.check, shlex.join(["rmbench", "check", record.model.name, "--out", str(results)])
    if record.model.family == "precomputed" or record.run.source_of_scores:
        return  # the model was not here
    if check is None:  # what is checked of a judge is little
        kind: Kind = "note" if record.model.family == "judge" else "missing"
        yield Lack(kind, "the model was not checked", f"`{run}` writes the outcome into the record.")
    elif not check.passed:
        failed = ", ".join(check.failed) or "it was not opened"
        yield Lack("missing", f"the model failed its check: {failed}", f"`{run}` says why.")


def _files(folder: Path, kind: Kind) -> Iterator[Lack]:
    others = sorted(file.name for file in folder.iterdir() if file.name not in (RECORD_NAME, JUDGMENTS_NAME))
    if others:
        yield Lack(
            kind, f"other files lie beside the record: {', '.join(others[:3])}", "leave them out; copies have none."
        )
    for name in (RECORD_NAME, JUDGMENTS_NAME):
        file = folder / name
        size = file.stat().st_size if file.is_file() else 0
        if size > _LARGE:
            yield Lack("missing", f"{name} has {size >> 20} MiB, more than {_LARGE >> 20}", "ask in an issue first.")


Table = Sequence[tuple[Judged, float | None]]


def _clean(folder: Path, record: Record, with_rationale: bool, kind: Kind) -> tuple[Record, Table | None, list[Lack]]:
    """The record and its rows without access tokens and without what a judge wrote (None: the rows as they are), and
    what was taken away."""
    said: list[Lack] = []
    clean = Record.model_validate(_without_tokens(record.model_dump()))
    table = [] if record.kind == "published" else read_table_of(folder, record)
    rows = [(_clean_row(row, with_rationale), worth) for row, worth in table]
    texts = sum(any(row.judgment.rationale) for row, _ in table)
    if texts and not with_rationale:
        do = "`rmbench submit --out FOLDER` copies without it; --with-rationale keeps it, where you may publish it."
        said.append(Lack(kind, f"the judge's own words stand beside {texts} rows", do))
    tokens = clean != record or any(
        one.judgment.error != other.judgment.error
        or (with_rationale and one.judgment.rationale != other.judgment.rationale)
        for (one, _), (other, _) in zip(rows, table, strict=True)
    )
    if tokens:
        do = "revoke it, for the record holds it as it lies; `rmbench submit --out FOLDER` copies without it."
        said.append(Lack(kind, "an access token is in the record", do))
    return clean, rows if [row for row, _ in rows] != [row for row, _ in table] else None, said


def _clean_row(row: Judged, with_rationale: bool) -> Judged:
    judgment = row.judgment
    kept = tuple(map(hide_tokens, judgment.rationale)) if with_rationale else ()
    return replace(row, judgment=replace(judgment, rationale=kept, error=hide_tokens(judgment.error)))


def _without_tokens(data: Any) -> Any:
    if isinstance(data, str):
        return hide_tokens(data)
    if isinstance(data, Mapping):
        return {key: _without_tokens(value) for key, value in data.items()}
    return [_without_tokens(each) for each in data] if isinstance(data, list | tuple) else data


def _copy(folder: Path, results: Path, record: Record, clean: Record, rows: Table | None) -> Path:
    """Copy both files, or write them anew with digests of their own where something was taken away; the copy's numbers
    must follow from its rows as the record's did."""
    place = folder_of(results, clean)
    if (place / RECORD_NAME).exists():
        raise RmbenchError(f"{folder}: another record of this folder has the place {place.relative_to(results)} too.")
    if record.kind == "published":
        write_published(results, clean)
    elif clean == record and rows is None:
        try:
            place.mkdir(parents=True)
            for name in (RECORD_NAME, JUDGMENTS_NAME):
                shutil.copyfile(folder / name, place / name)
        except OSError as error:
            raise RmbenchError(f"{place}: cannot be written ({error.strerror or error}).") from error
    else:
        table = read_table_of(folder, record) if rows is None else rows
        worth = {row.id: value for row, value in table}
        write(results, clean, [row for row, _ in table], worth if any(v is not None for v in worth.values()) else None)
    if wrong := problems(place):
        raise RmbenchError("\n".join(wrong[:3]))
    return place

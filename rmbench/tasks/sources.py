"""A task's rows from the hub, from a folder of upstream's own files, or from the bundled sample."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rmbench import resources
from rmbench.errors import RmbenchError, did_you_mean
from rmbench.tasks.rows.column_check import check_columns
from rmbench.tasks.rows.fields import ExcludedError, RawRow
from rmbench.tasks.rows.files import expected, find, read_all
from rmbench.tasks.rows.hub import read_hub
from rmbench.tasks.rows.integrity import check_unique, inspect
from rmbench.tasks.rows.media import with_media
from rmbench.tasks.rows.prepare import prepared
from rmbench.tasks.rows.shapes import example, identity
from rmbench.tasks.task import DataFileFacts, Exclusion, Loaded, Task
from rmbench.types import Conversation, Example

__all__ = ["digest_of", "ids", "load", "sample_of"]


def load(
    task: Task,
    source: str | Path = "hub",
    *,
    limit: int | None = None,
    seed: int = 0,
    allow_changed_data: bool = False,
    images: Path | None = None,
) -> Loaded:
    """A task's rows as examples, in the order of upstream's files.

    Args:
        task: from the registry.
        source: "hub", "sample", or a folder that holds upstream's files, either directly or below the data set's name.
        limit: keep at most this many rows, drawn at random over all files (`sample_of`), and at most as many of the fit
            split; None keeps all.
        seed: of that draw.
        allow_changed_data: read a file although its sha256 is not the one that the task declares.
        images: a folder that holds the images or videos by name, such as those a generator made; it takes the place of
            those in `source`.

    Returns:
        The examples with files, digest and group totals. `missing` names declared files that are not in the folder,
        or says how many rows are not there although every file is; `excluded` names the rows that the benchmark's own
        rule drops; `notes` tell of odd rows and of a fit split that is not there.

    Raises:
        RmbenchError: no rows can be had (the message says what to supply), a file is broken or changed, a column is
            missing or holds the wrong thing, two rows have one id, or there are more rows than the task has.
    """
    # The declared digests are of upstream's files, and the bundled sample is ours.
    loaded = _read(task, str(source), allow_changed_data or str(source) == "sample")
    if images is not None:
        loaded = replace(loaded, examples=with_media(loaded.examples, images))
    if limit is None:
        return loaded
    drawn, fit = sample_of(loaded.examples, limit, seed), sample_of(loaded.fit, limit, seed)
    return replace(loaded, limit=limit, examples=drawn, fit=fit)


def ids(task: Task, source: str | Path = "hub") -> tuple[str, ...]:
    """The ids of a task's rows, in file order: what `scores:FILE` has to name."""
    return tuple(each.id for each in load(task, source).examples)


def sample_of(examples: Sequence[Example], limit: int, seed: int) -> tuple[Example, ...]:
    """A simple random sample of rows that depends on their ids and the seed alone, in file order.

    Rows are drawn in the order of sha256("<seed>/<id>"), so that every file and group has its fair share, the sample
    of a smaller limit is part of that of a larger one, and a row's being drawn does not hang on the rows around it.
    """
    drawn = sorted(examples, key=lambda each: hashlib.sha256(f"{seed}/{each.id}".encode()).digest())[:limit]
    kept = {each.id for each in drawn}
    return tuple(each for each in examples if each.id in kept)


def digest_of(examples: Sequence[Example]) -> str:
    """sha256 over the content of the examples: ids, texts, gold, groups, clusters, weights, context."""
    digest = hashlib.sha256()
    for each in examples:
        gold = each.gold
        content = (
            [each.id, each.cluster, each.weight, each.rater, dict(each.groups), dict(each.context)],
            _plain(each.prompt),
            [[_plain(c.messages), None if c.prompt is None else _plain(c.prompt)] for c in each.candidates],
            [[e.i, e.j, e.strength, e.dimension, e.annotator, e.tags] for e in gold.relation],
            [gold.ratings, gold.dimensions, dict(gold.labels)],
        )
        digest.update(json.dumps(content, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def _plain(conversation: Conversation) -> list[list[object]]:
    return [[m.role, [[part.kind, part.text, part.name] for part in m.parts]] for m in conversation]


def _read(task: Task, source: str, allow_changed: bool) -> Loaded:
    declared = task.declaration
    if declared.source.bundled and source != "sample":
        source = str(_sample_folder(task))
    how_else = f"{task.id}: {_how_else(task)}"
    folder = None
    absent: tuple[str, ...] = ()
    if source == "hub":
        if task.hub is None:
            address = f"{task.git} at commit {declared.source.commit}" if declared.source.commit else task.git
            raise RmbenchError(f"{task.id}: no usable hub set; its files are in {address}.\n{_how_else(task)}")
        rows, facts = read_hub(declared.source, how_else)
    else:
        folder = _sample_folder(task) if source == "sample" else _folder(source)
        found = find(declared.source, declared.files, folder)
        if found is None:
            wanted = expected(declared.source, declared.files, folder)
            raise RmbenchError(f"{task.id}: no file of this task is there. Expected {wanted}.{_where_from(task)}")
        rows, facts = read_all(found, allow_changed=allow_changed)
        absent = found.missing
        if not rows:
            raise RmbenchError(f"{task.id}: {found.root} holds its files, but no row is in them.")
    made, excluded, notes = _examples(task, rows)
    kind: Literal["hub", "sample", "folder"] = "hub" if folder is None else "sample" if source == "sample" else "folder"
    seen = len(made) + len(excluded)
    total = len(made) if kind == "sample" else task.n - len(excluded)
    missing = () if kind == "sample" else _absent(task, absent, seen)
    fit, fit_facts, fit_notes = _fit(task, folder, how_else, allow_changed)
    totals = Counter(f"{name}={value}" for each in made for name, value in each.groups.items())
    return Loaded(
        made,
        kind,
        total,
        (*facts, *fit_facts),
        missing,
        excluded,
        digest_of(made),
        group_totals=dict(totals),
        fit=fit,
        fit_digest=digest_of(fit) if fit else "",
        notes=(*notes, *fit_notes),
    )


def _fit(
    task: Task, folder: Path | None, how_else: str, allow_changed: bool
) -> tuple[tuple[Example, ...], list[DataFileFacts], list[str]]:
    """The rows to fit on, with the files they are from; none, and a note that says so, where they are not there."""
    declared = task.declaration
    if declared.fit is None:
        return (), [], []
    if folder is None:
        source = declared.source.model_copy(update={"split": declared.fit.split, "parts": declared.fit.parts})
        rows, facts = read_hub(source, how_else)
    else:
        found = find(declared.source, declared.fit.files, folder)
        if found is None or found.missing:
            lacking = ", ".join(found.missing if found else (declared.fit.files[0].paths[0],))
            note = f'fit split "{declared.fit.split}" is not there ({lacking}): what is fitted on it is left out'
            return (), [], [note]
        rows, facts = read_all(found, allow_changed=allow_changed)
    made, _, notes = _examples(task, rows)
    return made, facts, [f"fit split: {note}" for note in notes]


def _absent(task: Task, files: tuple[str, ...], rows: int) -> tuple[str, ...]:
    """What of the task version is not there: files, or rows where every file is.

    Raises:
        RmbenchError: there are more rows than the version has, so that coverage would be a made-up figure.
    """
    if rows > task.n:
        raise RmbenchError(
            f"{task.id}: {rows} rows, but version {task.version} has {task.n}. Has upstream changed, or do the files "
            f"hold more than the benchmark? `n` stands in {task.path}."
        )
    return files or ((f"{task.n - rows} of {task.n} rows",) if rows < task.n else ())


def _folder(source: str) -> Path:
    folder = Path(source).expanduser()
    if not folder.is_dir():
        near = did_you_mean(source, ["hub", "sample"])
        raise RmbenchError(f'source "{source}" is neither "hub", "sample" nor a folder.{near}')
    return folder


def _sample_folder(task: Task) -> Path:
    """Samples lie in `samples/<id>` beside a user's own declaration, or with the bundled ones."""
    places = [task.path.parent / "samples" / task.id, resources.tasks() / "samples" / task.id]
    for place in places:
        if place.is_dir():
            return place
    raise RmbenchError(f"{task.id}: no sample is there; expected the folder {' or '.join(map(str, places))}.")


def _examples(task: Task, rows: Sequence[RawRow]) -> tuple[tuple[Example, ...], tuple[Exclusion, ...], tuple[str, ...]]:
    """The examples that stay, the rows that a rule drops, and what was found odd."""
    declared = task.declaration
    made: list[tuple[RawRow, Example]] = []
    dropped: list[Exclusion] = []
    ready = prepared(declared, rows)
    check_columns(declared, ready)
    for row in ready:
        try:
            made.append((row, example(declared, row)))
        except ExcludedError as why:
            dropped.append(Exclusion(identity(declared, row), str(why)))
    check_unique(made, str(task.path))
    inspected = inspect(declared.rows, made)
    return inspected.examples, (*dropped, *inspected.excluded), inspected.notes


def _where_from(task: Task) -> str:
    places = [f"hub {task.hub}"] if task.hub else []
    places += [f"git {task.git}"] if task.git else []
    return f" They come from {' or '.join(places)}."


def _how_else(task: Task) -> str:
    source, files = task.declaration.source, task.declaration.files
    wanted = expected(source, files, Path("FOLDER"))
    return f"Supply the files with --source FOLDER or RMBENCH_DATA=FOLDER ({wanted}), or use --source sample."

"""Loading a task's rows from the hub, from a folder of upstream's files, or from the bundled sample."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rmbench.collector import paused
from rmbench.errors import AbsentDataError, RmbenchError
from rmbench.tasks.declaration.columns import TEXTS
from rmbench.tasks.fetch.manifest import FetchedTask, fetched_task
from rmbench.tasks.rows.addresses import with_fetched
from rmbench.tasks.rows.column_check import check_columns
from rmbench.tasks.rows.fetched import read_fetched
from rmbench.tasks.rows.fields import ExcludedError, RawRow
from rmbench.tasks.rows.files import expected, find, read_all
from rmbench.tasks.rows.hub import read_hub
from rmbench.tasks.rows.integrity import OddRows, check_unique, inspect
from rmbench.tasks.rows.media import media_of_examples, with_media
from rmbench.tasks.rows.prepare import prepare
from rmbench.tasks.rows.shapes import example, identity
from rmbench.tasks.task import DataFileFacts, Exclusion, Loaded, Media, Task
from rmbench.tasks.where import folder_of, how_else, resolved, sample_folder, where_from
from rmbench.types import Conversation, Example

__all__ = ["digest_of", "ids", "load", "sample_of"]

_canonical = json.JSONEncoder(sort_keys=True).encode

_SHOWN = 6
"""Missing files that a note names before it counts the rest."""


def load(
    task: Task,
    source: str | Path = "auto",
    *,
    limit: int | None = None,
    seed: int = 0,
    allow_changed_data: bool = False,
    images: Path | str | None = None,
    allow_url_fetch: bool = False,
) -> Loaded:
    """A task's rows as examples, in the order of upstream's files.

    Args:
        task: from the registry.
        source: "auto", "hub", "sample", or a folder that holds upstream's files, either directly or below the data
            set's name. "auto" is the folder that RMBENCH_DATA names, else the one that `rmbench fetch` fills, where the
            task's files are there; else the hub.
        limit: keep at most this many rows, drawn at random over all files (`sample_of`), and at most as many of the fit
            split; None keeps all.
        seed: of that draw.
        allow_changed_data: read a file although its sha256 is not the one that the task declares.
        images: a folder that holds the images or videos by name, such as those a generator made; it takes the place of
            those in `source`, and one that it lacks is absent.
        allow_url_fetch: fetch images and videos that are not here and are named by an address, from public hosts alone.

    Returns:
        The examples with files, digest and group totals. `missing` names declared files that are not in the folder,
        or counts the missing rows where every file is present; `excluded` names the rows that the benchmark's own rule
        drops; `notes` list what is missing, the odd ones of the rows drawn, and an absent fit split.

    Raises:
        AbsentDataError: no rows can be found; the message says how to get them.
        RmbenchError: a file is broken or changed, a column is missing or of the wrong type, two rows have one id, or
            there are more rows than the task has.
    """
    images = None if images is None else Path(images)
    where, note = resolved(task, str(source))
    with paused():
        loaded = _read(task, where, allow_changed_data, limit, seed)
    loaded = replace(loaded, notes=(*note, *loaded.notes))
    if images is not None:
        loaded = replace(loaded, examples=with_media(loaded.examples, images))
    if allow_url_fetch:
        examples, fetched = with_fetched(loaded.examples)
        loaded = replace(loaded, examples=examples, notes=(*loaded.notes, *fetched))
    media = media_of_examples(loaded.examples, images)
    notes = loaded.notes if images is None or media is None else (*loaded.notes, *_not_brought(media, images))
    return replace(loaded, media=media, notes=notes)


def ids(task: Task, source: str | Path = "auto") -> tuple[str, ...]:
    """The ids of a task's rows, in file order: what `scores:FILE` has to name."""
    return tuple(each.id for each in load(task, source).examples)


def sample_of(examples: Sequence[Example], limit: int | None, seed: int) -> tuple[Example, ...]:
    """A simple random sample of rows that depends on their ids and the seed alone, in file order; all without a limit.

    Rows are drawn in the order of sha256("<seed>/<id>"), so that every file and group has its fair share, the sample
    of a smaller limit is part of that of a larger one, and whether a row is drawn depends on no other row.
    """
    drawn = sorted(examples, key=lambda each: hashlib.sha256(f"{seed}/{each.id}".encode()).digest())[:limit]
    ids_drawn = {each.id for each in drawn}
    return tuple(each for each in examples if each.id in ids_drawn)


def digest_of(examples: Sequence[Example], *, texts: bool = True) -> str:
    """sha256 over the content of the examples: ids, gold, groups, clusters, weights, texts, names of media, context.
    Without texts: over the first four, in the order of the ids, since files without texts may have another order."""
    digest = hashlib.sha256()
    for each in examples if texts else sorted(examples, key=lambda each: each.id):
        gold = each.gold
        content = (
            [each.id, each.cluster, each.weight, each.rater, dict(each.groups), dict(each.context) if texts else {}],
            _plain((*each.shots, *each.prompt)) if texts else [],
            [[_plain(c.messages), None if c.prompt is None else _plain(c.prompt)] for c in each.candidates]
            if texts
            else len(each.candidates),
            [[e.i, e.j, e.strength, e.dimension, e.annotator, e.tags] for e in gold.relation],
            [gold.ratings, gold.dimensions, dict(gold.labels)],
        )
        digest.update(_canonical(content).encode() + b"\n")
    return digest.hexdigest()


def _plain(conversation: Conversation) -> list[list[object]]:
    return [[m.role, [[part.kind, part.text, part.label] for part in m.parts], *m.extra] for m in conversation]


def _read(task: Task, source: str, allow_changed: bool, limit: int | None, seed: int) -> Loaded:
    declaration = task.declaration
    allow_changed = allow_changed or source == "sample"  # declared digests are of upstream's files; the sample is ours
    otherwise = how_else(task)
    folder = None
    files_missing: tuple[str, ...] = ()
    without_texts = False
    if source == "hub":
        if task.hub is None:
            address = f"{task.git} at commit {declaration.source.commit}" if declaration.source.commit else task.git
            raise AbsentDataError(f"{task.id}: no usable hub set; its files are in {address}.\n{how_else(task)}")
        rows, facts = read_hub(declaration.source, otherwise)
    elif (fetched := _fetched(task, source)) is not None:
        folder = Path(source).expanduser()
        parts = fetched.parts
        rows, facts = read_fetched(declaration.source, parts, fetched.files, folder, allow_changed=allow_changed)
    else:
        folder = sample_folder(task) if source == "sample" else folder_of(source)
        files = find(declaration.source, declaration.files, folder)
        if files is None:
            wanted = expected(declaration.source, declaration.files, folder)
            raise AbsentDataError(f"{task.id}: no file of this task was found. Expected {wanted}.{where_from(task)}")
        rows, facts = read_all(files, allow_changed=allow_changed)
        files_missing = files.missing
        without_texts = bool(files.layout.absent)
        if not rows:
            raise RmbenchError(f"{task.id}: its files in {files.root} hold no row.")
    examples, excluded, odd = _examples(task, rows, without_texts=without_texts)
    textless = any(layout.absent for layout in declaration.files)
    kind: Literal["hub", "sample", "folder"] = "hub" if folder is None else "sample" if source == "sample" else "folder"
    total = len(examples) if kind == "sample" else task.n - len(excluded)
    missing = () if kind == "sample" else _missing(task, files_missing, len(examples) + len(excluded))
    fit, fit_facts, fit_odd, absent = _fit(task, folder, otherwise, allow_changed)
    drawn, fit_drawn = sample_of(examples, limit, seed), sample_of(fit, limit, seed)
    fit_notes = [f"fit split: {note}" for note in _notes(fit_odd, fit_drawn, limit)]
    digests = {name for name, group in declaration.groups.items() if group.column == TEXTS}
    counted = Counter(f"{k}={value}" for each in examples for k, value in each.groups.items() if k not in digests)
    return Loaded(
        drawn,
        kind,
        total,
        (*facts, *fit_facts),
        missing,
        excluded,
        digest_of(examples, texts=not textless),
        limit,
        texts_digest=digest_of(examples) if textless and not without_texts else "",
        without_texts=without_texts,
        group_totals=dict(counted),
        known_totals=_known_totals(task, counted) if missing else dict(counted),
        fit=fit_drawn,
        fit_digest=digest_of(fit) if fit else "",
        notes=(
            *_partial(missing),
            *_textless(without_texts=without_texts),
            *_notes(odd, drawn, limit),
            *fit_notes,
            *absent,
        ),
    )


def _fit(
    task: Task, folder: Path | None, how_else: str, allow_changed: bool
) -> tuple[tuple[Example, ...], list[DataFileFacts], tuple[OddRows, ...], list[str]]:
    """The rows to fit on with the files they are from and the odd ones; where they are absent, none, and a note."""
    source, fit = task.declaration.source, task.declaration.fit
    if fit is None:
        return (), [], (), []
    of_fit = source.model_copy(update={"split": fit.split, "parts": fit.parts})
    if folder is None:
        rows, facts = read_hub(of_fit, how_else)
    elif (fetched := _fetched(task, str(folder))) is not None:
        rows, facts = read_fetched(of_fit, fetched.fit_parts, fetched.files, folder, allow_changed=allow_changed)
    else:
        files = find(source, fit.files, folder)
        if files is None or files.missing:
            missing = ", ".join(files.missing if files else (fit.files[0].paths[0],))
            return (), [], (), [f'fit split "{fit.split}" is absent ({missing}): what is fitted on it is left out']
        rows, facts = read_all(files, allow_changed=allow_changed)
    examples, _, odd = _examples(task, rows)
    return examples, facts, odd, []


def _fetched(task: Task, source: str) -> FetchedTask | None:
    """What `rmbench fetch` brought from the hub for the task into the folder; None where it brought nothing of it."""
    fetched = None if source == "sample" else fetched_task(Path(source).expanduser(), task.id)
    return fetched if fetched is not None and fetched.parts else None


def _notes(odd: Sequence[OddRows], drawn: Sequence[Example], limit: int | None) -> list[str]:
    """A line on each kind of odd row; with a limit, on those among the rows drawn."""
    ids_drawn = None if limit is None else {each.id for each in drawn}
    return [note for note in (each.note(ids_drawn) for each in odd) if note]


def _not_brought(media: Media, images: Path) -> list[str]:
    """A line on the media that the user's folder lacks."""
    more = f" and {len(media.absent) - _SHOWN} more" if len(media.absent) > _SHOWN else ""
    of = f"{len(media.absent):,} of {media.files + len(media.absent):,} images"
    return [f"{of} are not in {images}: {', '.join(media.absent[:_SHOWN])}{more}"] if media.absent else []


def _partial(missing: tuple[str, ...]) -> list[str]:
    """A line on what is missing of the task version."""
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return [f"partial, without {', '.join(missing[:_SHOWN])}{more}"] if missing else []


def _textless(*, without_texts: bool) -> list[str]:
    return ["without texts: ids, groups and gold alone, for scores that were computed elsewhere"] * without_texts


def _missing(task: Task, files: tuple[str, ...], rows: int) -> tuple[str, ...]:
    """What of the task version is missing: files, or rows where every file is present.

    Raises:
        RmbenchError: there are more rows than the version has, so that coverage would be a made-up figure.
    """
    if rows > task.n:
        raise RmbenchError(
            f"{task.id}: {rows} rows, but version {task.version} has {task.n}. Has upstream changed, or do the files "
            f"hold more than the benchmark? `n` is declared in {task.path}"
            + (" (a new `version` of yours may have another)." if task.declaration.source.private else ".")
        )
    return files or ((f"{task.n - rows} of {task.n} rows",) if rows < task.n else ())


def _known_totals(task: Task, counted: Counter[str]) -> dict[str, int]:
    """`name=value` of the groups whose rows in the whole task version are declared, where rows of it are missing.

    Raises:
        RmbenchError: a group holds more rows than the task declares.
    """
    declared = {f"{name}={value}": n for name, of in task.declaration.totals.items() for value, n in of.items()}
    for group, n in declared.items():
        if counted[group] > n:
            raise RmbenchError(f"{task.id}: {counted[group]} rows of {group}, but [totals] of {task.path} says {n}.")
    return declared


def _examples(
    task: Task, rows: Sequence[RawRow], *, without_texts: bool = False
) -> tuple[tuple[Example, ...], tuple[Exclusion, ...], tuple[OddRows, ...]]:
    """The examples that stay, the rows that a rule drops, and the odd ones."""
    declaration = task.declaration
    pairs: list[tuple[RawRow, Example]] = []
    excluded: list[Exclusion] = []
    prepared = prepare(declaration, rows)
    check_columns(declaration, prepared)
    for row in prepared:
        try:
            pairs.append((row, example(declaration, row)))
        except ExcludedError as why:
            excluded.append(Exclusion(identity(declaration, row), str(why)))
    check_unique(pairs, str(task.path))
    if without_texts:
        return tuple(each for _, each in pairs), tuple(excluded), ()
    inspected = inspect(declaration.rows, pairs)
    return inspected.examples, (*excluded, *inspected.excluded), inspected.odd

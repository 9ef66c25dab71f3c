"""Loading a task's rows from the hub, from a folder of upstream's files, or from the bundled sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rmbench.collector import paused
from rmbench.errors import AbsentDataError, RmbenchError
from rmbench.tasks.fetch.manifest import FetchedTask, fetched_task
from rmbench.tasks.made import Made, RawSplit, make
from rmbench.tasks.rows.addresses import with_fetched
from rmbench.tasks.rows.fetched import read_fetched
from rmbench.tasks.rows.files import expected, find, read_all
from rmbench.tasks.rows.hub import read_hub
from rmbench.tasks.rows.media import media_of_examples, with_media
from rmbench.tasks.task import Loaded, Media, Task
from rmbench.tasks.where import folder_of, how_else, resolved, sample_folder, where_from

__all__ = ["ids", "load"]

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
        limit: keep at most this many rows, drawn at random over all files (`rows.content.drawn`), and at most as many
            of the fit split; None keeps all.
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


def _read(task: Task, source: str, allow_changed: bool, limit: int | None, seed: int) -> Loaded:
    allow_changed = allow_changed or source == "sample"  # declared digests are of upstream's files; the sample is ours
    folder = _folder(task, source)
    split, files_missing = _split(task, folder, allow_changed)
    made = make(task, split, limit, seed)
    facts = made.facts
    kind: Literal["hub", "sample", "folder"] = "hub" if folder is None else "sample" if source == "sample" else "folder"
    total = len(facts.ids) if kind == "sample" else task.n - len(facts.excluded)
    missing = () if kind == "sample" else _missing(task, files_missing, len(facts.ids) + len(facts.excluded))
    of_fit, absent = _fit(task, folder, allow_changed)
    fit = None if of_fit is None else make(task, of_fit, limit, seed)
    fit_notes = [] if fit is None else [f"fit split: {note}" for note in _notes(fit, limit)]
    return Loaded(
        made.examples,
        kind,
        total,
        (*split.files, *(() if of_fit is None else of_fit.files)),
        missing,
        facts.excluded,
        facts.digest,
        limit,
        texts_digest=facts.texts_digest,
        without_texts=split.without_texts,
        group_totals=facts.groups,
        known_totals=_known_totals(task, facts.groups) if missing else dict(facts.groups),
        fit=() if fit is None else fit.examples,
        fit_digest=(fit.facts.texts_digest or fit.facts.digest) if fit is not None and fit.facts.ids else "",
        notes=(
            *_partial(missing),
            *_textless(without_texts=split.without_texts),
            *_notes(made, limit),
            *fit_notes,
            *absent,
        ),
    )


def _folder(task: Task, source: str) -> Path | None:
    """Where the task's files are; None for the hub."""
    if source == "hub":
        return None
    if _fetched(task, source) is not None:
        return Path(source).expanduser()
    return sample_folder(task) if source == "sample" else folder_of(source)


def _split(task: Task, folder: Path | None, allow_changed: bool) -> tuple[RawSplit, tuple[str, ...]]:
    """The rows that are judged, and the names of the files that are missing."""
    declaration = task.declaration
    if folder is None:
        if task.hub is None:
            address = f"{task.git} at commit {declaration.source.commit}" if declaration.source.commit else task.git
            raise AbsentDataError(f"{task.id}: no usable hub set; its files are in {address}.\n{how_else(task)}")
        return RawSplit(*read_hub(declaration.source, how_else(task))), ()
    if (fetched := _fetched(task, folder)) is not None:
        parts = fetched.parts
        return RawSplit(
            *read_fetched(declaration.source, parts, fetched.files, folder, allow_changed=allow_changed)
        ), ()
    files = find(declaration.source, declaration.files, folder)
    if files is None:
        wanted = expected(declaration.source, declaration.files, folder)
        raise AbsentDataError(f"{task.id}: no file of this task was found. Expected {wanted}.{where_from(task)}")
    rows, facts = read_all(files, allow_changed=allow_changed)
    if not rows:
        raise RmbenchError(f"{task.id}: its files in {files.root} hold no row.")
    return RawSplit(rows, facts, files.layout.model_dump_json(), bool(files.layout.absent)), files.missing


def _fit(task: Task, folder: Path | None, allow_changed: bool) -> tuple[RawSplit | None, list[str]]:
    """The rows to fit on; where they are absent, None and a note."""
    source, fit = task.declaration.source, task.declaration.fit
    if fit is None:
        return None, []
    of_fit = source.model_copy(update={"split": fit.split, "parts": fit.parts})
    if folder is None:
        return RawSplit(*read_hub(of_fit, how_else(task))), []
    if (fetched := _fetched(task, folder)) is not None:
        return RawSplit(
            *read_fetched(of_fit, fetched.fit_parts, fetched.files, folder, allow_changed=allow_changed)
        ), []
    files = find(source, fit.files, folder)
    if files is None or files.missing:
        missing = ", ".join(files.missing if files else (fit.files[0].paths[0],))
        return None, [f'fit split "{fit.split}" is absent ({missing}): what is fitted on it is left out']
    return RawSplit(*read_all(files, allow_changed=allow_changed), files.layout.model_dump_json()), []


def _fetched(task: Task, source: str | Path) -> FetchedTask | None:
    """What `rmbench fetch` brought from the hub for the task into the folder; None where it brought nothing of it."""
    fetched = None if source == "sample" else fetched_task(Path(source).expanduser(), task.id)
    return fetched if fetched is not None and fetched.parts else None


def _notes(made: Made, limit: int | None) -> list[str]:
    """A line on each kind of odd row; with a limit, on those among the rows drawn."""
    ids_drawn = None if limit is None else {each.id for each in made.examples}
    return [note for note in (each.note(ids_drawn) for each in made.facts.odd) if note]


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


def _known_totals(task: Task, counted: Mapping[str, int]) -> dict[str, int]:
    """`name=value` of the groups whose rows in the whole task version are declared, where rows of it are missing.

    Raises:
        RmbenchError: a group holds more rows than the task declares.
    """
    declared = {f"{name}={value}": n for name, of in task.declaration.totals.items() for value, n in of.items()}
    for group, n in declared.items():
        if counted.get(group, 0) > n:
            raise RmbenchError(f"{task.id}: {counted[group]} rows of {group}, but [totals] of {task.path} says {n}.")
    return declared

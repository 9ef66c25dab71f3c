"""Some rows of a record judged again, and held against what it says of them."""

from __future__ import annotations

import math
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.evaluation.compatibility import for_task
from rmbench.evaluation.ensemble import Ensemble
from rmbench.evaluation.objectives import SETTING
from rmbench.evaluation.options import RunOptions
from rmbench.evaluation.rows import load_rows, selected_tasks
from rmbench.evaluation.session import closing
from rmbench.evaluation.workers import check_no_workers
from rmbench.models.options import checked, silent

if TYPE_CHECKING:
    from rmbench.engine.interfaces import Progress
    from rmbench.records.record import Record
    from rmbench.types import Judgment, Setting

__all__ = ["Rerun", "rerun"]

_ROUNDING = 1e-3
"""Scores of one model on two machines, or in two precisions of one, differ by less than this share of the row's
largest."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """Rows of a record that were judged again."""

    rows: int
    other: tuple[str, ...]
    """Ids of those whose judgment is another now."""
    notes: tuple[str, ...] = ()
    """Settings in which the model at hand differs from the record's."""

    def __str__(self) -> str:
        named = ", ".join(self.other[:5]) + (f" and {len(self.other) - 5} more" if len(self.other) > 5 else "")
        agree = f"{self.rows - len(self.other):,} of {self.rows:,} rows judged again agree"
        return "\n".join([*self.notes, agree + (f"; others are {named}" if self.other else "")])


def rerun(
    folder: Path | str, rows: int, *, model: str | None = None, progress: Progress | None = None, **options: Any
) -> Rerun:
    """Judge some rows of a record again, drawn at random at every call.

    Args:
        folder: the record's.
        rows: how many; all where the record has fewer.
        model: as `rmbench.run` takes it; None: as in the record's command.
        progress: where it reports.
        options: of reading rows and opening the model, as `rmbench.run` takes them. The seed is the record's.

    Raises:
        RmbenchError: the record cannot be read, is of published figures, of an ensemble or of other rows than those
            at hand, or names no model; the model cannot be opened.
    """
    from rmbench.engine.judge import judge
    from rmbench.models.open import open_model
    from rmbench.records.store import read, read_rows
    from rmbench.tasks.asked import asked_rows, unknown_way
    from rmbench.tasks.registry import known
    from rmbench.tasks.task import Asked

    record = read(Path(folder))
    recorded = {row.id: row.judgment for row in read_rows(Path(folder))}
    _refuse(record)
    settings = replace(checked(RunOptions, options, "verify"), seed=record.run.seed)
    check_no_workers(settings, "verify")
    otherwise = record.data.asked
    own = record.task.id if otherwise is None else otherwise.task
    lost = "" if own in known(settings.include_path) or otherwise is not None else unknown_way(own)
    if lost and not settings.data:
        raise RmbenchError(f"{folder}: {lost}")
    selected, _ = selected_tasks(None if settings.data else own, settings, silent)
    task = next((each for each in selected if each.id == own), None)
    if task is None:
        raise RmbenchError(f"{folder}: {lost or f'it is of the task {own}, and --data is {selected[0].id}.'}")
    if settings.source == "auto" and record.data.source == "sample":
        settings = replace(settings, source="sample")
    loaded = load_rows(task, settings if otherwise is None else replace(settings, limit=record.data.limit))
    if otherwise is not None:
        task, loaded = asked_rows(task, loaded, Asked(**otherwise.model_dump()), record.run.seed)
    if loaded.digest != record.data.digest_of_rows:
        theirs = record.data.digest_of_rows
        raise RmbenchError(f"{folder}: it is of other rows than these (digests {theirs[:8]} and {loaded.digest[:8]}).")
    there = [example for example in loaded.examples if example.id in recorded]
    drawn = secrets.SystemRandom().sample(there, min(rows, len(there)))
    opened = open_model(model or _model_in(record), settings)
    asked = for_task(opened, task)
    assert not isinstance(asked, Ensemble)  # what is opened alone is none
    with closing(opened, owned=True):
        judgments = judge(task.id, drawn, asked, render=task.render, progress=progress).judgments
    other = tuple(each.id for each in judgments if not _alike(each, recorded[each.id]))
    return Rerun(len(drawn), other, tuple(_notes(record, opened.facts.settings)))


def _refuse(record: Record) -> None:
    """Raise RmbenchError for a record whose rows no single model gave as they are."""
    if record.model.family == "ensemble":
        raise RmbenchError(f"{record.model.name} is an ensemble: verify the records of its members.")
    if SETTING in record.model.settings:
        raise RmbenchError(f"{record.model.name} is weighed by objective: verify the record that it was made from.")


def _model_in(record: Record) -> str:
    """What the record's command gave as the model."""
    for word, following in pairwise([*shlex.split(record.run.command), ""]):
        if word in ("--model", "-m") and following:
            return following
        if word.startswith("--model="):
            return word.removeprefix("--model=")
    raise RmbenchError(f"the record of {record.model.name} holds no command that names the model: give it by --model.")


def _notes(record: Record, settings: Mapping[str, Setting]) -> list[str]:
    then = record.model.settings
    changed = [key for key in sorted(settings.keys() & then.keys()) if settings[key] != then[key]]
    return [f"{key} was {then[key]} and is {settings[key]} now" for key in changed]


def _alike(now: Judgment, then: Judgment) -> bool:
    if now.status != then.status:
        return False
    verdicts = [[(each.shown, each.vote, each.value) for each in judgment.verdicts] for judgment in (now, then)]
    scores = _close(now.rewards, then.rewards) and _close(_flat(now.directed), _flat(then.directed))
    return verdicts[0] == verdicts[1] and scores


def _flat(rows: Sequence[Sequence[float]] | None) -> list[float] | None:
    return None if rows is None else [value for row in rows for value in row]


def _close(now: Sequence[float] | None, then: Sequence[float] | None) -> bool:
    if now is None or then is None:
        return now is then
    most = max(map(abs, [*now, *then]), default=0.0)
    return len(now) == len(then) and all(
        math.isclose(one, other, rel_tol=0, abs_tol=_ROUNDING * most) for one, other in zip(now, then, strict=True)
    )

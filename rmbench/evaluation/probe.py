"""Inference-time probing: which dimension of a probing task the states behind a model's rewards lie nearest to.

The centroids are fitted on the probing task's fit split, temperature and limit on its own rows, and the tasks'
candidates are rendered as for the model's reward. The definition is rmbench's: `rmbench.metrics.probing.centroids`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from rmbench.errors import RmbenchError
from rmbench.evaluation.compatibility import cannot_take, for_task, probes_of
from rmbench.evaluation.judging import judge_splits
from rmbench.evaluation.options import RunArguments, RunOptions
from rmbench.evaluation.progress import reporting
from rmbench.evaluation.rows import load_rows, selected_tasks
from rmbench.evaluation.run import judge_tasks
from rmbench.evaluation.workers import check_no_workers
from rmbench.models.options import checked
from rmbench.models.signature import spec_of, with_named_options

if TYPE_CHECKING:
    from rmbench.engine.judge import Progress
    from rmbench.evaluation.ensemble import Model
    from rmbench.evaluation.results import Results
    from rmbench.evaluation.session import Session
    from rmbench.metrics.probing.centroids import Centroids
    from rmbench.metrics.probing.states import States
    from rmbench.records.record import ProbingFacts
    from rmbench.tasks.task import Loaded, Task
    from rmbench.types import Judged

__all__ = ["DEFAULT_PROBES", "probe"]

DEFAULT_PROBES = "mrmbench-easy"


@with_named_options(RunOptions)
def probe(
    model: str | Path | Callable[..., Any],
    tasks: str | Path | Sequence[str | Path] = "all",
    *,
    probes: str = DEFAULT_PROBES,
    progress: bool | Progress | None = None,
    **options: Unpack[RunArguments],
) -> Results:
    """Judge every selected task as `rmbench.run` does, and read which dimension each candidate's state relies on.

    Args:
        model: as in `rmbench.run`; it has to be one with a hidden state.
        tasks: as in `rmbench.run`.
        probes: id or TOML of the probing task that the centroids are fitted on.
        progress: as in `rmbench.run`.
        options: as in `rmbench.run`; a limit is of the probing task's rows as well.

    Returns:
        The results; each record has `probing`.

    Raises:
        RmbenchError: as `rmbench.run`; `probes` names no probing task, or one whose splits are not there; a model
            without hidden states.
    """
    from rmbench.models.open import open_model

    settings = checked(RunOptions, options, "probe")
    check_no_workers(settings, "probe")
    probing = _probing_task(probes, settings)
    opened = open_model(spec_of(model), settings)
    why = cannot_take(opened, probing)
    if why:
        raise RmbenchError(f"{opened.facts.name} cannot be probed with {probing.id}: {why}.")
    with_states = for_task(opened, probing)
    fit_probe = partial(_fit_probe, probing, with_states)
    with reporting(progress) as shown:
        selected, named = selected_tasks(tasks, settings, shown.note)
        return judge_tasks(with_states, selected, named, settings, shown, fit_probe=fit_probe, probes=probing.id)


def _probing_task(name: str, settings: RunOptions) -> Task:
    from rmbench.tasks.registry import select

    tasks = select(name, settings.include_path)
    if len(tasks) != 1:
        raise RmbenchError(f"--probes {name} selects {len(tasks)} tasks, expected one.")
    if not probes_of(tasks[0]):
        raise RmbenchError(f"{tasks[0].id} is no probing task: none of its metrics is a probe.")
    return tasks[0]


def _fit_probe(task: Task, model: Model, session: Session) -> Callable[[Sequence[Judged]], ProbingFacts]:
    """Centroids of the probing task's fit split, calibrated on its own rows, as a function that reads other rows."""
    loaded = load_rows(task, session.settings)
    if not loaded.fit:
        raise RmbenchError(f"{task.id}: its fit split is not there, and the centroids are fitted on it.")
    for line in loaded.notes:
        session.progress.note(f"{task.id}: {line}")
    loaded, fit, rows, _ = judge_splits(task, loaded, model, session)
    centroids, fit_n = _centroids(task, fit, rows)
    session.progress.note(f"{task.id}: centroids of {fit_n:,} rows, held against {centroids.held_out:,}")
    return partial(_facts, task, loaded, centroids, fit_n)


def _centroids(task: Task, fit: Sequence[Judged], rows: Sequence[Judged]) -> tuple[Centroids, int]:
    """The centroids and the number of rows they are fitted on; failed rows have no state and count in neither split."""
    import numpy as np

    from rmbench.metrics.probing.centroids import fit_centroids

    fitted = [row for row in fit if _has_state(row)]
    held_out = [row for row in rows if _has_state(row)]
    dimensions = sorted({metric.dimension for metric in probes_of(task)})
    rows_of = {name: [row for row in fitted if name in row.gold.labels] for name in dimensions}
    if not held_out or not all(rows_of.values()):
        lacking = next(
            (f"fit split has no row of {name}" for name in dimensions if not rows_of[name]), "no row held out"
        )
        raise RmbenchError(f"{task.id}: {lacking} that the model has a state of; nothing can be fitted.")
    states = {name: _states(labelled) for name, labelled in rows_of.items()}
    labels = {name: np.array([row.gold.labels[name] for row in labelled]) for name, labelled in rows_of.items()}
    return fit_centroids(states, labels, held_out=_states(held_out)), len(fitted)


def _facts(task: Task, loaded: Loaded, centroids: Centroids, fit_n: int, judged: Sequence[Judged]) -> ProbingFacts:
    from rmbench.metrics.probing.centroids import DEFINITION, read
    from rmbench.records.record import ProbingFacts

    with_state = [row for row in judged if _has_state(row)]
    reading = read(centroids, _states(with_state)) if with_state else None
    return ProbingFacts(
        definition=DEFINITION,
        task=f"{task.id}@{task.version}",
        fit_digest=loaded.fit_digest,
        fit_n=fit_n,
        digest=loaded.digest,
        held_out=centroids.held_out,
        temperature=centroids.temperature,
        limit=centroids.limit,
        n=len(reading.relied_on) if reading else 0,
        shares=dict(reading.shares) if reading else {},
        low_share=reading.low_share if reading else None,
    )


def _has_state(row: Judged) -> bool:
    from rmbench.metrics.probing.probes import HIDDEN

    return row.judgment.status == "ok" and HIDDEN in row.judgment.parts


def _states(rows: Sequence[Judged]) -> States:
    """[candidates of all rows, H]."""
    import numpy as np

    from rmbench.metrics.probing.probes import HIDDEN

    return np.concatenate([np.array(row.judgment.parts[HIDDEN], dtype=np.float32) for row in rows])

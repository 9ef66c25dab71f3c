"""Inference-time probing: which dimension of a probing task the states behind a model's rewards lie nearest to.

The centroids come from the probing task's fit split, temperature and limit from its own rows, and the tasks' candidates
are read as the model sees them for its reward, by each task's own rendering. The definition is ours:
`rmbench.metrics.probing.centroids` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.evaluation.compatibility import cannot_take, for_task, probes_of
from rmbench.evaluation.options import RunOptions
from rmbench.evaluation.run import judge_all, load_rows, named_in, split_rows
from rmbench.models.options import checked

if TYPE_CHECKING:
    from rmbench.engine.judge import Progress
    from rmbench.evaluation.ensemble import Model
    from rmbench.evaluation.results import Results
    from rmbench.evaluation.session import Work
    from rmbench.metrics.probing.centroids import Centroids
    from rmbench.metrics.probing.states import States
    from rmbench.records.record import ProbingFacts
    from rmbench.tasks.task import Loaded, Task
    from rmbench.types import Judged

__all__ = ["DEFAULT_PROBES", "probe"]

DEFAULT_PROBES = "mrmbench-easy"


def probe(
    model: str | Callable[..., Any],
    tasks: str | Sequence[str] = "all",
    *,
    probes: str = DEFAULT_PROBES,
    progress: Progress | None = None,
    **options: Any,
) -> Results:
    """Judge every selected task as `rmbench.run` does, and read which dimension each candidate's state relies on.

    Args:
        model: as in `rmbench.run`; it has to be one with a hidden state.
        tasks: as in `rmbench.run`.
        probes: id or TOML of the probing task that the centroids are fitted on.
        progress: told of the work as it goes.
        options: the fields of `RunOptions`; a limit is of the probing task's rows as well.

    Returns:
        The results; each record has `probing`.

    Raises:
        RmbenchError: as `rmbench.run`; `probes` names no probing task, or one whose splits are not there; a model
            without hidden states.
    """
    from rmbench.engine.judge import SilentProgress
    from rmbench.models.open import open_model
    from rmbench.tasks.registry import select

    settings = checked(RunOptions, options, "probe")
    chosen, probing = select(tasks), _probing_task(probes)
    opened = open_model(model, settings)
    why = cannot_take(opened, probing)
    if why:
        raise RmbenchError(f"{opened.facts.name} cannot be probed with {probing.id}: {why}.")
    with_states, telling = for_task(opened, probing), progress or SilentProgress()

    def fit_reader(work: Work) -> Callable[[Sequence[Judged]], ProbingFacts]:
        return _fit_reader(probing, with_states, work)

    return judge_all(with_states, chosen, named_in(tasks), settings, telling, fit_reader)


def _probing_task(name: str) -> Task:
    from rmbench.tasks.registry import select

    found = select(name)
    if len(found) != 1:
        raise RmbenchError(f"--probes {name} selects {len(found)} tasks, expected one.")
    if not probes_of(found[0]):
        raise RmbenchError(f"{found[0].id} is no probing task: none of its metrics is a probe.")
    return found[0]


def _fit_reader(task: Task, model: Model, work: Work) -> Callable[[Sequence[Judged]], ProbingFacts]:
    """Centroids of the probing task's fit split, held against its own rows, as what reads any other rows."""
    loaded = load_rows(task, work.settings)
    if not loaded.fit:
        raise RmbenchError(f"{task.id}: its fit split is not there, and the centroids are fitted on it.")
    for line in loaded.notes:
        work.progress.note(f"{task.id}: {line}")
    loaded, fit, rows, _ = split_rows(task, loaded, model, work)
    centroids, fit_n = _centroids(task, fit, rows)
    work.progress.note(f"{task.id}: centroids of {fit_n:,} rows, held against {centroids.held_out:,}")

    def read(judged: Sequence[Judged]) -> ProbingFacts:
        return _facts(task, loaded, centroids, fit_n, judged)

    return read


def _centroids(task: Task, fit: Sequence[Judged], rows: Sequence[Judged]) -> tuple[Centroids, int]:
    """The centroids and the number of rows they are of; rows that failed have no state and count in neither split."""
    import numpy as np

    from rmbench.metrics.probing.centroids import fit_centroids

    stated = [row for row in fit if _stated(row)]
    dimensions = sorted({metric.dimension for metric in probes_of(task)})
    of = {name: [row for row in stated if name in row.gold.labels] for name in dimensions}
    held_out = [row for row in rows if _stated(row)]
    if not held_out or not all(of.values()):
        lacking = next((f"fit split has no row of {name}" for name in dimensions if not of[name]), "no row held out")
        raise RmbenchError(f"{task.id}: {lacking} that the model has a state of; nothing can be fitted.")
    states = {name: _states(found) for name, found in of.items()}
    labels = {name: np.array([row.gold.labels[name] for row in found]) for name, found in of.items()}
    return fit_centroids(states, labels, held_out=_states(held_out)), len(stated)


def _facts(task: Task, loaded: Loaded, centroids: Centroids, fit_n: int, judged: Sequence[Judged]) -> ProbingFacts:
    from rmbench.metrics.probing.centroids import DEFINITION, read
    from rmbench.records.record import ProbingFacts

    stated = [row for row in judged if _stated(row)]
    reading = read(centroids, _states(stated)) if stated else None
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


def _stated(row: Judged) -> bool:
    from rmbench.metrics.probing.probes import HIDDEN

    return row.judgment.status == "ok" and HIDDEN in row.judgment.parts


def _states(rows: Sequence[Judged]) -> States:
    """[candidates of all rows, H]."""
    import numpy as np

    from rmbench.metrics.probing.probes import HIDDEN

    return np.concatenate([np.array(row.judgment.parts[HIDDEN], dtype=np.float32) for row in rows])

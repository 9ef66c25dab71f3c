"""The session of a run: what its tasks share besides the model, released at its end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.evaluation.options import RunOptions
from rmbench.evaluation.workers import apart, check_computes, has_workers, open_workers
from rmbench.text import is_unicode

if TYPE_CHECKING:
    from rmbench.engine.helpers import Helpers
    from rmbench.engine.interfaces import Executor, Progress, ScoreCache
    from rmbench.engine.pool import Pool
    from rmbench.evaluation.ensemble import Model
    from rmbench.models.protocols import ModelFacts, Responder, Scorer
    from rmbench.records.journal import Journal

    Opener = Callable[[], Scorer | Responder]

__all__ = ["Session", "closing", "open_session", "opened_model"]


@dataclass(frozen=True, slots=True)
class Session:
    """What every task and split of a run works with."""

    settings: RunOptions
    facts: ModelFacts
    """Of the model, in the direction of the weights that the user gives its objectives."""
    folder: Path
    """Where the model's records go: `<out>/<org>__<model>@<revision>`."""
    journal: Journal
    progress: Progress
    cache: ScoreCache | None = None
    executor: Executor | None = None
    """None: in this process."""
    helpers: Helpers | None = None
    """Processes that encode; None: this one alone does."""


@contextlib.contextmanager
def open_session(
    settings: RunOptions, facts: ModelFacts, progress: Progress, opener: Opener | Pool | None = None
) -> Iterator[Session]:
    """The journal of the model's folder, the score cache and the worker processes of one run.

    Args:
        settings: whether the cache is used, and how many worker processes there are.
        facts: the model's, which name its folder and pin its journal.
        progress: where it reports.
        opener: opens the model in a worker process; or the workers, where they have opened it; None for a model that
            exists in this process alone.

    Raises:
        RmbenchError: the journal cannot be opened, or the model cannot be opened in workers.
    """
    from rmbench.engine.cache import open_cache
    from rmbench.engine.helpers import Helpers
    from rmbench.engine.pool import Pool
    from rmbench.engine.release import computed_by
    from rmbench.records.journal import Journal
    from rmbench.records.slug import model_slug

    if not is_unicode(json.dumps(asdict(facts), default=sorted, ensure_ascii=False)):
        raise RmbenchError(
            f"{facts.name!r}: what the model says of itself is no Unicode text: it holds a lone surrogate."
        )
    folder = settings.out / model_slug(facts.name, facts.revision)
    with contextlib.ExitStack() as stack:
        pinned = {"model": facts.fingerprint, "seed": str(settings.seed), **computed_by()}
        journal = stack.enter_context(Journal.open(folder, pinned))
        cache = stack.enter_context(open_cache(use=settings.cache, note=progress.note))
        executor = opener if isinstance(opener, Pool) else None
        if has_workers(settings) and not isinstance(opener, Pool):
            executor = stack.enter_context(open_workers(settings, opener, facts, progress.note))
        helpers = stack.enter_context(Helpers(progress.note))
        yield Session(settings, facts, folder, journal, progress, cache, executor, helpers)


@contextlib.contextmanager
def opened_model(
    spec: str | Callable[..., Any] | Scorer | Responder, settings: RunOptions, note: Callable[[str], None]
) -> Iterator[tuple[Model, Opener | Pool | None]]:
    """A model or an ensemble, closed at the end where it was opened here, and what opens it again in a worker process:
    None for what a worker cannot open. Where workers compute and this process needs no weights, they alone open it, and
    are given instead."""
    from rmbench.evaluation.ensemble import is_ensemble, open_ensemble
    from rmbench.models.locate import locate
    from rmbench.models.open import open_model, opens_apart

    noted = replace(settings, note=note)
    # A partial, since it goes to processes.
    opener = partial(open_model, spec, settings) if isinstance(spec, str) and not is_ensemble(spec) else None
    with contextlib.ExitStack() as stack:
        workers: Opener | Pool | None = opener
        if isinstance(spec, str) and opener is not None and has_workers(settings):
            found = locate(spec, noted)  # of the hub it is fetched once, before workers look for it
            workers = pool = stack.enter_context(open_workers(settings, opener, None, note))
            if opens_apart(found, noted) and (whole := apart(pool)) is not None:
                yield whole, pool
                return
        model: Model = open_ensemble(spec, noted) if is_ensemble(spec) else open_model(spec, noted)
        stack.enter_context(closing(model, owned=isinstance(spec, str)))
        check_computes(settings, model)
        yield model, workers


@contextlib.contextmanager
def closing(model: Model, *, owned: bool) -> Iterator[None]:
    """Close the connections and servers of an `owned` model at the end, Ctrl-C included; others are their maker's."""
    from rmbench.evaluation.ensemble import members_of
    from rmbench.models.abilities import Closable

    try:
        yield
    finally:
        for member in members_of(model) if owned else ():
            if isinstance(member, Closable):
                member.close()

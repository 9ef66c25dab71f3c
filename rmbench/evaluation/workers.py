"""The workers of a run: where they are, how many, and what each has."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rmbench.errors import RmbenchError
from rmbench.evaluation.options import RunOptions

if TYPE_CHECKING:
    from rmbench.engine.fleet import Fleet
    from rmbench.engine.pool import Pool
    from rmbench.models.protocols import ModelFacts, Responder, Scorer
    from rmbench.types import Setting

    Opener = Callable[[], Scorer | Responder]

__all__ = ["check_workers", "gpus_of_workers", "has_workers", "open_workers", "worker_facts"]


def has_workers(settings: RunOptions) -> bool:
    """Whether anything but this process computes."""
    return settings.workers > 1 or settings.executor == "ray"


def check_workers(settings: RunOptions) -> None:
    """Raise RmbenchError for options of workers that do not go together."""
    if settings.ray_address is not None and settings.executor != "ray":
        raise RmbenchError("--ray-address goes with --executor ray.")


def worker_facts(settings: RunOptions) -> dict[str, Setting]:
    """How the work was spread, for the record; nothing where this process alone computed, on one device."""
    if not has_workers(settings):
        each = settings.gpus_per_worker or 1
        return {"gpus_per_worker": each} if each > 1 else {}
    facts: dict[str, Setting] = {"executor": settings.executor, "workers": settings.workers}
    asked = {"gpus_per_worker": settings.gpus_per_worker, "cpus_per_worker": settings.cpus_per_worker}
    return facts | {name: count for name, count in asked.items() if count is not None}


def open_workers(settings: RunOptions, opener: Opener | None, facts: ModelFacts, note: Callable[[str], None]) -> Pool:
    """A pool whose workers start in its `with`.

    Args:
        settings: of the run.
        opener: opens the model in a worker; None where a worker cannot.
        facts: of the model that is open in this process.
        note: takes lines for the user.

    Raises:
        RmbenchError: the model cannot be opened in workers; Ray is not there, or has not what is asked of it.
    """
    from rmbench.engine.pool import Pool

    if opener is None:
        raise RmbenchError("--workers: each worker opens the model itself, so it must be a name.")
    fleet: Fleet
    if settings.executor == "ray":
        from rmbench.engine.fleet_ray import RayFleet

        address, gpus, cpus = settings.ray_address, settings.gpus_per_worker, settings.cpus_per_worker
        fleet = RayFleet(opener, settings.workers, address, gpus, cpus)
    else:
        from rmbench.engine.fleet_processes import ProcessFleet

        fleet = ProcessFleet(opener, settings.workers, settings.cpus_per_worker, _gpus(settings, facts, note))
    return Pool(fleet, settings.workers, note)


def _gpus(settings: RunOptions, facts: ModelFacts, note: Callable[[str], None]) -> list[str]:
    """CUDA_VISIBLE_DEVICES of each worker process; [] where the model is on no GPU, or on one that the user named."""
    on_gpu = str(facts.settings.get("device", "")).startswith("cuda") and settings.device in ("auto", "cuda")
    if not on_gpu or settings.gpus_per_worker == 0:
        return []
    each, present = settings.gpus_per_worker or 1, visible_gpus()
    if settings.workers * each > len(present):
        note(f"{settings.workers} workers of {each} GPUs each share the {len(present)} GPUs of this machine")
    return gpus_of_workers(present, settings.workers, each)


def visible_gpus() -> list[str]:
    """The GPUs of this process, as CUDA_VISIBLE_DEVICES names them."""
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named or list(map(str, range(sys.modules["torch"].cuda.device_count())))


def gpus_of_workers(present: Sequence[str], workers: int, each: int) -> list[str]:
    """The GPUs of each worker; where there are too few, workers share them in turn.

    Args:
        present: the GPUs by name.
        workers: how many workers.
        each: GPUs of a worker.

    Raises:
        RmbenchError: one worker asks for more than there are.
    """
    if each > len(present):
        raise RmbenchError(f"--gpus-per-worker {each}: this machine has {len(present)} GPUs.")
    places = len(present) // each
    return [",".join(present[place * each : (place + 1) * each]) for place in (k % places for k in range(workers))]

"""The workers of a run: where they are, how many, and what each has."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rmbench.errors import RmbenchError
from rmbench.evaluation.options import RunOptions

if TYPE_CHECKING:
    from rmbench.engine.apart import ApartScorer
    from rmbench.engine.fleet import Fleet
    from rmbench.engine.pool import Pool
    from rmbench.evaluation.ensemble import Model
    from rmbench.models.protocols import ModelFacts, Responder, Scorer
    from rmbench.types import Setting

    Opener = Callable[[], Scorer | Responder]

__all__ = [
    "apart",
    "asked_for_workers",
    "check_computes",
    "check_no_workers",
    "check_workers",
    "gpus_of_workers",
    "has_workers",
    "open_workers",
    "worker_facts",
]


def has_workers(settings: RunOptions) -> bool:
    """Whether anything but this process computes."""
    return settings.workers > 1 or settings.tensor_parallel > 1 or settings.executor == "ray"


def asked_for_workers(settings: RunOptions) -> str:
    """The option by which the user asked for workers, for messages."""
    if settings.workers > 1:
        return "--workers"
    return "--executor ray" if settings.executor == "ray" else "--tensor-parallel"


def check_workers(settings: RunOptions, model: object) -> None:
    """Raise RmbenchError for options of workers that do not go together, or that would do nothing for the model."""
    from rmbench.evaluation.ensemble import is_ensemble
    from rmbench.models.open import check_gpus

    _check_use(settings, model)
    if not is_ensemble(model):
        check_gpus(model, settings)
    if settings.ray_address is not None and settings.executor != "ray":
        raise RmbenchError("--ray-address goes with --executor ray.")
    if settings.tensor_parallel == 1:
        return
    if settings.executor == "ray":
        raise RmbenchError(
            "--tensor-parallel goes with --executor processes: its processes are of one machine. On a cluster, start a "
            "run on each machine, with --shard."
        )
    if settings.gpus_per_worker not in (None, settings.tensor_parallel):
        raise RmbenchError(
            f"--tensor-parallel {settings.tensor_parallel} takes as many GPUs for each worker; --gpus-per-worker "
            f"{settings.gpus_per_worker} says otherwise."
        )


def check_no_workers(settings: RunOptions, caller: str) -> None:
    """Raise RmbenchError for an option of workers where this process alone computes."""
    for name in ("workers", "tensor_parallel", "executor", "ray_address", "cpus_per_worker"):
        if getattr(settings, name) != getattr(RunOptions(), name):
            raise RmbenchError(f"{caller}() has no option {name!r}: it computes in this process.")


def _check_use(settings: RunOptions, model: object) -> None:
    """Raise RmbenchError where workers are asked for and have nothing to compute, or are not and have options."""
    from rmbench.evaluation.ensemble import is_ensemble
    from rmbench.models.locate import has_weights, is_external

    if not has_workers(settings):
        if settings.cpus_per_worker is not None:
            raise RmbenchError("--cpus-per-worker goes with --workers, --tensor-parallel or --executor ray.")
        return
    asked = asked_for_workers(settings)
    if not isinstance(model, str):
        raise RmbenchError(f"{asked}: each worker opens the model itself, so it must be a name.")
    if is_external(model):
        raise RmbenchError(
            f"{asked}: {model} is computed elsewhere; judges take --window, the requests under way at a time."
        )
    if is_ensemble(model):
        raise RmbenchError(
            f"{asked}: the members of an ensemble are open in this process. Run each of them with {asked}, and combine "
            "the folders of their records: --model ensemble:FOLDER,FOLDER."
        )
    if not has_weights(model):
        raise RmbenchError(f"{asked}: {model} has no weights, so workers would have nothing to compute; leave it out.")


def check_computes(settings: RunOptions, model: Model) -> None:
    """Raise RmbenchError for workers of an opened model that answers rows itself, so that there are no batches."""
    from rmbench.models.protocols import Responder

    if has_workers(settings) and isinstance(model, Responder):
        facts = model.facts
        raise RmbenchError(
            f"{asked_for_workers(settings)}: {facts.name} ({facts.family}) answers rows one by one in one process; "
            "--shard shares them out among several."
        )


def worker_facts(settings: RunOptions) -> dict[str, Setting]:
    """How the work was spread, for the record; nothing where this process alone computed, on one device."""
    if not has_workers(settings):
        each = settings.gpus_per_worker or 1
        return {"gpus_per_worker": each} if each > 1 else {}
    facts: dict[str, Setting] = {"executor": settings.executor, "workers": settings.workers}
    if settings.tensor_parallel > 1:
        facts["tensor_parallel"] = settings.tensor_parallel
    asked = {"gpus_per_worker": settings.gpus_per_worker, "cpus_per_worker": settings.cpus_per_worker}
    return facts | {name: count for name, count in asked.items() if count is not None}


def open_workers(
    settings: RunOptions, opener: Opener | None, facts: ModelFacts | None, note: Callable[[str], None]
) -> Pool:
    """A pool whose workers start in its `with`.

    Args:
        settings: of the run.
        opener: opens the model in a worker; None where a worker cannot.
        facts: of the model that is open in this process; None: workers alone open it.
        note: takes lines for the user.

    Raises:
        RmbenchError: the model cannot be opened in workers; Ray is not there, or has not what is asked of it.
    """
    from rmbench.engine.pool import Pool

    if opener is None:
        raise RmbenchError(f"{asked_for_workers(settings)}: each worker opens the model itself, so it must be a name.")
    fleet: Fleet
    if settings.executor == "ray":
        from rmbench.engine.fleet_ray import RayFleet

        address, gpus, cpus = settings.ray_address, settings.gpus_per_worker, settings.cpus_per_worker
        fleet = RayFleet(opener, settings.workers, address, gpus, cpus)
    else:
        from rmbench.engine.fleet_processes import ProcessFleet

        seen, ranks = _gpus(settings, note) if _on_gpu(settings, facts) else [], settings.tensor_parallel
        fleet = started = ProcessFleet(
            opener, settings.workers * ranks, settings.cpus_per_worker, seen if ranks == 1 else ()
        )
        if ranks > 1:
            from rmbench.engine.fleet_ranks import RankFleet

            fleet = RankFleet(started, ranks, seen or [""])  # none is seen where none is used, or the library takes it
    return Pool(fleet, settings.workers, note)


def apart(pool: Pool) -> ApartScorer | None:
    """The model of a pool's workers without its weights, for this process, once the first has opened it; None for a
    model that this process must open as well.

    Raises:
        RmbenchError: no worker can open the model, in the words of `open_model`.
    """
    from rmbench.engine.apart import Question

    packed = pool.ask(Question("apart"))
    if packed is None:
        return None
    try:
        model: ApartScorer = pickle.loads(packed)  # noqa: S301 (of a worker, with which this process talks in pickles)
    except Exception:  # code of the checkpoint that is not on this machine
        return None
    return replace(model, ask=pool.ask)


def _on_gpu(settings: RunOptions, facts: ModelFacts | None) -> bool:
    """Whether each worker process gets GPUs of its own; not where the model is on none, or on one that the user
    named."""
    if settings.device not in ("auto", "cuda") or settings.gpus_per_worker == 0:
        return False
    return bool(visible_gpus()) if facts is None else str(facts.settings.get("device", "")).startswith("cuda")


def _gpus(settings: RunOptions, note: Callable[[str], None]) -> list[str]:
    """CUDA_VISIBLE_DEVICES of each worker process."""
    each, present = max(settings.gpus_per_worker or 1, settings.tensor_parallel), visible_gpus()
    if settings.workers * each > len(present):
        note(f"{settings.workers} workers of {each} GPUs each share the {len(present)} GPUs of this machine")
    return gpus_of_workers(present, settings.workers, each)


def visible_gpus() -> list[str]:
    """The GPUs of this process, as CUDA_VISIBLE_DEVICES names them."""
    from torch.cuda import device_count

    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named or list(map(str, range(device_count())))


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

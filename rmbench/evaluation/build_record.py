"""The record of a judged task: provenance, counts, flags and values."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from rmbench.records.derived import counts_of, flag_partial
from rmbench.records.record import ModelRecord, Record

if TYPE_CHECKING:
    from pathlib import Path

    from rmbench.engine.judge import Judging
    from rmbench.evaluation.options import RunOptions
    from rmbench.models.protocols import ModelFacts
    from rmbench.records.identity import Identity
    from rmbench.tasks.task import Loaded, Task
    from rmbench.types import Value

__all__ = ["Stopwatch", "data_digest", "identity_of", "make_record", "now", "versions"]

_LIBRARIES = (
    "rmbench",
    "numpy",
    "scipy",
    "torch",
    "transformers",
    "tokenizers",
    "open_clip_torch",
    "diffusers",
    "peft",
    "gguf",
    "bitsandbytes",
)


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """When something began, by the calendar and by a clock that no change of the time of day moves."""

    started: datetime = field(default_factory=now)
    _ticks: float = field(default_factory=time.monotonic)

    def times(self) -> dict[str, Any]:
        """A record's start, end (now) and seconds."""
        return {
            "started": self.started.isoformat(timespec="seconds"),
            "finished": now().isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._ticks, 3),
        }


def make_record(
    task: Task,
    loaded: Loaded,
    facts: ModelFacts,
    judging: Judging,
    values: Sequence[Value],
    settings: RunOptions,
    watch: Stopwatch,
) -> Record:
    """The record of one task, complete but for the digest of its judgments, which the store fills in."""
    from rmbench.metrics.judging.intransitive import intransitive
    from rmbench.metrics.judging.position_bias import orders

    judgments = judging.judgments
    failed = [{"id": judgment.id, "why": judgment.error} for judgment in judgments if judgment.status == "failed"]
    return Record.model_validate(
        {
            "task": task,
            "model": _model(facts, settings.out),
            "data": _data(task, loaded, settings),
            "run": _run(judging, settings, watch),
            "counts": counts_of([example.gold for example in loaded.examples], judgments),
            "flags": _flags(task, loaded, facts, bool(failed)),
            "results": flag_partial(values, loaded.missing),
            "failed": failed,
            "judgments": {"file": "judgments.parquet", "sha256": "", "rows": len(judgments)},
            "intransitive": intransitive(judgments),
            "orders": orders(judgments),
            "ensemble": _ensemble(judging),
        }
    )


def _model(facts: ModelFacts, out: Path) -> ModelRecord:
    """The model's facts, with the outcome of the last check of this very model, where there is one."""
    from rmbench.records.check_mark import read_mark
    from rmbench.records.slug import model_slug

    check = read_mark(out / model_slug(facts.name, facts.revision), facts.fingerprint)
    return ModelRecord.model_validate(facts).model_copy(update={"check": check})


def _data(task: Task, loaded: Loaded, settings: RunOptions) -> dict[str, Any]:
    return {
        "source": loaded.source,
        "hub": task.hub,
        "revision": task.hub_revision if loaded.source == "hub" else None,
        "digest": data_digest(loaded),
        "rows_digest": loaded.digest,
        "media": loaded.media,
        "asked": loaded.asked,
        "files": loaded.files,
        "missing": loaded.missing,
        "excluded": loaded.excluded,
        "limit": settings.limit,
        "rows": len(loaded.examples),
    }


def data_digest(loaded: Loaded) -> str:
    """sha256 over ids, texts and, where there are any at hand, media."""
    from rmbench.records.digest import digest_of

    media, rows = loaded.media, loaded.texts_digest or loaded.digest
    return rows if media is None or not media.files else digest_of([rows, media.digest])


def identity_of(task: Task, loaded: Loaded, facts: ModelFacts, settings: RunOptions, probes: str = "") -> Identity:
    """What the record of a task will be the result of, before anything is judged; `probes` as in `data_variant`."""
    from rmbench.records.identity import Identity, data_variant

    media = loaded.media
    variant = data_variant(
        source=loaded.source,
        limit=settings.limit,
        seed=settings.seed,
        images=media.folder if media else None,
        media=media.digest if media else "",
        probes=probes,
    )
    metric = json.dumps(asdict(task.metrics[0]), sort_keys=True)
    return Identity(
        facts.name, facts.revision, facts.settings, task.id, task.version, metric, data_digest(loaded), variant
    )


def _run(judging: Judging, settings: RunOptions, watch: Stopwatch) -> dict[str, Any]:
    from rmbench.evaluation.workers import worker_facts
    from rmbench.records.digest import clean_command

    return {
        "command": clean_command(settings.command),
        "seed": settings.seed,
        **watch.times(),
        "resumed": judging.halved and judging.resumed_batches > 0,
        "reused": judging.reused(),
        "engine": {**judging.facts(), **worker_facts(settings)},
        "versions": versions(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Versions of Python, rmbench, and the libraries that are loaded in this process."""
    loaded = [name for name in _LIBRARIES if name.removesuffix("_torch") in sys.modules]
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in loaded}


def _ensemble(judging: Judging) -> dict[str, Any] | None:
    """How far the members of an ensemble agree."""
    from rmbench.evaluation.ensemble import Combined

    if not isinstance(judging, Combined) or judging.agreement is None:
        return None
    agreement = judging.agreement
    each = zip(judging.names, agreement.ensemble, agreement.between, strict=True)
    members = [{"name": name, "agrees": agrees, "alike": alike} for name, agrees, alike in each]
    return {"pairs": agreement.pairs, "members": members}


def _flags(task: Task, loaded: Loaded, facts: ModelFacts, failed: bool) -> list[str]:
    names = {task.id, *task.aliases}
    marks = {
        "sample": loaded.source == "sample",
        "partial": bool(loaded.missing),
        "limited": loaded.limit is not None and loaded.limit < loaded.total,
        "contaminated": bool(names & set(facts.trained_on)),
        "failed_rows": failed,
        "unverified": not task.verified,
    }
    return sorted({name for name, holds in marks.items() if holds} | set(facts.flags))

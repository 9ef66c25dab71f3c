"""From what a run knows to the record it leaves: provenance, counts and flags."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from rmbench.records.record import (
    Counts,
    DataFacts,
    DataFile,
    EnsembleFacts,
    Excluded,
    FailedRow,
    IntransitiveFacts,
    JudgmentsFile,
    MemberFacts,
    ModelRecord,
    OrderFacts,
    Record,
    RunFacts,
    TaskRecord,
    ValueRecord,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rmbench.engine.judge import Judging
    from rmbench.evaluation.options import RunOptions
    from rmbench.models.protocols import ModelFacts
    from rmbench.tasks.task import Loaded, Task
    from rmbench.types import Gold, Judgment, Value

__all__ = ["counts_of", "make_record", "now", "task_record", "value_record", "versions"]

_LIBRARIES = ("rmbench", "numpy", "scipy", "torch", "transformers", "tokenizers", "open_clip_torch")


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


def make_record(
    task: Task,
    loaded: Loaded,
    facts: ModelFacts,
    judging: Judging,
    values: Sequence[Value],
    settings: RunOptions,
    started: datetime,
) -> Record:
    """The record of one task, complete but for the digest of its judgments, which the store fills in."""
    failed = [judgment for judgment in judging.judgments if judgment.status == "failed"]
    return Record(
        task=task_record(task),
        model=_model(facts, settings.out),
        data=_data(task, loaded, settings),
        run=_run(judging, settings, started),
        counts=counts_of([example.gold for example in loaded.examples], judging.judgments),
        flags=_flags(task, loaded, facts, bool(failed)),
        results=[value_record(value) for value in values],
        failed=[FailedRow(id=judgment.id, why=judgment.error) for judgment in failed],
        judgments=JudgmentsFile(file="judgments.parquet", sha256="", rows=len(judging.judgments)),
        intransitive=_intransitive(judging.judgments),
        orders=_orders(judging.judgments),
        ensemble=_ensemble(judging),
    )


def task_record(task: Task) -> TaskRecord:
    """The task's facts as a record holds them."""
    return TaskRecord(
        id=task.id,
        version=task.version,
        family=task.family,
        modality=task.modality,
        shape=task.shape,
        title=task.title,
        paper=task.paper,
        license=task.license,
        verified=task.verified,
        official=task.official,
        render=task.render,
        n=task.n,
        metrics=[_plain(asdict(metric)) for metric in task.metrics],
        digest=task.digest,
    )


def _plain(value: Any) -> Any:
    """Tuples as lists, so that a record equals itself after a trip through JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _model(facts: ModelFacts, out: Path) -> ModelRecord:
    """The model's facts, with what the last check of this very model said, where there is one."""
    from rmbench.records.check_mark import read_mark
    from rmbench.records.slug import model_slug

    return ModelRecord(
        name=facts.name,
        revision=facts.revision,
        family=facts.family,
        why=facts.why,
        answer_kind=facts.answer_kind,
        modalities=sorted(facts.modalities),
        parameters=facts.parameters,
        license=facts.license,
        trained_on=list(facts.trained_on),
        flags=list(facts.flags),
        settings=dict(facts.settings),
        fingerprint=facts.fingerprint,
        check=read_mark(out / model_slug(facts.name, facts.revision), facts.fingerprint),
    )


def _data(task: Task, loaded: Loaded, settings: RunOptions) -> DataFacts:
    return DataFacts(
        source=loaded.source,
        hub=task.hub,
        revision=task.hub_revision if loaded.source == "hub" else None,
        digest=loaded.digest,
        files=[DataFile(name=file.name, sha256=file.sha256, rows=file.rows) for file in loaded.files],
        missing=list(loaded.missing),
        excluded=[Excluded(id=row.id, why=row.why) for row in loaded.excluded],
        limit=settings.limit,
        rows=len(loaded.examples),
    )


def _run(judging: Judging, settings: RunOptions, started: datetime) -> RunFacts:
    from rmbench.records.digest import clean_command

    finished = now()
    return RunFacts(
        command=clean_command(settings.command),
        seed=settings.seed,
        started=started.isoformat(timespec="seconds"),
        finished=finished.isoformat(timespec="seconds"),
        seconds=round((finished - started).total_seconds(), 3),
        resumed=judging.halved and judging.resumed_batches > 0,
        engine=judging.facts(),
        versions=versions(),
        platform=f"{platform.system()} {platform.machine()}",
    )


def versions() -> dict[str, str]:
    """Versions of Python, of the libraries that were loaded in this process, and our own."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        module = name.removesuffix("_torch")
        if module in sys.modules:
            found[name] = metadata.version(name)
    return found


def counts_of(golds: Sequence[Gold], judgments: Sequence[Judgment]) -> Counts:
    """How rows ended, from what people said of each and what the model said."""
    ok = [judgment.status == "ok" for judgment in judgments]
    ties = 0
    for gold, judgment in zip(golds, judgments, strict=True):
        rewards, margins = judgment.rewards, judgment.directed
        if rewards is not None:
            ties += sum(rewards[edge.i] == rewards[edge.j] for edge in gold.relation)
        elif margins is not None:
            ties += sum(margins[edge.i][edge.j] == margins[edge.j][edge.i] for edge in gold.relation)
    return Counts(
        judged=sum(ok),
        failed=sum(judgment.status == "failed" for judgment in judgments),
        unparsed=sum(judgment.status == "unparsed" for judgment in judgments),
        truncated=sum(any(judgment.truncated) for judgment in judgments),
        ties=ties,
    )


def _intransitive(judgments: Sequence[Judgment]) -> IntransitiveFacts | None:
    """How often the model's margins go round in a circle."""
    from rmbench.metrics.judging.intransitive import intransitive

    found = intransitive(judgments)
    return None if found is None else IntransitiveFacts(cyclic=found.cyclic, total=found.total, rows=found.rows)


def _orders(judgments: Sequence[Judgment]) -> OrderFacts | None:
    """How often a model that reads pairs says the same in both orders."""
    from rmbench.metrics.judging.position_bias import orders

    found = orders(judgments)
    return None if found is None else OrderFacts(**asdict(found))


def _ensemble(judging: Judging) -> EnsembleFacts | None:
    """How far the members of an ensemble agree."""
    from rmbench.evaluation.ensemble import Combined

    if not isinstance(judging, Combined) or judging.agreement is None:
        return None
    found = judging.agreement
    each = zip(judging.names, found.ensemble, found.between, strict=True)
    members = [MemberFacts(name=name, agrees=agrees, alike=list(alike)) for name, agrees, alike in each]
    return EnsembleFacts(pairs=found.pairs, members=members)


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
    return sorted({name for name, there in marks.items() if there} | set(facts.flags))


def value_record(value: Value) -> ValueRecord:
    """A value as a record holds it."""
    return ValueRecord(
        metric=value.metric,
        group=value.group,
        value=value.value,
        low=value.low,
        high=value.high,
        n=value.n,
        comparisons=value.comparisons,
        coverage=value.coverage,
        chance=value.chance,
        flags=list(value.flags),
        interval=value.interval,
    )

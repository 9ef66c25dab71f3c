"""A run, from top to bottom: select tasks, open the model, load rows, judge, measure, write a record per task."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from rmbench.errors import RmbenchError
from rmbench.evaluation.all_failed import AllFailedError, NothingMeasuredError
from rmbench.evaluation.compatibility import for_task, with_judge_credit, with_voting, without_states
from rmbench.evaluation.existing import known_judgments, other_result
from rmbench.evaluation.judge_files import write_requests
from rmbench.evaluation.judging import judge_rows, judge_splits, with_reply_cache
from rmbench.evaluation.objectives import facts_in_direction
from rmbench.evaluation.options import RunArguments, RunOptions
from rmbench.evaluation.progress import reporting
from rmbench.evaluation.reasons import reasons_of
from rmbench.evaluation.results import Results, Skipped
from rmbench.evaluation.rows import load_tasks, selected_tasks
from rmbench.evaluation.session import Session, open_session, opened_model
from rmbench.evaluation.shards import check_shard, shard_rows
from rmbench.evaluation.workers import check_workers
from rmbench.models.options import checked
from rmbench.models.signature import spec_of, with_named_options
from rmbench.text import printable

if TYPE_CHECKING:
    from rmbench.engine.judge import Progress
    from rmbench.engine.pool import Pool
    from rmbench.evaluation.build_record import Stopwatch
    from rmbench.evaluation.ensemble import Model
    from rmbench.models.protocols import Responder, Scorer
    from rmbench.records.identity import Identity
    from rmbench.records.record import ProbingFacts, Record
    from rmbench.tasks.task import Loaded, Task
    from rmbench.types import Judged, Judgment

    Probe = Callable[[Sequence[Judged]], ProbingFacts]

__all__ = ["judge_tasks", "run"]


@with_named_options(RunOptions)
def run(
    model: str | Path | Callable[..., Any] | Scorer | Responder,
    tasks: str | Path | Sequence[str | Path] | None = None,
    *,
    progress: bool | Progress | None = None,
    **options: Unpack[RunArguments],
) -> Results:
    """Judge every selected task with one model and write a record for each.

    Args:
        model: a hub id `org/name[@revision]`, a folder, a bundled model, a card's name, `scores:FILE`, `baseline:...`,
            `fake:...`, `openai:NAME`, `vllm:MODEL`, `served:MODEL`, `judge-file:FILE`, `ensemble:A,B,...` of these or
            of folders of records, or a callable that takes a list of conversations (lists of {"role", "content"}) and
            returns one reward each; `name` is what it is called.
        tasks: ids, globs, `all`, `family=...`, `modality=...`, TOML files; a list or one comma-separated string. None:
            rows of your own in `data` alone, or all tasks where there is no `data`.
        progress: True: a bar on stderr, in a notebook in its cell; lines of text where stderr is no terminal. None:
            the bar, and nothing where stderr is no terminal, as in a CI log. False: nothing.
        options: what to judge and how, as on the command line, each a keyword argument.

    Returns:
        The results, one record per task, in the order of the tasks.

    Raises:
        RmbenchError: bad arguments, declarations or files; nothing is half-written. A model that fails on every row of
            a named task, or of every task, for one reason; a callable that fails on every row.
    """
    spec = spec_of(model)
    settings = checked(RunOptions, options, "run")
    check_workers(settings, spec)
    with reporting(progress) as shown:
        selected, named = selected_tasks(tasks, settings, shown.note)
        results = _run(spec, selected, named, settings, shown)
    if callable(spec):
        _refuse_failing(results)
    return replace(results, source=", ".join(settings.data)) if tasks is None and settings.data else results


def _run(
    model: str | Callable[..., Any] | Scorer | Responder,
    tasks: Sequence[Task],
    named: Container[str],
    settings: RunOptions,
    progress: Progress,
) -> Results:
    """Open the model, judge the tasks or write their questions, and close it."""
    with opened_model(model, settings, progress.note) as (opened, opener):
        if settings.requests_out is not None:
            return write_requests(opened, tasks, named, settings, settings.requests_out, progress)
        return judge_tasks(opened, tasks, named, settings, progress, opener=opener)


def _refuse_failing(results: Results) -> None:
    """A callable that failed on every row of every task is at fault itself, whatever the reasons. Records are written
    all the same; a model opened by name keeps them without an error, so that a gate can call it broken."""
    rows = sum(record.data.rows for record in results.records)
    if rows and sum(record.counts.failed for record in results.records) == rows:
        first = results.records[0].failed[0]
        raise RmbenchError(f"{results.model} failed on all {rows} rows; the first, {first.id}: {first.why}")


def judge_tasks(
    model: Model,
    tasks: Sequence[Task],
    named: Container[str],
    settings: RunOptions,
    progress: Progress,
    *,
    fit_probe: Callable[[Session], Probe] | None = None,
    probes: str = "",
    opener: Callable[[], Scorer | Responder] | Pool | None = None,
    rows: Sequence[tuple[Task, Loaded]] | None = None,
) -> Results:
    """Judge the tasks with an opened model. Those whose id is `named` must not be skipped, for want of files or
    because every row failed.

    `fit_probe` is called once, before the tasks; what it returns reads each task's rows, hidden states included, and
    `probes` is the id of its task.
    `opener` opens the model again in a worker process, or is the workers that have.
    `rows` are the tasks that `load_tasks` loaded before, in place of `tasks`.
    """
    from rmbench.evaluation.build_record import identity_of
    from rmbench.records.shards import shard_identity

    facts = facts_in_direction(model.facts, settings.objective_weights)
    check_shard(facts, settings)
    given = {key: printable(str(value)) for key, value in facts.settings.items() if value is not None}
    resolved = ", ".join(f"{key}={value}" for key, value in given.items())
    progress.note(f"{facts.name}@{facts.revision}: {facts.family} ({facts.why})")
    if resolved:
        progress.note(resolved)
    records: list[Record] = []
    skipped: list[Skipped] = []
    reasons: dict[str, str] = {}
    with open_session(settings, facts, progress, opener) as session:
        probe = fit_probe(session) if fit_probe else None
        model = with_reply_cache(model, session.journal)
        for task, loaded in load_tasks(model, tasks, named, settings, skipped) if rows is None else rows:
            identity = identity_of(with_judge_credit(task, facts), loaded, facts, settings, probes)
            if settings.shard is not None:
                identity = shard_identity(identity, settings.shard)
            why = "" if settings.overwrite else other_result(identity, settings.out)
            if why and task.id in named:
                raise RmbenchError(f"{task.id}: {why}")
            if why:
                skipped.append(Skipped(task.id, why))
                continue
            for line in loaded.notes:
                progress.note(f"{task.id}: {line}")
            try:
                record, why = _judge_task(task, loaded, for_task(model, task), session, identity, probe)
            except AllFailedError as error:
                if task.id in named:
                    raise
                skipped.append(Skipped(task.id, error.why, error.rows))
                continue
            records.append(record)
            reasons |= {task.id: why} if why else {}
        if not records and skipped:
            raise _no_task(skipped)
        session.journal.release()
    progress.end()
    tokens, cost = _spent(model)
    return Results(
        facts.name,
        settings.source,
        tuple(records),
        tuple(skipped),
        str(session.folder),
        reasons,
        tokens,
        cost,
        settings.shard,
    )


def _spent(model: Model) -> tuple[int, float | None]:
    """Tokens that the model's replies took, and their cost where prices are known."""
    from rmbench.evaluation.ensemble import members_of
    from rmbench.models.abilities import Metered

    spent = [member.spent() for member in members_of(model) if isinstance(member, Metered)]
    costs = [cost for _, cost in spent if cost is not None]
    return sum(tokens for tokens, _ in spent), sum(costs) if costs else None


def _no_task(skipped: Sequence[Skipped]) -> RmbenchError:
    failed = any(each.failed_rows or each.missed for each in skipped)
    kind = NothingMeasuredError if failed else RmbenchError
    return kind("no task could be run:\n" + "\n".join(f"  {each.task}: {each.why}" for each in skipped))


def _judge_task(
    task: Task, loaded: Loaded, model: Model, session: Session, identity: Identity, probe: Probe | None
) -> tuple[Record, str]:
    """One task, from its rows to its written record, and why rows of it have no verdict."""
    from rmbench.evaluation.build_record import Stopwatch, make_record
    from rmbench.evaluation.measuring import measured
    from rmbench.records.store import write

    watch, settings, facts = Stopwatch(), session.settings, model.facts
    task = with_judge_credit(task, facts)
    known = known_judgments(identity, session.facts, session)
    if settings.shard is not None:
        return _judge_shard(task, loaded, model, session, known, watch)
    loaded, fit, rows, judging = judge_splits(task, loaded, model, session, known)
    _note_unused_scores(task, model, session.progress)
    rows = _with_prompts(task, loaded, model, session, rows)
    recorded = with_voting(session.facts, task, rows)
    totals: dict[str | None, int] = {None: loaded.total}
    totals.update(loaded.known_totals)
    values, credits_ = measured(rows, fit, task.metrics, recorded.settings, facts.answer_kind, totals, settings.seed)
    record = make_record(task, loaded, recorded, judging, values, settings, watch)
    if probe is not None:
        record = record.model_copy(update={"probing": probe(rows)})
    return write(settings.out, record, [without_states(row) for row in rows], credits_), reasons_of(
        rows, judging.remarks
    )


def _judge_shard(
    task: Task, loaded: Loaded, model: Model, session: Session, known: Mapping[str, Judgment], watch: Stopwatch
) -> tuple[Record, str]:
    """The rows of a shard, judged and kept as they are, and why rows of it have no verdict. Values, exclusions for
    length and the question whether all failed wait for `rmbench merge`."""
    from rmbench.evaluation.build_record import make_record
    from rmbench.records.shards import Shard, write_shard

    settings = session.settings
    assert settings.shard is not None
    loaded, part = shard_rows(task, loaded, settings.shard)
    fit, rows, judging = judge_rows(task, loaded, model, session, known)
    rows = _with_prompts(task, loaded, model, session, rows)
    record = make_record(task, loaded, session.facts, judging, (), settings, watch)
    record = record.model_copy(update={"flags": sorted({*record.flags, "partial"})})
    shard = write_shard(settings.out, Shard(shard=part, record=record), rows, fit)
    return shard.record, reasons_of(rows, judging.remarks)


def _with_prompts(task: Task, loaded: Loaded, model: Model, session: Session, rows: list[Judged]) -> list[Judged]:
    """The rows, each with the digest of what the model reads of it where the user wants that kept."""
    from rmbench.evaluation.prompts import prompt_digests

    if not session.settings.save_prompts:
        return rows
    digests = prompt_digests(model, task.id, loaded.examples, task.render)
    return [replace(row, prompt_sha256=digests.get(row.id, "")) for row in rows]


def _note_unused_scores(task: Task, model: Model, progress: Progress) -> None:
    """A note on scores in a file whose ids are not among the task's rows."""
    from rmbench.evaluation.ensemble import members_of
    from rmbench.models.scores.scorer import Precomputed

    for member in members_of(model):
        unused = member.unused(task.id) if isinstance(member, Precomputed) else ()
        if unused:
            progress.note(f"{task.id}: {len(unused)} scored ids are not among the rows: {', '.join(unused[:5])}")

"""The way through: select tasks, open the model, load examples, judge, measure, write.

A newcomer reads this file and knows the house.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.evaluation.compatibility import (
    cannot_read,
    cannot_take,
    for_task,
    keep_short,
    within_length,
    without_states,
)
from rmbench.evaluation.judge_extras import credited, expected_cost, with_reply_cache
from rmbench.evaluation.judge_files import closing, write_requests
from rmbench.evaluation.objectives import direction_in
from rmbench.evaluation.options import RunOptions
from rmbench.evaluation.results import Results, Skipped
from rmbench.evaluation.session import Work, work_with
from rmbench.models.options import checked

if TYPE_CHECKING:
    from rmbench.engine.judge import Judging, Progress
    from rmbench.evaluation.ensemble import Model
    from rmbench.models.protocols import ModelFacts, Responder, Scorer
    from rmbench.records.record import ProbingFacts, Record
    from rmbench.tasks.task import Loaded, Task
    from rmbench.types import Example, Judged, Value

    Reader = Callable[[Sequence[Judged]], ProbingFacts]

__all__ = ["judge_all", "load_rows", "named_in", "run", "split_rows"]


def run(
    model: str | Callable[..., Any],
    tasks: str | Sequence[str] = "all",
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Results:
    """Judge every selected task with one model and write a record for each.

    Args:
        model: a hub id `org/name[@revision]`, a folder, a bundled model, a card's name, `scores:FILE`, `baseline:...`,
            `fake:...`, `openai:NAME`, `vllm:MODEL`, `served:MODEL`, `judge-file:FILE`, `ensemble:A,B,...` of these or
            of folders of records, or a callable that takes a list of conversations (lists of {"role", "content"}) and
            returns one reward each.
        tasks: ids, globs, `all`, `family=...`, `modality=...`; a list or one comma-separated string.
        progress: told of the work as it goes; nothing is printed without it.
        options: the fields of `RunOptions`.

    Returns:
        The results, one record per task, in the order of the tasks.

    Raises:
        RmbenchError: bad arguments, declarations or files; nothing is half-written.
    """
    from rmbench.engine.judge import SilentProgress
    from rmbench.evaluation.ensemble import is_ensemble, open_ensemble
    from rmbench.models.locate import is_external
    from rmbench.models.open import open_model
    from rmbench.tasks.registry import select

    settings = checked(RunOptions, options, "run")
    chosen = select(tasks)
    if settings.workers > 1 and is_external(model):
        raise RmbenchError(f"--workers: {model} is computed by others; judges take --window, the rows asked at once.")
    telling, named = progress or SilentProgress(), named_in(tasks)
    ours = replace(settings, note=telling.note)
    opened: Model = open_ensemble(model, ours) if is_ensemble(model) else open_model(model, ours)
    opener = partial(open_model, model, settings) if isinstance(model, str) and not is_ensemble(model) else None
    with closing(opened, ours=isinstance(model, str)):
        if settings.requests_out is not None:

            def rows(task: Task) -> Loaded | str:
                return _rows_for(opened, task, settings, task.id in named)

            return write_requests(opened, chosen, rows, settings.requests_out, settings.resolved_source, telling)
        return judge_all(opened, chosen, named, settings, telling, opener=opener)


def judge_all(
    opened: Model,
    chosen: Sequence[Task],
    named: Container[str],
    settings: RunOptions,
    telling: Progress,
    fit_reader: Callable[[Work], Reader] | None = None,
    opener: Callable[[], Scorer | Responder] | None = None,
) -> Results:
    """Judge the chosen tasks with an opened model; those whose id is `named` may not be skipped for want of files.

    `fit_reader` is called once, before the tasks, and what it gives reads each task's rows, hidden states and all.
    `opener` opens the model again in a worker process.
    """
    from rmbench.records.journal import Journal

    facts = _facts(opened, settings)
    telling.note(describe(facts))
    records: list[Record] = []
    skipped: list[Skipped] = []
    folder = model_folder(settings.out, facts)
    with (
        Journal.open(folder, {"model": facts.fingerprint, "seed": str(settings.seed)}) as journal,
        work_with(settings, journal, telling, opener) as work,
    ):
        read = fit_reader(work) if fit_reader else None
        opened = with_reply_cache(opened, journal)
        for task in chosen:
            loaded = _rows_for(opened, task, settings, task.id in named)
            if isinstance(loaded, str):
                skipped.append(Skipped(task.id, loaded))
                continue
            for line in loaded.notes:
                telling.note(f"{task.id}: {line}")
            records.append(judge_task(task, loaded, for_task(opened, task), work, read))
        if not records and skipped:
            raise RmbenchError("no task could be run:\n" + "\n".join(f"  {s.task}: {s.why}" for s in skipped))
        journal.finish()
    telling.end()
    return Results(
        model=facts.name,
        source=settings.resolved_source,
        records=tuple(records),
        skipped=tuple(skipped),
        out=str(folder),
    )


def _rows_for(opened: Model, task: Task, settings: RunOptions, named: bool) -> Loaded | str:
    """The task's rows, or why this model is not asked; missing files of a task that was named are an error."""
    why = cannot_take(opened, task)
    if why:
        return why
    try:
        loaded = load_rows(task, settings)
    except RmbenchError as error:
        if named:
            raise
        return str(error)
    return cannot_read(opened, task, loaded) or loaded


def judge_task(task: Task, loaded: Loaded, model: Model, work: Work, read: Reader | None = None) -> Record:
    """One task, from its rows to its written record, with what `read` says of the rows."""
    from rmbench.evaluation.build_record import make_record, now
    from rmbench.evaluation.ensemble import members_of
    from rmbench.metric_spec import is_linear
    from rmbench.metrics.credit.row import credit
    from rmbench.metrics.judging.summary import judge_values
    from rmbench.metrics.judging.votes import voted
    from rmbench.metrics.measure import measure
    from rmbench.metrics.policies.idealised import implicit_specs
    from rmbench.models.scores.scorer import Precomputed
    from rmbench.records.store import write

    started, settings, progress = now(), work.settings, work.progress
    task = credited(task, model.facts)
    loaded, fit, rows, judging = split_rows(task, loaded, model, work)
    totals: dict[str | None, int] = {None: loaded.total}
    totals.update(loaded.group_totals)
    counted = voted(rows, model.facts.settings)
    values = measure(
        counted,
        (*task.metrics, *implicit_specs(rows, task.metrics)),
        answer_kind=model.facts.answer_kind,
        totals=totals,
        seed=settings.seed,
        fit=fit,
    )
    values += judge_values(rows, task.metrics, values, model.facts.settings, totals, settings.seed)
    head = task.metrics[0]
    row_credits = {row.id: credit(row, head).value for row in counted} if is_linear(head) else None
    record = make_record(task, loaded, _facts(model, settings), judging, _flagged(values, loaded), settings, started)
    if read is not None:
        record = record.model_copy(update={"probing": read(rows)})
    for member in members_of(model):
        unused = member.unused(task.id) if isinstance(member, Precomputed) else ()
        if unused:
            progress.note(f"{task.id}: {len(unused)} scored ids are not among the rows: {', '.join(unused[:5])}")
    return write(settings.out, record, [without_states(row) for row in rows], row_credits)


def split_rows(
    task: Task, loaded: Loaded, model: Model, work: Work
) -> tuple[Loaded, list[Judged], list[Judged], Judging]:
    """The judged rows of the fit split and of the task, too long ones excluded, and the account of the task's own."""
    fit, _ = judge_rows(task, loaded.fit, f"fit/{loaded.fit_digest}", model, work)
    scope = f"{loaded.digest}/{loaded.limit}"
    rows, judging = judge_rows(task, loaded.examples, scope, model, work)
    loaded, rows, judging = within_length(task, loaded, rows, judging)
    fit, dropped = keep_short(task, fit)
    # The splits count their rows each from 0, so an id of the fit split says that it is one.
    unfitted = tuple(replace(each, id=f"fit/{each.id}") for each in dropped)
    return replace(loaded, excluded=(*loaded.excluded, *unfitted)), fit, rows, judging


def judge_rows(
    task: Task,
    examples: Sequence[Example],
    scope: str,
    model: Model,
    work: Work,
) -> tuple[list[Judged], Judging]:
    """A split's rows beside what the model said of them, of an ensemble what its members said, combined; `scope` names
    the split's data in the journal."""
    from rmbench.evaluation.ensemble import Ensemble, join
    from rmbench.types import Judged

    def ask(one: Scorer | Responder, where: str) -> Judging:
        return _ask(task, examples, where, one, work)

    if isinstance(model, Ensemble):
        named = zip(model.names, model.members, strict=True)
        judging: Judging = join(model, [ask(member, f"{scope}/{name}") for name, member in named])
    else:
        judging = ask(model, scope)
    pairs = zip(examples, judging.judgments, strict=True)
    return [Judged.of(example, judgment) for example, judgment in pairs], judging


def _ask(
    task: Task,
    examples: Sequence[Example],
    scope: str,
    model: Scorer | Responder,
    work: Work,
) -> Judging:
    """What one model says of the rows, in the direction that the user gives its objectives."""
    from rmbench.engine.judge import EngineOptions, judge
    from rmbench.models.protocols import Scorer

    settings = work.settings
    cost = expected_cost(model, examples)
    if cost:
        work.progress.note(f"{task.id}: {cost}")
    engine = EngineOptions(batch_tokens=settings.batch_tokens, share=settings.share)
    if settings.window is not None:
        engine = replace(engine, window=settings.window)
    # A batch that was judged without hidden states is of no use where they are read.
    states = "/hidden" if isinstance(model, Scorer) and "hidden" in model.answers else ""
    ledger = work.journal.scoped(f"{task.id}@{task.version}", f"{scope}/{task.render}{states}")
    judging = judge(
        task.id,
        examples,
        model,
        render=task.render,
        options=engine,
        ledger=ledger,
        progress=work.progress,
        cache=work.cache,
        executor=work.executor,
    )
    if settings.objective_weights is not None:
        direction = direction_in(settings.objective_weights, model.facts.settings, model.facts.name)
        judging = replace(judging, judgments=tuple(map(direction.judgment, judging.judgments)))
    return judging


def _facts(model: Model, settings: RunOptions) -> ModelFacts:
    """The model's facts, in the direction that the user gives its objectives."""
    weights, facts = settings.objective_weights, model.facts
    return facts if weights is None else direction_in(weights, facts.settings, facts.name).facts(facts)


def model_folder(out: Path, facts: ModelFacts) -> Path:
    """Where a model's records go: `<out>/<org>__<model>@<revision>`."""
    from rmbench.records.store import model_slug

    return out / model_slug(facts.name, facts.revision)


def describe(facts: ModelFacts) -> str:
    """What the model is and the resolved values that change its numbers, on one line each."""
    settings = ", ".join(f"{key}={value}" for key, value in facts.settings.items() if value is not None)
    return f"{facts.name}@{facts.revision}: {facts.family} ({facts.why})" + (f"\n{settings}" if settings else "")


def load_rows(task: Task, settings: RunOptions) -> Loaded:
    """The task's rows as the settings ask for them."""
    from rmbench.tasks.sources import load

    return load(
        task,
        settings.resolved_source,
        limit=settings.limit,
        seed=settings.seed,
        allow_changed_data=settings.allow_changed_data,
        images=settings.images if task.modality != "text" else None,
    )


def named_in(tasks: str | Sequence[str]) -> set[str]:
    """The task ids the user wrote out: a missing file is an error for these and a skip for the rest."""
    from rmbench.tasks.registry import declared, load_file

    items = tasks.split(",") if isinstance(tasks, str) else [part for item in tasks for part in item.split(",")]
    written = {item.strip().replace("_", "-") for item in items}
    files = {load_file(item).id for item in items if item.strip().endswith(".toml")}
    return files | {task.id for task in declared().values() if written & {task.id, *task.aliases}}


def _flagged(values: Sequence[Value], loaded: Loaded) -> list[Value]:
    """Overall values of a partial set carry the flag themselves, so that a value quoted alone still says so."""
    if not loaded.missing:
        return list(values)
    return [replace(value, flags=(*value.flags, "partial")) if value.group is None else value for value in values]

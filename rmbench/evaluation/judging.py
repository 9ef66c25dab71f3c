"""Judging a task's splits with one model, or with every member of an ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, get_args

from rmbench.evaluation.all_failed import refuse_all_failed
from rmbench.evaluation.compatibility import keep_short, within_length
from rmbench.evaluation.objectives import direction_in
from rmbench.evaluation.session import Session
from rmbench.models.servers.generation import Path
from rmbench.models.servers.option_probs import UNDECIDED

if TYPE_CHECKING:
    from rmbench.engine.judge import Judging
    from rmbench.evaluation.ensemble import Model
    from rmbench.models.protocols import Responder, Scorer
    from rmbench.records.journal import Journal
    from rmbench.tasks.task import Exclusion, Loaded, Task
    from rmbench.types import Example, Judged, Judgment

__all__ = ["judge_rows", "judge_splits", "of_fit_split", "with_reply_cache"]


def judge_splits(
    task: Task, loaded: Loaded, model: Model, session: Session, known: Mapping[str, Judgment] = MappingProxyType({})
) -> tuple[Loaded, list[Judged], list[Judged], Judging]:
    """Judge the fit split and the task's own rows, except those whose judgment is `known` by their id.

    Returns:
        The loaded rows without those that are too long, which are listed as excluded; the judged rows of the fit split;
        the judged rows of the task; and the account of how these were judged.

    Raises:
        AllFailedError: every row of the task failed for one reason.
    """
    fit, rows, judging = judge_rows(task, loaded, model, session, known)
    loaded, rows, judging = within_length(task, loaded, rows, judging)
    refuse_all_failed(task.id, model.facts.name, rows)
    fit, too_long = keep_short(task.max_tokens, fit)
    return replace(loaded, excluded=(*loaded.excluded, *of_fit_split(too_long))), fit, rows, judging


def of_fit_split(excluded: Sequence[Exclusion]) -> tuple[Exclusion, ...]:
    """Rows of the fit split that are excluded, with marked ids: each split counts its rows from 0."""
    return tuple(replace(row, id=f"fit/{row.id}") for row in excluded)


def judge_rows(
    task: Task, loaded: Loaded, model: Model, session: Session, known: Mapping[str, Judgment]
) -> tuple[list[Judged], list[Judged], Judging]:
    """The judged rows of the fit split; those of the task itself, of which some are `known` by their id; and the
    account of how the latter were judged. Rows of any length, whether all failed or not."""
    shard = "" if session.settings.shard is None else f"/{session.settings.shard}"
    fit, _ = _judge_split(task, loaded.fit, f"fit/{loaded.fit_digest}{shard}", model, session)
    left = [example for example in loaded.examples if example.id not in known]
    rows, judging = _judge_split(task, left, f"{loaded.digest}/{loaded.limit}{shard}", model, session)
    return fit, *(_with_known(loaded.examples, rows, judging, known) if known else (rows, judging))


def _with_known(
    examples: Sequence[Example], rows: Sequence[Judged], judging: Judging, known: Mapping[str, Judgment]
) -> tuple[list[Judged], Judging]:
    """All examples with their judgments, new or known, in their order."""
    from rmbench.types import Judged

    new = {row.id: row for row in rows}
    whole = [new.get(each.id) or Judged.of(each, known[each.id]) for each in examples]
    return whole, replace(judging, judgments=tuple(row.judgment for row in whole))


def with_reply_cache(model: Model, journal: Journal) -> Model:
    """The model, each judge of it with a cache of its replies in the journal's folder; other models as they are."""
    from rmbench.evaluation.ensemble import Ensemble
    from rmbench.models.abilities import ReplyCaching

    def cached(member: Scorer | Responder) -> Scorer | Responder:
        return member.with_reply_cache(journal.replies) if isinstance(member, ReplyCaching) else member

    if isinstance(model, Ensemble):
        return replace(model, members=tuple(map(cached, model.members)))
    return cached(model)


def _judge_split(
    task: Task, examples: Sequence[Example], scope: str, model: Model, session: Session
) -> tuple[list[Judged], Judging]:
    """The split's rows with their judgments, those of an ensemble's members combined; `scope` names the split's rows in
    the journal."""
    from rmbench.evaluation.ensemble import Ensemble, join
    from rmbench.types import Judged

    if isinstance(model, Ensemble):
        members = zip(model.names, model.members, strict=True)
        judgings = [_judge(task, examples, f"{scope}/{name}", member, session) for name, member in members]
        judging: Judging = join(model, judgings)
    else:
        judging = _judge(task, examples, scope, model, session)
    pairs = zip(examples, judging.judgments, strict=True)
    return [Judged.of(example, judgment) for example, judgment in pairs], judging


def _undecided(judging: Judging) -> str:
    """How many of a judge's verdicts probabilities leave open, and why; "" for none."""
    counts = {remark: judging.remarks[remark] for remark in UNDECIDED if remark in judging.remarks}
    questions = sum(judging.remarks.get(f"answers_{path}", 0) for path in get_args(Path))
    reasons = ", ".join(f"{remark} {count:,}" for remark, count in counts.items())
    return f"undecided {sum(counts.values()):,} of {questions:,} ({reasons})" if counts else ""


def _judge(task: Task, examples: Sequence[Example], scope: str, model: Scorer | Responder, session: Session) -> Judging:
    """The judgments of one model, in the direction that the user gives its objectives."""
    from rmbench.engine.judge import EngineOptions, judge
    from rmbench.models.abilities import CostEstimating
    from rmbench.models.protocols import Scorer

    settings = session.settings
    if examples and isinstance(model, CostEstimating):
        session.progress.note(f"{task.id}: {model.estimate(examples)}")
    engine = EngineOptions(batch_tokens=settings.batch_tokens, share=settings.share)
    if settings.window is not None:
        engine = replace(engine, window=settings.window)
    # A batch that was judged without hidden states is of no use where they are read.
    states = "/hidden" if isinstance(model, Scorer) and "hidden" in model.answers else ""
    judging = judge(
        task.id,
        examples,
        model,
        render=task.render,
        options=engine,
        ledger=session.journal.scoped(f"{task.id}@{task.version}", f"{scope}/{task.render}{states}"),
        progress=session.progress,
        cache=session.cache,
        executor=session.executor,
        helpers=session.helpers,
    )
    if undecided := _undecided(judging):
        session.progress.note(f"{task.id}: {undecided}")
    if settings.objective_weights is not None:
        direction = direction_in(settings.objective_weights, model.facts.settings, model.facts.name)
        judging = replace(judging, judgments=tuple(map(direction.judgment, judging.judgments)))
    return judging

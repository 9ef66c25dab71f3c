"""Whether a model can judge a task and its rows, and either as the other needs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmbench.engine.judge import Judging
    from rmbench.evaluation.ensemble import Model
    from rmbench.metric_spec import MetricSpec
    from rmbench.models.protocols import ModelFacts
    from rmbench.tasks.task import Exclusion, Loaded, Task
    from rmbench.types import Judged, Judgment, Setting

__all__ = [
    "cannot_read",
    "cannot_take",
    "for_task",
    "keep_short",
    "needs_numbers",
    "probes_of",
    "totals_without",
    "voting_settings",
    "with_judge_credit",
    "with_voting",
    "within_length",
    "without_states",
]


_READ_NO_TEXT = ("precomputed", "fake")


_SHOWN = 4
"""Tasks of a score file that a reason names before it counts the rest."""


def cannot_take(model: Model, task: Task) -> str:
    """Why this model, or a member of this ensemble, cannot take this task, or ""."""
    from rmbench.evaluation.ensemble import Ensemble
    from rmbench.models.abilities import HiddenStateScorer, TaskBound

    facts = model.facts
    if isinstance(model, Ensemble):
        for member in model.members:
            why = cannot_take(member, task)
            if why:
                return f"{member.facts.name}: {why}"
    if isinstance(model, TaskBound) and task.id not in model.tasks:
        has = sorted(model.tasks)
        more = f" and {len(has) - _SHOWN} more" if len(has) > _SHOWN else ""
        return f"{facts.name} has no rows of it; it has those of {', '.join(has[:_SHOWN]) or 'no task'}{more}"
    if probes_of(task) and not isinstance(model, HiddenStateScorer):
        article = "an" if facts.family[:1] in "aeiou" else "a"
        return f"it probes hidden states, which {article} {facts.family} model does not give"
    if task.modality not in facts.modalities:
        sees = facts.family == "judge" and facts.modalities == {"text"}
        hint = "; a judge is shown images and videos by a protocol such as vision-pair" if sees else ""
        return f"the task is {task.modality}, the model takes {', '.join(sorted(facts.modalities))}{hint}"
    return ""


def cannot_read(model: Model, task: Task, loaded: Loaded) -> str:
    """Why this model, or a member of this ensemble, cannot judge these rows, or ""."""
    from rmbench.evaluation.ensemble import Ensemble
    from rmbench.evaluation.replay import Recorded
    from rmbench.models.abilities import Comparing

    if isinstance(model, Ensemble):
        for member in model.members:
            why = cannot_read(member, task, loaded)
            if why:
                return f"{member.facts.name}: {why}"
    if loaded.without_texts and not (isinstance(model, Recorded) or model.facts.family in _READ_NO_TEXT):
        others = f"; --source hub has them (or `rmbench fetch {task.id}`)" if task.hub else ""
        return f"its texts are not in this source, which holds ids, groups and gold alone, for score files{others}"
    if "text" not in model.facts.modalities and not _shows_media(loaded, model):
        return f"its candidates are texts, which a {model.facts.family} model does not score"
    if isinstance(model, Recorded):
        return model.other_rows(task, loaded)
    if why := _leaves_shots_out(model, loaded):
        return why
    if isinstance(model, Comparing) and needs_numbers(task) and model.only_compares(task.id, loaded.examples):
        head = task.metrics[0]
        return f'its metric "{head.name}" ({head.rule}) needs a number for each candidate, and the model only compares'
    without_gold = not any(
        example.gold.relation or example.gold.ratings or example.gold.labels for example in loaded.examples
    )
    return "its rows have no gold, which a fake reads" if model.facts.family == "fake" and without_gold else ""


def _leaves_shots_out(model: Model, loaded: Loaded) -> str:
    """Why the model would not see the earlier choices of a rater that come with these rows, or ""."""
    from rmbench.models.abilities import ShotShowing

    facts = model.facts
    if loaded.asked is None or not loaded.asked.shots or facts.family in _READ_NO_TEXT:
        return ""
    if any(example.shots for example in loaded.examples):
        judge = isinstance(model, ShotShowing)
        if isinstance(model, ShotShowing) and model.shows_shots:
            return ""
        how = "its protocol does not show" if judge else f"a {facts.family} model does not read"
        return (
            f"earlier choices stand beside the prompt, where {how} them (judges by protocol=profile or vision-profile "
            "do; --shots-layout fspo or plain puts them into the prompt)"
        )
    prompts = (message for example in loaded.examples for message in example.prompt)
    unread = "text" not in facts.modalities and facts.family != "judge"
    if unread and any(part.kind != "text" for message in prompts for part in message.parts):
        return f"earlier choices stand in the prompt, of which a {facts.family} model reads no images"
    return ""


def _shows_media(loaded: Loaded, model: Model) -> bool:
    """Whether any candidate is, or holds, an image or a video; or any prompt, for a model that scores captions."""
    from rmbench.models.abilities import CaptionScorer

    examples = loaded.examples
    messages = [message for each in examples for candidate in each.candidates for message in candidate.messages]
    if isinstance(model, CaptionScorer) and model.captions:
        messages += [message for example in examples for message in example.prompt]
    return any(part.kind != "text" for message in messages for part in message.parts)


def needs_numbers(task: Task) -> bool:
    """Whether the headline cannot be computed from an order: by its own rule, or by those of all that it averages."""
    from rmbench.metric_spec import rule_of

    head = task.metrics[0]
    parts = [metric for metric in task.metrics if metric.name in head.of] or [head]
    return all(rule_of(metric).numbers for metric in parts)


def probes_of(task: Task) -> tuple[MetricSpec, ...]:
    """The metrics that read a model's hidden states instead of its rewards; none for most tasks."""
    return tuple(metric for metric in task.metrics if metric.rule == "probe")


def for_task(model: Model, task: Task) -> Model:
    """The model as the task needs it: with its hidden states where they are probed; an ensemble with the weights of
    the task's rows."""
    from rmbench.evaluation.ensemble import Ensemble
    from rmbench.models.abilities import HiddenStateScorer

    if isinstance(model, Ensemble):
        return model.for_task(task.id)
    return model.with_hidden() if probes_of(task) and isinstance(model, HiddenStateScorer) else model


def with_judge_credit(task: Task, facts: ModelFacts) -> Task:
    """The task with the credit that a judge's protocol gives unparsed verdicts; most protocols leave it to the task."""
    credit = facts.settings.get("unparsed") if facts.family == "judge" else None
    if not isinstance(credit, int | float) or isinstance(credit, bool):
        return task
    metrics = tuple(replace(metric, unparsed=float(credit)) for metric in task.metrics)
    return task.model_copy(update={"metrics": metrics})


def with_voting(facts: ModelFacts, task: Task, rows: Sequence[Judged]) -> ModelFacts:
    """The facts with the rule by which several verdicts on one question of these rows become one: the user's, else the
    task's. Unchanged where no question has several."""
    settings = voting_settings(facts.settings, task.voting, rows)
    return facts if settings is facts.settings else replace(facts, settings=settings)


def voting_settings(settings: Mapping[str, Setting], rule: str, rows: Sequence[Judged]) -> Mapping[str, Setting]:
    """As `with_voting`, of the settings of a model alone and the rule of a task."""
    from rmbench.metrics.judging.votes import TASK_VOTING, has_votes

    voting = settings.get("voting")
    if voting not in (None, TASK_VOTING) or (voting is None and not any(map(has_votes, rows))):
        return settings
    return {**settings, "voting": rule, "voting_unparsed": settings.get("voting_unparsed") or "abstain"}


def within_length(
    task: Task, loaded: Loaded, rows: Sequence[Judged], judging: Judging
) -> tuple[Loaded, list[Judged], Judging]:
    """All three without rows over the task's `max_tokens`, which are listed as excluded and count in no total."""
    short, excluded = keep_short(task.max_tokens, rows)
    if not excluded:
        return loaded, short, judging
    ids = {row.id for row in excluded}
    loaded = replace(
        loaded,
        examples=tuple(example for example in loaded.examples if example.id not in ids),
        total=loaded.total - len(ids),
        excluded=(*loaded.excluded, *excluded),
        group_totals=totals_without(loaded.group_totals, rows, excluded),
        known_totals=totals_without(loaded.known_totals, rows, excluded),
    )
    return loaded, short, replace(judging, judgments=tuple(row.judgment for row in short))


def totals_without(totals: Mapping[str, int], rows: Sequence[Judged], excluded: Sequence[Exclusion]) -> dict[str, int]:
    """`name=value` of groups -> their rows without those of `rows` that are excluded."""
    ids = {row.id for row in excluded}
    of_groups = Counter(f"{name}={value}" for row in rows if row.id in ids for name, value in row.groups.items())
    return {name: total - of_groups[name] for name, total in totals.items()}


def keep_short(limit: int | None, rows: Sequence[Judged]) -> tuple[list[Judged], list[Exclusion]]:
    """The rows within a task's `max_tokens`, and the longer ones with the reason for excluding them."""
    from rmbench.tasks.task import Exclusion

    why = {row.id: _too_long(row.judgment, limit) for row in rows}
    return [row for row in rows if not why[row.id]], [Exclusion(name, reason) for name, reason in why.items() if reason]


def _too_long(judgment: Judgment, limit: int | None) -> str:
    longest = max(judgment.lengths, default=0)
    if limit is None or (longest <= limit and not any(judgment.truncated)):
        return ""
    return f"{longest:,} tokens, more than {limit:,}" if longest > limit else f"cut at {longest:,} tokens"


def without_states(row: Judged) -> Judged:
    """The row without hidden states, which are large and are in the record as the probe's figures."""
    from rmbench.metrics.probing.probes import HIDDEN

    if HIDDEN not in row.judgment.parts:
        return row
    parts = {name: part for name, part in row.judgment.parts.items() if name != HIDDEN}
    return replace(row, judgment=replace(row.judgment, parts=parts))

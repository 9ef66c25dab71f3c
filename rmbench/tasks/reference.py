"""Rows asked twice, once with their reference answer and once without it, so that what it is worth is a difference of
the same rows (PUGC, arXiv 2506.04463: what a user wrote as the reference)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.tasks.rows.content import digest_of
from rmbench.tasks.task import Asked, Loaded, Task
from rmbench.types import REFERENCE_KEYS, Conversation, Example, Message, Part

__all__ = ["GROUP", "given_and_withheld", "reference_id", "reference_task"]

GROUP = "reference"
"""The group that says whether a row's reference was given."""
_TEXTS = {"Reference answer": REFERENCE_KEYS, "Background": ("knowledge",)}
"""What is given, the first that a row has: its heading, and the names in an example's context that hold it."""
_GIVEN, _WITHHELD = "given", "withheld"


def reference_id(task: str, where: str) -> str:
    """The id of the task whose rows are asked with the reference and without it."""
    return f"{task}-reference-{where}"


def reference_task(task: Task, where: str) -> Task:
    """The task whose rows are asked with the reference and without it.

    Raises:
        RmbenchError: its rows compare no answers.
    """
    if task.shape in ("rated", "labelled", "scored"):
        raise RmbenchError(f"{task.id}: --reference compares accuracies, and its rows compare no answers.")
    headline = task.metrics[0]
    rule: Literal["pair", "top"] = "top" if headline.rule == "top" else "pair"
    worth = MetricSpec(
        "worth_of_the_reference",
        "paired_difference",
        credit=rule,
        join=GROUP,
        between=(_GIVEN, _WITHHELD),
        tie=headline.tie,
        unparsed=headline.unparsed,
        dimension=headline.dimension,
        annotator=headline.annotator,
    )
    accuracy = replace(worth, name="with_the_reference", rule=rule, join="", between=(), where={GROUP: (_GIVEN,)})
    without = replace(accuracy, name="without_the_reference", where={GROUP: (_WITHHELD,)})
    title = f"{task.title} (with its reference answers and without)"
    metrics = (worth, accuracy, without)
    known = {"id": reference_id(task.id, where), "title": title, "official": False, "metrics": metrics, "aliases": ()}
    return task.model_copy(update=known)


def given_and_withheld(task: Task, loaded: Loaded, where: str) -> Loaded:
    """Each row that has a reference answer in its context, or knowledge, once with it and once without it, with the
    group `reference`.

    Args:
        task: whose rows they are.
        loaded: the rows.
        where: "prompt": behind the text of the prompt's last user message, so that every model reads it. "context":
            beside the prompt, as the rows have it, for models that read it there.

    Raises:
        RmbenchError: no row has a reference answer.
    """
    examples: list[Example] = []
    for example in loaded.examples:
        has = ((heading, key) for heading, keys in _TEXTS.items() for key in keys if example.context.get(key))
        heading, found = next(has, ("", ""))
        if not found:
            continue
        bare = {key: each for key, each in example.context.items() if key not in _TEXTS[heading]}
        without = replace(example, context=bare)
        told = f"\n\n{heading}:\n{example.context[found]}"  # behind the prompt's last user message
        examples += [
            _marked(example if where == "context" else _told(without, told), _GIVEN),
            _marked(without, _WITHHELD),
        ]
    if not examples:
        raise RmbenchError(
            f"{task.id}: --reference gives and withholds reference answers, and no row has one in its context "
            f"({', '.join(key for keys in _TEXTS.values() for key in keys)})."
        )
    lacking = len(loaded.examples) - len(examples) // 2
    note = [f"reference: rows left out for want of a reference answer: {lacking:,}"] * bool(lacking)
    total = 2 * (loaded.total - lacking)
    sides = [f"{GROUP}={value}" for value in (_GIVEN, _WITHHELD)]
    counted = Counter(f"{name}={value}" for each in examples for name, value in each.groups.items())
    return replace(
        loaded,
        examples=tuple(examples),
        total=total,
        digest=digest_of(examples),
        texts_digest="",
        group_totals=dict(counted),
        known_totals={**(dict(counted) if len(examples) == total else {}), **dict.fromkeys(sides, total // 2)},
        notes=(*loaded.notes, *note),
        asked=Asked(task.id, reference=where),
    )


def _marked(example: Example, value: str) -> Example:
    return replace(
        example,
        id=f"{example.id}/{GROUP}={value}",
        groups={**example.groups, GROUP: value},
        cluster=example.cluster or example.id,
    )


def _told(example: Example, text: str) -> Example:
    def told(prompt: Conversation) -> Conversation:
        last = max((k for k, message in enumerate(prompt) if message.role == "user"), default=None)
        if last is None:
            return (*prompt, Message.of("user", text.lstrip()))
        message = prompt[last]
        added = replace(message, parts=(*message.parts, Part(text=text)))
        return (*prompt[:last], added, *prompt[last + 1 :])

    candidates = tuple(
        each if each.prompt is None else replace(each, prompt=told(each.prompt)) for each in example.candidates
    )
    return replace(example, prompt=told(example.prompt), candidates=candidates)

"""Rows of raters, each once for every number of earlier choices put before it.

Of each rater's rows some are set aside for shots; the others are asked at every number of shots, so that a curve is one
of the same questions. Which rows are set aside depends on the seed and their ids, and on no model.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.tasks.rows.content import digest_of
from rmbench.tasks.shots.layout import ShotLayout, joined, layout_named
from rmbench.tasks.task import Asked, Loaded, Task
from rmbench.types import TOOLS, Candidate, Conversation, Edge, Example, Message, Part, bare_text

__all__ = ["GROUP", "Shot", "few_shot_id", "few_shot_task", "split", "with_shots"]

GROUP = "shots"
"""The group that holds the number of shots."""
Parts = tuple[Part, ...]
_BEFORE = ("system", TOOLS)
"""Roles of messages before the conversation."""


@dataclass(frozen=True, slots=True)
class Shot:
    """An earlier choice of a rater."""

    row: str
    """Its id."""
    prompt: Parts
    preferred: Parts
    dispreferred: Parts


def few_shot_id(task: str) -> str:
    """The id of the task with shots, whose records lie beside those of the task itself."""
    return f"{task}-few-shot"


def few_shot_task(task: Task) -> Task:
    """The task with shots: its rows, under metrics of the curve.

    Raises:
        RmbenchError: its rows name no rater.
    """
    if task.declaration.rows.rater is None:
        raise RmbenchError(
            f"{task.id}: --shots puts a rater's earlier choices before each row, and its rows name no rater (`rater` "
            "under [rows]; --columns rater=... for rows of your own)."
        )
    headline = task.metrics[0]
    of = MetricSpec(
        "few_shot",
        "few_shot",
        credit="top" if headline.rule == "top" else "pair",
        join=GROUP,
        dimension=headline.dimension,
        annotator=headline.annotator,
        chance=headline.chance,
    )
    gain = replace(of, name="gain", rule="few_shot_gain", chance=None)
    title = f"{task.title} (with earlier choices of the rater)"
    known = {"id": few_shot_id(task.id), "title": title, "official": False, "metrics": (of, gain), "aliases": ()}
    return task.model_copy(update=known)


def with_shots(task: Task, loaded: Loaded, shots: Sequence[int], layout: str, seed: int) -> Loaded:
    """The rows that are not set aside, each once for every number of shots, with the group `shots`.

    Raises:
        RmbenchError: no rater has a row left beside those set aside.
    """
    form, most = layout_named(layout), max(shots)
    examples: list[Example] = []
    left_out = Counter[str]()
    by_rater: dict[str, list[Example]] = {}
    for example in loaded.examples:
        by_rater.setdefault(example.rater, []).append(example)
    for rows in by_rater.values():
        given, asked = split(rows, most, seed)
        if len(given) < most or not asked:
            left_out["rater"] += 1
            left_out["row"] += len(rows)
            continue
        left_out["aside"] += len(rows) - len(asked)
        examples += [_asked(row, given[:k], form) for row in asked for k in shots]
    if not examples:
        raise RmbenchError(
            f"{task.id}: no rater has {most} choices to set aside for shots and a row left to ask; fewer --shots need "
            "fewer."
        )
    counted = Counter(f"{name}={value}" for each in examples for name, value in each.groups.items())
    note = (
        f"shots: {left_out['aside']:,} rows set aside; {left_out['rater']:,} raters with too few choices, of "
        f"{left_out['row']:,} rows, are left out"
    )
    return replace(
        loaded,
        examples=tuple(examples),
        total=len(examples),
        digest=digest_of(examples),
        texts_digest="",
        group_totals=dict(counted),
        known_totals=dict(counted),
        notes=(*loaded.notes, note),
        asked=Asked(task.id, tuple(shots), layout),
    )


def split(rows: Sequence[Example], most: int, seed: int) -> tuple[list[Shot], list[Example]]:
    """One rater's rows as shots, in the order in which they are given, and those left to ask.

    Rows that begin with the same message (turns of one conversation, one question again) are drawn together, so that no
    shot holds the answer to a row that is asked.
    """
    together: dict[Conversation, list[Example]] = {}
    for row in rows:
        together.setdefault(_turns(row.prompt)[:1], []).append(row)
    drawn = sorted(together.values(), key=lambda of: hashlib.sha256(f"{seed}/{of[0].id}".encode()).digest())
    shots: list[Shot] = []
    aside: set[str] = set()
    for of in drawn:
        if len(shots) >= most:
            break
        found = [shot for row in of if (shot := _shot(row)) is not None]
        if found:
            shots += found
            aside |= {row.id for row in of}
    return shots[:most], [row for row in rows if row.id not in aside]


def _shot(row: Example) -> Shot | None:
    """The first choice that a row decides; None where it decides none."""
    edges = [edge for edge in row.gold.relation if not edge.dimension and not edge.annotator] or row.gold.relation
    decided: Edge | None = next((edge for edge in edges if edge.strength), None)
    if decided is None:
        return None
    better, worse = (decided.i, decided.j) if decided.strength > 0 else (decided.j, decided.i)
    best, other = row.candidates[better], row.candidates[worse]
    return Shot(row.id, _flat(best.prompt or row.prompt), _answer(best), _answer(other))


def _turns(prompt: Conversation) -> Conversation:
    return tuple(message for message in prompt if message.role not in _BEFORE)


def _flat(prompt: Conversation) -> Parts:
    """The text and media of a prompt; of several turns each with its role."""
    turns = _turns(prompt)
    if len(turns) == 1:
        return turns[0].parts
    return _lines([(Part(text=f"{each.role}: "), *_bare(each)) for each in turns])


def _answer(candidate: Candidate) -> Parts:
    return _lines([_bare(message) for message in candidate.messages])


def _bare(message: Message) -> Parts:
    """A message's parts; raises ValueError where it has a further key, as `bare_text` does."""
    bare_text(message)
    return message.parts


def _lines(each: Sequence[Parts]) -> Parts:
    """All parts, with a line break before all but the first."""
    return joined(part for k, parts in enumerate(each) for part in ((Part(text="\n"), *parts) if k else parts))


def _asked(row: Example, shots: Sequence[Shot], form: ShotLayout) -> Example:
    written = [
        form.filled(
            "example",
            number=[Part(text=str(number))],
            prompt=shot.prompt,
            preferred=shot.preferred,
            dispreferred=shot.dispreferred,
        )
        for number, shot in enumerate(shots, 1)
    ]

    marked = replace(
        row,
        id=f"{row.id}/shots={len(shots)}",
        groups={**row.groups, GROUP: str(len(shots))},
        cluster=hashlib.sha256(row.rater.encode()).hexdigest()[:16],
    )
    if form.place == "context":
        return replace(marked, shots=tuple(Message("earlier choice", each) for each in written))

    def prompt(own: Conversation) -> Conversation:
        before = tuple(message for message in own if message.role in _BEFORE)
        parts = (*(part for each in written for part in each), *form.filled("task", prompt=_flat(own)))
        return (*before, Message("user", joined(parts)))

    def answer(candidate: Candidate) -> Candidate:
        parts = form.filled("answer", answer=_answer(candidate))
        own = None if candidate.prompt is None else prompt(candidate.prompt)
        return replace(candidate, messages=(Message("assistant", parts),), prompt=own)

    return replace(marked, prompt=prompt(row.prompt), candidates=tuple(map(answer, row.candidates)))

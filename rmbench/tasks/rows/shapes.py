"""Rows into Examples: prompt, candidates, gold, groups. Candidates keep upstream's order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from rmbench.tasks.declaration.schema import Declaration, ExcludeRule, MediaRule, TextRule
from rmbench.tasks.rows.fields import (
    ExcludedError,
    RawRow,
    conversation,
    figure,
    group_value,
    has,
    label,
    lookup,
    media_of,
    text,
    texts,
)
from rmbench.tasks.rows.gold import gold_of
from rmbench.tasks.rows.media import media_part
from rmbench.types import Candidate, Conversation, Example, Gold, Message, Part

__all__ = ["example", "identity"]


def example(declared: Declaration, row: RawRow) -> Example:
    """A row, already brought into columns, as an example.

    Raises:
        RmbenchError: a column is missing or holds the wrong thing; file, row and column are named.
        ExcludedError: the benchmark's own rule drops the row.
    """
    for rule in declared.rows.exclude:
        if _falls_under(rule, row):
            raise ExcludedError(rule.why)
    columns = declared.columns
    prompt, candidates, better = _candidates(declared, row)
    groups = _groups(declared, row)
    gold = gold_of(declared, row, len(candidates), better, groups)
    return Example(
        id="/".join(_names(declared.rows.id, row, groups)),
        prompt=prompt,
        candidates=candidates,
        gold=gold,
        groups=groups,
        cluster=_cluster(declared, row, groups, prompt),
        weight=_weight(declared, row, gold),
        rater="" if declared.rows.rater is None else label(row, declared.rows.rater),
        context={name: text(row, rule) for name, rule in columns.context.items()},
    )


def _weight(declared: Declaration, row: RawRow, gold: Gold) -> float:
    rule = declared.rows.weight
    if rule is None:
        return 1.0
    return float(sum(edge.strength != 0 for edge in gold.relation)) if rule == "@comparisons" else figure(row, rule)


def identity(declared: Declaration, row: RawRow) -> str:
    """The id that the row's example has or would have."""
    return "/".join(_names(declared.rows.id, row, _groups(declared, row)))


def _groups(declared: Declaration, row: RawRow) -> dict[str, str]:
    return {name: group_value(row, name, rule) for name, rule in declared.groups.items()}


def _falls_under(rule: ExcludeRule, row: RawRow) -> bool:
    if not rule.values:
        return not has(row, rule.column)
    value = lookup(row, rule.column)
    return any(type(value) is type(each) and value == each for each in rule.values)


def _candidates(declared: Declaration, row: RawRow) -> tuple[Conversation, tuple[Candidate, ...], int | None]:
    """The example's prompt, its candidates, and how many of them are chosen where the row lists chosen and rejected."""
    columns = declared.columns
    if columns.candidates:
        sources = [source for rule in columns.candidate_sources for source in texts(row, rule)]
        answers = [answer for rule in columns.candidates for answer in _answers(declared, row, rule)]
        made = [replace(answer, source=source) for answer, source in _aligned(row, answers, sources)]
        if columns.candidate_prompts:
            prompts = [_prompt(declared, row, rule) for rule in columns.candidate_prompts]
            if len(prompts) != len(made):
                raise row.error(f"{len(made)} candidates, but {len(prompts)} prompts of theirs.")
            return *_with_prompts(made, prompts), None
        assert columns.prompt is not None  # the declaration was checked
        return _prompt(declared, row, columns.prompt), tuple(made), None
    assert columns.chosen is not None
    assert columns.rejected is not None
    better = _side(declared, row, columns.chosen, columns.chosen_source)
    worse = _side(declared, row, columns.rejected, columns.rejected_source)
    if columns.chosen_prompt is None or columns.rejected_prompt is None:
        assert columns.prompt is not None
        return _prompt(declared, row, columns.prompt), (*better, *worse), len(better)
    first, second = (_prompt(declared, row, rule) for rule in (columns.chosen_prompt, columns.rejected_prompt))
    prompts = [first] * len(better) + [second] * len(worse)
    return *_with_prompts([*better, *worse], prompts), len(better)


def _with_prompts(
    candidates: Sequence[Candidate], prompts: Sequence[Conversation]
) -> tuple[Conversation, tuple[Candidate, ...]]:
    """One prompt where all are the same; else the first's as the example's, and each candidate its own."""
    if all(prompt == prompts[0] for prompt in prompts):
        return prompts[0], tuple(candidates)
    return prompts[0], tuple(replace(c, prompt=p) for c, p in zip(candidates, prompts, strict=True))


def _prompt(declared: Declaration, row: RawRow, rule: TextRule) -> Conversation:
    """Media, if any, stand before the text of the last message; a system message before everything."""
    columns = declared.columns
    prompt = conversation(row, rule)
    media = tuple(part for each in columns.prompt_media for part in _parts(declared, row, each))
    if media:
        prompt = (*prompt[:-1], replace(prompt[-1], parts=(*media, *prompt[-1].parts)))
    system = text(row, columns.system) if columns.system is not None else ""
    return (Message.of("system", system), *prompt) if system else prompt


def _parts(declared: Declaration, row: RawRow, rule: TextRule | MediaRule) -> Iterator[Part]:
    if rule.form == "image" or rule.form == "video":
        for column, value in media_of(row, rule):
            yield media_part(row, column, value, rule.form, declared.media.roots)


def _answers(declared: Declaration, row: RawRow, rule: TextRule) -> Iterator[Candidate]:
    if rule.form in ("image", "video"):
        for part in _parts(declared, row, rule):
            yield Candidate((Message("assistant", (part,)),))
    elif rule.form == "messages":
        yield Candidate(conversation(row, rule))
    else:
        yield from map(Candidate.of, texts(row, rule))


def _side(declared: Declaration, row: RawRow, answers: TextRule, sources: TextRule | None) -> list[Candidate]:
    made = list(_answers(declared, row, answers))
    named = texts(row, sources) if sources else []
    return [replace(answer, source=source) for answer, source in _aligned(row, made, named)]


def _aligned(row: RawRow, answers: list[Candidate], sources: list[str]) -> Iterator[tuple[Candidate, str]]:
    if sources and len(sources) != len(answers):
        raise row.error(f"{len(answers)} answers, but {len(sources)} names of who wrote them.")
    return zip_longest(answers, sources, fillvalue="")  # type: ignore[arg-type]  # sources are as many, or none


def _names(rules: list[str], row: RawRow, groups: Mapping[str, str]) -> list[str]:
    own = {"@file": row.label, "@row": str(row.index)}
    out = []
    for rule in rules:
        if rule in own:
            out.append(own[rule])
        else:
            out.append(groups[rule[1:]] if rule.startswith("@") else label(row, rule))
    return out


def _cluster(declared: Declaration, row: RawRow, groups: Mapping[str, str], prompt: Conversation) -> str:
    """A short digest of what the row hangs together with; "" where rows are independent."""
    rules = declared.rows.cluster
    if not rules:
        return ""
    parts = _names([rule for rule in rules if rule != "@prompt"], row, groups)
    if "@prompt" in rules:
        parts.append(json.dumps([_plain(message) for message in prompt]))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _plain(message: Message) -> list[str]:
    return [message.role, message.text, *(part.name for part in message.parts if part.kind != "text")]

"""From a row to an Example: prompt, candidates, gold, groups. Candidates keep upstream's order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from rmbench.errors import RmbenchError
from rmbench.media_change import Change
from rmbench.tasks.declaration.columns import TEXTS, GroupRule
from rmbench.tasks.declaration.schema import Declaration, ExcludeRule, MediaRule, TextRule
from rmbench.tasks.rows.fields import (
    ExcludedError,
    RawRow,
    figure,
    group_value,
    has,
    label,
    lookup,
    media_of,
    pick,
    propensity,
    text,
    texts,
)
from rmbench.tasks.rows.gold import gold_of
from rmbench.tasks.rows.media import media_part
from rmbench.tasks.rows.messages import conversation
from rmbench.tasks.rows.paths import filled
from rmbench.tasks.rows.tools import tools
from rmbench.tasks.rows.whole import common_prompt, without_prompt
from rmbench.types import Candidate, Conversation, Example, Gold, Message, Part

__all__ = ["example", "identity"]


def example(declaration: Declaration, row: RawRow) -> Example:
    """A row, already brought into columns (`prepare`), as an example.

    Raises:
        RmbenchError: a column is missing or of the wrong type; the message names file, row and column.
        ExcludedError: the benchmark's own rule excludes the row.
    """
    for rule in declaration.rows.exclude:
        if _falls_under(rule, row):
            raise ExcludedError(rule.why)
    columns = declaration.columns
    prompt, candidates, better = _candidates(declaration, row)
    if not candidates:
        raise row.error("it has no answer.")
    if prompt:
        prompt, candidates = without_prompt(row, prompt, candidates, declared=bool(columns.answers_hold_prompt))
    else:
        prompt, candidates = common_prompt(row, candidates)
        prompt = _completed(declaration, row, prompt)
    prompt, candidates = _with_tools(tools(row, columns.tools), prompt, candidates)
    groups = _groups(declaration, row, lambda: _digest_of_texts(prompt, candidates))
    gold = gold_of(declaration, row, len(candidates), better, groups)
    return Example(
        id="/".join(_names(declaration.rows.id, row, groups)),
        prompt=prompt,
        candidates=candidates,
        gold=gold,
        groups=groups,
        cluster=_cluster(declaration, row, groups, prompt),
        weight=_weight(declaration, row, gold),
        rater="" if declaration.rows.rater is None else label(row, declaration.rows.rater),
        context={name: _context(row, rule) for name, rule in columns.context.items()},
    )


def _context(row: RawRow, rule: TextRule) -> str:
    """The text, "" where the row's own column holds null: it has none."""
    alone = not rule.join and rule.template is None
    return "" if alone and lookup(row, pick(row, rule)) is None else text(row, rule)


def _weight(declaration: Declaration, row: RawRow, gold: Gold) -> float:
    rule = declaration.rows.weight
    if rule is None:
        return 1.0
    return float(sum(edge.strength != 0 for edge in gold.relation)) if rule == "@comparisons" else figure(row, rule)


def identity(declaration: Declaration, row: RawRow) -> str:
    """The id that the row's example has or would have."""
    return "/".join(_names(declaration.rows.id, row, _groups(declaration, row)))


def _groups(declaration: Declaration, row: RawRow, digest: Callable[[], str] = str) -> dict[str, str]:
    chances = [metric.propensity for metric in declaration.metric if metric.propensity]

    def value(name: str, rule: GroupRule) -> str:
        if rule.column == TEXTS:
            return digest()
        return propensity(row, name, rule) if name in chances else group_value(row, name, rule)

    return {name: value(name, rule) for name, rule in declaration.groups.items()}


def _digest_of_texts(prompt: Conversation, candidates: Sequence[Candidate]) -> str:
    """What a rater was asked, as `TEXTS` says."""
    asked = [
        json.dumps([_plain(message) for message in (each.prompt or prompt) + each.messages]) for each in candidates
    ]
    order = sorted(range(len(asked)), key=asked.__getitem__)
    places = ".".join(str(order.index(k)) for k in range(len(asked)))
    return f"{hashlib.sha256(json.dumps(sorted(asked)).encode()).hexdigest()[:16]}-{places}"


def _falls_under(rule: ExcludeRule, row: RawRow) -> bool:
    if not rule.values:
        return not has(row, rule.column)
    value = lookup(row, rule.column)
    return any(type(value) is type(each) and value == each for each in rule.values)


def _candidates(declaration: Declaration, row: RawRow) -> tuple[Conversation, tuple[Candidate, ...], int | None]:
    """Prompt (() where candidates alone hold it), candidates, and how many of them are chosen where the row lists
    chosen and rejected (else None)."""
    columns = declaration.columns
    if columns.candidates:
        sources = [source for rule in columns.candidate_sources for source in texts(row, rule)]
        candidates = [each for rule in columns.candidates for each in _responses(declaration, row, rule)]
        candidates = _with_sources(row, candidates, sources)
        if columns.candidate_prompts:
            prompts = [_prompt(declaration, row, rule) for rule in columns.candidate_prompts]
            if len(prompts) != len(candidates):
                raise row.error(f"{len(candidates)} candidates, but {len(prompts)} prompts of theirs.")
            return *_with_prompts(candidates, prompts), None
        return _prompt(declaration, row, columns.prompt), tuple(candidates), None
    assert columns.chosen is not None
    assert columns.rejected is not None
    better = _side(declaration, row, columns.chosen, columns.chosen_source)
    worse = _side(declaration, row, columns.rejected, columns.rejected_source)
    if columns.chosen_prompt is None or columns.rejected_prompt is None:
        return _prompt(declaration, row, columns.prompt), (*better, *worse), len(better)
    first, second = (_prompt(declaration, row, rule) for rule in (columns.chosen_prompt, columns.rejected_prompt))
    prompts = [first] * len(better) + [second] * len(worse)
    return *_with_prompts([*better, *worse], prompts), len(better)


def _with_prompts(
    candidates: Sequence[Candidate], prompts: Sequence[Conversation]
) -> tuple[Conversation, tuple[Candidate, ...]]:
    """One prompt where all are equal; else the first as the example's, and each candidate with its own."""
    if all(prompt == prompts[0] for prompt in prompts):
        return prompts[0], tuple(candidates)
    return prompts[0], tuple(replace(c, prompt=p) for c, p in zip(candidates, prompts, strict=True))


def _with_tools(
    message: Conversation, prompt: Conversation, candidates: tuple[Candidate, ...]
) -> tuple[Conversation, tuple[Candidate, ...]]:
    """Every prompt with the message of tools, if any, before it."""
    own = (each if each.prompt is None else replace(each, prompt=(*message, *each.prompt)) for each in candidates)
    return (*message, *prompt), tuple(own)


def _prompt(declaration: Declaration, row: RawRow, rule: TextRule | None) -> Conversation:
    """The prompt, completed, its media changed as the rule says; () without a rule."""
    if rule is None:
        return ()
    prompt = _completed(declaration, row, conversation(row, rule, _roots(declaration)))
    return _with_change(row, rule, prompt)


def _with_change(row: RawRow, rule: TextRule, messages: Conversation) -> Conversation:
    """The messages with each image and video changed as the rule of their column says."""
    change = "" if rule.change is None else _change(row, rule.change)
    if not change:
        return messages
    media = [part for message in messages for part in message.parts if part.kind != "text"]
    if not media:
        raise row.error(f"change {change!r}: there is no image or video that could be changed.")
    if twice := next((part for part in media if part.change), None):
        raise row.error(f"change {change!r}: {twice.label} is changed already, where it is declared.")
    return tuple(
        replace(
            message,
            parts=tuple(part if part.kind == "text" else replace(part, change=change) for part in message.parts),
        )
        for message in messages
    )


def _completed(declaration: Declaration, row: RawRow, prompt: Conversation) -> Conversation:
    """The prompt with its media before the text of the last message, and a system message first."""
    columns = declaration.columns
    media = tuple(part for each in columns.prompt_media for part in _parts(declaration, row, each))
    if media:
        prompt = (*prompt[:-1], replace(prompt[-1], parts=(*media, *prompt[-1].parts)))
    system = text(row, columns.system) if columns.system is not None else ""
    return (Message.of("system", system), *prompt) if system else prompt


def _roots(declaration: Declaration) -> Sequence[str] | None:
    """Where media of messages are looked for; None for a task of texts."""
    return None if declaration.modality == "text" else declaration.media.roots


def _parts(declaration: Declaration, row: RawRow, rule: TextRule | MediaRule) -> Iterator[Part]:
    if rule.form == "image" or rule.form == "video":
        change = "" if rule.change is None else _change(row, rule.change)
        for column, value in media_of(row, rule):
            part = media_part(row, column, value, rule.form, declaration.media.roots)
            yield replace(part, change=change) if change else part


def _change(row: RawRow, template: str) -> str:
    """A declared change of a medium, checked; "" where the row has none."""
    spelled = filled(template, lambda name: label(row, name)).strip(":")
    try:
        return str(Change.of(spelled)) if spelled else ""
    except RmbenchError as error:
        raise row.error(f"change {error}") from None


def _responses(declaration: Declaration, row: RawRow, rule: TextRule) -> list[Candidate]:
    if rule.form == "text":
        return [Candidate.of(each) for each in texts(row, rule)]
    if rule.form == "messages":
        return [Candidate(_with_change(row, rule, conversation(row, rule, _roots(declaration))))]
    return [Candidate((Message("assistant", (part,)),)) for part in _parts(declaration, row, rule)]


def _side(declaration: Declaration, row: RawRow, rule: TextRule, sources: TextRule | None) -> list[Candidate]:
    candidates = _responses(declaration, row, rule)
    return _with_sources(row, candidates, texts(row, sources) if sources else [])


def _with_sources(row: RawRow, candidates: list[Candidate], sources: list[str]) -> list[Candidate]:
    if not sources:
        return candidates
    if len(sources) != len(candidates):
        raise row.error(f"{len(candidates)} responses, but {len(sources)} names of who wrote them.")
    return [Candidate(each.messages, each.prompt, source) for each, source in zip(candidates, sources, strict=True)]


def _names(rules: list[str], row: RawRow, groups: Mapping[str, str]) -> list[str]:
    return [_name(rule, row, groups) if rule.startswith("@") else label(row, rule) for rule in rules]


def _name(mark: str, row: RawRow, groups: Mapping[str, str]) -> str:
    if mark[1:] in groups:
        return groups[mark[1:]]
    return row.label if mark == "@file" else str(row.index)


def _cluster(declaration: Declaration, row: RawRow, groups: Mapping[str, str], prompt: Conversation) -> str:
    """A short digest shared by dependent rows; "" where rows are independent."""
    rules = declaration.rows.cluster
    if not rules:
        return ""
    names = _names([rule for rule in rules if rule != "@prompt"], row, groups)
    return _digest(tuple(names), prompt if "@prompt" in rules else None)


@lru_cache(maxsize=4)
def _digest(names: Sequence[str], prompt: Conversation | None) -> str:
    """Rows of one cluster often follow one another."""
    own = [] if prompt is None else [json.dumps([_plain(message) for message in prompt])]
    return hashlib.sha256(json.dumps([*names, *own]).encode()).hexdigest()[:16]


def _plain(message: Message) -> list[str]:
    media = [part.label for part in message.parts if part.kind != "text"]
    return [message.role, message.text, *media, *(f"{key}={value}" for key, value in message.extra)]

"""What the columns of a user's rows may mean: every reading that fits, as parts of a declaration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from rmbench.tasks.own.finder import ANSWERS, Finder, prompts, text_rule
from rmbench.tasks.own.kinds import Kind, Table
from rmbench.tasks.own.labels import Labels, given, places, readings_of
from rmbench.tasks.own.words import SCORES_BESIDE, plain

__all__ = ["ROLES", "Reading", "readings"]

ROLES = {
    "prompt": "the question, as a text or a list of messages",
    "system": "a system message before it",
    "tools": "the functions that an assistant may call: a list of JSON schemas, or its JSON text",
    "chosen": "the better answer, or a list of them",
    "rejected": "the worse answer, or a list of them",
    "a": "the first of two answers",
    "b": "the second",
    "winner": "which of a and b won: labels, or a number with a sign",
    "first": "the labels of `winner` by which a won, with | between several",
    "second": "those by which b won",
    "tie": "those of a tie",
    "positive": "first or second: the answer that is better where the number in `winner` is above 0",
    "responses": "a list of answers",
    "scores": "a score for each of them, or for a|b; higher is better",
    "ranks": "a rank for each, 1 the best",
    "best": "the place of the best one",
    "from": "0 or 1: what places are counted from",
    "right": "whether each is right",
    "response": "one answer",
    "rating": "its score, or whether it is right",
    "reference": "a reference answer, which judges may show and --reference gives and withholds",
    "id": "what identifies a row",
    "group": "what results are reported by; several with | between them",
    "rater": "the person whose preference it is",
}
"""What `--columns` may name."""

_Metric = Mapping[str, Any]
_PAIR: _Metric = {"name": "accuracy", "rule": "pair", "chance": 0.5}
_PAIRWISE: _Metric = {**_PAIR, "name": "pairwise_accuracy"}
_TOP: _Metric = {"name": "accuracy", "rule": "top", "chance": "one_over_k"}
_ALL: _Metric = {"name": "all_right", "rule": "all"}
_AGREEMENT: _Metric = {"name": "agreement", "rule": "agreement"}
_KENDALL: _Metric = {"name": "kendall", "rule": "list_kendall_b"}
_AUC: _Metric = {"name": "auc", "rule": "auc", "dimension": "rating", "chance": 0.5}
_CORRELATIONS: tuple[_Metric, ...] = tuple(
    {"name": name, "rule": name, "dimension": "rating"} for name in ("spearman", "kendall_b", "pearson")
)
_MEAN: _Metric = {"name": "mean_score", "rule": "mean_score"}


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the columns."""

    shape: str
    spec: Mapping[str, str]
    """As `--columns` takes it: given again, it leaves this reading alone."""
    columns: Mapping[str, Any]
    """The keys of `[columns]`."""
    metrics: Sequence[_Metric]
    answers: Sequence[str]
    """The columns of the candidates."""
    labels: Mapping[str, Any] = field(default_factory=dict)
    """The labels of a winner, for people."""


def readings(table: Table, spec: Mapping[str, str], *, labelled: bool = True) -> list[Reading]:
    """Every reading of the columns that uses all that the user says of them.

    Args:
        table: the rows.
        spec: role -> column, as the user gives them; checked.
        labelled: False: answers alone, whatever labels there are.

    Raises:
        RmbenchError: a column that the user names does not hold what it should.
    """
    finders = [Finder(table, spec, prompt) for prompt in prompts(table, spec)]
    kinds = (_sides, _pairs, _listed, _rated) if labelled else ()
    found = [each for find in finders for read in kinds for each in _whole(find, read)]
    if not found:
        found = [each for find in finders for each in _whole(find, _unlabelled)]
    needed = set(spec) - {"id", "group", "rater", "reference"}
    return [each for each in found if needed <= set(each.spec)]


def _whole(find: Finder, read: Callable[[Finder], Iterator[Reading]]) -> Iterator[Reading]:
    """The readings with their prompt; those whose prompt is in no column are none."""
    for each in read(find):
        for columns, spec in find.with_prompt(*each.answers):
            yield replace(each, columns={**columns, **each.columns}, spec={**spec, **each.spec})


def _sides(find: Finder) -> Iterator[Reading]:
    """Chosen and rejected."""
    kinds: tuple[Kind, ...] = (*ANSWERS, "texts")
    for chosen, rejected in product(find("chosen", *kinds), find("rejected", *kinds)):
        listed = [find.table.kind(name) == "texts" for name in (chosen, rejected)]
        several = listed[0] and any(len(value or ()) > 1 for value in find.table.values(chosen))
        columns = {
            "chosen": text_rule(find.table, chosen),
            "rejected": text_rule(find.table, rejected),
            **_sources(find.table, ("chosen", "rejected")),
        }
        metrics = [_PAIR, _ALL] if several else [_TOP, _PAIRWISE] if any(listed) else [_PAIR]
        spec = {"chosen": chosen, "rejected": rejected}
        yield Reading("pick" if any(listed) else "pair", spec, columns, metrics, (chosen, rejected))


def _sources(table: Table, sides: tuple[str, str]) -> dict[str, str]:
    """The columns with the names of the models that wrote the chosen and the rejected answer."""
    of = {plain(name): name for name in table.names if table.kind(name) == "text"}
    names = [of.get(f"{side}_model") or of.get(f"{side}_source") for side in sides]
    return {f"{side}_source": name for side, name in zip(sides, names, strict=True) if name} if all(names) else {}


def _pairs(find: Finder) -> Iterator[Reading]:
    """Two answers, and which of them won."""
    for answers in _two(find):
        spec = dict(zip(("a", "b"), answers, strict=True))
        columns = {"candidates": [text_rule(find.table, name) for name in answers], **_models(find.table)}
        for winner in find("winner", "text", "number", "flag") if "scores" not in find.spec else ():
            for gold, more in _labels(find, answers, winner):
                metrics = [_PAIR, _AGREEMENT] if gold.get("tie") else [_PAIR]
                said = {**columns, "gold": {"column": winner, **gold}}
                yield Reading("pair", {**spec, "winner": winner, **more}, said, metrics, answers, gold)
        for scores in _scores_beside(find, answers) if "winner" not in find.spec else ():
            said = {**columns, "gold": {"columns": scores, "ranks": "high"}}
            yield Reading("pair", {**spec, "scores": "|".join(scores)}, said, [_PAIR], answers)


def _two(find: Finder) -> list[tuple[str, str]]:
    if not {"a", "b"} & set(find.spec):
        return find.answers()
    return [*product(find("a", *ANSWERS), find("b", *ANSWERS))]


def _labels(find: Finder, answers: tuple[str, str], winner: str) -> Iterator[tuple[Labels, Mapping[str, str]]]:
    values = [value for value in find.table.values(winner) if value is not None]
    settings = {key: find.spec[key] for key in ("first", "second", "tie", "positive") if key in find.spec}
    if "positive" in settings:
        yield {"positive": settings["positive"]}, settings
    elif settings:
        yield given(values, settings), settings
    else:
        yield from readings_of(values, answers, winner)


def _models(table: Table) -> dict[str, Any]:
    names = {plain(name): name for name in table.names if table.kind(name) == "text"}
    found = [names.get(f"model_{side}") for side in ("a", "b")]
    return {"candidate_sources": found} if all(found) else {}


def _scores_beside(find: Finder, answers: tuple[str, str]) -> list[list[str]]:
    """A column of scores for each of two answers: `scores=score_a|score_b`."""
    if "scores" in find.spec:
        return [find.spec["scores"].split("|")]
    ends = [plain(name).rsplit("_", 1)[-1] for name in answers]
    numbers = {plain(name): name for name in find.table.names if find.table.kind(name) == "number"}
    pairs = [[f"{word}_{end}" for end in ends] for word in SCORES_BESIDE]
    return [[numbers[name] for name in pair] for pair in pairs if set(pair) <= set(numbers)]


def _listed(find: Finder) -> Iterator[Reading]:
    """A list of answers, with scores, ranks, the best one's place, or whether each is right."""
    for name, answers in _lists(find):
        base = Reading("", {"responses": name}, {"candidates": [_items(answers)]}, (), (name,))
        for read in (_by_figures, _by_best, _by_right):
            for shape, spec, gold, metrics in read(find, answers):
                yield replace(
                    base,
                    shape=shape,
                    spec={**base.spec, **spec},
                    columns={**base.columns, "gold": gold},
                    metrics=metrics,
                )


def _lists(find: Finder) -> Iterator[tuple[str, str]]:
    """Columns of lists of answers, and the path of the texts in them."""
    for name in find("responses", "texts", "objects"):
        for answers in find.within(name, "response", "texts")[:1]:
            yield name, answers


def _items(answers: str) -> str:
    return answers if "[]" in answers else f"{answers}[]"


_Listed = tuple[str, Mapping[str, str], Mapping[str, Any], Sequence[_Metric]]
"""Shape, spec, gold and metrics."""


def _by_figures(find: Finder, answers: str) -> Iterator[_Listed]:
    orders: tuple[tuple[str, str], ...] = (("scores", "high"), ("ranks", "low"))
    for role, order in orders:
        for figures in find.beside(role, answers, "numbers"):
            yield "ranked", {role: figures}, {"column": figures, "ranks": order}, [_PAIRWISE, _KENDALL]


def _by_best(find: Finder, answers: str) -> Iterator[_Listed]:
    sizes = [len(value) for value in find.table.values(answers) if value is not None]
    for best in find("best", "number", "text"):
        values = [value for value in find.table.values(best) if value is not None]
        for gold, more in places(values, sizes, find.spec.get("from")):
            yield "pick", {"best": best, **more}, {"column": best, **gold}, [_TOP, _PAIRWISE]


def _by_right(find: Finder, answers: str) -> Iterator[_Listed]:
    flags = find.beside("right", answers, "flags")
    digits = find.beside("right", answers, "numbers") if not flags else []
    for right in [*flags, *(name for name in digits if _are_digits(find.table.values(name)))]:
        one = all(sum(value) == 1 for value in find.table.values(right) if value is not None)
        metrics = [_TOP, _PAIRWISE] if one else [_PAIRWISE]
        yield "pick", {"right": right}, {"column": right, "flags": True}, metrics


def _are_digits(lists: Sequence[Any]) -> bool:
    """Whether lists of numbers hold whole ones alone, 0 and 1."""
    return all(type(each) is int and each in (0, 1) for value in lists for each in value or ())


def _rated(find: Finder) -> Iterator[Reading]:
    """One answer and its score, or whether it is right."""
    for response in find("response", *ANSWERS) if "responses" not in find.spec else ():
        for rating in find("rating", "number", "flag"):
            flags = find.table.kind(rating) == "flag"
            two = {value for value in find.table.values(rating) if value is not None} <= {0, 1}
            columns = {
                "candidates": [text_rule(find.table, response)],
                "ratings": {"rating": {"column": rating, "flags": True} if flags else rating},
            }
            spec = {"response": response, "rating": rating}
            yield Reading("rated", spec, columns, [_AUC] if two else _CORRELATIONS, (response,))


def _unlabelled(find: Finder) -> Iterator[Reading]:
    """Answers without labels."""
    for response in find("response", *ANSWERS):
        columns = {"candidates": [text_rule(find.table, response)]}
        yield Reading("scored", {"response": response}, columns, [_MEAN], (response,))
    for name, texts in _lists(find):
        yield Reading("scored", {"responses": name}, {"candidates": [_items(texts)]}, [_MEAN], (name,))
    sides = product(find("chosen", *ANSWERS), find("rejected", *ANSWERS))
    for roles, answers in [(("a", "b"), two) for two in _two(find)] + [(("chosen", "rejected"), two) for two in sides]:
        columns = {"candidates": [text_rule(find.table, name) for name in answers]}
        yield Reading("scored", dict(zip(roles, answers, strict=True)), columns, [_MEAN], answers)

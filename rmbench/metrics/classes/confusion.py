"""Predicted classes against gold ones: precision, recall and F1 of class 1 or as means of all, and rewards cut at a
threshold.

Pairs have three classes (one is better, the other is, a tie: PandaLM); rows with a label have that label's (a claim
that is attributable or not: AttributionBench). A prediction that could not be read is of no class, so it lowers recall
alone; where labels have two classes it is the wrong one, as AttributionBench counts it, but for precision, recall and
F1 of class 1, for which it is no class 1, as AgentRewardBench counts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.agreement import first_answers
from rmbench.metrics.rows.answers import in_dimension, is_failed, item_scores
from rmbench.metrics.rows.gold import Compared, compared, label_of
from rmbench.metrics.uncertainty.aggregate import Floats, Ints
from rmbench.metrics.uncertainty.sample import Sample, clusters_of, mean_sample, table_of, undefined_sample
from rmbench.types import Judged

__all__ = [
    "Classed",
    "best_threshold",
    "classed",
    "cohen_kappa",
    "confusion_matrix",
    "confusion_sample",
    "macro",
    "of_class_one",
    "threshold_sample",
]

_NONE = -1
"""The prediction that names no class."""
_OF_ONE = ("precision", "recall", "f1")
"""The rules of class 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Classed:
    """One entry per comparison or labelled row."""

    rows: tuple[Judged, ...]
    gold: Ints
    """[n] from 0."""
    predicted: Ints
    """[n] from 0, or -1."""
    classes: int


def classed(rows: Sequence[Judged], spec: MetricSpec, threshold: float | None = None) -> Classed:
    """The classes that people and the model gave; `threshold` cuts the rewards of labelled rows.

    Raises RmbenchError where a label verdict names a class that `spec.classes` does not.
    """
    labels = [label_of(row, spec) for row in rows]
    if any(label is not None for label in labels):
        having = [(row, label) for row, label in zip(rows, labels, strict=True) if label is not None]
        classes = max(2, len(spec.classes), 1 + max(label for _, label in having))
        predicted = [_labelled(row, label, classes, spec, threshold) for row, label in having]
        return Classed(tuple(row for row, _ in having), _ints(label for _, label in having), _ints(predicted), classes)
    found = [(in_dimension(row, spec.dimension), one) for row in rows for one in compared(row, spec)]
    gold = _ints(2 if one.tie else int(one.i > one.j) for _, one in found)
    return Classed(tuple(row for row, _ in found), gold, _ints(_choice(row, one, spec) for row, one in found), 3)


def _ints(values: object) -> Ints:
    return np.array(list(values), dtype=np.int64)  # type: ignore[call-overload]


def _choice(row: Judged, one: Compared, spec: MetricSpec) -> int:
    """0 where the lower index is better, 1 where the higher is, 2 for a tie; the most frequent answer of the votes."""
    answers = first_answers(row, one, spec)
    counts = {outcome: answers.count(outcome) for outcome in ("win", "loss", "tie")}
    most = max(counts.values())
    top = [outcome for outcome, count in counts.items() if count == most]
    if not most or len(top) > 1:
        return _NONE
    return 2 if top[0] == "tie" else int((one.i > one.j) == (top[0] == "win"))


def _labelled(row: Judged, label: int, classes: int, spec: MetricSpec, threshold: float | None) -> int:
    """The class of a labelled row by its label verdicts, else by its reward."""
    wrong = 1 - label if classes == 2 and spec.rule not in _OF_ONE else _NONE
    if is_failed(row):
        return wrong
    verdicts = [verdict for verdict in row.judgment.verdicts if verdict.kind == "label"]
    if verdicts:
        named = [_class_of(verdict.value, row, classes, spec) for verdict in verdicts if verdict.status == "ok"]
        counts = np.bincount(named, minlength=classes) if named else np.zeros(classes)
        return int(counts.argmax()) if counts.max() > 0 and (counts == counts.max()).sum() == 1 else wrong
    score = item_scores(row, spec.dimension)
    if score is None or not np.isfinite(score[0]):
        return wrong
    if threshold is None:
        raise RmbenchError(f'metric "{spec.name}": rows answered by a reward need a threshold to have a class.')
    return int(score[0] >= threshold)


def _class_of(value: object, row: Judged, classes: int, spec: MetricSpec) -> int:
    text = str(value)
    if text in spec.classes:
        return spec.classes.index(text)
    if not spec.classes and text.isdigit() and int(text) < classes:
        return int(text)
    expected = ", ".join(spec.classes) or f"0 to {classes - 1}"
    raise RmbenchError(f'metric "{spec.name}": row "{row.id}" has the label "{text}", expected one of {expected}.')


def confusion_matrix(gold: Ints, predicted: Ints, classes: int) -> Floats:
    """[C, C + 1] how often each gold class [n] was predicted as each class; the last column is no class, -1."""
    column = np.where(predicted == _NONE, classes, predicted)
    cells = np.bincount(gold * (classes + 1) + column, minlength=classes * (classes + 1))
    return cells.reshape(classes, classes + 1).astype(np.float64)


def macro(rule: str, confusion: Floats) -> Floats:
    """[...] the plain mean over classes of precision, recall or F1 (`rule` "macro_precision", ...).

    `confusion` [..., C, C + 1] counts gold classes by predicted ones, the last column those of no class. A class that
    occurs on neither side is left out; one that was never predicted has precision 0 (as in scikit-learn).
    """
    per_class = _per_class(rule.removeprefix("macro_"), confusion)
    occurs = (confusion.sum(axis=-1) + confusion[..., :-1].sum(axis=-2)) > 0
    count = occurs.sum(axis=-1)
    out: Floats = np.divide((per_class * occurs).sum(axis=-1), count, out=np.full(count.shape, np.nan), where=count > 0)
    return out


def of_class_one(rule: str, confusion: Floats) -> Floats:
    """[...] "precision", "recall" or "f1" of class 1, of such a `confusion`; 0 where nothing is class 1 (as in upstream
    and scikit-learn)."""
    out: Floats = _per_class(rule, confusion)[..., 1]
    return out


def _per_class(rule: str, confusion: Floats) -> Floats:
    """[..., C] precision, recall or F1 of each class."""
    square = confusion[..., :-1]
    right = np.diagonal(square, axis1=-2, axis2=-1)
    gold, predicted = confusion.sum(axis=-1), square.sum(axis=-2)
    bottom = {"precision": predicted, "recall": gold}.get(rule, (gold + predicted) / 2)
    out: Floats = np.divide(right, bottom, out=np.zeros(right.shape), where=bottom > 0)
    return out


def cohen_kappa(confusion: Floats) -> Floats:
    """[...] (agreement - agreement by chance) / (1 - agreement by chance) of `confusion` [..., C, C + 1], chance being
    the product of both sides' shares of each class; nan where that is 1. A prediction of no class agrees with nothing.
    """
    total = confusion.sum(axis=(-2, -1))
    scale = np.where(total > 0, total, 1.0)
    square = confusion[..., :-1]
    agreed = np.trace(square, axis1=-2, axis2=-1) / scale
    chance = (confusion.sum(axis=-1) * square.sum(axis=-2)).sum(axis=-1) / scale**2
    out: Floats = np.divide(agreed - chance, 1 - chance, out=np.full(chance.shape, np.nan), where=chance < 1 - 1e-12)
    return np.where(total > 0, out, np.nan)


def confusion_sample(rows: Sequence[Judged], spec: MetricSpec, threshold: float | None = None) -> Sample:
    """The figure of `spec.rule`; rewards of labelled rows are cut at `threshold`, else the declared one."""
    of = classed(rows, spec, spec.threshold if threshold is None else threshold)
    if not len(of.gold):
        return undefined_sample(("undefined",))
    rule = spec.rule.removeprefix("threshold_")
    names, codes = clusters_of(of.rows)
    cells = np.zeros((len(of.gold), of.classes * (of.classes + 1)))
    column = of.gold * (of.classes + 1) + np.where(of.predicted == _NONE, of.classes, of.predicted)
    cells[np.arange(len(of.gold)), column] = [row.weight for row in of.rows]
    table = table_of(codes, len(names), cells)

    def draw(counts: Floats) -> Floats:
        tables = (counts @ table).reshape(-1, of.classes, of.classes + 1)
        if rule == "cohen_kappa":
            return cohen_kappa(tables)
        return of_class_one(rule, tables) if rule in _OF_ONE else macro(rule, tables)

    value = float(draw(np.ones((1, len(names))))[0])
    return Sample(
        value=None if np.isnan(value) else value,
        clusters=names,
        draw=draw,
        n=len({row.id for row in of.rows}),
        comparisons=len(of.gold),
        width=table.shape[1],
    )


def best_threshold(scores: Floats, labels: Ints, rule: str) -> float:
    """The threshold t at which "class 1 where the score is at least t" is best on `scores` [n] with `labels` [n] 0/1.

    `rule` is "threshold_accuracy" or "threshold_macro_f1". Candidates are the middles between neighbouring scores, and
    one below and one above all of them; of equally good ones the lowest. The choice is rmbench's own.
    """
    distinct = np.unique(scores)
    middles = (distinct[:-1] + distinct[1:]) / 2
    candidates = np.concatenate([[distinct[0]], middles, [np.nextafter(distinct[-1], np.inf)]])
    ones, zeros = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    hit = len(ones) - np.searchsorted(ones, candidates, side="left")
    false = len(zeros) - np.searchsorted(zeros, candidates, side="left")
    confusion = np.zeros((len(candidates), 2, 3))
    confusion[:, 0, 0], confusion[:, 0, 1] = len(zeros) - false, false
    confusion[:, 1, 0], confusion[:, 1, 1] = len(ones) - hit, hit
    worth = macro("macro_f1", confusion) if rule == "threshold_macro_f1" else (hit + len(zeros) - false) / len(scores)
    # Equal in exact arithmetic, they may be apart by a rounding.
    return float(candidates[int(np.argmax(worth >= worth.max() - 1e-12))])


def threshold_sample(rows: Sequence[Judged], spec: MetricSpec, fit: Sequence[Judged]) -> Sample:
    """Accuracy or macro F1 of rewards cut at the threshold that is best on the `fit` rows; the interval takes the
    threshold as given. A judge that names labels needs none.

    Without fit rows of both classes there is no value, with the flag "no_fit_split".
    """
    threshold: float | None = None
    if any(label_of(row, spec) is not None and not _names_labels(row) and not is_failed(row) for row in rows):
        threshold = _fitted(spec, fit)
        if threshold is None:
            return undefined_sample(("no_fit_split", "undefined"), len(rows))
    flags = () if threshold is None else (f"threshold={threshold:.6g}",)
    if spec.rule == "threshold_macro_f1":
        sample = confusion_sample(rows, spec, threshold)
        return replace(sample, flags=(*flags, *sample.flags))
    of = classed(rows, spec, threshold)
    right = (of.gold == of.predicted).astype(np.float64)
    return mean_sample(right, of.rows, comparisons=len(of.gold), flags=flags)


def _names_labels(row: Judged) -> bool:
    return any(verdict.kind == "label" for verdict in row.judgment.verdicts)


def _fitted(spec: MetricSpec, fit: Sequence[Judged]) -> float | None:
    scores, labels = [], []
    for row in fit:
        label, score = label_of(row, spec), item_scores(row, spec.dimension)
        if label in (0, 1) and score is not None and np.isfinite(score[0]):
            scores.append(score[0])
            labels.append(label)
    if len(set(labels)) < 2:
        return None
    return best_threshold(np.array(scores), np.array(labels, dtype=np.int64), spec.rule)

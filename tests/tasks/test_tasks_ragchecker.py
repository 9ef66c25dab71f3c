"""RAGChecker: two annotators' grades in three dimensions, the released scores, and what length alone gives."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmbench.metrics.measure import measure
from rmbench.models.baselines.open import open_baseline
from rmbench.models.fakes import open_fake
from rmbench.models.options import OpenOptions
from rmbench.tasks.registry import get
from rmbench.types import Example, Judgment
from tests._make import Values, judged, loaded, values_of

TASK = "ragchecker"


def by_model(model: Any, source: Path | str) -> Values:
    return values_of(TASK, judged(TASK, source, lambda each: model.judge(TASK, each)))


DIMENSIONS = ("correctness", "completeness", "overall")
GROUPS = {"correctness": "dimension=correctness", "completeness": "dimension=completeness", "overall": None}


def test_two_rows_of_upstream_are_one_with_two_annotators() -> None:
    example = loaded(TASK, "sample").examples[0]
    assert [(e.i, e.j, e.strength, e.dimension, e.annotator) for e in example.gold.relation] == [
        (1, 0, 1.0, "correctness", "annotator1"),
        (1, 0, 1.0, "correctness", "annotator2"),
        (1, 0, 2.0, "completeness", "annotator1"),
        (1, 0, 1.0, "completeness", "annotator2"),
        (1, 0, 2.0, "overall", "annotator1"),
        (1, 0, 1.0, "overall", "annotator2"),
    ]
    assert set(example.context) == {"reference"}


def test_oracle_follows_the_grades_of_the_sample() -> None:
    right, wrong = (by_model(open_fake(kind, OpenOptions()), "sample") for kind in ("oracle", "anti"))
    for name in ("pearson", "spearman"):
        ahead, behind = right[name, None].value, wrong[name, None].value
        assert ahead is not None
        assert ahead > 0.8
        assert behind == pytest.approx(-ahead)
    assert right["pair_accuracy", None].value == 1.0
    assert wrong["pair_accuracy", None].value == 0.0


LABELS = {
    "correctness": (50, 124, 234, 112, 40),
    "completeness": (49, 134, 211, 117, 49),
    "overall": (52, 153, 170, 139, 46),
}


def test_ragchecker_rows(data: Path) -> None:
    found = loaded(TASK, data)
    assert len(found.examples) == found.total == 280
    assert found.missing == ()
    assert Counter(found.group_totals[f"dataset={each.groups['dataset']}"] for each in found.examples) == {28: 280}
    for dimension, counts in LABELS.items():
        grades = Counter(
            edge.strength if edge.i == 1 else -edge.strength
            for each in found.examples
            for edge in each.gold.relation
            if edge.dimension == dimension
        )
        assert tuple(grades[grade] for grade in (-2, -1, 0, 1, 2)) == counts
    texts = {each.id: [candidate.text for candidate in each.candidates] for each in found.examples}
    assert {row for row, (one, two) in texts.items() if one == two} == {"4", "127", "148", "255", "258"}
    assert {row for row, both in texts.items() if "" in both} == {"78", "80", "186", "233", "266", "272"}


@pytest.mark.parametrize(
    "dimension, pearson, spearman",
    [("correctness", 4.61, 5.52), ("completeness", 33.75, 39.14), ("overall", 19.59, 23.99)],
)
def test_ragchecker_longer_answers(dimension: str, pearson: float, spearman: float, data: Path) -> None:
    """Baseline: the difference of lengths against both annotators' grades, 560 figures."""
    found = by_model(open_baseline("length", OpenOptions()), data)
    for rule, expected in (("pearson", pearson), ("spearman", spearman)):
        value = found[rule, GROUPS[dimension]]
        assert value.value is not None
        assert round(100 * value.value, 2) == expected
        assert (value.n, value.comparisons) == (280, 560)


@pytest.mark.parametrize(
    "dimension, pearson, spearman",
    [("correctness", 49.66, 46.95), ("completeness", 60.67, 58.11), ("overall", 61.93, 60.90)],
)
def test_ragchecker_released_scores(dimension: str, pearson: float, spearman: float, data: Path) -> None:
    """Rows: RAGChecker's own scores, a figure for each dimension, as its authors released them."""
    path = data / "ragchecker" / "data" / "meta_evaluation" / "baseline_ragchecker.json"
    released = {str(row["instance_id"]): row for row in json.loads(path.read_text())}

    def answer(example: Example) -> Judgment:
        scores = [released[example.id][side]["ragchecker"] for side in ("model1", "model2")]
        parts = {name: tuple((float(each[f"{name}_label"]),) for each in scores) for name in DIMENSIONS}
        return Judgment(example.id, rewards=tuple(line[0] for line in parts["overall"]), parts=parts)

    found = values_of(TASK, judged(TASK, data, answer))
    for rule, expected in (("pearson", pearson), ("spearman", spearman)):
        value = found[rule, GROUPS[dimension]].value
        assert value is not None
        assert round(100 * value, 2) == expected


@pytest.mark.parametrize(
    "dimension, pearson, spearman, same",
    [("correctness", 63.67, 59.19, 0.500), ("completeness", 71.91, 68.36, 0.600), ("overall", 70.09, 68.89, 0.554)],
)
def test_ragchecker_annotators(dimension: str, pearson: float, spearman: float, same: float, data: Path) -> None:
    """The ceiling: one annotator as the model of the other, through the declared metrics with the other alone."""

    def grade(example: Example, annotator: str) -> float:
        (edge,) = (each for each in example.gold.relation if (each.dimension, each.annotator) == (dimension, annotator))
        return edge.strength if edge.i == 1 else -edge.strength

    rows = judged(TASK, data, lambda each: Judgment(each.id, rewards=(0.0, float(grade(each, "annotator1")))))
    specs = [
        replace(each, annotator="annotator2", dimension=dimension)
        for each in get(TASK).metrics
        if each.name in ("pearson", "spearman")
    ]
    found = [value.value for value in measure(rows, specs, resamples=50) if value.group is None]
    assert [round(100 * value, 2) for value in found if value is not None] == [pearson, spearman]
    examples = loaded(TASK, data).examples
    equal = sum(grade(each, "annotator1") == grade(each, "annotator2") for each in examples)
    assert round(equal / 280, 3) == same

"""The headline of a record: its declaration, with the metrics that it averages, and its overall value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.metric_spec import Level, MetricSpec
from rmbench.records.headline import headline, headline_spec, specs
from rmbench.records.record import Record
from rmbench.types import Value
from tests._make import make_record

METRICS: list[dict[str, Any]] = [
    {"name": "mean", "rule": "mean_of", "of": ["tau", "accuracy"]},
    {"name": "accuracy", "rule": "pair", "levels": [{"group": "domain", "weights": None}]},
    {"name": "tau", "rule": "kendall_b", "dimension": "overall"},
]
RESULTS = [
    Value("accuracy", None, 0.25, None, None, 3, 3, 1.0, chance=0.5),
    Value("mean", "domain=chat", 0.5, None, None, 3, 3, 1.0, chance=None),
    Value("mean", None, 0.75, None, None, 3, 3, 1.0, chance=None),
]


def of_metrics(record: Callable[..., Record], metrics: list[dict[str, Any]]) -> Record:
    whole = record()
    return whole.model_copy(update={"task": whole.task.model_copy(update={"metrics": metrics})})


def test_the_first_metric_with_those_it_averages(record: Callable[..., Record]) -> None:
    spec = headline_spec(of_metrics(record, METRICS))
    assert (spec.name, spec.rule, [part.name for part in spec.parts]) == ("mean", "mean_of", ["tau", "accuracy"])
    assert spec.parts[1] == MetricSpec("accuracy", "pair", levels=(Level("domain"),))
    assert headline_spec(of_metrics(record, METRICS[1:])) == spec.parts[1]


def test_all_metrics_in_their_order(record: Callable[..., Record]) -> None:
    assert [spec.name for spec in specs(of_metrics(record, METRICS))] == ["mean", "accuracy", "tau"]


def test_the_overall_value_of_the_first_metric() -> None:
    part: dict[str, Any] = {
        "task": {"id": "t", "version": 1, "title": "T", "n": 3, "metrics": METRICS},
        "model": {"name": "m"},
    }
    counts = {"judged": 3, "failed": 0, "unparsed": 0, "truncated": 0, "ties": 0}
    file = {"file": "judgments.parquet", "sha256": "", "rows": 3}

    def with_results(results: list[Value]) -> Record:
        whole = {"counts": counts, "flags": [], "results": results, "failed": [], "judgments": file}
        return make_record({**part, "data": {"rows": 3}, "": whole})

    assert headline(with_results(RESULTS)).value == 0.75
    with pytest.raises(RmbenchError, match='record of t: it has no overall value of its first metric "mean"'):
        headline(with_results(RESULTS[:2]))


@pytest.mark.parametrize("read", [headline_spec, specs, headline])
def test_a_record_without_metrics_is_an_error(read: Callable[[Record], object], record: Callable[..., Record]) -> None:
    with pytest.raises(RmbenchError, match=r"record of some-task: task\.metrics is empty"):
        read(of_metrics(record, []))


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([{**METRICS[0], "of": ["acuracy"]}, METRICS[1]], r'task\.metrics\.0\.of: no metric is called "acuracy"'),
        ([{**METRICS[1], "level": []}], r'task\.metrics\.0\.level: unknown key\. Did you mean "levels"'),
    ],
)
def test_a_declaration_that_cannot_be_read_is_named(
    metrics: list[dict[str, Any]], message: str, record: Callable[..., Record]
) -> None:
    with pytest.raises(RmbenchError, match=message):
        headline_spec(of_metrics(record, metrics))

"""A judge's readable ranking is an order: rules that need only an order give it what the same order as scores has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec, of_kind
from rmbench.metrics.measure import measure
from rmbench.types import Edge, Judged, Verdict
from tests._make import make_row, worth, write_lines

RULES = ("ndcg", "best_of_k", "reciprocal_rank", "pair", "all", "top", *of_kind("list correlation"))


def lists(answer: str) -> list[Judged]:
    """200 lists of 6 with graded gold, each answered with one random order."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(200):
        quality, score = rng.integers(0, 4, 6), rng.permutation(6)
        shown = tuple(map(int, rng.permutation(6)))
        gold: dict[str, Any] = {
            "edges": [Edge(i, j) for i in range(6) for j in range(6) if quality[i] > quality[j]],
            "ratings": tuple((float(one),) for one in quality),
            "dimensions": ("quality",),
        }
        if answer == "scores":
            rows.append(make_row(f"r{number}", tuple(map(float, score)), **gold))
        else:
            best_first = tuple(map(int, np.argsort(-score)))
            orders = (shown,) if answer == "one ranking" else (shown, shown[::-1])
            verdicts = tuple(Verdict(order, "ranking", best_first) for order in orders)
            rows.append(make_row(f"r{number}", size=6, verdicts=verdicts, **gold))
    return rows


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("answer", ["one ranking", "two rankings"])
def test_rankings_are_worth_what_the_same_orders_as_scores_are(rule: str, answer: str) -> None:
    spec = MetricSpec("m", rule, dimension="" if rule in RULES[2:6] else "quality")
    theirs, ours = (measure(lists(one), [spec], resamples=50)[0] for one in ("scores", answer))
    assert ours.value == pytest.approx(theirs.value, abs=1e-12)
    assert (ours.low, ours.high, ours.n) == (theirs.low, theirs.high, theirs.n)
    assert "incomplete" not in ours.flags


def test_a_ranking_that_names_other_candidates_is_no_order() -> None:
    verdicts = (Verdict((0, 1, 2), "ranking", (0, 1)),)
    row = make_row(size=3, edges=(Edge(0, 1), Edge(0, 2)), verdicts=verdicts)
    assert worth(row, "ndcg", unparsed=0.25) == 0.25


def test_labels_of_two_candidates_are_an_order() -> None:
    assert worth(make_row(verdicts=(Verdict((1, 0), "label", "B>>A"),)), "ndcg") == 1
    assert worth(make_row(verdicts=(Verdict((0, 1), "label", "B>>A"),)), "ndcg") == pytest.approx(1 / np.log2(3))


def run_scores(tmp_path: Path, kind: str) -> rmbench.Results:
    """A score file of rankings of one response, or ratings, on a task whose headline is a pooled correlation."""
    from rmbench.tasks.registry import get
    from rmbench.tasks.sources import load

    rows = load(get("agiqa-3k"), "sample").examples
    value: object = [0] if kind == "ranking" else 3.5
    lines = [
        {"task": "agiqa-3k", "id": row.id, "verdicts": [{"shown": [0], "kind": kind, "value": value}]} for row in rows
    ]
    file = write_lines(tmp_path / "judge.jsonl", lines)
    return rmbench.run(f"scores:{file}", "agiqa-3k", source="sample", out=tmp_path / "out")


def test_a_headline_that_needs_numbers_is_refused_to_a_judge_that_only_ranks(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=r'metric "spearman" \(spearman\) needs a number for each candidate'):
        run_scores(tmp_path, "ranking")
    assert len(run_scores(tmp_path, "rating").records) == 1

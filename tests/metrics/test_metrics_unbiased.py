"""Rankings and losses from labels that are missing not at random, against the paper's own evaluation written out."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.measure import measure
from rmbench.metrics.unbiased import unbiased_dcg, unbiased_loss_sample, unbiased_map, unbiased_recall
from rmbench.tasks.registry import load_file
from tests._make import make_row, write_lines

ORDERED = ([3.0, 2.0, 1.0], [True, False, True], [0.5, 1.0, 0.25])
"""Scores, labels and propensities: weights 2, 0 and 4."""


def test_by_hand() -> None:
    """The first two ranks of DCG weigh alike; average precision is divided by the sum of the weights alone."""
    assert unbiased_dcg(*ORDERED, 1) == pytest.approx(2 / 6)
    assert unbiased_dcg(*ORDERED, 3) == pytest.approx((2 + 4 / math.log2(3)) / 6)
    assert unbiased_recall(*ORDERED, 2) == pytest.approx(2 / 6)
    assert unbiased_map(*ORDERED, 3) == pytest.approx((2 / 1 + 6 / 3) / 6)
    second_first = ([2.0, 3.0], [True, True], [0.5, 0.5])
    assert unbiased_dcg(*second_first, 2) == pytest.approx(1.0)
    assert unbiased_dcg([1.0], [False], [0.5], 1) is None
    clipped = ([1.0, 2.0], [True, True], [0.001, 0.02])
    assert unbiased_recall(*clipped, 1) == pytest.approx(50 / 150)


def upstream(
    scores: Sequence[float], labels: Sequence[int], chances: Sequence[float], order: Sequence[int], k: int
) -> tuple[float, float, float]:
    """The three figures of upstream's metrics.py for one order, as a plain loop."""
    y, p = [labels[n] for n in order], [max(chances[n], 0.01) for n in order]
    total = sum(1 / chance for label, chance in zip(y, p, strict=True) if label)
    gain = y[0] / p[0] + sum(y[i] / (p[i] * math.log2(i + 1)) for i in range(1, min(k, len(y))))
    found = sum(y[i] / p[i] for i in range(min(k, len(y))))
    precision = sum(sum(y[j] / p[j] for j in range(i + 1)) / (i + 1) for i in range(min(k, len(y))) if y[i])
    return gain / total, found / total, precision / total


@pytest.mark.parametrize("k", [1, 3, 5, 9])
def test_against_a_plain_loop_over_every_order_of_equal_scores(k: int) -> None:
    rng = random.Random(k)
    for _ in range(40):
        size = rng.randint(2, 6)
        scores = [float(rng.randint(0, 3)) for _ in range(size)]
        labels = [int(rng.random() < 0.5) for _ in range(size)]
        chances = [rng.choice([0.001, 0.1, 0.5, 1.0]) for _ in range(size)]
        if not any(labels):
            continue
        orders = [
            order
            for order in itertools.permutations(range(size))
            if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
        ]
        expected = np.mean([upstream(scores, labels, chances, order, k) for order in orders], axis=0)
        given = (scores, list(map(bool, labels)), chances, k)
        found = (unbiased_dcg(*given), unbiased_recall(*given), unbiased_map(*given))
        assert found == pytest.approx(tuple(expected))


TASK = """
id = "clicks"
version = 1
title = "Items that users clicked"
family = "text"
modality = "text"
shape = "rated"
n = {n}
official = false
verified = true

[[files]]
paths = ["clicks.jsonl"]

[columns]
prompt = "user"
candidates = ["item"]

[columns.ratings]
click = "click"

[rows]
cluster = ["user"]

[groups]
user = "user"
exposure = "exposure"
"""
METRIC = """
[[metric]]
name = "{rule}"
rule = "{rule}"
dimension = "click"
propensity = "exposure"
clip = 0.01
"""


def test_a_task_of_users_and_items(tmp_path: Path) -> None:
    """Each row is an item of a user; the figures are the means over users of the plain loop's."""
    rng = random.Random(1)
    rows, by_user = [], {}
    for user in "abcdef":
        items = [(rng.random(), int(rng.random() < 0.4), round(rng.uniform(0.05, 1), 3)) for _ in range(8)]
        items[0] = (items[0][0], 1, items[0][2])
        by_user[user] = items
        rows += [
            {"user": user, "item": f"{score:.6f}", "click": click, "exposure": chance} for score, click, chance in items
        ]
    write_lines(tmp_path / "clicks.jsonl", rows)
    ranked = "".join(
        METRIC.format(rule=f"unbiased_{name}") + 'k = 3\njoin = "user"\n' for name in ("dcg", "recall", "map")
    )
    path = tmp_path / "clicks.toml"
    path.write_text(TASK.format(n=len(rows)) + ranked + METRIC.format(rule="unbiased_loss"), "utf-8")

    def own_score(conversations: list[list[dict[str, str]]]) -> list[float]:
        return [float(turns[-1]["content"]) for turns in conversations]

    record = rmbench.run(own_score, path, source=tmp_path, out=tmp_path / "out").records[0]
    found = {value.metric: value for value in record.results if value.group is None}
    expected = []
    for items in by_user.values():
        order = sorted(range(8), key=lambda n: -items[n][0])
        scores, clicks, chances = zip(*items, strict=True)
        expected.append(upstream(scores, clicks, chances, order, 3))
    names = ("unbiased_dcg", "unbiased_recall", "unbiased_map")
    assert [found[name].value for name in names] == pytest.approx(np.mean(expected, axis=0).tolist())
    assert found["unbiased_dcg"].low is not None
    losses = [
        click / chance * (1 - p) ** 2 + (1 - click / chance) * p**2
        for items in by_user.values()
        for score, click, chance in items
        for p in [1 / (1 + math.exp(-round(score, 6)))]
    ]
    assert found["unbiased_loss"].value == pytest.approx(np.mean(losses), abs=1e-5)


def test_propensities_as_a_rated_dimension_of_the_candidates() -> None:
    spec = MetricSpec("m", "unbiased_recall", dimension="click", propensity="exposure", k=2, clip=0.01)
    row = make_row(
        "r",
        [3.0, 2.0, 1.0],
        ratings=((1.0, 0.5), (0.0, 1.0), (1.0, 0.25)),
        dimensions=("click", "exposure"),
    )
    assert measure([row], [spec])[0].value == pytest.approx(2 / 6)
    none = make_row("s", [3.0, 2.0], ratings=((0.0, 0.5), (0.0, 1.0)), dimensions=("click", "exposure"))
    failed = make_row("t", None, size=2, ratings=((1.0, 0.5), (0.0, 1.0)), dimensions=("click", "exposure"))
    value = measure([row, none, failed], [spec])[0]
    assert {"undefined_lists=1", "incomplete"} <= {*value.flags} or "low_coverage" in value.flags
    wrong = make_row("w", [1.0], size=1, ratings=((1.0, 1.5),), dimensions=("click", "exposure"))
    with pytest.raises(RmbenchError, match=r'row "w" has the propensity 1.5, expected above 0'):
        measure([wrong], [spec])


def test_the_loss_finds_the_true_one_in_the_mean() -> None:
    generator = np.random.default_rng(3)
    n = 20_000
    seen_at, scores = generator.uniform(0.2, 1.0, n), generator.normal(size=n)
    relevant = generator.random(n) < 0.3
    clicked = relevant & (generator.random(n) < seen_at)
    rows = [
        make_row(
            str(k),
            [scores[k]],
            size=1,
            edges=(),
            ratings=((float(clicked[k]),),),
            dimensions=("click",),
            groups={"p": str(seen_at[k])},
        )
        for k in range(n)
    ]
    spec = MetricSpec("m", "unbiased_loss", propensity="p")
    predicted = 1 / (1 + np.exp(-scores))
    truth = np.mean(relevant * (1 - predicted) ** 2 + ~relevant * predicted**2)
    assert unbiased_loss_sample(rows, spec).value == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("k = 3\n", "", "this key is missing"),
        ('propensity = "exposure"\n', "", "go with `propensity`"),
        ('"exposure"\nclip', '"exposur"\nclip', 'Did you mean "exposure"'),
        ('rule = "unbiased_dcg"', 'rule = "spearman"', "have a `k`"),
    ],
)
def test_declarations(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = TASK.format(n=1) + METRIC.format(rule="unbiased_dcg") + 'k = 3\njoin = "user"\n'
    path = tmp_path / "clicks.toml"
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(RmbenchError, match=message):
        load_file(path)

"""A pair under two contexts and without one, against figures by hand."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.contexts import context_shift_sample, difference_sample, sensitivity_sample
from rmbench.types import Edge, Judged
from tests._make import make_row

SENSITIVE = MetricSpec("s", "context_sensitivity", join="cluster")
SHIFT = MetricSpec("m", "context_shift", join="cluster")


def trio(name: str, x: float, y: float, control: float) -> list[Judged]:
    """A pair's margins for candidate 0: under a context that prefers it, under one that does not, and under none."""
    golds = ((x, 1.0), (y, -1.0), (control, 0.0))
    return [
        make_row(f"{name}{k}", [margin, 0.0], edges=(Edge(0, 1, strength),), cluster=name)
        for k, (margin, strength) in enumerate(golds)
    ]


def test_a_scorer_that_adds_a_number_for_the_context() -> None:
    """Pairs whose plain margins are .5 and 3, moved by 1 towards the gold: both move, and one choice turns."""
    rows = [*trio("small", 1.5, -0.5, 0.5), *trio("large", 4.0, 2.0, 3.0)]
    assert sensitivity_sample(rows, SENSITIVE).value == 0.5
    assert context_shift_sample(rows, SHIFT).value == 1.0
    assert context_shift_sample([*rows, *trio("same way", 2.0, 2.0, 1.0)], SHIFT).value == pytest.approx(2 / 3)


def test_against_a_plain_loop() -> None:
    rng = random.Random(2)
    margins = [[float(rng.randint(-2, 2)) for _ in range(3)] for _ in range(60)]
    rows = [row for k, (x, y, c) in enumerate(margins) for row in trio(f"p{k}", x, y, c)]
    turned = [(x > 0, x < 0) != (y > 0, y < 0) for x, y, _ in margins]
    moved = [x > c and y < c for x, y, c in margins]
    assert sensitivity_sample(rows, SENSITIVE).value == pytest.approx(sum(turned) / 60)
    assert context_shift_sample(rows, SHIFT).value == pytest.approx(sum(moved) / 60)


def test_what_is_missing_is_flagged() -> None:
    first, second, control = trio("a", 1.0, -1.0, 0.0)
    assert sensitivity_sample([first], SENSITIVE).flags == ("one_context", "undefined")
    assert "no_control" in context_shift_sample([first, second], SHIFT).flags
    failed = replace(second, judgment=replace(second.judgment, rewards=None, status="failed"))
    assert "incomplete" in sensitivity_sample([first, failed], SENSITIVE).flags
    assert context_shift_sample([first, failed, control], SHIFT).value == 0.0


def test_a_paired_difference_by_hand() -> None:
    """Three questions, given and withheld: right and wrong, right and right, wrong and right; a fourth is unpaired."""
    spec = MetricSpec("d", "paired_difference", join="reference", between=("given", "withheld"))
    rows = [
        make_row(f"{name}/{value}", [margin, 0.0], groups={"reference": value}, cluster=name)
        for name, margins in {"a": (1.0, -1.0), "b": (1.0, 1.0), "c": (-1.0, 1.0), "d": (1.0,)}.items()
        for value, margin in zip(("given", "withheld"), margins, strict=False)
    ]
    sample = difference_sample(rows, spec)
    assert (sample.value, len(sample.clusters), sample.flags) == (0.0, 3, ("unpaired",))
    assert difference_sample(rows[:4], spec).value == 0.5
    assert difference_sample(rows[:4], replace(spec, between=("withheld", "given"))).value == -0.5

"""`--limit`: a seeded draw by id, in file order; the digest does not hang on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.tasks.registry import get, select
from rmbench.tasks.rows.content import digest_of, drawn
from rmbench.tasks.sources import load
from rmbench.types import Candidate, Edge, Example, Gold, Message
from tests._make import make_example


def sample_of(rows: Sequence[Example], limit: int, seed: int) -> tuple[Example, ...]:
    return tuple(rows[place] for place in drawn([each.id for each in rows], limit, seed))


def examples(names: list[str]) -> list[Example]:
    return [make_example(name, name, "a", "b") for name in names]


names = st.lists(st.text(min_size=1, max_size=6), unique=True, min_size=1, max_size=30)


@settings(deadline=None, max_examples=60)
@given(names, st.integers(1, 40), st.integers(0, 5))
def test_draw_keeps_order_and_size(ids: list[str], limit: int, seed: int) -> None:
    rows = examples(ids)
    kept = [each.id for each in sample_of(rows, limit, seed)]
    assert len(kept) == min(limit, len(ids))
    assert kept == [each for each in ids if each in kept]
    assert kept == [each.id for each in sample_of(rows, limit, seed)]


@settings(deadline=None, max_examples=60)
@given(names, st.integers(1, 20), st.integers(0, 20), st.integers(0, 5), st.randoms())
def test_draw_nests_whatever_the_order(ids: list[str], small: int, more: int, seed: int, random: Random) -> None:
    rows = examples(ids)
    few = {each.id for each in sample_of(rows, small, seed)}
    assert few <= {each.id for each in sample_of(rows, small + more, seed)}
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert few == {each.id for each in sample_of(shuffled, small, seed)}


def test_draw_is_uniform() -> None:
    """Each of 20 rows is drawn in a quarter of 2,000 draws of 5, within five standard deviations (19.4 each)."""
    rows = examples([f"row/{i}" for i in range(20)])
    counted = Counter(each.id for seed in range(2000) for each in sample_of(rows, 5, seed))
    assert len(counted) == 20
    assert all(abs(count - 500) < 5 * 19.4 for count in counted.values())


def test_limit_touches_every_file_and_keeps_the_totals() -> None:
    task = get("llmbar")
    whole = load(task, "sample")
    part = load(task, "sample", limit=4, seed=3)
    assert len(part.examples) == 4
    assert (part.digest, part.total, part.group_totals) == (whole.digest, whole.total, whole.group_totals)
    assert (part.limit, whole.limit) == (4, None)
    drawn = Counter(e.groups["subset"] for seed in range(30) for e in load(task, "sample", limit=4, seed=seed).examples)
    assert set(drawn) == {"Natural", "Neighbor", "GPTInst", "GPTOut", "Manual"}
    assert load(task, "sample", limit=999).examples == whole.examples


def test_a_limit_changes_nothing_but_the_rows_of_any_task() -> None:
    for task in select("all", []):
        whole, part = load(task, "sample"), load(task, "sample", limit=3, seed=1)
        assert part.examples == sample_of(whole.examples, 3, 1), task.id
        assert part.fit == sample_of(whole.fit, 3, 1), task.id
        own = {"examples": (), "fit": (), "limit": None, "notes": (), "media": None}
        assert replace(part, **own) == replace(whole, **own), task.id  # type: ignore[arg-type]


ONE = Example("a", (Message.of("user", "a"),), (Candidate.of("x"), Candidate.of("y")), Gold((Edge(0, 1),)))


@pytest.mark.parametrize(
    "changed",
    [
        replace(ONE, id="b"),
        replace(ONE, prompt=(Message.of("system", "a"),)),
        replace(ONE, candidates=ONE.candidates[::-1]),
        replace(ONE, candidates=(ONE.candidates[0], replace(ONE.candidates[1], prompt=ONE.prompt))),
        replace(ONE, gold=Gold((Edge(1, 0),))),
        replace(ONE, groups={"g": "v"}),
        replace(ONE, cluster="c"),
        replace(ONE, context={"k": "v"}),
    ],
)
def test_digest_sees_every_change(changed: Example) -> None:
    assert digest_of([ONE]) != digest_of([changed])
    assert digest_of([ONE, changed]) != digest_of([changed, ONE])

"""Ensembles of judgments against hand computations, and what must hold of any of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rmbench.errors import RmbenchError
from rmbench.evaluation.combine import Recipe, agreement, combine
from rmbench.types import Judgment, Verdict


def rewarded(*rows: Sequence[float]) -> list[Judgment]:
    return [Judgment(f"r{k}", rewards=tuple(map(float, row))) for k, row in enumerate(rows)]


def directed(*rows: Any) -> list[Judgment]:
    return [Judgment(f"r{k}", directed=tuple(tuple(map(float, line)) for line in row)) for k, row in enumerate(rows)]


def rewards(judgments: Sequence[Judgment]) -> list[list[float]]:
    return [list(judgment.rewards or ()) for judgment in judgments]


def test_the_mean_of_z_scores_by_hand() -> None:
    # a: mean 2, population standard deviation sqrt(2); b: mean 5, standard deviation 5.
    a, b = rewarded([0, 2], [2, 4]), rewarded([0, 10], [10, 0])
    found = combine(["a", "b"], [a, b])
    root = math.sqrt(2)
    expected = [[(-root - 1) / 2, (0 + 1) / 2], [(0 + 1) / 2, (root - 1) / 2]]
    assert np.allclose(rewards(found), expected, atol=1e-12)
    assert [judgment.id for judgment in found] == ["r0", "r1"]
    weighed = combine(["a", "b"], [a, b], Recipe(weights=(3, 1)))
    assert rewards(weighed)[0] == pytest.approx([(-3 * root - 1) / 4, 1 / 4], abs=1e-12)


def test_mean_ranks_by_hand() -> None:
    a = rewarded([0.1, 0.5, 0.5, 9])  # ranks 1, 2.5, 2.5, 4
    b = rewarded([7, 1, -3, 2])  # ranks 4, 2, 1, 3
    assert rewards(combine(["a", "b"], [a, b], Recipe("rank")))[0] == [2.5, 2.25, 1.75, 3.5]
    weighed = combine(["a", "b"], [a, b], Recipe("rank", (1, 3)))
    assert rewards(weighed)[0] == [3.25, 2.125, 1.375, 3.25]


def test_margins_are_scaled_by_their_skew_half() -> None:
    # Skew halves: 3 and 1 in the first model, so its scale is sqrt((9 + 1) / 2); 2 and 2 in the second.
    first = directed([[0, 5], [-1, 0]], [[0, 1], [-1, 0]])
    second = directed([[0, -2], [2, 0]], [[0, 4], [0, 0]])
    found = combine(["a", "b"], [first, second])
    scale = math.sqrt(5)
    assert found[0].rewards is None
    assert np.allclose(found[0].directed or (), [[0, (5 / scale - 1) / 2], [(-1 / scale + 1) / 2, 0]])
    assert np.allclose(found[1].directed or (), [[0, (1 / scale + 2) / 2], [(-1 / scale + 0) / 2, 0]])


def test_rewards_beside_margins_count_as_differences() -> None:
    margins, scored = directed([[0, 2], [-2, 0]], [[0, -2], [2, 0]]), rewarded([8, 2], [0, 6])
    found = combine(["a", "b"], [margins, scored], Recipe(weights=(1, 3)))
    assert np.allclose(found[0].directed or (), [[0, 1], [-1, 0]])
    assert np.allclose(found[1].directed or (), [[0, -1], [1, 0]])
    # Ranks of three candidates by their mean margin over the others: 1.5, -1, -.5.
    ranked = combine(["a"], [directed([[0, 2, 1], [-2, 0, 0], [-1, 0, 0]])], Recipe("rank"))
    assert rewards(ranked)[0] == [3, 1, 2]


def test_a_model_without_spread_says_nothing() -> None:
    flat, other = rewarded([7, 7], [7, 7]), rewarded([0, 2], [4, 6])
    alone = rewards(combine(["b"], [other]))
    assert np.allclose(rewards(combine(["a", "b"], [flat, other])), np.array(alone) / 2)
    assert rewards(combine(["a"], [flat])) == [[0, 0], [0, 0]]
    even = directed([[0, 1], [1, 0]])  # a position bias and no opinion
    found = combine(["a", "b"], [even, rewarded([1, 0])])
    assert np.allclose(found[0].directed or (), [[0, 0.5], [-0.5, 0]])
    # A spread that a sum in floating point would make out of equal numbers is none.
    assert rewards(combine(["a"], [rewarded(*[[0.1, 0.1]] * 7)])) == [[0, 0]] * 7


def test_a_failed_row_names_the_member_and_is_in_no_mean() -> None:
    a, b = rewarded([0, 1], [100, 900], [1, 0]), rewarded([3, 1], [0, 0], [1, 3])
    b[1] = Judgment("r1", status="failed", error="the model's reward is NaN", lengths=(5, 9), truncated=(False, True))
    found = combine(["one", "two"], [a, b])
    assert (found[1].status, found[1].error, found[1].rewards) == ("failed", "two: the model's reward is NaN", None)
    assert (found[1].lengths, found[1].truncated) == ((5, 9), (False, True))
    assert np.allclose([rewards(found)[0], rewards(found)[2]], [[0, 0], [0, 0]])  # 0, 1, 1, 0 against 3, 1, 1, 3
    a[1] = Judgment("r1", rewards=(float("inf"), 0.0))
    assert combine(["one", "two"], [a, b])[1].error == (
        "one: a score is NaN or infinite; two: the model's reward is NaN"
    )
    everything = [Judgment("r0", status="failed", error="out of memory")]
    assert combine(["one"], [everything])[0].error == "one: out of memory"


def test_the_longest_reading_counts() -> None:
    a = [Judgment("r0", rewards=(1.0, 2.0), lengths=(5, 40), truncated=(False, False))]
    b = [Judgment("r0", rewards=(1.0, 2.0), lengths=(9, 20), truncated=(True, False))]
    c = rewarded([1, 2])
    found = combine(["a", "b", "c"], [a, b, c])[0]
    assert (found.lengths, found.truncated) == ((9, 40), (True, False))
    assert combine(["c"], [c])[0].lengths == ()


def test_what_cannot_be_combined() -> None:
    judged = [Judgment("r0", verdicts=(Verdict((0, 1), "pick", 0),))]
    with pytest.raises(RmbenchError, match=r"judge gives neither rewards nor margins \(example r0\)"):
        combine(["bt", "judge"], [rewarded([1, 0]), judged])
    with pytest.raises(RmbenchError, match="r0 has one; take method=mean"):
        combine(["bt"], [rewarded([1])], Recipe("rank"))
    with pytest.raises(ValueError, match="several examples"):
        combine(["a", "b"], [rewarded([1, 0], [1, 0]), rewarded([1, 0], [1, 0])[::-1]])
    with pytest.raises(ValueError, match="zip"):
        combine(["a", "b"], [rewarded([1, 0]), rewarded([1, 0], [1, 0])])
    assert combine(["a", "b"], [[], []]) == []


def test_agreement_by_hand() -> None:
    a = rewarded([3, 2, 1], [1, 1])  # pairs 01, 02, 12 | 01: + + + 0
    b = directed([[0, -1, 1], [1, 0, 5], [0, 0, 0]], [[0, 2], [2, 0]])  # - + + 0
    whole = rewarded([2, 2, 1], [0, 1])  # 0 + + -
    found = agreement([a, b], whole)
    assert found is not None
    assert (found.pairs, found.between, found.ensemble) == (4, ((4, 3), (3, 4)), (2, 2))
    whole[0] = Judgment("r0", status="failed", error="b: NaN")
    only = agreement([a, b], whole)
    assert only is not None
    assert (only.pairs, only.ensemble) == (1, (0, 0))
    assert agreement([rewarded([1])], rewarded([1])) is None


finite = st.floats(-1e6, 1e6, allow_subnormal=False)
shapes = st.lists(st.integers(2, 4), min_size=1, max_size=5)


@st.composite
def models(draw: st.DrawFn, least: int = 1) -> list[list[Judgment]]:
    """Several models' rewards for examples of the same sizes."""
    sizes = draw(shapes)
    count = draw(st.integers(least, 4))
    return [rewarded(*[draw(st.lists(finite, min_size=k, max_size=k)) for k in sizes]) for _ in range(count)]


def names(members: Sequence[object]) -> list[str]:
    return [f"m{k}" for k in range(len(members))]


@given(models(2), st.randoms(use_true_random=False), st.sampled_from(["mean", "rank"]))
def test_the_order_of_members_does_not_matter(members: Any, random: Any, method: Any) -> None:
    weights = tuple(random.uniform(0.1, 3) for _ in members)
    order = list(range(len(members)))
    random.shuffle(order)
    one = combine(names(members), members, Recipe(method, weights))
    other = combine(names(members), [members[k] for k in order], Recipe(method, tuple(weights[k] for k in order)))
    for mine, theirs in zip(rewards(one), rewards(other), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-9)


@given(models(), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_z_scores_do_not_know_a_models_units(members: Any, scale: float, shift: float) -> None:
    first = [value for row in rewards(members[0]) for value in row]
    assume(max(first) - min(first) > 1e-3 * max(1, *map(abs, first)))  # else rounding is what remains of it
    moved = rewarded(*[[scale * value + shift for value in row] for row in rewards(members[0])])
    one = combine(names(members), members)
    other = combine(names(members), [moved, *members[1:]])
    for mine, theirs in zip(rewards(one), rewards(other), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-6)


@given(models(), st.sampled_from(["mean", "rank"]))
def test_a_single_member_keeps_its_order(members: Any, method: Any) -> None:
    found = combine(["m"], members[:1], Recipe(method))
    for mine, theirs in zip(rewards(found), rewards(members[0]), strict=True):
        for i, j in ((i, j) for i in range(len(mine)) for j in range(len(mine))):
            if theirs[i] > theirs[j]:
                assert mine[i] >= mine[j]
                assert mine[i] > mine[j] or theirs[i] - theirs[j] < 1e-9 * 1e6
            elif theirs[i] == theirs[j]:
                assert mine[i] == mine[j]


@given(models())
def test_scores_of_a_task_are_standardised(members: Any) -> None:
    values = np.concatenate([np.array(row) for row in rewards(combine(["m"], members[:1]))])
    assert np.mean(values) == pytest.approx(0, abs=1e-6)
    assert np.std(values) == pytest.approx(1, abs=1e-6) or not values.any()


@given(models(2), st.sampled_from(["mean", "rank"]))
def test_members_that_agree_are_followed(members: Any, method: Any) -> None:
    """A pair that every member orders alike, none of them barely, is ordered so by the ensemble."""
    found = combine(names(members), members, Recipe(method))
    for number, own in enumerate(rewards(found)):
        said = [rewards(member)[number] for member in members]
        for i, j in ((i, j) for i in range(len(own)) for j in range(len(own))):
            if all(row[i] - row[j] > 1e-2 for row in said):
                assert own[i] > own[j]


@given(models(2))
def test_agreement_is_symmetric_and_whole_with_itself(members: Any) -> None:
    found = agreement(members, combine(names(members), members))
    assert found is not None
    between = np.array(found.between)
    assert (between == between.T).all()
    assert (np.diag(between) == found.pairs).all()
    assert all(0 <= count <= found.pairs for count in found.ensemble)

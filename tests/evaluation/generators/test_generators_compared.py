"""Generators compared: means, paired differences, wins and agreement, against plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rmbench.evaluation.generators.compared import agreement_of, standings_of, wins_of

NAN = math.nan
SCORES = np.array(
    [
        [1.0, 2.0, 3.0, 4.0, NAN, 2.5],
        [1.5, 2.5, 2.0, 5.0, 9.0, 2.5],
        [0.0, 1.0, 1.0, 1.0, 1.0, 0.5],
    ]
)
NAMES = ("x", "y", "z")


def test_means_are_over_prompts_that_all_have() -> None:
    first, second, third = standings_of(NAMES, SCORES)
    whole = SCORES[:, [0, 1, 2, 3, 5]]
    assert [one.generator for one in (first, second, third)] == ["y", "x", "z"]
    assert [one.place for one in (first, second, third)] == [1, 2, 3]
    assert [one.scored for one in (first, second, third)] == [6, 5, 6]
    assert first.mean == pytest.approx(2.7)
    assert (first.low, first.high) == pytest.approx(stats.t.interval(0.95, 4, 2.7, stats.sem(whole[1])))
    assert second.behind == pytest.approx(2.5 - 2.7)
    assert (first.p, first.not_told_apart) == (None, True)


def test_p_is_that_of_all_flips() -> None:
    whole = SCORES[:, [0, 1, 2, 3, 5]]
    found = {one.generator: one for one in standings_of(NAMES, SCORES)}
    midp = {}
    for name, k in (("x", 0), ("z", 2)):
        differences = whole[k] - whole[1]
        totals = np.abs([np.dot(signs, differences) for signs in itertools.product((-1, 1), repeat=len(differences))])
        beyond, equal = totals > abs(differences.sum()) + 1e-9, np.isclose(totals, abs(differences.sum()))
        midp[name] = float(beyond.mean() + equal.mean() / 2)
    first, second = sorted(midp, key=lambda name: midp[name])
    assert found[first].p == pytest.approx(min(1.0, 2 * midp[first]))  # Holm's correction of two
    assert found[second].p == pytest.approx(max(min(1.0, 2 * midp[first]), midp[second]))


def test_equal_means_share_a_place() -> None:
    found = standings_of(("a", "b"), np.array([[1.0, 3.0], [3.0, 1.0]]))
    assert [(one.place, one.behind) for one in found] == [(1, 0.0), (1, 0.0)]
    assert found[1].not_told_apart


def test_one_prompt_has_no_interval_and_none_no_place() -> None:
    (only, _) = standings_of(("a", "b"), np.array([[2.0], [1.0]]))
    assert (only.low, only.high) == (None, None)
    assert standings_of(("a", "b"), np.array([[NAN], [1.0]])) == ()


@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=12))
def test_wins_are_counted_by_pairs(rows: list[list[int]]) -> None:
    scores = np.array(rows, dtype=float).T
    found = {(win.winner, win.loser): win for win in wins_of(NAMES, scores)}
    assert len(found) == 6
    for (i, a), (j, b) in itertools.permutations(enumerate(NAMES), 2):
        won = sum(1.0 if row[i] > row[j] else 0.5 if row[i] == row[j] else 0.0 for row in rows)
        assert found[a, b].share == pytest.approx(won / len(rows))
        assert found[a, b].share + found[b, a].share == pytest.approx(1)
        assert found[a, b].low <= found[a, b].share <= found[a, b].high


def test_agreement_is_kendalls() -> None:
    other = np.array([[5.0, 1.0, 2.0, 2.0, 0.0, 1.0], [4.0, 2.0, 2.0, 9.0, 0.0, 1.0], [6.0, 0.0, 2.0, 1.0, 3.0, 1.0]])
    (found,) = agreement_of({"one": SCORES, "two": other})
    whole = [0, 1, 2, 3, 5]
    taus = [stats.kendalltau(SCORES[:, k], other[:, k]).statistic for k in whole]
    assert found.models == ("one", "two")
    assert found.on_prompts == pytest.approx(np.nanmean(taus))
    assert found.on_generators == pytest.approx(
        stats.kendalltau(SCORES[:, whole].mean(axis=1), other[:, whole].mean(axis=1)).statistic
    )


def test_models_that_agree_on_nothing_have_none() -> None:
    (found,) = agreement_of({"one": np.ones((2, 3)), "two": np.ones((2, 3))})
    assert (found.on_generators, found.on_prompts) == (None, None)

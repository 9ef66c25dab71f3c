"""The three-way verdict: its error rates by exact enumeration, and its edges."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rmbench.gate.decide import Outcome, decidable_margin, decide, rows_needed, worst
from rmbench.gate.policy import GateError, Policy
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.paired.comparison import Comparison, compare_rows
from rmbench.metrics.uncertainty.discordance import tango_limits
from rmbench.types import Judged
from tests._make import make_row

Z = 1.6448536269514722
PLAIN = Comparison(
    metric="accuracy",
    value_a=0.7,
    value_b=0.7,
    difference=0.0,
    low=-0.01,
    high=0.01,
    level=0.9,
    method="tango",
    p_midp=1.0,
    p_exact=1.0,
    n=1000,
    clusters=1000,
    b=20,
    c=20,
    ties=960,
    psi=0.04,
    discordant_clusters=40,
    design_effect=1.0,
)


def other(**fields: Any) -> Comparison:
    """The plain comparison with some fields changed."""
    return replace(PLAIN, **fields)


def of_counts(b: int, c: int, n: int) -> Comparison:
    """A comparison of independent 0/1 rows."""
    low, high = tango_limits(b, c, n, Z)
    counts = {"b": b, "c": c, "ties": n - b - c, "n": n, "clusters": n, "discordant_clusters": b + c}
    return other(low=low, high=high, difference=(c - b) / n, psi=(b + c) / n, **counts)


@cache
def verdict(b: int, c: int, n: int, margin: float, least: int) -> Outcome:
    return decide(of_counts(b, c, n), Policy(margin_points=100 * margin, min_discordant_clusters=least)).verdict


def chances(n: int, psi: float, difference: float, margin: float, least: int = 0) -> dict[str, float]:
    """P(verdict) when a row is lost with (psi - difference)/2 and won with (psi + difference)/2, summed over all (b, c)
    that are not all but impossible."""
    lost, won = (psi - difference) / 2, (psi + difference) / 2
    found = {"pass": 0.0, "regression": 0.0, "inconclusive": 0.0}
    for m in range(n + 1):
        of_m = float(stats.binom.pmf(m, n, psi))
        if of_m < 1e-7:
            continue
        for c in range(m + 1):
            p = of_m * float(stats.binom.pmf(c, m, won / (lost + won)))
            if p >= 1e-8:
                found[verdict(m - c, c, n, margin, least)] += p
    return found


@pytest.mark.parametrize(
    ("margin", "n", "psi", "loss", "passes", "alarms", "open_"),
    [
        # Exact values of the three-way rule at a true change of 0, -M and -2M.
        (0.02, 100, 0.10, 0, 0.15, 0.052, 0.80),
        # The published .80 cannot be: with it the three would sum to 1.008.
        (0.02, 100, 0.10, 1, 0.05, 0.158, 0.79),
        (0.02, 100, 0.10, 2, 0.01, 0.361, 0.63),
        (0.02, 358, 0.05, 0, 0.49, 0.049, 0.46),
        (0.02, 358, 0.05, 1, 0.05, 0.524, 0.43),
        (0.02, 358, 0.05, 2, 0.00, 0.984, 0.02),
        (0.02, 358, 0.10, 0, 0.32, 0.050, 0.63),
        (0.02, 358, 0.10, 1, 0.05, 0.327, 0.63),
        (0.03, 358, 0.05, 0, 0.77, 0.049, 0.18),
        (0.03, 358, 0.05, 1, 0.05, 0.844, 0.11),
        (0.02, 1563, 0.05, 0, 0.97, 0.033, 0.00),
    ],
)
def test_three_way_verdicts_have_the_published_chances(
    margin: float, n: int, psi: float, loss: int, passes: float, alarms: float, open_: float
) -> None:
    found = chances(n, psi, -loss * margin, margin)
    assert found["pass"] == pytest.approx(passes, abs=0.0051)
    assert found["regression"] == pytest.approx(alarms, abs=0.00051)
    assert found["inconclusive"] == pytest.approx(open_, abs=0.0051)


@pytest.mark.parametrize(
    ("n", "psi"), [(50, 0.3), (100, 0.05), (100, 0.1), (358, 0.05), (358, 1 / 358), (1000, 0.005), (2985, 0.1)]
)
def test_the_decidable_margin_is_passed_four_times_in_five(n: int, psi: float) -> None:
    """By exact enumeration; where few rows differ, the chances of counts are coarse."""
    m = round(n * psi)
    margin = decidable_margin(of_counts(m // 2, m - m // 2, n), Policy())
    assert margin is not None
    assert 0.8 <= chances(n, psi, 0.0, margin)["pass"] <= (0.83 if m >= 5 else 0.95)
    assert chances(n, psi, 0.0, 0.9 * margin)["pass"] < (0.8 if m >= 5 else 0.95)
    # Lehr's formula, of which the margin is the exact form: (z_alpha + z_power) sqrt(psi/n).
    assert (Z + 0.8416) * math.sqrt(psi / n) < margin
    assert (Z + 0.8416) * math.sqrt(psi / n) == pytest.approx(margin, rel=0.25 if m >= 5 else 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_the_decidable_margin_of_clusters_by_simulation(seed: int) -> None:
    """60 prompts of 5 rows, on which an unchanged candidate differs by prompt: under the margin that one comparison
    gives, others pass four times in five."""
    draw = np.random.default_rng(seed)
    spec = MetricSpec("accuracy", "pair", chance=0.5)

    def compared() -> Comparison:
        sides: tuple[list[Judged], list[Judged]] = ([], [])
        for prompt in range(60):
            shift = draw.choice([0, 0, 0, 0, -1, 1])
            for k in range(5):
                right = draw.random() < 0.5 if not shift else shift > 0
                before, after = (right, right) if not shift else (not right, right)
                for side, won in zip(sides, (before, after), strict=True):
                    side.append(make_row(f"{prompt}/{k}", (1.0 if won else -1.0, 0.0), cluster=str(prompt)))
        return compare_rows(*sides, spec, level=0.9)

    margins = [decidable_margin(compared(), Policy()) for _ in range(20)]
    margin = sum(one for one in margins if one is not None) / len(margins)
    passes = [decide(compared(), Policy(margin_points=100 * margin)).verdict == "pass" for _ in range(150)]
    assert 0.68 < sum(passes) / len(passes) < 0.92


def test_no_margin_is_decided_by_few_clusters_or_without_spread() -> None:
    assert decidable_margin(other(method="cr1-t", clusters=9, discordant_clusters=7), Policy()) is None
    assert decidable_margin(other(method="cr1-t", clusters=9, discordant_clusters=8), Policy()) is not None
    assert decidable_margin(other(low=None, high=None, method=""), Policy()) is None


def test_a_smaller_alpha_needs_a_wider_margin() -> None:
    narrow, wide = (decidable_margin(of_counts(5, 5, 300), Policy(alpha=alpha)) for alpha in (0.1, 0.01))
    assert narrow is not None
    assert wide is not None
    assert narrow < wide


@pytest.mark.parametrize(("n", "psi"), [(100, 0.02), (100, 0.05), (100, 0.10), (358, 0.02)])
def test_the_least_discordance_lowers_false_alarms_and_leaves_passes(n: int, psi: float) -> None:
    bare, guarded = chances(n, psi, 0.0, 0.02), chances(n, psi, 0.0, 0.02, least=8)
    assert guarded["regression"] < bare["regression"]
    assert guarded["pass"] == pytest.approx(bare["pass"])


def test_three_lost_rows_are_no_alarm() -> None:
    lost = of_counts(3, 0, 100)
    assert lost.high is not None
    assert lost.high < 0
    decision = decide(lost, Policy())
    assert decision.verdict == "inconclusive"
    assert decision.reason == "only 3 discordant rows, and a regression needs 8"
    assert decide(of_counts(8, 0, 100), Policy()).verdict == "regression"


def test_a_large_set_with_few_flips_passes_and_a_small_one_does_not() -> None:
    assert decide(of_counts(2, 2, 3000), Policy()).verdict == "pass"
    assert decide(of_counts(0, 0, 3000), Policy()).verdict == "pass"
    nothing = decide(of_counts(0, 0, 10), Policy())
    assert nothing.verdict == "inconclusive"
    # No discordant row counts as one in n: psi .1, (1.645 + .842)^2 x .1 / .01^2.
    assert nothing.n_needed == 6183


@pytest.mark.parametrize("method", ["cr1-t", "cluster-bootstrap"])
def test_few_clusters_support_neither_pass_nor_alarm(method: str) -> None:
    few = {"discordant_clusters": 7, "clusters": 7, "method": method}
    enough = {"discordant_clusters": 8, "clusters": 8, "method": method}
    better, worse = {"low": 0.01, "high": 0.02}, {"low": -0.2, "high": -0.1}
    assert decide(other(**few, **better), Policy()).verdict == "inconclusive"
    assert decide(other(**few, **worse), Policy()).verdict == "inconclusive"
    assert decide(other(**enough, **better), Policy()).verdict == "pass"
    assert decide(other(**enough, **worse), Policy()).verdict == "regression"


def test_identical_judgments_pass_whatever_their_number() -> None:
    decision = decide(of_counts(0, 0, 3), Policy(), identical=True)
    assert (decision.verdict, decision.reason) == ("pass", "identical: both models judged every row alike")


def test_no_interval_is_inconclusive() -> None:
    found = other(low=None, high=None, method="")
    assert decide(found, Policy()).verdict == "inconclusive"


def test_a_small_sure_loss_inside_the_margin_passes_and_says_so() -> None:
    decision = decide(other(low=-0.009, high=-0.001), Policy(margin_points=1))
    assert decision.verdict == "pass"
    assert "though there is one" in decision.reason


@pytest.mark.parametrize("high", [0.0, 0.004])
def test_a_pass_whose_upper_limit_is_not_below_0_speaks_of_no_loss(high: float) -> None:
    assert decide(other(low=-0.009, high=high), Policy(margin_points=1)).reason == "any loss is under 1 point"


@pytest.mark.parametrize(
    ("psi", "points", "rows"),
    [(0.02, 1, 1237), (0.05, 1, 3092), (0.10, 1, 6183), (0.05, 2, 773), (0.20, 3, 1374), (0.10, 5, 248)],
)
def test_rows_needed_are_the_published_ones(psi: float, points: float, rows: int) -> None:
    assert rows_needed(other(psi=psi), Policy(margin_points=points)) == rows


def test_rows_needed_grow_with_the_design_effect() -> None:
    assert rows_needed(other(psi=0.05, design_effect=3.0), Policy()) == 3 * 3092
    # Clusters that cancel are no reason to need fewer.
    assert rows_needed(other(psi=0.05, design_effect=0.2), Policy()) == 3092


def test_rows_needed_of_a_correlation_come_from_its_interval() -> None:
    tau = other(method="cluster-bootstrap", psi=0.0, low=-0.05 * Z, high=0.05 * Z, n=400)
    # Standard error .05 at 400 rows; (1.645 + .842) x .05 = .1243 must shrink to the margin .02.
    assert rows_needed(tau, Policy(margin_points=2)) == math.ceil(400 * (2.4864748 * 0.05 / 0.02) ** 2)


@settings(deadline=None, max_examples=200)
@given(
    low=st.floats(-1, 1),
    width=st.floats(0, 1),
    margin=st.floats(0.1, 50),
    clusters=st.integers(0, 30),
    same=st.booleans(),
)
def test_verdicts_follow_the_limits(low: float, width: float, margin: float, clusters: int, same: bool) -> None:
    found = other(low=low, high=low + width, discordant_clusters=clusters, method="cr1-t")
    decision = decide(found, Policy(margin_points=margin), identical=same)
    if decision.verdict == "pass":
        assert same or (low > -margin / 100 and clusters >= 8)
    elif decision.verdict == "regression":
        assert low + width < 0
        assert clusters >= 8
    else:
        assert decision.verdict == "inconclusive"
        assert decision.n_needed is not None


def test_the_worst_verdict_counts() -> None:
    assert worst(["pass", "inconclusive"]) == "inconclusive"
    assert worst(["inconclusive", "regression", "pass"]) == "regression"
    assert worst(["regression", "broken"]) == "broken"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"margin_points": 0}, "margin_points must be above 0 and below 100 percentage points, not 0"),
        ({"margin_points": 100}, "not 100"),
        ({"margin_points": math.nan}, "not nan"),
        ({"alpha": 0.5}, "alpha must be above 0 and below .5"),
        ({"alpha": math.nan}, "alpha"),
        ({"min_discordant_clusters": -1}, "0 or more"),
        ({"min_coverage": 1.1}, "between 0 and 1"),
        ({"inconclusive": "warn"}, '"fail" or "pass"'),
    ],
)
def test_bad_settings_are_refused_with_exit_code_3(setting: dict[str, object], said: str) -> None:
    with pytest.raises(GateError, match=said) as error:
        Policy(**setting)  # type: ignore[arg-type]
    assert error.value.exit_code == 3


def test_margins_that_look_like_slips_are_remarked() -> None:
    assert "write 1." in Policy(margin_points=0.01).remarks()[0]
    assert "almost any candidate" in Policy(margin_points=80).remarks()[0]
    assert Policy().remarks() == Policy(margin_points=0.5).remarks() == []

"""Every formula against figures that were computed elsewhere or by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmbench.errors import RmbenchError
from rmbench.models.families.implicit.formulas import FREE, RATIOS, WITH_REFERENCE, Rule, fuse, reward
from rmbench.models.families.implicit.settings import ImplicitSettings

CHOSEN, CHOSEN_REF = np.array([-0.5, -1, -0.25, -2]), np.array([-0.75, -1.5, -0.5, -1.75])
REJECTED, REJECTED_REF = np.array([-0.75, -0.125]), np.array([-0.5, -0.5])
Z = 0.75
"""The chosen answer's log-ratio: -3.75 + 4.5."""


def margin(rule: Rule, chosen_mask=None, rejected_mask=None) -> float:
    """The chosen answer's reward less the rejected one's."""
    chosen = reward(CHOSEN, CHOSEN_REF, rule, chosen_mask)
    return chosen - reward(REJECTED, REJECTED_REF, rule, rejected_mask)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule("dpo", 0.1), 0.0625),
        (Rule("ipo", 0.1), 0.0625),
        (Rule("kto", 0.1), 0.0625),
        (Rule("bco", 0.1), 0.0625),
        (Rule("logp"), -2.875),
        (Rule("avg"), -0.5),
        (Rule("simpo", 2.0), -1.0),
        (Rule("norm"), -1.544540798),
        (Rule("orpo"), -1.0405340283),
        (Rule("dpo", 0.1, average=True), 0.0125),
        (Rule("cpo", 0.1), -0.2875),
    ],
)
def test_margins_of_one_pair(rule, expected):
    assert margin(rule) == pytest.approx(expected, abs=1e-9)


def test_with_and_without_the_reference_the_pair_goes_opposite_ways():
    assert margin(Rule("dpo")) > 0 > margin(Rule("logp"))


def test_a_token_mask_weights_each_token():
    assert margin(Rule("dpo", 0.1), np.array([1, 0, 1, 0.5]), np.ones(2)) == pytest.approx(0.025, abs=1e-12)
    assert margin(Rule("dpo", 0.1), np.ones(4), np.ones(2)) == pytest.approx(0.0625, abs=1e-12)
    assert reward(CHOSEN, None, Rule("logp"), np.array([0, 1, 0, 0.5])) == pytest.approx(-2.0)


def test_the_values_of_kto_and_bco():
    assert reward(CHOSEN, CHOSEN_REF, Rule("kto_value", 0.1, kl=0.1)) == pytest.approx(0.5162442811, abs=1e-10)
    assert reward(CHOSEN, CHOSEN_REF, Rule("bco_value", 0.1, delta=0.02)) == pytest.approx(0.5137465349, abs=1e-10)


@pytest.mark.parametrize(
    ("divergence", "alpha", "expected"),
    [
        ("forward_kl", 0.5, -0.1 * 0.4723665527),  # exp(-0.75)
        ("js", 0.5, 0.1 * math.log(1 / (1 + 0.4723665527))),
        ("alpha", 0.5, 0.1 * 0.6872892788 / -0.5),  # exp(-0.375)
        ("alpha", 0.0, -0.1 * 0.4723665527),  # is forward KL
        ("alpha", 2.0, 0.1 * 2.1170000166),  # exp(0.75)
    ],
)
def test_f_divergences(divergence, alpha, expected):
    rule = Rule("dpo", 0.1, divergence=divergence, alpha=alpha)
    assert reward(CHOSEN, CHOSEN_REF, rule) == pytest.approx(expected, abs=1e-10)


@given(
    st.floats(-50, 50), st.floats(-50, 50), st.sampled_from(["forward_kl", "js", "alpha"]), st.sampled_from([0.5, 2])
)
def test_every_divergence_keeps_the_order_of_the_log_ratio(one, other, divergence, alpha):
    rule = Rule("dpo", divergence=divergence, alpha=alpha)
    low, high = sorted((one, other))
    values = [reward(np.array([z]), np.zeros(1), rule) for z in (low, high)]
    assert values[0] <= values[1]
    if high - low > 1e-2 and divergence == "alpha":
        assert values[0] < values[1]


def test_exponents_that_float32_cannot_hold_are_capped_and_tie():
    rule = Rule("dpo", 1.0, divergence="forward_kl")
    far, farther = (reward(np.array([z]), np.zeros(1), rule) for z in (-200.0, -900.0))
    assert far == farther
    assert np.isfinite(np.float32(far))
    assert far < reward(np.array([-88.0]), np.zeros(1), rule)


@pytest.mark.parametrize("score", [*WITH_REFERENCE, "logp", "cpo", "norm"])
def test_an_answer_without_tokens_has_a_sum_of_nothing(score):
    nothing = np.empty(0)
    assert reward(nothing, nothing, Rule(score)) == (0.5 if score.endswith("value") else 0.0)


@pytest.mark.parametrize("rule", [Rule("avg"), Rule("simpo"), Rule("orpo"), Rule("dpo", average=True)])
def test_an_answer_without_tokens_has_no_average(rule):
    assert rule.needs_tokens
    with pytest.raises(ValueError, match="no tokens"):
        reward(np.empty(0), np.empty(0), rule)


def test_a_certain_answer_has_infinite_odds_and_a_ratio_needs_its_reference():
    assert reward(np.zeros(3), None, Rule("orpo")) == math.inf
    with pytest.raises(ValueError, match="needs the reference"):
        reward(CHOSEN, None, Rule("dpo"))


def test_fused_references():
    refs = np.array([[-1.0, -3.0], [-2.0, -1.0]])
    np.testing.assert_allclose(fuse(refs), [-1.5, -2.0])
    np.testing.assert_allclose(fuse(refs, (3, 1)), [-1.25, -2.5])
    np.testing.assert_allclose(fuse(refs, how="max"), [-2.0, -1.0])  # -3 in all is likelier than -4
    np.testing.assert_allclose(fuse(refs[:1]), refs[0])


@pytest.mark.parametrize(
    ("given_", "referenced", "expected"),
    [
        ({}, True, Rule("dpo", 0.1)),
        ({}, False, Rule("avg", 0.1)),
        ({"score": "simpo", "gamma": "1.5"}, False, Rule("simpo", 2.0)),
        ({"score": "simpo", "beta": "10"}, False, Rule("simpo", 10.0)),
        ({"score": "ipo", "average": "true"}, True, Rule("ipo", 0.1, average=True)),
        ({"divergence": "alpha", "alpha": "0.3"}, True, Rule("dpo", 0.1, divergence="alpha", alpha=0.3)),
    ],
)
def test_settings_become_a_rule(given_, referenced, expected):
    assert ImplicitSettings(**given_).rule(referenced) == expected


@pytest.mark.parametrize(
    ("given_", "referenced", "message"),
    [
        ({"score": "dpo"}, False, "score=dpo needs a reference: pass --ref-model"),
        ({"score": "kto_value", "average": True}, True, "average=true goes with"),
        ({"average": True, "divergence": "js"}, True, "average=true goes with"),
        ({"score": "avg", "average": True}, False, "Averages without a reference"),
        ({"score": "kto", "divergence": "js"}, True, "divergence=js goes with score=dpo"),
        ({"divergence": "alpha", "alpha": 1}, True, "alpha=1 is divergence=reverse_kl"),
        ({"score": "simpo", "token_mask": "f"}, False, "token_mask weights the terms of a sum"),
        ({"token_mask": "f", "average": True}, True, "token_mask weights the terms of a sum"),
    ],
)
def test_settings_that_contradict_one_another(given_, referenced, message):
    with pytest.raises(RmbenchError, match=message):
        ImplicitSettings(**given_).rule(referenced)


def test_weights_of_references():
    ImplicitSettings(ref_weights="0.7:0.3").check_references(2)
    for settings, count in ((ImplicitSettings(ref_weights="1:1"), 3), (ImplicitSettings(ref_weights=(0.0, 0.0)), 2)):
        with pytest.raises(RmbenchError, match="one per reference"):
            settings.check_references(count)
    with pytest.raises(RmbenchError, match="fusion=max"):
        ImplicitSettings(ref_weights="1:2", fusion="max").check_references(2)


def test_the_record_keeps_what_the_formula_reads():
    settings = ImplicitSettings(score="simpo", gamma=1.6, beta=2.5)
    assert settings.facts(settings.rule(False), 0) == {"score": "simpo", "beta": 2.5, "gamma": 1.6, "eos": True}
    fused = ImplicitSettings(ref_weights="3:1", divergence="alpha")
    assert fused.facts(fused.rule(True), 2) == {
        "score": "dpo",
        "beta": 0.1,
        "average": False,
        "divergence": "alpha",
        "alpha": 0.5,
        "fusion": "mean",
        "ref_weights": "3.0:1.0",
        "eos": True,
    }
    assert set(RATIOS) < set(WITH_REFERENCE)
    assert not set(WITH_REFERENCE) & set(FREE)

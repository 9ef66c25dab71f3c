"""Scores under headings that add up to one (UnifiedReward 2.0)."""

from __future__ import annotations

import pytest

from rmbench.models.judges.declaration import load_protocol
from rmbench.models.judges.verdict import VerdictParser, verdicts_of

# The example output at the end of inference_qwen/UnifiedReward-2.0-inference/pair_score_image_generation.py
UPSTREAM = """Alignment Score:
 Image 1: 0.435699999332428
 Image 2: 0.564300000667572

Coherence Score:
 Image 1: 0.4180000126361847
 Image 2: 0.5820000171661377

Style Score:
 Image 1: 0.40790000557899475
 Image 2: 0.5921000242233276
"""
MEANS = (1.2616000175476075 / 3, 1.7384000420570374 / 3)


def read(text: str, finish: str = "stop") -> object:
    return VerdictParser.of(load_protocol("unified-reward-pair-score")).parse(text, finish, 2).value


def test_upstreams_own_example() -> None:
    assert read(UPSTREAM) == pytest.approx(MEANS, abs=1e-12)
    protocol = load_protocol("unified-reward-pair-score")
    parsed = VerdictParser.of(protocol).parse(UPSTREAM, "stop", 2)
    swapped = verdicts_of((1, 0), 0, parsed, protocol)
    assert {verdict.shown: verdict.value for verdict in swapped} == pytest.approx({(1,): MEANS[0], (0,): MEANS[1]})


def test_dressed_and_explained() -> None:
    dressed = UPSTREAM.replace("Alignment Score:", "**Alignment Score:**").replace(" Image 1:", "- Image 1:")
    assert read(f"I compare them.\n\n{dressed}\nImage 2 is better: it shows a cat.") == pytest.approx(MEANS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Style Score:", "Beauty Score:"),
        (" Image 2: 0.5921000242233276\n", ""),
        (" Image 2: 0.5921000242233276\n", " Image 2: 0.5921\n Image 2: 0.5921\n"),
        ("0.564300000667572", "0.7"),
        ("0.564300000667572", "much"),
        ("0.564300000667572", "-0.564300000667572"),
        ("Style Score:", "Style Score:\nStyle Score:"),
    ],
)
def test_what_is_no_verdict(old: str, new: str) -> None:
    assert old in UPSTREAM
    assert read(UPSTREAM.replace(old, new)) is None


def test_scores_outside_the_range_or_cut_off() -> None:
    assert read(UPSTREAM.replace("0.435699999332428", "0").replace("0.564300000667572", "1")) is not None
    assert read(UPSTREAM, "length") is None


def test_a_judge_that_scores_by_the_place_is_undecided_over_both_orders() -> None:
    declared = load_protocol("unified-reward-pair-score")
    assert declared.orders == "both"
    parsed = VerdictParser.of(declared).parse(UPSTREAM, "stop", 2)
    both = [verdict for shown in ((0, 1), (1, 0)) for verdict in verdicts_of(shown, 0, parsed, declared)]
    values = {k: [one.value for one in both if one.shown == (k,)] for k in (0, 1)}
    assert sorted(map(str, values[0])) == sorted(map(str, values[1]))

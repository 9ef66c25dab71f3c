"""Prompt-A-Video's filter of pairs: its overall score by hand, its limits one by one, and a run on what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import rmbench
from examples.write_prompt_pairs import main, overall, pairs_of
from rmbench.errors import RmbenchError

GOOD = {"VQ": 2.7, "TC": 2.7, "FC": 2.6, "DD": 2.7, "TVA": 3.0, "AES": 5.6, "MPS": 9.0}


def item(*scores: dict[str, float], words: int = 3) -> dict[str, Any]:
    """A prompt whose forms are numbered, each with the good scores but for those named."""
    forms = [" ".join([f"form {k}", *["word"] * (words - 2)]) for k in range(len(scores))]
    return {
        "user_prompts": "a cat",
        "refined_prompts": forms,
        "refined_scores": [GOOD | each for each in scores],
    }


def found(given: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = list(pairs_of(given, "here"))
    assert all(pair["prompt"] == "a cat" for pair in pairs)
    return [(pair["chosen"].split()[1], pair["rejected"].split()[1]) for pair in pairs]


def test_the_overall_score_by_hand() -> None:
    assert overall(GOOD) == pytest.approx(22.35)
    for name, weight in {"VQ": 1, "TC": 1, "FC": 1, "DD": 1.1, "TVA": 1.3, "AES": 0.8, "MPS": 1 / 3}.items():
        assert overall(GOOD | {name: GOOD[name] + 3}) == pytest.approx(22.35 + 3 * weight)


def test_the_two_best_are_chosen_against_all_that_they_lead_by_enough() -> None:
    # Overall 22.35, 25.35, 23.85, 20.85 and 24.05: in order 1, 4, 2, 0, 3.
    given = item({}, {"MPS": 18.0}, {"MPS": 13.5}, {"VQ": 1.2}, {"MPS": 14.1})
    assert found(given) == [("1", "2"), ("1", "0"), ("1", "3"), ("4", "0"), ("4", "3")]


def test_a_lead_of_the_limit_itself_is_too_little() -> None:
    assert found(item({}, {"VQ": 1.3 - 1e-6})) == [("0", "1")]
    assert found(item({}, {"VQ": 1.3 + 1e-6})) == []


@pytest.mark.parametrize(
    ("name", "limit"),
    {"VQ": 2.6, "TC": 2.6, "FC": 2.55, "DD": 2.65, "TVA": 2.9, "AES": 5.5, "MPS": 8.5}.items(),
)
def test_each_score_has_a_limit_that_a_chosen_form_is_above(name: str, limit: float) -> None:
    worse = {"VQ": 0.0, "TC": 0.0, "FC": 0.0}
    assert found(item({name: limit}, worse)) == []
    assert found(item({name: limit + 1e-6}, worse)) == [("0", "1")]


def test_long_prompts_are_never_chosen_and_may_be_rejected() -> None:
    assert found(item({}, {"VQ": 0.0}, words=131)) == []
    assert found(item({}, {"VQ": 0.0}, words=130)) == [("0", "1")]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"user_prompts": 3}, "item 1: expected a text user_prompts"),
        ({"refined_prompts": ["one"]}, "equally long"),
        ({"refined_scores": [GOOD, GOOD | {"MPS": None}]}, r"refined_scores\[1\].MPS is None, expected a number"),
        ({"refined_scores": [GOOD, GOOD | {"AES": float("nan")}]}, r"refined_scores\[1\].AES is nan"),
    ],
)
def test_what_cannot_be_read_is_named(change: dict[str, Any], why: str, tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text(json.dumps([item({}, {}), item({}, {}) | change]))
    with pytest.raises(RmbenchError, match=why):
        main(tmp_path / "scores.json", tmp_path / "pairs.jsonl")


def test_a_run_reads_the_pairs(tmp_path: Path) -> None:
    scores = [item({}, {"VQ": 0.0}), item({"VQ": 0.0}, {}), item({}, {})]
    scores[1]["refined_prompts"][1] += " and much more"
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    assert main(tmp_path / "scores.json", tmp_path / "pairs.jsonl") == 2
    results = rmbench.run("baseline:length", data=tmp_path / "pairs.jsonl", out=tmp_path / "out", progress=False)
    assert results.records[0].results[0].n == 2

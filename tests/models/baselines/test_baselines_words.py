"""What baselines count, against hand counts and plain loops."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmbench.models.baselines.surface import distinct_trigrams, lexical_overlap, type_token_ratio, word_punct, words

TEXT = st.text(alphabet="abcAB .,!é1\n", max_size=40)


def test_words_and_runs_of_punctuation() -> None:
    assert words("Don't STOP, élan_1!") == ["don", "t", "stop", "élan_1"]
    assert word_punct("Don't stop... ok?!") == ["Don", "'", "t", "stop", "...", "ok", "?!"]


@pytest.mark.parametrize(
    ("measure", "expected"),
    # "the cat the dog" against "The cat sat": the, cat are shared once each; 4 and 3 words.
    [("precision", 2 / 3), ("recall", 2 / 4), ("f1", 4 / 7)],
)
def test_overlap_by_hand(measure: Any, expected: float) -> None:
    assert lexical_overlap("the cat, the dog", "The cat sat.", measure) == pytest.approx(expected)


@pytest.mark.parametrize(("prompt", "answer"), [("", ""), ("", "a"), ("a", ""), ("?", "!"), ("a", "b")])
def test_nothing_shared_is_zero(prompt: str, answer: str) -> None:
    assert [lexical_overlap(prompt, answer, measure) for measure in ("f1", "precision", "recall")] == [0, 0, 0]


@given(prompt=TEXT, answer=TEXT)
def test_overlap_is_the_harmonic_mean_and_of_both_sides(prompt: str, answer: str) -> None:
    precision, recall = lexical_overlap(prompt, answer, "precision"), lexical_overlap(prompt, answer, "recall")
    f1 = lexical_overlap(prompt, answer)
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall) if precision + recall else 0)
    assert f1 == lexical_overlap(answer, prompt)
    assert precision == lexical_overlap(answer, prompt, "recall")
    pool = Counter(words(prompt))
    shared = 0
    for word in words(answer):
        if pool[word] > 0:
            pool[word] -= 1
            shared += 1
    assert precision == pytest.approx(shared / len(words(answer)) if words(answer) else 0)


def test_type_token_ratio_by_hand() -> None:
    assert type_token_ratio("A rose is a rose is a rose") == 3 / 8
    assert type_token_ratio("") == type_token_ratio(" ...") == 0
    # windows of three: (a rose is) 1, (rose is a) 1, ... six of them, each of three different words
    assert type_token_ratio("a rose is a rose is a rose", 3) == 1
    assert type_token_ratio("a a b b", 3) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert type_token_ratio("a a", 3) == 1 / 2


@given(text=TEXT, window=st.integers(1, 6))
def test_the_moving_ratio_is_the_plain_loops(text: str, window: int) -> None:
    found = words(text)
    runs = [found[start : start + window] for start in range(len(found) - window + 1)] or [found]
    expected = math.fsum(len(set(run)) / len(run) if run else 0 for run in runs) / len(runs)
    assert type_token_ratio(text, window) == pytest.approx(expected)


def test_distinct_trigrams() -> None:
    assert distinct_trigrams("a b c a b c".split()) == 3 / 4  # abc bca cab abc
    assert distinct_trigrams(["a"] * 10) == 1 / 8
    assert distinct_trigrams(["a", "b"]) == distinct_trigrams([]) == 1

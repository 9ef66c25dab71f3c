"""What is scored outside any benchmark has to be text."""

from __future__ import annotations

from typing import Any

import pytest

import rmbench
from rmbench.errors import RmbenchError


@pytest.mark.parametrize(
    ("prompt", "responses", "hint"),
    [
        ("\ud800", ["a", "b"], "prompt: character 0 is half of a surrogate pair"),
        ("q", ["a", "caf\udce9"], "response 2: character 3 is half of a surrogate pair"),
        ("q", ["a", None], "response 2 must be a text, not NoneType"),
        (b"q", ["a", "b"], "prompt must be a text, not bytes"),
        ("q", "ab", "responses must be a list of texts, not the text 'ab'"),
    ],
)
def test_what_is_no_text_is_named(prompt: Any, responses: Any, hint: str) -> None:
    with pytest.raises(RmbenchError, match=hint):
        rmbench.score_responses("tiny-bt", prompt, responses)

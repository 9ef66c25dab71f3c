"""What is scored outside any benchmark has to be text."""

from __future__ import annotations

from typing import Any

import pytest

import rmbench
from rmbench.errors import RmbenchError
from tests._make import exit_code


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


def test_what_is_cut_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """The second response is longer than the model is told to read; its reward is that of its end alone."""
    responses = ["Yes.", "Well, " * 40 + "yes."]
    scored = rmbench.score_responses("tiny-bt", "Is snow cold?", responses, max_length=60)
    assert scored.truncated == (False, True)
    assert scored.to_dict()["truncated"] == [False, True]
    assert rmbench.score_responses("tiny-bt", "Is snow cold?", responses).truncated == (False, False)
    words = ["score", "-m", "tiny-bt", "--prompt", "Is snow cold?", "--max-length", "60"]
    assert exit_code(*words, *(word for response in responses for word in ("--response", response))) == 0
    assert "longer than the model reads, and cut: B; see --max-length" in capsys.readouterr().err

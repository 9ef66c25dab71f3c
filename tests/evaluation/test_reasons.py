"""Why rows have no verdict, in one line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rmbench.evaluation.reasons import reasons_of
from rmbench.types import Candidate, Example, Gold, Judged, Judgment, Message, Status


def rows(*outcomes: tuple[Status, str]) -> list[Judged]:
    candidates = (Candidate.of("a"), Candidate.of("b"))
    made = []
    for number, (status, error) in enumerate(outcomes):
        example = Example(str(number), (Message.of("user", "q"),), candidates, Gold())
        made.append(Judged.of(example, Judgment(id=str(number), status=status, error=error)))
    return made


OK: tuple[Status, str] = ("ok", "")


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ([OK, OK], ""),
        ([("unparsed", "the reply is empty")] * 2, "2 of 2 rows unparsed: the reply is empty"),
        (
            [OK, ("failed", "status 400: 2,048 is too large"), ("failed", "status 400: 1024 is too large")],
            "2 of 3 rows failed: status 400: 2,048 is too large",
        ),
        (
            [("failed", "one"), ("failed", "two"), ("failed", "two"), OK],
            "3 of 4 rows failed: two (in 2 of them)",
        ),
        (
            [("failed", "one"), ("unparsed", "two")],
            "1 of 2 rows failed: one; 1 of 2 rows unparsed: two",
        ),
        ([("unparsed", "")], "1 of 1 rows unparsed: no reason given"),
    ],
)
def test_the_commonest_reason_is_given(outcomes: Sequence[tuple[Status, str]], said: str) -> None:
    assert reasons_of(rows(*outcomes)) == said


def test_verdicts_of_another_kind_are_said() -> None:
    said = reasons_of(rows(OK), {"options_as_text": 2, "answers_plain": 2})
    assert said == "2 verdicts were read from text: the server gives no probabilities of the options"

"""Responders: a bounded window, whole chunks, exact resumption, failures as values."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rmbench.engine.judge import EngineOptions, MemoryLedger, judge
from rmbench.engine.respond import CHUNK
from rmbench.types import TIE, Example, Judgment, Verdict

Make = Callable[..., Any]


@pytest.fixture
def many(example: Make) -> list[Example]:
    return [example(str(number), "q", "a" * (number % 7 + 1), "b" * (number % 5 + 1)) for number in range(150)]


@pytest.mark.parametrize("family", ["judge", "fake"])
def test_answers_in_order(responder: Make, many: list[Example], recorder: Any, family: str) -> None:
    judging = judge("task", many, responder(family=family), progress=recorder)
    assert [one.id for one in judging.judgments] == [one.id for one in many]
    assert judging.judgments[6].rewards == (7 / 3, 2 / 3)
    assert recorder.stretches == [["task", 150, 0, 150, 0]]
    assert (judging.statistics.unique_tokens, judging.statistics.requests) == (0, 150)


def test_the_window_is_bounded_and_used(responder: Make, many: list[Example]) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def slow(example: Example) -> Judgment:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.002)
        with lock:
            now[0] -= 1
        return Judgment(example.id, rewards=(1.0, 0.0))

    judge("task", many, responder(slow), options=EngineOptions(window=4))
    assert 2 <= most[0] <= 4


def test_models_that_compute_stay_in_this_thread(responder: Make, many: list[Example]) -> None:
    threads = set()

    def answer(example: Example) -> Judgment:
        threads.add(threading.current_thread())
        return Judgment(example.id)

    judge("task", many, responder(answer, family="callable"))
    assert threads == {threading.current_thread()}


NOT_A_NUMBER: Any = object()


@pytest.mark.parametrize(
    "answer, error",
    [
        (lambda example: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda example: Judgment("other"), "the model answered for 'other'"),
        (lambda example: None, "AttributeError"),
        (lambda example: Judgment(example.id, rewards=(1.0,)), "rewards has 1 entries for 2"),
        (lambda example: Judgment(example.id, directed=((0.0,), (0.0,))), "directed is not [2, 2]"),
        (lambda example: Judgment(example.id, rewards=(1.0, float("nan"))), "a score is NaN or infinite"),
        (lambda example: Judgment(example.id, parts={"logp": ((1.0,),)}), "parts 'logp' has 1"),
        (lambda example: Judgment(example.id, verdicts=(Verdict((0, 5), "pick", 0),)), "shows candidates [0, 5] of 2"),
        (lambda example: Judgment(example.id, verdicts=(Verdict((0, 1), "pick", 2),)), "pick verdict has the value 2"),
        (
            lambda example: Judgment(example.id, directed=((0.0, 1.0), (float("inf"), 0.0))),
            "a score is NaN or infinite",
        ),
        (lambda example: Judgment(example.id, rewards=(NOT_A_NUMBER, 1.0)), "cannot hold a object"),
    ],
)
def test_a_bad_answer_fails_its_row(responder: Make, many: list[Example], answer: Any, error: str) -> None:
    def mostly(example: Example) -> Judgment:
        return answer(example) if example.id == "3" else Judgment(example.id, rewards=(1.0, 0.0))

    judgments = judge("task", many, responder(mostly)).judgments
    assert [one.id for one in judgments if one.status == "failed"] == ["3"]
    assert error in judgments[3].error


def test_a_stopped_run_goes_on_exactly(responder: Make, many: list[Example]) -> None:
    def full(example: Example) -> Judgment:
        verdicts = (
            Verdict((1, 0), "pick", TIE, vote=1, logprob=-0.1),
            Verdict((0, 1), "ranking", (1, 0)),
            Verdict((0,), "rating", 7),
            Verdict((0,), "rating", 7.5),
            Verdict((0,), "label", "good"),
            Verdict((0, 1), "pick", None, status="unparsed"),
        )
        margins = ((0.0, 0.1 + 0.2), (-1e-300, 0.0))
        return Judgment(
            example.id,
            (1 / 3, -0.0),
            margins,
            {"logp": ((1.0,), (2.0,))},
            verdicts,
            lengths=(3, 4),
            truncated=(False, True),
        )

    whole = judge("task", many, responder(full)).judgments
    ledger = MemoryLedger()

    def stopping(example: Example) -> Judgment:
        if example.id == "100":
            raise KeyboardInterrupt
        return full(example)

    with pytest.raises(KeyboardInterrupt):
        judge("task", many, responder(stopping, family="fake"), ledger=ledger)
    model = responder(full, family="fake")
    resumed = judge("task", many, model, ledger=ledger)
    assert resumed.resumed_batches == 1
    assert len(model.asked) == len(many) - CHUNK
    assert repr(resumed.judgments) == repr(whole)  # repr tells -0.0 from 0.0 and 7 from 7.0


def test_numpy_numbers_are_taken(responder: Make, many: list[Example]) -> None:
    def answer(example: Example) -> Judgment:
        return Judgment(
            example.id,
            rewards=(np.float32(0.5), np.float64(0.25)),  # type: ignore[arg-type]
            verdicts=(Verdict((0, 1), "pick", np.int64(1)),),  # type: ignore[arg-type]
            lengths=(np.int64(3), 4),  # type: ignore[arg-type]
        )

    judgment = judge("task", many, responder(answer), ledger=MemoryLedger()).judgments[0]
    assert judgment.rewards == (0.5, 0.25)
    assert judgment.verdicts[0].value == 1


def test_other_rows_find_nothing(responder: Make, many: list[Example], example: Make) -> None:
    ledger = MemoryLedger()
    judge("task", many, responder(), ledger=ledger)
    changed = [*many[:-1], example(many[-1].id, "q", "changed", "b")]
    assert judge("task", many, responder(), ledger=ledger).resumed_batches == 3
    assert judge("task", changed, responder(), ledger=ledger).resumed_batches == 0

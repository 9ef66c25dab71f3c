"""Questions about an example are asked at the same time, within the window, and give the judgment that they give one by
one; rows whose prompts begin alike are asked about one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from rmbench.engine.interfaces import EngineOptions, MemoryLedger
from rmbench.engine.judge import judge
from rmbench.errors import RmbenchError
from rmbench.models.servers.generation import Question, Reply
from tests._make import make_example


def text_of(question: Question) -> str:
    return "\n".join(str(message["content"]) for message in question.messages)


def answer(question: Question) -> str:
    """Depends on all that is asked."""
    return "[[A]]" if sum(map(ord, f"{question.vote} {text_of(question)}")) % 3 else "[[B]]"


def together(count: int) -> Any:
    """An answer that waits until so many questions are asked at a time."""
    barrier = threading.Barrier(count, timeout=10)

    def ask(question: Question) -> str:
        barrier.wait()
        return answer(question)

    return ask


@pytest.mark.parametrize("votes", ["1", "4"])
def test_all_questions_about_an_example_are_asked_at_a_time(judges: SimpleNamespace, votes: str) -> None:
    example = judges.example("four", "five")
    expected = judges.judge(answer, temperature="0.7", votes=votes).judge("t", example)
    count = len(expected.verdicts)
    assert count == 2 * int(votes)
    with judges.judge(together(count), temperature="0.7", votes=votes).in_window(8) as judge_in_window:
        assert judge_in_window.judge("t", example) == expected


def test_a_window_of_one_asks_one_at_a_time_and_in_order(judges: SimpleNamespace) -> None:
    asked = judges.judge(answer)
    with asked.in_window(1) as one:
        one.judge("t", judges.example("four", "five"))
    assert [question.shown for question in asked.backend.asked] == [(0, 1), (1, 0)]


def test_a_fatal_error_of_any_question_ends_the_run(judges: SimpleNamespace) -> None:
    def fail(question: Question) -> str:
        if question.shown == (1, 0):
            raise RmbenchError("no credit left")
        return answer(question)

    with judges.judge(fail).in_window(4) as window, pytest.raises(RmbenchError, match="no credit left"):
        window.judge("t", judges.example("four", "five"))


def test_what_several_questions_have_in_common_is_asked_once(judges: SimpleNamespace) -> None:
    """br-rm has a first turn of the judge's own, which does not depend on the candidates' order in it."""
    example = judges.example("four", "five")

    def ask(question: Question) -> Reply:
        return Reply(text=f"thought about {len(question.messages)} messages [[A]] 1", finish="stop")

    alone = judges.judge(ask, "ce-rm")
    expected = alone.judge("t", example)
    at_a_time = judges.judge(ask, "ce-rm")
    with at_a_time.in_window(8) as window:
        assert window.judge("t", example) == expected
    assert len(at_a_time.backend.asked) == len(alone.backend.asked)


def test_the_window_is_told_to_the_backend(judges: SimpleNamespace) -> None:
    told: list[str] = []

    class Backend(judges.FakeBackend):  # type: ignore[name-defined,misc]
        has_room = False

        @contextmanager
        def in_window(self, most: int) -> Iterator[None]:
            told.append(f"in {most}")
            yield
            told.append("out")

    model = replace(judges.judge(answer), backend=Backend(answer))
    rows = [judges.example("four", "five", id_=str(number)) for number in range(5)]
    judging = judge("t", rows, model, options=EngineOptions(window=3))
    assert [one.status for one in judging.judgments] == ["ok"] * 5
    assert told == ["in 3", "out"]


def test_prompts_that_begin_alike_are_asked_about_one_after_the_other(judges: SimpleNamespace) -> None:
    prompts = [f"{'Of the first text' if number % 3 else 'Of the second'}: {number % 2}" for number in range(90)]
    rows = [make_example(str(number), prompt, "yes", "no") for number, prompt in enumerate(prompts)]
    model = judges.judge(answer)
    judging = judge("t", rows, model, options=EngineOptions(window=1))
    assert [one.id for one in judging.judgments] == [row.id for row in rows]
    asked = [prompts[int(question.example)] for question in model.backend.asked]
    assert asked == sorted(asked)
    changes = sum(one != other for one, other in pairwise(asked))
    assert changes == len(set(prompts)) - 1


def test_a_stopped_run_goes_on_in_the_order_of_prompts(judges: SimpleNamespace) -> None:
    rows = [make_example(str(number), f"prompt {number * 37 % 100}", "yes", "no") for number in range(200)]
    whole = judge("t", rows, judges.judge(answer)).judgments
    ledger, asked = MemoryLedger(), []

    def stopping(question: Question) -> str:
        asked.append(question)
        if len(asked) > 300:
            raise KeyboardInterrupt
        return answer(question)

    with pytest.raises(KeyboardInterrupt):
        judge("t", rows, judges.judge(stopping), options=EngineOptions(window=1), ledger=ledger)
    rest = judges.judge(answer)
    judging = judge("t", rows, rest, ledger=ledger)
    assert judging.judgments == whole
    assert judging.resumed_rows == 128
    assert len(rest.backend.asked) == 2 * (200 - 128)


def test_a_full_window_is_not_asked_for_more(judges: SimpleNamespace) -> None:
    """Then the questions about an example come one after the other, and those left at once when there is room."""

    class Backend(judges.FakeBackend):  # type: ignore[name-defined,misc]
        under_way = most = 0
        lock = threading.Lock()

        @property
        def has_room(self) -> bool:
            return len(self.asked) >= 2

        @contextmanager
        def in_window(self, _: int) -> Iterator[None]:
            yield

        def ask(self, question: Question) -> Reply:
            with self.lock:
                self.under_way += 1
                self.most = max(self.most, self.under_way)
                here = len(self.asked), self.under_way
            if here[0] >= 2:
                barrier.wait()
            reply: Reply = super().ask(question)
            with self.lock:
                self.under_way -= 1
            assert here[0] >= 2 or here[1] == 1
            return reply

    barrier = threading.Barrier(6, timeout=10)
    one_by_one = judges.judge(answer, temperature="0.7", votes="4")
    model = replace(one_by_one, backend=Backend(answer))
    with model.in_window(8) as window:
        assert window.judge("t", judges.example("four", "five")) == one_by_one.judge(
            "t", judges.example("four", "five")
        )
    assert model.backend.most == 6

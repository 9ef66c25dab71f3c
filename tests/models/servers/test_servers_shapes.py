"""What becomes of rows whose replies come in another shape, or not at all."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from tests.models.servers.scene import QUESTIONS, ROWS, questions, server


def test_an_error_with_status_200_is_read_by_its_code(judged: Any, stubs: Any) -> None:
    def answer(call: Any) -> Any:
        error = {"message": "Provider returned error: flagged upstream", "code": 403}
        return "[[A]]" if stubs.is_trial(call) else {"error": error, "user_id": "u"}

    with pytest.raises(RmbenchError, match=r"failed on all 10 rows.*status 403: Provider returned error: flagged"):
        judged(server(stubs, answer))
    assert len(questions(judged, stubs)) == QUESTIONS


@pytest.mark.parametrize(
    ("message", "finish"),
    [
        ({"content": None}, "length"),
        ({}, "length"),
        ({"content": ""}, "length"),
        ({"content": None, "reasoning_content": "hm"}, "length"),
        ({"content": None}, "stop"),
        ({"content": "", "reasoning_content": "[[A]]"}, "stop"),
    ],
)
def test_a_reply_without_text_is_unparsed_at_once(judged: Any, stubs: Any, message: Any, finish: str) -> None:
    def answer(_: Any) -> Any:
        data = stubs.chat("", finish)
        data["choices"][0]["message"] = message
        return data

    done = judged(server(stubs, answer))
    assert (done.records[0].counts.unparsed, done.records[0].counts.failed) == (ROWS, 0)
    assert len(questions(judged, stubs)) == QUESTIONS
    assert done.records[0].run.engine.get("answers_cut", 0) == (QUESTIONS if finish == "length" else 0)


@pytest.mark.parametrize(
    ("choice", "why", "status"),
    [
        (
            {"finish_reason": "content_filter", "message": {"content": None}},
            "the filter of the server ended the reply (content_filter)",
            "failed",
        ),
        (
            {"finish_reason": "tool_calls", "message": {"content": None}},
            "the server ended the reply (tool_calls)",
            "failed",
        ),
        (
            {"finish_reason": "odd", "message": {"content": "Both w"}},
            "the server ended the reply (odd): Both w",
            "failed",
        ),
        (
            {"finish_reason": "stop", "message": {"content": None, "refusal": "I'm sorry."}},
            "the judge refuses: I'm sorry.",
            "unparsed",
        ),
    ],
)
def test_what_no_attempt_changes_is_asked_once(judged: Any, stubs: Any, choice: Any, why: str, status: str) -> None:
    def answer(call: Any) -> Any:
        wrong = not stubs.is_trial(call) and len(json.dumps(call.body["messages"])) % 2 == 0
        return {**stubs.chat(""), "choices": [{"index": 0, **choice}]} if wrong else "[[A]]"

    done = judged(server(stubs, answer))
    counts = done.records[0].counts
    assert len(questions(judged, stubs)) == QUESTIONS
    assert getattr(counts, status) > 0
    assert counts.judged + getattr(counts, status) == ROWS
    assert why in done.reasons["judgebench"]


@pytest.mark.parametrize("finish", [None, "eos", "STOP", "end_turn"])
def test_finish_reasons_of_all_kinds_of_servers_are_read(judged: Any, stubs: Any, finish: str | None) -> None:
    done = judged(server(stubs, lambda _: stubs.chat("[[A]]", finish)))
    assert done.records[0].counts.judged == ROWS
    assert done.records[0].run.engine.get("finish_assumed", 0) == (0 if finish else QUESTIONS)


def test_tokens_of_responses_that_are_asked_for_again_are_counted(judged: Any, stubs: Any) -> None:
    seen: set[str] = set()

    def answer(call: Any) -> Any:
        text = json.dumps(call.body["messages"])
        again = stubs.is_trial(call) or text in seen
        seen.add(text)
        return stubs.chat("[[A]]") if again else stubs.chat("[[A", "abort")

    judged(server(stubs, answer), model_args={"attempts": "2"})
    assert any("20 replies (20 retries), 400 prompt tokens, 80 completion tokens" in line for line in judged.notes)


@pytest.mark.parametrize("route", ["/tokenize", "/v1/models", "/version"])
@pytest.mark.parametrize("kind", ["html", "500", "429"])
def test_optional_routes_are_tried_twice_and_drop_no_server(judged: Any, stubs: Any, route: str, kind: str) -> None:
    def answer(call: Any) -> Any:
        if call.path == "/v1/chat/completions":
            return stubs.Answer(stubs.chat("A"))
        if kind == "html":
            return stubs.Answer(b"<html>app</html>", headers={"Content-Type": "text/html"})
        return stubs.Answer({"error": "boom"}, int(kind), {"Retry-After": "300"} if kind == "429" else {})

    began = time.monotonic()
    done = judged(answer, "option")
    assert time.monotonic() - began < 60  # not the minutes of eight attempts
    assert done.records[0].counts.judged == ROWS
    assert sum(call.path == route for call in judged.stub.calls) <= 2

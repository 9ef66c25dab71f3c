"""Servers that differ from the protocol in one way each, and what a run at one of them leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rmbench.evaluation.results import Results

ROWS = 10
QUESTIONS = 20


def server(stubs: Any, answer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A server that lists its model and has no other route; `answer` gives a chat's text, response or data."""

    def at(call: Any) -> Any:
        if call.path == "/v1/models":
            return stubs.Answer({"data": [{"id": "m", "owned_by": "stub"}]})
        if call.path != "/v1/chat/completions":
            return stubs.Answer({"detail": "Not Found"}, 404)
        said = answer(call)
        said = stubs.chat(said) if isinstance(said, str) else said
        return said if isinstance(said, stubs.Answer) else stubs.Answer(said)

    return at


def refusing(stubs: Any, field: str, message: str, status: int = 400, when: Callable[[Any], bool] = bool) -> Any:
    """A server that refuses a field, of values for which `when` holds."""

    def answer(call: Any) -> Any:
        if field in call.body and when(call.body[field]):
            return stubs.Answer({"error": {"message": message}}, status)
        return "[[A]]"

    return server(stubs, answer)


def settings_of(done: Results) -> dict[str, Any]:
    return dict(done.records[0].model.settings)


def questions(judged: Any, stubs: Any) -> list[Any]:
    return [call for call in judged.stub.calls if call.path.endswith("/completions") and not stubs.is_trial(call)]

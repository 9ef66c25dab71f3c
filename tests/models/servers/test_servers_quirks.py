"""Runs at servers that differ from the protocol in one way each: what is settled before the first question, and what
becomes of the rows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.engine.interfaces import SilentProgress
from rmbench.errors import RmbenchError
from rmbench.evaluation.results import Results
from rmbench.evaluation.run import run

ROWS = 10
QUESTIONS = 20
Run = Callable[..., Results]


@pytest.fixture
def judged(stubs: Any, serve: Any, tmp_path: Path) -> Any:
    """Runs a judge at a server of one kind; `judged.calls` are the requests, `judged.notes` what was said."""
    notes: list[str] = []

    class Told(SilentProgress):
        def note(self, text: str) -> None:
            notes.append(text)

    def start(answer: Callable[[Any], Any], protocol: str = "pair", **more: Any) -> Results:
        stub = serve(answer)
        start.stub = stub  # type: ignore[attr-defined]
        args = {"protocol": protocol, **more.pop("model_args", {})}
        url = stub.url + more.pop("suffix", "")
        return run(
            "openai:m",
            "judgebench",
            source="sample",
            base_url=url,
            out=tmp_path,
            model_args=args,
            progress=Told(),
            **more,
        )

    start.notes = notes  # type: ignore[attr-defined]
    return start


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


@pytest.mark.parametrize("status", [400, 403, 404, 422, 500, 501])
@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("temperature", "Unsupported value: 'temperature' does not support 0 with this model."),
        ("top_p", "Unsupported parameter: 'top_p' is not supported with this model."),
        ("seed", "Extra inputs are not permitted"),
        ("seed", 'Unknown name "seed": Cannot find field.'),
    ],
)
def test_a_field_that_is_refused_is_left_out_and_recorded(
    judged: Any, stubs: Any, field: str, message: str, status: int
) -> None:
    done = judged(refusing(stubs, field, message, status, when=lambda _: True), model_args={"attempts": "2"})
    assert done.records[0].counts.judged == ROWS
    assert settings_of(done)["left_out"] == field
    assert all(field not in call.body and "model" in call.body for call in questions(judged, stubs))
    assert len(questions(judged, stubs)) == QUESTIONS
    (line,) = [line for line in judged.notes if "asked with" in line]
    assert f"no {field} (" in line
    assert message in line


def test_nothing_is_left_out_where_nothing_is_refused(judged: Any, stubs: Any) -> None:
    done = judged(server(stubs, lambda _: "[[A]]"))
    assert "left_out" not in settings_of(done)
    sent = questions(judged, stubs)[0].body
    assert {"temperature", "top_p", "seed", "max_tokens"} <= set(sent)
    trials = [call.body for call in judged.stub.calls if call.path.endswith("completions") and stubs.is_trial(call)]
    assert trials[-1].keys() == sent.keys()
    assert [message["role"] for message in trials[-1]["messages"]] == ["system", "user"]


def test_of_two_fields_that_exclude_each_other_the_temperature_stays(judged: Any, stubs: Any) -> None:
    def answer(call: Any) -> Any:
        if {"temperature", "top_p"} <= set(call.body):
            return stubs.Answer({"error": {"message": "`temperature` and `top_p` cannot both be specified"}}, 400)
        return "[[A]]"

    assert settings_of(judged(server(stubs, answer)))["left_out"] == "top_p"


def test_two_fields_refused_in_the_same_words_are_both_found(judged: Any, stubs: Any) -> None:
    def answer(call: Any) -> Any:
        if {"seed", "temperature"} & set(call.body):
            return stubs.Answer({"error": {"message": "bad request"}}, 400)
        return "[[A]]"

    assert settings_of(judged(server(stubs, answer)))["left_out"] == "seed, temperature"


def test_runs_with_and_without_a_field_lie_apart(judged: Any, stubs: Any) -> None:
    whole = judged(server(stubs, lambda _: "[[A]]"))
    less = judged(refusing(stubs, "temperature", "no temperature", when=lambda _: True))
    assert whole.out != less.out


@pytest.mark.parametrize("message", ["System role not supported", "messages[0].role does not support this value", "no"])
def test_a_system_message_is_folded_into_the_users(judged: Any, stubs: Any, message: str) -> None:
    def answer(call: Any) -> Any:
        if call.body["messages"][0]["role"] == "system":
            return stubs.Answer({"object": "error", "message": message}, 400)
        return "[[A]]"

    done = judged(server(stubs, answer))
    assert settings_of(done)["system_message"] == "in the user's"
    assert "left_out" not in settings_of(done)
    (asked,) = questions(judged, stubs)[0].body["messages"]
    assert asked["role"] == "user"
    assert asked["content"].count("<request>") >= 1
    assert not asked["content"].startswith("<request>")


@pytest.mark.parametrize("status", [403, 404, 501])
def test_no_probability_is_asked_for_where_none_is_read(judged: Any, stubs: Any, status: int) -> None:
    done = judged(refusing(stubs, "logprobs", "You are not allowed to request logprobs", status))
    assert done.records[0].counts.judged == ROWS
    assert not [call for call in judged.stub.calls if "logprobs" in (call.body or {})]


def test_options_without_probabilities_are_read_from_the_text_which_is_said(judged: Any, stubs: Any) -> None:
    def answer(call: Any) -> Any:
        if "logprobs" in call.body:
            return stubs.Answer({"error": {"message": "You are not allowed to request logprobs"}}, 403)
        return "**A**"

    done = judged(server(stubs, answer), "option")
    assert done.records[0].counts.judged == ROWS
    assert settings_of(done)["logprobs"] == "none"
    assert any("no probabilities: verdicts are read from the text" in line for line in judged.notes)
    assert done.reasons["judgebench"].startswith("20 verdicts were read from text")
    assert done.records[0].run.engine["options_as_text"] == QUESTIONS


@pytest.mark.parametrize("limit", [5, 2])
def test_as_many_probabilities_are_asked_for_as_a_server_gives(judged: Any, stubs: Any, limit: int) -> None:
    def answer(call: Any) -> Any:
        most = call.body.get("top_logprobs", 0)
        if most > limit:
            return stubs.Answer({"error": {"message": f"top_logprobs must be at most {limit}"}}, 400)
        top = [{"token": "A", "logprob": -0.2}, {"token": "B", "logprob": -1.7}][:most]
        data = stubs.chat("A")
        data["choices"][0]["logprobs"] = {"content": [{**(top or [{"token": "A"}])[0], "top_logprobs": top}]}
        return data

    done = judged(server(stubs, answer), "option")
    assert done.records[0].counts.judged == ROWS
    assert settings_of(done)["top_logprobs"] == limit


@pytest.mark.parametrize("status", [401, 403, 404])
def test_one_row_that_is_denied_fails_alone(judged: Any, stubs: Any, status: int) -> None:
    denied: list[str] = []

    def answer(call: Any) -> Any:
        text = json.dumps(call.body["messages"])
        if not stubs.is_trial(call) and len(text) % 7 == 0:
            denied.append(text)
            return stubs.Answer({"error": {"message": "Input flagged by moderation"}}, status)
        return "[[A]]"

    done = judged(server(stubs, answer))
    counts = done.records[0].counts
    assert denied
    assert counts.failed >= 1
    assert counts.judged + counts.failed == ROWS
    assert done.records[0].failed[0].why == f"status {status}: Input flagged by moderation"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_key_or_model_that_is_denied_from_the_start_ends_the_run(judged: Any, stubs: Any, status: int) -> None:
    with pytest.raises(RmbenchError, match=rf"\({status}\): no"):
        judged(lambda _: stubs.Answer({"error": {"message": "no"}}, status))
    assert sum(call.path.endswith("completions") for call in judged.stub.calls) == 1


def test_a_key_that_is_withdrawn_ends_the_run(judged: Any, stubs: Any) -> None:
    with pytest.raises(RmbenchError, match="does not accept the key in OPENAI_API_KEY"):
        judged(
            server(
                stubs,
                lambda call: "[[A]]" if stubs.is_trial(call) else stubs.Answer({"error": {"message": "expired"}}, 401),
            ),
            window=1,
        )
    assert len(questions(judged, stubs)) == 10


@pytest.mark.parametrize(
    ("response", "status", "headers", "said"),
    [
        ({"error": {"message": "Insufficient credits"}}, 402, {}, "no credit left"),
        ({"error": {"message": "You exceeded your current quota"}}, 429, {}, "no credit left"),
        ({"error": {"message": "later"}}, 429, {"Retry-After": "3600"}, "asks to wait 3,600 s"),
        ({"error": {"message": "Insufficient credits", "code": 402}}, 200, {}, "no credit left"),
    ],
)
def test_an_account_that_is_used_up_ends_the_run_at_once(
    judged: Any, stubs: Any, response: Any, status: int, headers: dict[str, str], said: str
) -> None:
    def answer(call: Any) -> Any:
        return "[[A]]" if stubs.is_trial(call) else stubs.Answer(response, status, headers)

    with pytest.raises(RmbenchError, match=said):
        judged(server(stubs, answer), window=2)
    assert len(questions(judged, stubs)) <= 4


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


def test_a_model_of_another_name_is_an_error_where_there_is_one_model(judged: Any, stubs: Any) -> None:
    def answer(call: Any) -> Any:
        if call.path == "/v1/models":
            return stubs.Answer({"data": [{"id": "qwen3-8b"}]})
        return stubs.Answer(stubs.chat("[[A]]"))

    with pytest.raises(RmbenchError, match=r"serves 'qwen3-8b' and not 'm'.*served_name=qwen3-8b"):
        judged(answer)
    done = judged(answer, model_args={"served_name": "qwen3-8b"})
    assert done.records[0].model.name == "m"


def test_a_model_that_is_not_listed_among_several_is_a_note(judged: Any, stubs: Any) -> None:
    def answer(call: Any) -> Any:
        if call.path == "/v1/models":
            return stubs.Answer({"data": [{"id": "m1"}, {"id": "other"}]})
        return stubs.Answer(stubs.chat("[[A]]"))

    done = judged(answer)
    assert settings_of(done)["listed"] is False
    assert any("is none of the 2 models that it lists" in line for line in judged.notes)


@pytest.mark.parametrize("suffix", ["/chat/completions", "/", "/chat/completions/"])
def test_an_address_may_end_in_the_route(judged: Any, stubs: Any, suffix: str) -> None:
    done = judged(server(stubs, lambda _: "[[A]]"), suffix=suffix)
    assert done.records[0].counts.judged == ROWS


def test_a_refused_length_says_how_to_set_another(judged: Any, stubs: Any) -> None:
    def answer(call: Any) -> Any:
        if call.body.get("max_tokens", 0) > 1024:
            return stubs.Answer({"error": {"message": "max_tokens is too large: 2048"}}, 400)
        return "[[A]]"

    stub = server(stubs, answer)
    with pytest.raises(RmbenchError, match=r"max_tokens is too large.*--model-args max_tokens=N"):
        judged(stub)
    assert judged(stub, model_args={"max_tokens": "1024"}).records[0].counts.judged == ROWS


def test_fields_of_the_users_are_sent_in_trials_and_questions(judged: Any, stubs: Any) -> None:
    args = {"chat_template_kwargs.enable_thinking": "false", "extra_body.provider": '{"order": ["a"]}', "top_k": "5"}
    done = judged(server(stubs, lambda _: "[[A]]"), model_args=args)
    chats = [call for call in judged.stub.calls if call.path.endswith("completions")]
    for call in (chats[1], *questions(judged, stubs)):
        assert call.body["chat_template_kwargs"] == {"enable_thinking": False}
        assert (call.body["provider"], call.body["top_k"]) == ({"order": ["a"]}, 5)
    assert settings_of(done)["provider.order"] == '["a"]'


def test_a_field_of_the_users_that_is_refused_is_an_error(judged: Any, stubs: Any) -> None:
    """It is not left out: the user asked for it."""
    stub = refusing(stubs, "reasoning_effort", "Unknown parameter: reasoning_effort")
    with pytest.raises(RmbenchError, match=r"answers a plain request to m, but not the judge's: .*reasoning_effort"):
        judged(stub, model_args={"reasoning_effort": "low"})
    assert not questions(judged, stubs)


def azure(stubs: Any) -> Any:
    """The classic routes: a version of the API in the query, the key in a header of its own, no list of models."""

    def answer(call: Any) -> Any:
        path, _, query = call.path.partition("?")
        if call.headers.get("api-key") != "az-secret-4711" or "Authorization" in call.headers:
            return stubs.Answer({"error": {"message": "Access denied due to invalid subscription key"}}, 401)
        if query != "api-version=2024-10-21&x=a+b" or path != "/openai/deployments/d/chat/completions":
            return stubs.Answer({"error": {"message": f"Resource not found: {call.headers['api-key']}"}}, 404)
        return stubs.Answer(stubs.chat("[[A]]"))

    return answer


def test_classic_azure_is_reached_by_a_query_and_a_header(
    judged: Any, stubs: Any, serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_KEY", "az-secret-4711")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-service")
    url = serve(azure(stubs)).url.removesuffix("/v1") + "/openai/deployments/d/chat/completions"
    args = {"source": "sample", "base_url": url, "out": tmp_path, "header_env": "api-key=AZURE_KEY"}
    done = run("openai:m", "judgebench", query=("api-version=2024-10-21", "x=a b"), **args)
    assert done.records[0].counts.judged == ROWS
    assert settings_of(done)["query"] == "api-version=2024-10-21, x=a b"
    with pytest.raises(RmbenchError) as caught:
        run("openai:m", "judgebench", query="api-version=1", **args)
    assert "Resource not found: ***" in str(caught.value)
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"az-secret" not in kept


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"query": "api-version"}, "expected KEY=VALUE"),
        ({"query": "subscription-key=x"}, "secrets go by --header-env"),
        ({"header_env": "api-key"}, "takes HEADER=NAME"),
        ({"header_env": "api key=X"}, "takes HEADER=NAME"),
        ({"header_env": "Host=X"}, "requests set this header themselves"),
        ({"header_env": "api-key=NOT_SET_ANYWHERE"}, "the variable is not set"),
        ({"max_cost": 1.0}, "--max-cost needs prices"),
    ],
)
def test_what_addresses_a_server_is_checked_before_it_is_asked(
    judged: Any, stubs: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(RmbenchError, match=said):
        judged(server(stubs, lambda _: "[[A]]"), **options)
    assert not judged.stub.calls


def test_a_run_ends_at_its_cost_and_goes_on_where_it_stopped(judged: Any, stubs: Any) -> None:
    """A reply takes 10 and 2 tokens: 12 at these prices."""
    prices = {"price_in": "1000000", "price_out": "1000000"}
    answers = server(stubs, lambda _: "[[A]]")
    asked: list[str] = []
    with pytest.raises(
        RmbenchError, match=r"--max-cost 70 is reached: 72\.0000 for 6 replies.*the same command"
    ) as end:
        judged(answers, model_args=prices, max_cost=70, window=1)
    assert end.value.exit_code == 3
    asked += [json.dumps(call.body) for call in questions(judged, stubs)]
    assert len(asked) == 6
    done = judged(answers, model_args=prices, max_cost=1000, window=1)
    asked += [json.dumps(call.body) for call in questions(judged, stubs)]
    assert done.records[0].counts.judged == ROWS
    assert len(asked) == len(set(asked)) == QUESTIONS


def test_a_cost_that_cannot_be_known_ends_the_run(judged: Any, stubs: Any) -> None:
    answers = server(stubs, lambda _: {**stubs.chat("[[A]]"), "usage": None})
    with pytest.raises(RmbenchError, match="does not say how many tokens"):
        judged(answers, model_args={"price_in": "1"}, max_cost=1.0, window=1)
    assert len(questions(judged, stubs)) == 1
    judged(answers)
    assert any("the server does not say how many tokens they took" in line for line in judged.notes)


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}])
def test_a_busy_server_does_not_seem_to_refuse_fields(judged: Any, stubs: Any, headers: dict[str, str]) -> None:
    """Else a run would lose its temperature because a rate limit was hit at the wrong moment."""
    count = [0]

    def answer(call: Any) -> Any:
        count[0] += 1
        if count[0] in range(2, 7):
            return stubs.Answer({"error": {"message": "Rate limit reached"}}, 429, headers)
        return "[[A]]"

    done = judged(server(stubs, answer))
    assert "left_out" not in settings_of(done)
    assert settings_of(done).get("system_message") is None


def test_a_server_that_stays_busy_ends_the_run(judged: Any, stubs: Any) -> None:
    count = [0]

    def answer(_: Any) -> Any:
        count[0] += 1
        return "[[A]]" if count[0] == 1 else stubs.Answer({"error": {"message": "overloaded"}}, 503)

    with pytest.raises(RmbenchError, match="too busy to be tried out: status 503: overloaded"):
        judged(server(stubs, answer), model_args={"attempts": "2"})
    assert not questions(judged, stubs)


@pytest.mark.parametrize("message", ["Use 'max_completion_tokens' instead.", "unsupported parameter", "max_tokens: no"])
def test_the_other_field_of_the_length_is_tried(judged: Any, stubs: Any, message: str) -> None:
    done = judged(refusing(stubs, "max_tokens", message, 422))
    assert done.records[0].counts.judged == ROWS
    assert all(call.body["max_completion_tokens"] == 2048 for call in questions(judged, stubs))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "Billing hard limit has been reached", "code": "billing_hard_limit_reached"}),
        (400, {"message": "Your credit balance is too low to access the API.", "type": "invalid_request_error"}),
    ],
)
def test_an_account_that_is_used_up_may_say_so_by_400(judged: Any, stubs: Any, status: int, error: Any) -> None:
    def answer(call: Any) -> Any:
        return "[[A]]" if stubs.is_trial(call) else stubs.Answer({"error": error}, status)

    with pytest.raises(RmbenchError, match="no credit left"):
        judged(server(stubs, answer), window=1)
    assert len(questions(judged, stubs)) == 1


def test_a_model_that_is_not_there_is_told_from_those_that_are(judged: Any, stubs: Any) -> None:
    def answer(call: Any) -> Any:
        if call.path == "/v1/models":
            return stubs.Answer({"data": [{"id": "mm"}, {"id": "other"}]})
        return stubs.Answer({"error": {"message": "The model does not exist"}}, 404)

    with pytest.raises(
        RmbenchError, match=r'has no such model or route \(404\).*It lists mm, other\..*Did you mean "mm"'
    ):
        judged(answer)

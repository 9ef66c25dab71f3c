"""What is settled before the first question: fields left out, the system message, probabilities, lengths."""

from __future__ import annotations

from typing import Any

import pytest

from rmbench.errors import RmbenchError
from tests.models.servers.scene import QUESTIONS, ROWS, questions, refusing, server, settings_of


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

    assert settings_of(judged(server(stubs, answer)))["left_out"] == "seed temperature"


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

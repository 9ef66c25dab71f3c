"""What counts as an answer, what is asked for again, and where numbers in it are read."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from rmbench.models.servers.errors import (
    AccountError,
    DeniedError,
    RejectedError,
    RetryableError,
    error_for_status,
    error_in_body,
    error_message,
    retry_after,
)
from rmbench.models.servers.generation import Grammar
from rmbench.models.servers.replies import (
    applied_path,
    count_top_logprobs,
    parse_option_logprobs,
    parse_prompt_logprobs,
    parse_reply,
    parse_token_logprobs,
    parse_tokens,
    parse_top_logprobs,
)
from rmbench.models.servers.usage import Usage


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"finish_reason": "stop", "message": {"content": "[[A]]"}, **fields}]}


@pytest.mark.parametrize("finish", ["abort", "ERROR", "network_error", 3, {}])
def test_a_text_that_was_not_finished_is_none(finish: Any) -> None:
    with pytest.raises(RetryableError, match="finish_reason"):
        parse_reply(choice(finish_reason=finish))


@pytest.mark.parametrize(
    "data",
    [
        [],
        None,
        {},
        {"choices": []},
        {"choices": "x"},
        {"choices": [None]},
        choice(message=None),
        choice(message={"content": 5}),
        choice(message={"content": [5]}),
        choice(message={"content": None}, finish_reason=None),
    ],
)
def test_what_has_no_text_is_asked_again(data: Any) -> None:
    with pytest.raises(RetryableError):
        parse_reply(data)


def test_reasoning_is_kept_apart_under_both_of_its_names() -> None:
    new = parse_reply(choice(message={"content": "[[A]]", "reasoning": "hm"}))
    old = parse_reply(choice(message={"content": "[[A]]", "reasoning_content": "hm"}))
    assert (new.text, new.reasoning) == (old.text, old.reasoning) == ("[[A]]", "hm")


THINK = (("<think>", "</think>"),)


@pytest.mark.parametrize(
    ("tokens", "content", "reasoning", "place"),
    [
        (["A"], "A", "", 0),
        (["\n", " ", "**", "A", "**"], "A", "", 3),
        (["<think>", "B", "</think>", "\n\n", "A"], "A", "", 4),
        (["<th", "ink>", "</think>", "B", "</", "think>", "A"], "A", "", 6),  # the last closing tag counts
        (["Well", "</think>", "\n", "A"], "A", "", 3),  # opened by the chat template
        (["Hm", "B", "\n", "A"], "A", "Hm B", 3),  # told apart by the server, without tags
        (["<think>", "A", "A"], "", "", None),
        ([" ", "\n"], " ", "", None),
        (["Hm", "B"], "", "Hm B", None),
    ],
)
@pytest.mark.parametrize("as_ids", [False, True])
def test_options_are_read_where_the_verdict_begins(
    tokens: list[str], content: str, reasoning: str, place: int | None, *, as_ids: bool
) -> None:
    positions = []
    for at, token in enumerate(tokens):
        spelled = {"A": -at - 0.25, "B": -at - 0.5}
        listed = [
            {"token": f"token_id:{7 if o == 'A' else 8}" if as_ids else o, "logprob": p} for o, p in spelled.items()
        ]
        own = {"token": "token_id:3", "bytes": list(token.encode())} if as_ids else {"token": token}
        positions.append({**own, "logprob": -at - 0.25, "top_logprobs": listed})
    message = {"content": content, "reasoning": reasoning}
    data = choice(message=message, logprobs={"content": positions}, finish_reason="length")
    behind, first = (
        parse_option_logprobs(data, {"A": (7,), "B": (8,)}, think)
        if as_ids
        else parse_top_logprobs(data, ("A", "B"), think)
        for think in (THINK, None)
    )
    assert behind is not None
    assert first is not None
    assert first.options == {"A": -0.25, "B": -0.5}
    assert behind.options == (None if place is None else {"A": -place - 0.25, "B": -place - 0.5})
    assert (behind.path, behind.finish) == ("logprobs", "length" if place is None else "stop")


def options_in(tokens: list[str], content: str, *, finish: str = "stop", bare: bool = False, **where: Any) -> Any:
    """The options read from a chat whose token number k gives A the probability e^-(k + 0.25)."""
    positions = [
        {"token": "token_id:3" if bare else token, "logprob": -1e9, "top_logprobs": listed}
        for at, token in enumerate(tokens)
        for listed in ([{"token": o, "logprob": -at - p} for o, p in (("A", 0.25), ("B", 0.5))],)
    ]
    data = choice(message={"content": content}, logprobs={"content": positions}, finish_reason=finish)
    reply = parse_top_logprobs(data, ("A", "B"), THINK, **where)
    assert reply is not None
    assert reply.path == "logprobs"
    return None if reply.options is None else -reply.options["A"] - 0.25


@pytest.mark.parametrize(
    ("tokens", "content", "place"),
    [
        (["So", ":", " A"], "So: A", 2),
        (["So", ":", " A", "<|im_end|>"], "So: A", 2),
        (["So", ":", " A", "\n", "<|im_end|>"], "So: A\n", 2),
        (["A", " A", ""], "A A", 1),
        (["<think>", "A", "</think>", "\n\n", "B", "<|im_end|>"], "B", 4),
        (["<|im_end|>"], "", None),
    ],
)
def test_options_at_the_end_are_those_of_the_texts_last_token(tokens: list[str], content: str, place: Any) -> None:
    assert options_in(tokens, content, last=True) == place
    assert options_in(tokens, content, last=True, finish="length") is None
    assert options_in(tokens, content, last=True, bare=True) is None


@pytest.mark.parametrize(
    ("tokens", "place"),
    [
        (['{"', "score", '":', " ", "4", "}"], 4),
        (['{"', "score", '":', "4", "}"], 3),
        (['{"score":', " 4", "}"], 1),
        (['{"score": 4', "}"], 0),
        (['{"', "score", '":', " ", "4", ', "score": 5}'], 4),  # the first counts
        (['{"', "mark", '":', " ", "4", "}"], None),
        (['{"', "score", '":', " "], None),
    ],
)
def test_options_behind_a_text_are_those_of_the_first_token_behind_it(tokens: list[str], place: Any) -> None:
    assert options_in(tokens, "".join(tokens), behind='"score":') == place
    assert options_in(tokens, "".join(tokens), behind='"score":', bare=True) is None


def test_an_answer_cut_while_thinking_has_an_empty_text() -> None:
    reply = parse_reply(choice(message={"content": None, "reasoning": "hm"}, finish_reason="length"))
    assert (reply.text, reply.finish) == ("", "length")


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": None}, [], "x", {"prompt_tokens": -1}, {"prompt_tokens": 0.5}]
)
def test_missing_counts_are_nought(usage: Any) -> None:
    reply = parse_reply({**choice(), "usage": usage})
    assert (reply.prompt_tokens, reply.answer_tokens) == (0, 0)


@pytest.mark.parametrize(
    ("grammar", "asked", "text", "path"),
    [
        (Grammar(choices=("A", "B")), "choice", "A", "choice"),
        (Grammar(choices=("A", "B")), "choice", "A.", "plain"),
        (Grammar(regex="[AB]"), "regex", "B", "regex"),
        (Grammar(regex="[AB]"), "regex", "BB", "plain"),
        (Grammar(regex="["), "regex", "[", "plain"),
        (Grammar(schema={}), "json", '{"a": 1}', "json"),
        (Grammar(schema={}), "json", '{"a": 1', "plain"),
        (Grammar(schema={}), "json", "[" * 100_000, "plain"),
        (Grammar(), "plain", "A", "plain"),
    ],
)
def test_a_constraint_counts_where_the_answer_keeps_to_it(grammar: Grammar, asked: Any, text: str, path: str) -> None:
    assert applied_path(grammar, asked, text) == path


LISTED_AS_OF_A_COMPLETION = {
    "text_offset": [0, 1],
    "tokens": ["**", "A"],
    "token_logprobs": [-0.25, -1.0],
    "top_logprobs": [{"**": -0.25, "B": -3.0}, {"A": -1.0, " B": -2.0, "C": None}],
}
"""A chat's log-probabilities as llama-cpp-python, Together and vLLM listed them in 2024."""


def test_log_probabilities_in_the_shape_of_completions_are_read() -> None:
    data = choice(message={"content": "**A"}, logprobs=LISTED_AS_OF_A_COMPLETION, finish_reason="stop")
    assert parse_token_logprobs(data, 1) == {"A": -1.0, " B": -2.0}
    assert count_top_logprobs(data) == 2
    reply = parse_top_logprobs(data, ("A", "B"), THINK)
    assert reply is not None
    assert (reply.path, reply.options) == ("logprobs", {"A": -1.0, "B": -2.0})


@pytest.mark.parametrize("key", ["tokens", "token_logprobs", "top_logprobs"])
def test_lists_of_a_completion_that_lack_something_are_read_as_far_as_they_go(key: str) -> None:
    told = {**LISTED_AS_OF_A_COMPLETION, key: None}
    expected = {
        "tokens": {"A": -1.0, " B": -2.0},
        "token_logprobs": {"A": -1.0, " B": -2.0},
        "top_logprobs": {"A": -1.0},
    }
    assert parse_token_logprobs(choice(logprobs=told), 1) == expected[key]
    with pytest.raises(RetryableError, match=rf"choices\[0\].logprobs.*{key}"):
        parse_token_logprobs(choice(logprobs={**told, key: ["A", 1, {}]}))


def test_log_probabilities_are_read_at_the_first_place() -> None:
    place = {"token": "A", "logprob": -1.0, "top_logprobs": [{"token": "B", "logprob": -2}, {"token": "C"}]}
    assert parse_token_logprobs(choice(logprobs={"content": [place, {"token": "D", "logprob": 0}]})) == {
        "A": -1.0,
        "B": -2.0,
    }


@pytest.mark.parametrize("told", [None, {}, {"content": None}, {"content": []}])
def test_no_log_probabilities_are_none(told: Any) -> None:
    assert parse_token_logprobs(choice(logprobs=told)) == {}


def test_the_prompts_last_tokens_are_summed() -> None:
    told = [None, {"5": {"logprob": -9.0}}, {"6": {"logprob": -1.0}, "9": {"logprob": -0.1}}, {"7": {"logprob": -2.0}}]
    data = {"choices": [{"index": 0, "prompt_logprobs": told}]}
    assert parse_prompt_logprobs(data, [4, 5], {"option": [6, 7]}).options == {"option": -3.0}


@pytest.mark.parametrize(
    "told", [None, [None], [None, {"8": {"logprob": -1}}], [None, {"7": {"logprob": float("nan")}}]]
)
def test_a_missing_token_of_the_prompt_is_asked_again(told: Any) -> None:
    with pytest.raises(RetryableError):
        parse_prompt_logprobs({"choices": [{"index": 0, "prompt_logprobs": told}]}, [4], {"option": [7]})


@pytest.mark.parametrize("data", [None, {}, {"tokens": "x"}, {"tokens": [1.5]}])
def test_tokens_are_integers(data: Any) -> None:
    with pytest.raises(RetryableError):
        parse_tokens(data)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"error": {"message": "too\\nlong", "code": 400}}', "too long"),
        ('{"error": {"error": {"message": "twice"}}}', "twice"),
        ('{"error": "a text"}', "a text"),
        ('[{"error": {"code": 400, "message": "in a list"}}]', "in a list"),
        ('{"detail": "Not Found"}', "Not Found"),
        ('{"detail": [{"type": "json_invalid"}]}', '{"detail": [{"type": "json_invalid"}]}'),
        ("<html>oops</html>", "<html>oops</html>"),
        ("", "no message"),
        ("a\x1b[31mred", "a?[31mred"),
        ("x" * 400, "x" * 300 + " ..."),
    ],
)
def test_the_sentence_in_an_error(body: str, said: str) -> None:
    assert error_message(body) == said


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"retry-after": "1.5"}) == 1.5
    assert retry_after({"Retry-After": formatdate(time.time() + 60, usegmt=True)}) == pytest.approx(60, abs=2)
    assert retry_after({"Retry-After": formatdate(time.time() - 60, usegmt=True)}) == 0
    for odd in ("", "soon", "-5", "1e9", "²"):
        assert retry_after({"Retry-After": odd}) is None
    assert retry_after({}) is None
    assert retry_after({"retry-after-ms": "1500", "Retry-After": "9"}) == 1.5


@pytest.mark.parametrize(
    ("body", "headers", "pause"),
    [
        ("You exceeded your current quota", {}, "used up"),
        ("You exceeded your current quota", {"Retry-After": "3"}, 3.0),
        ("You exceeded your current quota, please retry in 23.5s.", {}, 23.5),
        ('{"error": {"message": "exceeded your current quota", "details": [{"retryDelay": "7s"}]}}', {}, 7.0),
        ('{"error": {"message": "Please try again in 1.2s", "code": "insufficient_quota"}}', {}, "used up"),
        ("Rate limit reached. Please try again in 0.5s", {}, 0.5),
        ("Rate limit reached", {}, None),
        ('{"error": {"message": "x", "code": "billing_not_active"}}', {}, "used up"),
        ('{"error": {"message": "flagged: \\"code\\": \\"insufficient_quota\\""}}', {}, None),
    ],
)
def test_a_quota_of_a_minute_is_waited_for_and_a_used_up_one_is_not(
    body: str, headers: dict[str, str], pause: Any
) -> None:
    error = error_for_status(429, headers, body, url="u", variable="V")
    if pause == "used up":
        assert type(error) is AccountError
    else:
        assert isinstance(error, RetryableError)
        assert error.pause == pause


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        ({"error": {"message": "no", "code": 400}}, RejectedError, "status 400: no"),
        ({"error": {"message": "no", "code": "400"}}, RejectedError, "status 400: no"),
        ([{"error": {"message": "no", "status": "INVALID_ARGUMENT"}}], RejectedError, "status 400: no"),
        ({"error": {"message": "no", "type": "invalid_request_error"}}, RejectedError, "status 400: no"),
        ({"object": "error", "message": "no", "code": 404}, DeniedError, "status 404: no"),
        ({"error": {"message": "no", "code": 401}}, DeniedError, "status 401: no"),
        ({"error": {"message": "no", "code": "insufficient_quota"}}, AccountError, "no credit left"),
        ({"error": {"message": "no", "code": 502}}, RetryableError, "status 502: no"),
        ({"error": {"message": "no", "type": "overloaded_error"}}, RetryableError, "status 503: no"),
        ({"error": "Unexpected endpoint"}, RetryableError, "with an error: Unexpected endpoint"),
        ({"detail": "no such thing"}, RetryableError, "with an error: no such thing"),
    ],
)
def test_an_error_with_status_200_is_classified_by_what_it_holds(data: Any, kind: type[Exception], said: str) -> None:
    error = error_in_body(data, json.dumps(data), url="u", variable="V")
    assert type(error) is kind
    assert said in str(error)


@pytest.mark.parametrize(
    "data",
    [choice(), {**choice(), "error": {"message": "no"}}, {"data": [], "message": "success"}, {"tokens": [1]}, [], 5],
)
def test_what_holds_an_answer_is_no_error(data: Any) -> None:
    assert error_in_body(data, json.dumps(data), url="u", variable="V") is None


def test_cost_is_by_the_million() -> None:
    usage = Usage(price_in=2.0, price_out=8.0)
    for _ in range(3):
        reply = parse_reply({**choice(), "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 250_000}})
        usage.add(reply.prompt_tokens, reply.answer_tokens)
    assert usage.cost == 3 * (2.0 + 2.0)
    assert usage.summary(2) == "3 replies (2 retries), 3,000,000 prompt tokens, 750,000 completion tokens, cost 12.0000"
    assert Usage().cost is None


@pytest.mark.parametrize(
    ("finish", "read"),
    [
        ("eos", "stop"),
        ("eos_token", "stop"),
        ("STOP", "stop"),
        ("end_turn", "stop"),
        ("end", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("SAFETY", "content_filter"),
        ("content_filter", "content_filter"),
        ("tool_calls", "tool_calls"),
        ("Something else", "Something else"),
    ],
)
def test_finish_reasons_are_read_in_every_spelling(finish: str, read: str) -> None:
    assert parse_reply(choice(finish_reason=finish)).finish == read


@pytest.mark.parametrize(
    "data", [choice(finish_reason=None), choice(finish_reason=""), {"choices": [{"text": "[[A]]"}]}]
)
def test_a_text_without_a_finish_reason_is_taken_as_finished_and_counted(data: Any) -> None:
    reply = parse_reply(data)
    assert (reply.text, reply.finish, reply.remarks) == ("[[A]]", "stop", ("finish_assumed",))
    assert parse_reply(choice()).remarks == ()


def test_a_gateways_error_beside_a_text_is_asked_again() -> None:
    with pytest.raises(RetryableError, match="Provider disconnected"):
        parse_reply(choice(finish_reason="error", error={"code": 502, "message": "Provider disconnected"}))
    with pytest.raises(RetryableError, match="Provider disconnected"):
        parse_reply(choice(finish_reason=None, error={"message": "Provider disconnected"}))


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": [{"type": "text", "text": "[["}, {"type": "text", "text": "A]]"}]}, "[[A]]", ""),
        ({"content": ["[[A]]"]}, "[[A]]", ""),
        ({"content": {"type": "text", "text": "[[A]]"}}, "[[A]]", ""),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "[[B]]?"}]},
                    {"type": "text", "text": "[[A]]"},
                ]
            },
            "[[A]]",
            "[[B]]?",
        ),
        ({"content": [{"type": "reasoning", "text": "hm"}, {"type": "image_url"}, {"text": "[[A]]"}]}, "[[A]]", "hm"),
        ({"content": "[[A]]", "reasoning": {"text": "hm"}}, "[[A]]", "hm"),
        ({"content": "[[A]]", "reasoning_content": [{"type": "text", "text": "hm"}]}, "[[A]]", "hm"),
        ({"content": "[[A]]", "reasoning": None, "reasoning_details": [{"text": "hm"}]}, "[[A]]", "hm"),
        ({"content": "[[A]]", "reasoning": 5}, "[[A]]", ""),
        ({"content": None}, "", ""),
        ({}, "", ""),
        ({"content": ""}, "", ""),
    ],
)
def test_a_message_is_read_in_all_its_shapes(message: Any, text: str, reasoning: str) -> None:
    reply = parse_reply(choice(message=message))
    assert (reply.text, reply.reasoning, reply.finish) == (text, reasoning, "stop")


@pytest.mark.parametrize("content", [None, "", [], [{"type": "refusal", "refusal": "I cannot"}]])
def test_a_refusal_is_the_models_own_words(content: Any) -> None:
    reply = parse_reply(choice(message={"content": content, "refusal": None if content else "I cannot"}))
    assert (reply.text, reply.finish) == ("I cannot", "refusal")


def test_a_tool_call_instead_of_a_text_is_named() -> None:
    for finish in ("tool_calls", "stop", None):
        message = {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": '{"winner": "A"}'}}]}
        assert parse_reply(choice(message=message, finish_reason=finish)).finish == "tool_calls"


@pytest.mark.parametrize("bytes_", [None, [], "QQ==", [300], [-1], ["A"], {"a": 1}, 65])
def test_bytes_of_tokens_that_are_none_leave_the_tokens(bytes_: Any) -> None:
    entry = {"token": "A", "bytes": bytes_, "logprob": -0.25}
    listed = [{**entry, "top_logprobs": [entry, {"token": "B", "logprob": -2.0}]}]
    reply = parse_top_logprobs(choice(message={"content": "A"}, logprobs={"content": listed}), ("A", "B"), THINK)
    assert reply is not None
    assert reply.options == {"A": -0.25, "B": -2.0}


def test_no_options_are_read_of_a_filtered_reply() -> None:
    """And none are asked for again: what they lack is lacking for good."""
    data = choice(finish_reason="content_filter", message={"content": None})
    assert parse_option_logprobs(data, {"A": (7,), "B": (8,)}).finish == "content_filter"
    top = parse_top_logprobs(data, ("A", "B"))
    assert top is not None
    assert top.finish == "content_filter"

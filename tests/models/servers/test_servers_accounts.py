"""Keys, accounts, addresses and names: what is true of one row, and what ends a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.evaluation.run import run
from tests.models.servers.scene import QUESTIONS, ROWS, questions, server, settings_of


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


def test_a_model_of_another_name_is_an_error_where_there_is_one_model(judged: Any, stubs: Any) -> None:
    def answer(call: Any) -> Any:
        if call.path == "/v1/models":
            return stubs.Answer({"data": [{"id": "qwen3-8b"}]})
        return stubs.Answer(stubs.chat("[[A]]"))

    with pytest.raises(RmbenchError, match=r"serves 'qwen3-8b' and not 'm'.*served_name=qwen3-8b"):
        judged(answer)
    done = judged(answer, model_args={"served_name": "qwen3-8b"})
    assert done.records[0].model.name == "m"


@pytest.mark.parametrize("listed", ["/models/m.gguf", "C:\\models\\m.GGUF", "m.gguf"])
def test_a_model_that_is_listed_by_the_path_of_its_file_is_called_after_the_file(
    judged: Any, stubs: Any, listed: str
) -> None:
    """As llama.cpp's server lists it where it was given no alias."""

    def answer(call: Any) -> Any:
        if call.path == "/v1/models":
            return stubs.Answer({"data": [{"id": listed, "owned_by": "llamacpp"}]})
        return stubs.Answer(stubs.chat("[[A]]"))

    done = judged(answer)
    assert done.records[0].counts.judged == ROWS
    assert "listed" not in settings_of(done)


@pytest.mark.parametrize("listed", ["/models/m2.gguf", "/models/m", "m/other.gguf"])
def test_another_file_is_another_model(judged: Any, stubs: Any, listed: str) -> None:
    def answer(call: Any) -> Any:
        if call.path == "/v1/models":
            return stubs.Answer({"data": [{"id": listed}]})
        return stubs.Answer(stubs.chat("[[A]]"))

    with pytest.raises(RmbenchError, match="and not 'm'; name it"):
        judged(answer)


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

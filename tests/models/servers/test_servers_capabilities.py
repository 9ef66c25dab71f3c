"""What servers of several kinds are found to offer, and which way their answers then come."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.servers.backend import ServerBackend
from rmbench.models.servers.capabilities import Capabilities
from rmbench.models.servers.capability_check import check_capabilities
from rmbench.models.servers.client import Client
from rmbench.models.servers.generation import Grammar, Question, Sampling
from rmbench.models.servers.key import ApiKey

MESSAGES = ({"role": "system", "content": "Judge."}, {"role": "user", "content": "A or B?"})
EVERYTHING = Question(
    "t", "e", (0, 1), 0, MESSAGES, Sampling(max_tokens=50), Grammar(("A", "B"), "[AB]", {"type": "object"}, ("A", "B"))
)
"""A question that makes use of every ability."""
VOCABULARY = {"A": 7, "B": 8, "AB": 0, "x": 9}


def tokens_of(text: str, special: bool) -> list[int]:
    """A tokenizer: a BOS, 1, then letters; "<s>" spells the BOS too."""
    ids = [1] if special else []
    while text:
        ids.append(1 if text.startswith("<s>") else VOCABULARY.get(text[0]) or 100 + ord(text[0]))
        text = text[3:] if text.startswith("<s>") else text[1:]
    return ids


def like_vllm(stubs: Any) -> Any:
    """The protocol as vLLM 0.32 speaks it, of a model that says " free text"."""
    routes = {
        "/v1/models": lambda _: {"data": [{"id": "judge", "owned_by": "vllm", "max_model_len": 100}]},
        "/version": lambda _: {"version": "0.32.0"},
        "/tokenize": lambda body: {"tokens": ids_of(body)},
        "/v1/completions": completion,
        "/v1/chat/completions": lambda body: chat_answer(stubs, body),
    }
    return lambda call: stubs.Answer(routes[call.path](call.body))


def ids_of(body: Any) -> list[int]:
    """Of a text, or of a chat, where the template writes a BOS."""
    if "prompt" in body:
        return tokens_of(body["prompt"], body["add_special_tokens"])
    begun = "" if body.get("add_generation_prompt", True) else "+"
    return [1, *map(ord, "".join(message["content"] for message in body["messages"]) + begun)]


def completion(body: Any) -> Any:
    """A choice per prompt, in any order; each token of a prompt has the log-probability -id/10."""
    prompts = body["prompt"] if isinstance(body["prompt"][0], list) else [body["prompt"]]
    choices = []
    for index, ids in enumerate(prompts):
        told = [None, *({str(token): {"logprob": -token / 10, "rank": 3}} for token in ids[1:])]
        choices.append({"index": index, "text": " free", "finish_reason": "stop", "prompt_logprobs": told})
    return {"choices": choices[::-1], "usage": {"prompt_tokens": len(prompts[0]), "completion_tokens": 1}}


def chat_answer(stubs: Any, body: Any) -> Any:
    held = body.get("structured_outputs", {})
    said = {"choice": held.get("choice", [""])[-1], "regex": "[[B]]", "json": '{"v": "A"}'}
    data = stubs.chat(next((said[kind] for kind in held), " free text"))
    if body.get("return_token_ids"):
        data["prompt_token_ids"] = ids_of(body)
    if body.get("logprobs"):
        top = [{"token": f"token_id:{token}", "logprob": -token / 10} for token in body.get("logprob_token_ids", [])]
        told = {"token": "token_id:5", "logprob": -0.5, "top_logprobs": top}
        data["choices"][0]["logprobs"] = {"content": [told]}
    return data


def like_openai(stubs: Any) -> Any:
    """A hosted API: refuses fields it does not know, holds answers to a schema, tells the most probable tokens."""
    known = {"model", "messages", "max_completion_tokens", "temperature", "top_p", "seed", "stop"}
    known |= {"response_format", "logprobs", "top_logprobs"}

    def answer(call: Any) -> Any:
        if call.path == "/v1/models":
            return stubs.Answer({"data": [{"id": "judge", "owned_by": "system"}]})
        if call.path != "/v1/chat/completions":
            return stubs.Answer({"detail": "Not Found"}, 404)
        unknown = set(call.body) - known
        if "max_tokens" in unknown:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return stubs.Answer({"error": {"message": message}}, 400)
        if unknown:
            return stubs.Answer({"error": {"message": f"Unknown parameter: {unknown}"}}, 400)
        if "response_format" in call.body:
            schema = call.body["response_format"]["json_schema"]["schema"]
            fixed = {name: value["enum"][0] for name, value in schema["properties"].items()}
            return stubs.Answer(stubs.chat(json.dumps(fixed)))
        data = stubs.chat("A")
        if call.body.get("logprobs"):
            top = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.5}][: call.body["top_logprobs"]]
            data["choices"][0]["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        return stubs.Answer(data)

    return answer


def like_llama_cpp(stubs: Any, *, of_completions: bool = False) -> Any:
    """llama.cpp's server as of November 2026: takes any model's name and any field, tokenizes `content` alone, and
    lists as many of the most probable tokens as are asked for.

    Args:
        of_completions: in the lists that a completion has, as llama-cpp-python did until 2024.
    """
    tokens = {"A": -0.5, " A": -2.0, "**": -3.0, "B": -4.0, "The": -5.0}

    def answer(call: Any) -> Any:
        if call.path == "/v1/models":
            return stubs.Answer({"models": [], "data": [{"id": "/models/judge.gguf", "owned_by": "llamacpp"}]})
        if call.path == "/tokenize":
            return stubs.Answer({"tokens": [1] if call.body.get("content") else []})
        if call.path != "/v1/chat/completions":
            error = {"message": "File Not Found", "type": "not_found_error", "code": 404}
            return stubs.Answer({"error": error}, 404)
        data = stubs.chat("A")
        if call.body.get("logprobs"):
            most = dict(list(tokens.items())[: call.body["top_logprobs"]])
            listed = [{"id": 5, "token": one, "bytes": [*one.encode()], "logprob": log} for one, log in most.items()]
            told: Any = {"content": [{**listed[0], "top_logprobs": listed}]}
            if of_completions:
                told = {"tokens": ["A"], "token_logprobs": [-0.5], "top_logprobs": [most], "text_offset": [0]}
            data["choices"][0]["logprobs"] = told
        return stubs.Answer(data)

    return answer


def like_an_old_one(stubs: Any) -> Any:
    """A server that takes every field and does nothing about it."""

    def answer(call: Any) -> Any:
        if call.path != "/v1/chat/completions":
            return stubs.Answer({"detail": "Not Found"}, 404)
        return stubs.Answer(stubs.chat("[[A]]", logprobs=None))

    return answer


@pytest.fixture
def backend(stubs: Any, serve: Any) -> Iterator[Any]:
    """Backends over servers."""
    opened: list[Client] = []

    def make(*stub_servers: Any, **more: Any) -> ServerBackend:
        asked = more.pop("question", EVERYTHING)
        opened.append(Client([stub.url for stub in stub_servers], ApiKey("OPENAI_API_KEY"), policy=stubs.FAST))
        return ServerBackend(opened[-1], "judge", check_capabilities(opened[-1], "judge", asked, **more), "org/judge")

    yield make
    for one in opened:
        one.close()


def ask(backend: ServerBackend, **grammar: Any) -> Any:
    return backend.ask(Question("t", "e", (0, 1), 0, MESSAGES, Sampling(max_tokens=50), Grammar(**grammar)))


def test_a_server_like_vllm_offers_everything(stubs: Any, serve: Any, backend: Any) -> None:
    one = backend(serve(like_vllm(stubs)))
    assert one.capabilities == Capabilities("vllm 0.32.0", "max_tokens", True, "structured_outputs", "ids", True)
    choice = ask(one, choices=("[[A]]", "[[B]]"))
    assert (choice.text, choice.path, choice.finish) == ("[[B]]", "choice", "stop")
    assert (choice.prompt_tokens, choice.answer_tokens) == (10, 2)
    assert ask(one, regex=r"\[\[[AB]\]\]").path == "regex"
    assert ask(one, schema={"type": "object"}).path == "json"
    assert ask(one).path == "plain"
    assert one.usage.tokens == 4 * 12


def test_option_probabilities_come_from_the_very_tokens(stubs: Any, serve: Any, backend: Any) -> None:
    stub = serve(like_vllm(stubs))
    reply = ask(backend(stub), options=("A", "B"))
    assert (reply.path, reply.error, reply.finish) == ("logprobs", "", "stop")
    assert reply.options == {"A": -0.7, "B": -0.8}
    sent = stub.calls[-1].body
    assert sent["logprob_token_ids"] == [7, 8]
    assert sent["max_tokens"] == 1
    assert "structured_outputs" not in sent  # under a constraint they would be those after the mask


def test_options_of_several_tokens_are_summed(stubs: Any, serve: Any, backend: Any) -> None:
    """ "AB" is the tokens 7 and 8, "x" is 9; each has the log-probability -id/10. Choices come in any order."""
    reply = ask(backend(serve(like_vllm(stubs))), options=("AB", "x"))
    assert reply.options == pytest.approx({"AB": -0.7 - 0.8, "x": -0.9})


def test_a_last_message_of_the_assistants_is_continued(stubs: Any, serve: Any, backend: Any) -> None:
    stub = serve(like_vllm(stubs))
    begun = (*MESSAGES, {"role": "assistant", "content": "I pick"})
    assert not backend(stub).ask(Question("t", "e", (0, 1), 0, begun)).error
    sent = stub.calls[-1].body
    assert (sent["add_generation_prompt"], sent["continue_final_message"]) == (False, True)


@pytest.mark.parametrize("text", ["hi", "<s>hi"])
def test_whole_prompts_are_sent_as_ids_with_one_bos(stubs: Any, serve: Any, backend: Any, text: str) -> None:
    stub = serve(like_vllm(stubs))
    question = Question("t", "e", (0,), 0, ({"role": "user", "content": text},), raw=True)
    reply = backend(stub).ask(question)
    assert (reply.text, reply.error) == (" free", "")
    assert stub.calls[-1].body["prompt"] == [1, 100 + ord("h"), 100 + ord("i")]


def test_options_after_a_whole_prompt(stubs: Any, serve: Any, backend: Any) -> None:
    question = Question(
        "t", "e", (0,), 0, ({"role": "user", "content": "hi"},), grammar=Grammar(options=("A", "B")), raw=True
    )
    assert backend(serve(like_vllm(stubs))).ask(question).options == {"A": -0.7, "B": -0.8}


def test_options_that_are_the_same_tokens_are_an_error(stubs: Any, serve: Any, backend: Any) -> None:
    with pytest.raises(RmbenchError, match="does not distinguish the options A, A"):
        ask(backend(serve(like_vllm(stubs))), options=("A", "A"))


def test_a_hosted_api_holds_answers_to_a_schema_alone(stubs: Any, serve: Any, backend: Any) -> None:
    one = backend(serve(like_openai(stubs)))
    assert one.capabilities == Capabilities("system", "max_completion_tokens", False, "response_format", "top", False)
    assert ask(one, choices=("A", "B")).path == "plain"
    schema = {"type": "object", "properties": {"v": {"type": "string", "enum": ["A", "B"]}}}
    assert (ask(one, schema=schema).path, ask(one, schema=schema).text) == ("json", '{"v": "A"}')


def test_an_option_outside_the_most_probable_is_bounded_by_the_last(stubs: Any, serve: Any, backend: Any) -> None:
    one = backend(serve(like_openai(stubs)))
    assert ask(one, options=("A", "B")).options == {"A": -0.1, "B": -2.5}
    reply = ask(one, options=("A", "C"))
    assert (reply.options, reply.bound, reply.path) == ({"A": -0.1}, -2.5, "logprobs")


@pytest.mark.parametrize(
    ("accepts", "lists", "message", "expected"),
    [
        (64, 64, "Requested sample logprobs of {asked}, which is greater than max allowed: 64", 64),
        (1000, 1000, "", 1000),
        (1000, 50, "", 50),  # more is accepted than listed
        (5, 5, "Invalid value for 'top_logprobs': must be less than or equal to 5.", 5),
        (2, 2, "no", 2),
    ],
)
def test_as_many_of_the_most_probable_are_requested_as_the_server_lists(
    stubs: Any, serve: Any, backend: Any, accepts: int, lists: int, message: str, expected: int
) -> None:
    def answer(call: Any) -> Any:
        if call.path != "/v1/chat/completions":
            return stubs.Answer({"detail": "Not Found"}, 404)
        asked = call.body.get("top_logprobs", 0)
        if asked > accepts:
            return stubs.Answer({"error": {"message": message.format(asked=asked)}}, 400)
        top = [{"token": "AB"[n] if n < 2 else f"t{n}", "logprob": -1.0 - n} for n in range(min(asked, lists))]
        return stubs.Answer(stubs.chat("A", logprobs={"content": [{**(top or [{}])[0], "top_logprobs": top}]}))

    stub = serve(answer)
    one = backend(stub)
    assert (one.capabilities.logprobs, one.settings["top_logprobs"]) == ("top", expected)
    assert ask(one, options=("A", "B")).options == {"A": -1.0, "B": -2.0}
    assert stub.calls[-1].body["top_logprobs"] == expected
    long = Grammar(options=("A", "B"), think=())
    one.ask(Question("t", "e", (0, 1), 0, MESSAGES, Sampling(max_tokens=2000), long))
    assert stub.calls[-1].body["top_logprobs"] == min(expected, 20)  # of each of 2,000 tokens


@pytest.mark.parametrize("of_completions", [False, True])
def test_a_server_like_llama_cpps_gives_probabilities(
    stubs: Any, serve: Any, backend: Any, of_completions: bool
) -> None:
    one = backend(serve(like_llama_cpp(stubs, of_completions=of_completions)))
    found = one.capabilities
    assert (found.server, found.logprobs, found.token_ids, found.choice) == ("llamacpp", "top", False, False)
    assert found.listed
    reply = ask(one, options=("A", "B"))
    assert reply.path == "logprobs"
    assert reply.options == {"A": pytest.approx(math.log(math.exp(-0.5) + math.exp(-2.0))), "B": -4.0}


def test_a_server_that_ignores_what_it_does_not_know_offers_nothing(stubs: Any, serve: Any, backend: Any) -> None:
    one = backend(serve(like_an_old_one(stubs)))
    assert one.capabilities == Capabilities("unknown", "max_tokens", False, "", "", False)
    assert one.settings["option_logprobs"] == "none"
    reply = ask(one, choices=("[[A]]", "[[B]]"))
    assert (reply.text, reply.path) == ("[[A]]", "plain")
    assert ask(one, options=("A", "B")).options is None


def test_a_constraint_that_stops_working_is_not_claimed(stubs: Any, serve: Any, backend: Any) -> None:
    stub = serve(like_vllm(stubs))
    one = backend(stub)
    stub.answer = lambda _: stubs.Answer(stubs.chat("I like [[A]]"))
    assert ask(one, choices=("[[A]]", "[[B]]")).path == "plain"
    assert ask(one, regex=r"\[\[[AB]\]\]").path == "plain"
    assert ask(one, schema={"type": "object"}).path == "plain"


def test_constraints_can_be_left_out(stubs: Any, serve: Any, backend: Any) -> None:
    stub = serve(like_vllm(stubs))
    one = backend(stub, constrain=False)
    assert (one.capabilities.choice, one.capabilities.schema) == (False, "")
    assert ask(one, choices=("[[A]]", "[[B]]")).path == "plain"
    assert not [call for call in stub.calls if call.body and "structured_outputs" in call.body]


def test_several_servers_offer_what_all_of_them_do(stubs: Any, serve: Any, backend: Any) -> None:
    one = backend(serve(like_vllm(stubs)), serve(like_an_old_one(stubs)))
    assert one.capabilities == Capabilities("unknown and vllm 0.32.0", "max_tokens", False, "", "", False)


def test_a_server_that_is_not_there_at_the_start_is_dropped(stubs: Any, serve: Any, backend: Any) -> None:
    gone, there = serve(like_vllm(stubs)), serve(like_vllm(stubs))
    gone.end()
    assert backend(gone, there).capabilities.server == "vllm 0.32.0"
    with pytest.raises(RmbenchError, match=r"No server is reachable\..*ConnectionRefusedError"):
        backend(gone)


def test_a_refused_plain_question_says_why(stubs: Any, serve: Any, backend: Any) -> None:
    stub = serve(lambda _: stubs.Answer({"error": {"message": "temperature must be 1"}}, 400))
    with pytest.raises(
        RmbenchError, match="does not answer a plain request to judge: status 400: temperature must be 1"
    ):
        backend(stub)


def test_sampling_is_sent_whole(stubs: Any, serve: Any, backend: Any) -> None:
    stub = serve(like_vllm(stubs))
    sampling = Sampling(0.6, 0.9, 30, 1.03, ("###",), 11)
    backend(stub).ask(Question("t", "e", (0,), 0, MESSAGES, sampling))
    sent = stub.calls[-1].body
    wanted = {
        "temperature": 0.6,
        "top_p": 0.9,
        "max_tokens": 30,
        "repetition_penalty": 1.03,
        "stop": ["###"],
        "seed": 11,
    }
    assert {key: sent[key] for key in wanted} == wanted
    assert all(math.isfinite(value) for value in (sent["temperature"], sent["top_p"]))


def test_of_several_servers_each_is_asked_with_what_all_of_them_take() -> None:
    first = Capabilities("a", "max_completion_tokens", left_out=("temperature",), system=False, top_logprobs=5)
    second = Capabilities("b", "max_tokens", left_out=("seed", "top_p"), listed=False)
    both = first.intersection(second)
    assert both == second.intersection(first)
    assert both.limit_field == "max_completion_tokens"  # newer servers know both, and one of these refuses the other
    assert both.left_out == ("seed", "top_p", "temperature")
    assert (both.system, both.listed, both.top_logprobs) == (False, False, 5)

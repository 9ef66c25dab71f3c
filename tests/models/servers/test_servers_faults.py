"""Responses with a fault at each of their places: every one is a failed row whose reason names the place, or one clear
error; none is a traceback."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.models.judges.declaration import load_protocol
from rmbench.models.judges.verdict import VerdictParser
from rmbench.models.served.scorer import classify
from rmbench.models.servers.backend import ServerBackend
from rmbench.models.servers.batch_files import read_responses
from rmbench.models.servers.capabilities import Capabilities
from rmbench.models.servers.capability_check import check_capabilities
from rmbench.models.servers.client import Client
from rmbench.models.servers.errors import RejectedError, RetryableError, error_for_status
from rmbench.models.servers.generation import FINISHED, Grammar, Question, Reply, Sampling
from rmbench.models.servers.key import ApiKey
from rmbench.models.servers.pool import Server
from rmbench.models.servers.replies import parse_models
from rmbench.models.servers.requests import CHAT, CLASSIFY, COMPLETIONS, MODELS, TOKENIZE

MISSING = object()


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


FAULTS: Mapping[str, Any] = {
    "missing": MISSING,
    "null": None, "object": {}, "list": [], "text": "", "word": "x", "number as text": "1",
    "true": True, "false": False, "zero": 0, "one": 1, "below zero": -1,
    "huge": 10**400, "huge below zero": -(10**400),
    "of 4000 digits": 10**3999, "fraction": 0.5, "-0.5": -0.5, "1e308": 1e308,
    "-1e308": -1e308, "infinite": float("inf"),
    "-infinite": float("-inf"), "nan": float("nan"), "deep list": nested(600), "deep object": {"a": {"a": nested(300)}},
    "list of nulls": [None], "list of lists": [[]], "list of objects": [{}], "list of numbers": [5],
    "list of texts": ["x"], "surrogate": "\ud800", "zero character": "a\0b", "huge text": "x" * 300_000,
    "lines": "a\n\nb", "object with a null key": {"null": None}, "object with numbers": {"5": 5},
    "object with lists": {"5": []}, "object of objects": {"a": {}}, "empty key": {"": 1},
    "surrogate key": {"\ud800": 1},
    "2**31": 2**31, "2**63": 2**63, "2**64": 2**64, "tiny": 5e-324, "-0.0": -0.0, "float count": 3.0,
    "two choices": [{"index": 0}, {"index": 0}], "long list": [0] * 10_000, "list of huge": [10**400],
    "list of nan": [float("nan")], "object as text": '{"token": "A"}', "boolean list": [True],
    "nested null": {"a": None},
}  # fmt: skip

QUESTION = Question("t", "e", (0, 1), 0, ({"role": "user", "content": "A or B?"},), Sampling(max_tokens=8))

EVERYTHING = replace(QUESTION, grammar=Grammar(("A", "B"), "[AB]", {"type": "object"}, ("A", "B")))
"""A question that makes use of every ability."""


def positions() -> list[dict[str, Any]]:
    top = [{"token": "A", "bytes": [65], "logprob": -0.25}, {"token": "B", "bytes": [66], "logprob": -2.5}]
    return [{"token": "A", "bytes": [65], "logprob": -0.25, "top_logprobs": top}]


def chat(**choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "A", "reasoning": None, "reasoning_content": None}
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    whole = {"index": 0, "finish_reason": "stop", "message": message, **choice}
    return {"id": "x", "object": "chat.completion", "model": "judge", "choices": [whole], "usage": usage}


def with_top(**choice: Any) -> dict[str, Any]:
    return chat(logprobs={"content": positions()}, **choice)


def with_ids() -> dict[str, Any]:
    top = [{"token": f"token_id:{token}", "logprob": -token / 10, "bytes": None} for token in (7, 8)]
    return chat(logprobs={"content": [{"token": "token_id:7", "logprob": -0.7, "top_logprobs": top}]})


def completion() -> dict[str, Any]:
    told = [[None, {token: {"logprob": -0.5, "rank": 1}}] for token in ("5", "6")]
    choices = [{"index": k, "text": "a", "finish_reason": "stop", "prompt_logprobs": one} for k, one in enumerate(told)]
    return {"choices": choices, "usage": {"prompt_tokens": 2, "completion_tokens": 1}}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def with_fault(data: Any, path: tuple[Any, ...], fault: Any) -> Any:
    if not path:
        return {} if fault is MISSING else fault
    whole = copy.deepcopy(data)
    at = whole
    for key in path[:-1]:
        at = at[key]
    if fault is MISSING:
        del at[path[-1]]
    else:
        at[path[-1]] = fault
    return whole


class FakeClient(Client):
    """Sends nothing: each route has its response, which takes the way through JSON that a server's takes."""

    def __init__(self, responses: Mapping[str, Any]) -> None:
        self.responses, self.key = responses, ApiKey("OPENAI_API_KEY")
        self.policy = type("Policy", (), {"attempts": 8})()

    def post(self, path: str, body: Any, parse: Callable[[Any], Any], *_: Any, **__: Any) -> Any:
        response = self.responses[path]
        try:
            data = json.loads(json.dumps(response(body) if callable(response) else response))
        except (ValueError, RecursionError):
            raise RetryableError("broken JSON") from None
        return parse(data)

    def get(self, path: str, parse: Callable[[Any], Any], *_: Any, **__: Any) -> Any:
        return self.post(path, {}, parse)

    def ask_each(self, ask: Callable[[Any], Any], failure: str) -> Any:
        try:
            yield ask(Server("http://u/v1", "http://u"))
        except (RetryableError, RejectedError) as error:
            raise RmbenchError(f"server {failure}: {error}") from error


def backend(routes: Mapping[str, Any], **capabilities: Any) -> ServerBackend:
    return ServerBackend(FakeClient(routes), "judge", Capabilities(**capabilities), "org/judge")


def asked(one: ServerBackend, grammar: Grammar, raw: bool = False) -> Reply:
    return one.ask(Question("t", "e", (0, 1), 0, QUESTION.messages, QUESTION.sampling, grammar, raw))


def tokens(body: Any) -> dict[str, Any]:
    return {"tokens": [7 if "A" in body.get("prompt", "") else 8]}


def raw_tokens(body: Any) -> dict[str, Any]:
    return {"tokens": [{"A": 5, "B": 6}.get(body["prompt"], 1)]}


def tokens_of_a(data: Any) -> Callable[[Any], Any]:
    return lambda body: data if "A" in body.get("prompt", "") else {"tokens": [8]}


OPTIONS = Grammar(options=("A", "B"), think=(("<think>", "</think>"),))
CLIENTS: Mapping[str, tuple[dict[str, Any], Callable[[Any], Any]]] = {
    "chat": (chat(), lambda data: asked(backend({CHAT: data}), Grammar())),
    "top": (with_top(), lambda data: asked(backend({CHAT: data}, logprobs="top"), OPTIONS)),
    "ids": (with_ids(), lambda data: asked(backend({CHAT: data, TOKENIZE: tokens}, logprobs="ids"), OPTIONS)),
    "completion": (
        completion(),
        lambda data: asked(backend({COMPLETIONS: data, TOKENIZE: raw_tokens}, logprobs="ids"), OPTIONS, raw=True),
    ),
    "tokenize": (
        {"count": 1, "max_model_len": 100, "tokens": [7]},
        lambda data: asked(
            backend(
                {TOKENIZE: tokens_of_a(data), CHAT: with_ids(), COMPLETIONS: completion()},
                logprobs="ids",
            ),
            OPTIONS,
        ),
    ),
    "pooling": (
        {"data": [{"index": 0, "label": "x", "probs": [0.5]}, {"index": 1, "label": "x", "probs": [1.5]}]},
        lambda data: classify(FakeClient({CLASSIFY: data}), "rm", [[1], [2]]),
    ),
    "models": (
        {"data": [{"id": "judge", "owned_by": "vllm", "max_model_len": 100}]},
        lambda data: FakeClient({MODELS: data}).get(MODELS, parse_models, Server("u", "u")),
    ),
    "error": (
        {"error": {"message": "no", "type": "x", "code": 400}, "detail": [{"loc": ["a"], "msg": "b"}]},
        lambda data: error_for_status(400, {}, json.dumps(data), url="u", variable="V"),
    ),
}  # fmt: skip

CLEAR = (
    "broken JSON",
    "lack a token that was requested",
    "are not those of the prompt's tokens",
    "labels; a scalar reward model",
    "does not distinguish the options",
)
"""Reasons that need no key."""

NEEDED = {
    "chat": ("choices", "finish_reason", "content"),
    "top": ("choices", "finish_reason"),
    "ids": ("choices", "finish_reason"),
    "completion": ("choices", "index", "prompt_logprobs"),
    "tokenize": ("tokens",),
    "pooling": ("data", "index", "probs"),
    "models": ("data", "id"),
    "error": (),
}


def outcome(run: Callable[[Any], Any], data: Any) -> tuple[str, str]:
    """("ok" or "failed", the reason)."""
    try:
        result = run(data)
    except (RmbenchError, RetryableError) as error:
        return "failed", str(error)
    if isinstance(result, Reply):
        if result.finish not in FINISHED:  # the row fails, see `JudgeResponder`
            return "failed", f"finish_reason {result.finish}"
        if result.options is not None:
            VerdictParser.of(load_protocol("option")).parse_options(result.options, result.bound, min_mass=0.5)
        json.dumps([result.text.encode("utf-8", "replace").decode(), result.options, result.prompt_tokens])
        assert 0 <= result.prompt_tokens <= 10**12
        return ("failed", result.error) if result.error else ("ok", "")
    return "ok", ""


@pytest.mark.parametrize("name", CLIENTS)
def test_a_fault_at_any_place_is_a_reason_that_names_it(name: str) -> None:
    data, run = CLIENTS[name]
    assert outcome(run, data) == ("ok", "")
    count = failed = 0
    for path in places(data):
        for kind, fault in FAULTS.items():
            status, reason = outcome(run, with_fault(data, path, fault))
            count += 1
            failed += status == "failed"
            assert len(reason) < 1000, (path, kind)
            named = [part for part in path if isinstance(part, str)]
            if status == "failed" and named and not any(one in reason for one in CLEAR) and kind != "missing":
                assert any(part in reason for part in named), (path, kind, reason)
            absent = path[-1:] == ("finish_reason",) or path[-2:] == ("message", "content")
            absent = absent and kind in ("missing", "null")
            if absent:
                assert status == "ok", (path, kind)
            elif path and path[-1] in NEEDED[name] and kind in (
                "missing", "null", "object", "true", "huge", "deep list"
            ):  # fmt: skip
                assert status == "failed", (path, kind)
    assert count >= 3 * len(FAULTS)
    assert failed or name == "error"


def test_there_are_as_many_faults_as_promised() -> None:
    assert len(FAULTS) >= 50
    assert sum(len(list(places(data))) for data, _ in CLIENTS.values()) * len(FAULTS) > 3000


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_in_an_optional_ability_leaves_the_plain_request(kind: str) -> None:
    """The capability check: what is asked for beyond a plain reply has the fault, at each of its places."""
    data = {**with_top(), "prompt_token_ids": [7]}
    for path in places(data):
        broken = with_fault(data, path, FAULTS[kind])
        routes = {
            CHAT: lambda body, broken=broken: broken if {"logprobs", "return_token_ids"} & set(body) else chat(),
            TOKENIZE: {"tokens": [7]},
            MODELS: with_fault({"data": [{"id": "judge", "owned_by": "vllm"}]}, ("data", 0, "owned_by"), FAULTS[kind]),
            "/version": with_fault({"version": "1"}, ("version",), FAULTS[kind]),
        }
        found = check_capabilities(FakeClient(routes), "judge", EVERYTHING)
        assert found.limit_field == "max_tokens"
        assert len(found.server) <= 180


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind not in ("missing", "null", "text")])
def test_a_fault_in_a_plain_reply_is_one_error(kind: str) -> None:
    broken = with_fault(chat(), ("choices", 0, "finish_reason"), FAULTS[kind])
    with pytest.raises(RmbenchError, match="does not answer a plain request"):
        list(check_capabilities(FakeClient({CHAT: broken, MODELS: {}, "/version": {}}), "judge", EVERYTHING).settings)


def test_a_fault_in_a_batch_file_fails_its_row_alone(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    line = {"custom_id": QUESTION.name, "response": {"status_code": 200, "body": with_top()}, "error": None}
    good = {**line, "custom_id": "other"}
    for path in places(line):
        if path == () or path[0] == "custom_id":
            continue
        for kind, fault in FAULTS.items():
            try:
                written = json.dumps(with_fault(line, path, fault))
            except RecursionError:
                continue
            file.write_text(f"{written}\n{json.dumps(good)}\n")
            try:
                answers = read_responses(file, "judge", Capabilities.of_batch())
            except RmbenchError as error:
                broken_json = "broken JSON" in str(error)
                assert broken_json, (path, kind)
                continue
            for grammar in (Grammar(), OPTIONS):
                broken, whole = (
                    answers.ask(Question("t", example, (0, 1), 0, QUESTION.messages, QUESTION.sampling, grammar))
                    for example in ("e", "f")
                )
                assert broken.error or broken.finish in FINISHED or path[-1] == "finish_reason", (path, kind)
                assert whole.error.endswith("t/f/0-1/0")
            assert not answers.ask(QUESTION).error or answers.ask(QUESTION).error.startswith("out.jsonl: ")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500])
def test_an_ability_that_is_refused_is_absent(status: int, stubs: Any, serve: Any) -> None:
    def answer(call: Any) -> Any:
        plain = {"model", "messages", "max_tokens"}
        if call.path == CHAT and set(call.body) <= plain:
            return stubs.Answer(stubs.chat("fine"))
        return stubs.Answer({"error": {"message": "You are not allowed to request logprobs"}}, status)

    client = Client([serve(answer).url], ApiKey("OPENAI_API_KEY"), policy=stubs.FAST)
    try:
        found = check_capabilities(client, "judge", EVERYTHING)
    finally:
        client.close()
    assert (found.choice, found.schema, found.logprobs, found.token_ids) == (False, "", "", False)

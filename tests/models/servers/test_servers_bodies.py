"""JSON in the bodies that gateways make of it, whatever their headers say."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from typing import Any

import pytest

from rmbench.models.servers.bodies import json_of, text_of
from rmbench.models.servers.client import Client
from rmbench.models.servers.errors import RetryableError
from rmbench.models.servers.key import ApiKey
from rmbench.models.servers.replies import parse_reply
from rmbench.models.servers.requests import CHAT

PLAIN = {"choices": [{"finish_reason": "stop", "message": {"content": "[[A]] ä"}}]}
DATA = json.dumps(PLAIN, ensure_ascii=False).encode()


def stream(*events: Any, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return (": ping\n\n" + "".join(lines) + "data: [DONE]\n\n" * done).encode()


def piece(finish: str | None = None, **delta: str) -> Any:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (DATA, {"Content-Type": "text/plain"}),
        (DATA, {"Content-Type": "application/octet-stream"}),
        (DATA, {}),
        (b"\xef\xbb\xbf" + DATA, {"Content-Type": "application/json"}),
        (b": OPENROUTER PROCESSING\n\n\n: OPENROUTER PROCESSING\n\n" + DATA, {"Content-Type": "application/json"}),
        (gzip.compress(DATA, mtime=0), {"Content-Encoding": "gzip"}),
        (gzip.compress(DATA, mtime=0), {}),
        (zlib.compress(DATA), {"Content-Encoding": "deflate"}),
        (stream(piece(content="[[A"), piece(content="]] ä"), piece("stop")), {"Content-Type": "text/event-stream"}),
        (stream({**PLAIN, "usage": None}), {"Content-Type": "text/event-stream"}),
    ],
)
def test_any_json_is_read_whatever_its_headers(stubs: Any, serve: Any, body: bytes, headers: dict[str, str]) -> None:
    stub = serve(lambda _: stubs.Answer(body, headers=headers))
    client = Client([stub.url], ApiKey("K"), policy=stubs.FAST)
    try:
        assert client.post(CHAT, {}, parse_reply).text == "[[A]] ä"
    finally:
        client.close()
    assert len(stub.calls) == 1


def test_a_stream_is_a_whole_reply() -> None:
    top = {"content": [{"token": "A", "logprob": -0.1, "top_logprobs": []}]}
    first = piece(reasoning_content="hm")
    second = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "A"}, "logprobs": top}]}
    other = {"choices": [{"index": 1, "delta": {"content": "no"}}]}
    last = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
    data = json_of(stream(first, second, other, piece("length"), last).decode())
    reply = parse_reply(data)
    assert (reply.text, reply.reasoning, reply.finish) == ("A", "hm", "length")
    assert (reply.prompt_tokens, reply.answer_tokens) == (7, 2)
    assert data["choices"][0]["logprobs"] == top


def test_a_stream_that_breaks_off_is_no_reply() -> None:
    """Without a finish reason its text may be a part of a verdict."""
    with pytest.raises(RetryableError, match="abort"):
        parse_reply(json_of(stream(piece(content="[[A]] or"), done=False).decode()))


def test_an_unpacked_body_is_bounded() -> None:
    packed = gzip.compress(b"[" + b" " * (70 * 2**20) + b"]")
    assert len(text_of(packed)) == 64 * 2**20


def test_a_stream_takes_time_linear_in_its_length() -> None:
    body = stream(*[piece(content="word ")] * 100_000, piece("stop")).decode()
    began = time.monotonic()
    assert len(json_of(body)["choices"][0]["message"]["content"]) == 500_000
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("text", ["", "<html>", ": only a comment", "data: [DONE]", "data: nothing", 'data: {"a": 1'])
def test_what_holds_no_json_says_so(text: str) -> None:
    try:
        data = json_of(text)
    except ValueError:
        return
    with pytest.raises(RetryableError):
        parse_reply(data)

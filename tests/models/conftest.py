"""Tiny random checkpoints in Hugging Face layout, written by the tests themselves; and HTTP servers in this process,
which answer as a test says and fail in all the usual ways."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rmbench.models.protocols import Batch, Encoded, Request
from rmbench.models.servers.pool import RetryPolicy
from rmbench.types import Message

TEXTS = [
    "How do I boil an egg?",
    "Put it into boiling water for eight minutes.",
    "You are a terse assistant. What is the capital of France? Paris, of course!",
    "I do not know; ask somebody else about it, please.\nA new line, 12345 numbers and (brackets).",
]
WRITTEN_BOS = "{{ bos_token if bos_token is defined else '' }}"
CHAT = WRITTEN_BOS + "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
SPECIAL = ["<|bos|>", "<|pad|>", "<|start|>", "<|end|>", "[CLS]", "[SEP]"]
NAMES = {
    "llama": "Llama",
    "qwen2": "Qwen2",
    "qwen3": "Qwen3",
    "gemma2": "Gemma2",
    "gpt2": "GPT2",
    "bert": "Bert",
    "roberta": "Roberta",
    "deberta": "DebertaV2",
}
ENCODERS = ("bert", "roberta", "deberta")
BOS, PAD, START, END, CLS, SEP = range(6)


def save_tokenizer(
    folder: Path, *, bos: bool = True, encoder: bool = False, template: str | None = CHAT, **more: Any
) -> None:
    """A byte-level BPE tokenizer; with `bos` it puts one before bare text, as an `encoder` [CLS] and [SEP] around."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(TEXTS, trainer)
    if encoder:
        bpe.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
        )
    elif bos:
        bpe.post_processor = processors.TemplateProcessing(single="<|bos|> $A", special_tokens=[("<|bos|>", BOS)])
    names = {"eos_token": "<|end|>", "pad_token": "<|pad|>"}
    if encoder:
        names |= {"cls_token": "[CLS]", "sep_token": "[SEP]"}
    elif bos:
        names["bos_token"] = "<|bos|>"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, **(names | more))
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


def save_model(folder: Path, kind: str = "llama", *, seed: int = 0, **config: Any) -> None:
    """A random classifier with one label unless `config` says otherwise. Its weights are large enough that a wrong
    position or a missing token moves the score well above rounding."""
    import transformers

    size = {
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "initializer_range": 0.2,
        "pad_token_id": PAD,
        "num_labels": 1,
    }
    if kind not in ENCODERS:
        size |= {"num_key_value_heads": 2, "head_dim": 8}
    if kind == "roberta":
        size["max_position_embeddings"] += PAD + 1  # its table begins behind the pad id
    if kind == "gpt2":
        size = {
            "vocab_size": 400,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 128,
            "initializer_range": 0.2,
        }
        size |= {"pad_token_id": PAD, "num_labels": 1, "bos_token_id": BOS, "eos_token_id": END}
    torch.manual_seed(seed)
    configuration = getattr(transformers, f"{NAMES[kind]}Config")(**(size | config))
    model = getattr(transformers, f"{NAMES[kind]}ForSequenceClassification")(configuration)
    model.save_pretrained(folder)


def edit_tensors(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the weights after `change` has worked on the mapping of names to tensors."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def edit_json(file: Path, **values: Any) -> None:
    """Set keys of a JSON file; None removes one."""
    data = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def checkpoint(folder: Path, kind: str = "llama", **config: Any) -> Path:
    """Model and tokenizer together."""
    save_model(folder, kind, **config)
    save_tokenizer(folder, bos=not kind.startswith("qwen"), encoder=kind in ENCODERS)
    return folder


def request(*turns: tuple[str, str] | str, render: Any = "chat") -> Request:
    """A request from (role, text) turns; bare texts are user and assistant in turn."""
    messages = tuple(
        Message.of(("user", "assistant")[index % 2], turn) if isinstance(turn, str) else Message.of(*turn)
        for index, turn in enumerate(turns)
    )
    return Request(messages, len(messages) - 1, render)


def requests(count: int = 7) -> list[Request]:
    """Conversations of very different lengths, some of several turns, one with a system message."""
    many = [
        request("Hi", "Yo"),
        request(TEXTS[0], TEXTS[1]),
        request(TEXTS[0], TEXTS[3]),
        request(("system", "Be terse."), ("user", TEXTS[0]), ("assistant", "Boil.")),
        request(TEXTS[2], TEXTS[1], "Why?", TEXTS[3]),
        request("x", ""),
        request(TEXTS[3], TEXTS[2] + "<|end|>"),
    ]
    return many[:count]


def batch(rows: Sequence[Encoded], pad_id: int, side: str = "right", extra: int = 0) -> Batch:
    """Rows padded by a plain loop, with `extra` columns of padding beyond the longest row."""
    width = max(len(row.ids) for row in rows) + extra
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    last = np.zeros(len(rows), dtype=np.int64)
    for index, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row.ids)
        for column, token in enumerate(row.ids, start):
            ids[index, column] = token
            mask[index, column] = 1
            last[index] = column
    return Batch(tuple(rows), ids, mask, last)


def alone(folder: Path, rows: Sequence[Encoded]) -> list[float]:
    """transformers' own scores, one unpadded row at a time, pooled at the row's end because no id is the pad id."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32).eval()
    model.config.pad_token_id = None if hasattr(model, "score") else model.config.pad_token_id
    with torch.no_grad():
        return [float(model(input_ids=torch.tensor([row.ids])).logits[0, 0]) for row in rows]


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """The builders of this file."""
    return SimpleNamespace(
        alone=alone,
        batch=batch,
        checkpoint=checkpoint,
        edit_json=edit_json,
        edit_tensors=edit_tensors,
        request=request,
        requests=requests,
        save_model=save_model,
        save_tokenizer=save_tokenizer,
        BOS=BOS,
        PAD=PAD,
        END=END,
        CLS=CLS,
        SEP=SEP,
        CHAT=CHAT,
        NAMES=NAMES,
        WRITTEN_BOS=WRITTEN_BOS,
    )


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama checkpoint that tests only read."""
    return checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-llama")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


FAST = RetryPolicy(
    timeout=1.0,
    connect=1.0,
    attempts=3,
    first_wait=0.01,
    longest_wait=0.05,
    longest_pause=5.0,
    unreachable=0.2,
    broken=0.2,
    broken_after=1000,
)


@dataclass(frozen=True)
class Call:
    """A request as a server got it."""

    method: str
    path: str
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What a server does with it."""

    body: Any = None
    """Plain data, or bytes as they are."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    fault: str = ""
    """"reset": the connection is reset. "hang": nothing is sent before the server ends. "cut": the connection is closed
    after half of the body."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stub

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = Call(self.command, self.path, json.loads(data) if data else None, dict(self.headers))
        with self.server.lock:
            self.server.calls.append(call)
        self.reply(self.server.answer(call))

    do_GET = do_POST  # noqa: N815 (as the library spells it)

    def reply(self, answer: Answer) -> None:
        if answer.fault == "hang":
            self.server.released.wait(60)
        if answer.fault in ("hang", "reset"):
            self.close_connection = True
            linger = struct.pack("ii", 1, 0)  # so that closing it sends RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            return
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if answer.fault == "drip":
            for byte in data:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)
            return
        self.wfile.write(data[: len(data) // 2] if answer.fault == "cut" else data)
        if answer.fault == "cut":
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


class Stub(ThreadingHTTPServer):
    """Runs in threads of this process until it is ended."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, answer: Callable[[Call], Answer], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.connections: set[socket.socket] = set()
        self.answer = answer
        self.calls: list[Call] = []
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def end(self) -> None:
        """As a process that dies: nobody listens any more, and what is open is broken off."""
        self.released.set()
        self.shutdown()
        self.server_close()
        self.thread.join()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.add(connection)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are no news."""

    def shutdown_request(self, request: Any) -> None:
        with contextlib.suppress(OSError):
            super().shutdown_request(request)


def chat(text: str, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A chat's answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish, **more}
    return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 2}}


@pytest.fixture
def serve() -> Iterator[Callable[..., Stub]]:
    """Starts servers, which end with the test."""
    started: list[Stub] = []

    def start(answer: Callable[[Call], Answer], port: int = 0) -> Stub:
        started.append(Stub(answer, port))
        return started[-1]

    yield start
    for stub in started:
        stub.end()


def is_trial(call: Call) -> bool:
    """Whether a call tries the server out, before the first question."""
    contents = [message["content"] for message in (call.body or {}).get("messages", ())]
    texts = [text if isinstance(text, str) else text[-1].get("text", "") for text in contents]
    return any(text.endswith("Reply with one short word.") for text in texts)


@pytest.fixture(scope="session")
def stubs() -> SimpleNamespace:
    """What tests of servers need by name."""
    return SimpleNamespace(Answer=Answer, Call=Call, FAST=FAST, chat=chat, is_trial=is_trial)

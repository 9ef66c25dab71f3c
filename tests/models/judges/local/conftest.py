"""Causal language models with known replies, in this process and behind a server that answers by the same weights."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rmbench.models.judges.declaration import load_protocol
from rmbench.models.judges.prompt import Prompt
from rmbench.types import Example

HEADER = "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
OPENED = "{% if add_generation_prompt %}<|start|>assistant\n<think>{% endif %}"
MORE_TOKENS = ["<think>", "</think>", "Yes", "No"]
CHAINS: Mapping[str, Mapping[str, str]] = {
    # how replies begin -> what stands behind a token; "?" one of the options
    "bare": {"\n": "?"},
    "blank": {"\n": " ", " ": "*", "*": "?"},
    "thought": {"\n": "<think>", "<think>": "x", "x": "</think>", "</think>": " ", " ": "?"},
    "opened": {"<think>": "x", "x": "</think>", "</think>": " ", " ": "?"},
    "endless": {"\n": "<think>", "<think>": "x", "x": "x"},
    "silent": {"\n": " ", " ": "<|end|>"},
    "chatty": {"\n": "O", "O": "k", "k": "<|end|>"},
}


def _reply(kind: str) -> Iterator[str]:
    """What the reply of a kind consists of, up to "?" or where it ends."""
    chain = CHAINS[kind]
    token = "<think>" if kind == "opened" else "\n"
    for _ in range(len(chain)):
        token = chain.get(token, "?")
        yield token


def tiny_config(**more: Any) -> Any:
    """A language model of two small layers."""
    import transformers

    return transformers.LlamaConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
        pad_token_id=1,
        **more,
    )


def save_judge(tiny: SimpleNamespace, folder: Path, kind: str, protocol: str, examples: Sequence[Example]) -> None:
    """A judge whose replies go as CHAINS says, by the last token alone. Attention to the others decides between the
    options, so that each is about as often the verdict on these examples."""
    import torch
    import transformers

    tiny.save_tokenizer(folder, template=tiny.CHAT + (OPENED if kind == "opened" else HEADER))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(MORE_TOKENS)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(5)
    config = tiny_config(max_position_embeddings=2048, eos_token_id=tokenizer.eos_token_id)
    model = transformers.LlamaForCausalLM(config)

    def token(text: str) -> int:
        (id_,) = tokenizer(text, add_special_tokens=False)["input_ids"]
        return int(id_)

    asked = Prompt.of(load_protocol(protocol))
    options = tuple(asked.protocol.verdict.values)

    def prompts(begun: str) -> Iterator[Any]:
        for example in examples:
            for shown in ((0,), (1,)) if asked.protocol.most == 1 else ((0, 1), (1, 0)):
                messages = list(asked.messages(example, shown))
                text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
                yield tokenizer(text + begun, add_special_tokens=False, return_tensors="pt")["input_ids"]

    with torch.no_grad():
        embed, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        embed.mul_(12.0)
        for last, following in {**CHAINS[kind], **dict.fromkeys(options, "<|end|>")}.items():
            direction = embed[token(last)] / embed[token(last)].norm()
            for text in options if following == "?" else (following,):
                row = head[token(text)]
                row += (4.0 - row @ direction) * direction
        begun = "".join(itertools.takewhile(lambda text: text != "?", _reply(kind)))
        states = torch.stack([model.model(prompt).last_hidden_state[0, -1] for prompt in prompts(begun)])
        apart = torch.linalg.svd(states - states.mean(0)).Vh[0]  # where the prompts differ most
        apart -= apart @ states.mean(0) / (states.mean(0) @ states.mean(0)) * states.mean(0)
        common = head[[token(option) for option in options]].mean(0)
        for sign, option in zip((2.0, -2.0), options, strict=True):
            head[token(option)] = common + sign * apart
    model.save_pretrained(folder)


def like_a_server(stubs: Any, folder: Path, most: int) -> Any:
    """Chat completions by the weights in a folder, greedily and by whole forwards, that list up to `most` tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    language = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    one_at_a_time = threading.Lock()

    def answer(call: Any) -> Any:
        if call.path != "/v1/chat/completions":
            return stubs.Answer({"detail": "Not Found"}, 404)
        body = call.body
        if {"structured_outputs", "response_format", "return_token_ids"} & set(body):
            return stubs.Answer({"error": {"message": "Unknown parameter"}}, 400)
        if body.get("top_logprobs", 0) > most:
            message = f"Requested sample logprobs of {body['top_logprobs']}, which is greater than max allowed: {most}"
            return stubs.Answer({"error": {"message": message}}, 400)
        ids = tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True, return_dict=False)
        written: list[int] = []
        positions = []
        while len(written) < body["max_tokens"] and tokenizer.eos_token_id not in written:
            with one_at_a_time, torch.no_grad():
                logps = torch.log_softmax(language(input_ids=torch.tensor([ids + written])).logits[0, -1], -1)
            written.append(int(logps.argmax()))
            best = torch.topk(logps, body.get("top_logprobs", 1))
            listed = [entry(int(token), float(value)) for value, token in zip(*best, strict=True)]
            positions.append({**entry(written[-1], float(logps[written[-1]])), "top_logprobs": listed})
        text = tokenizer.decode(written, skip_special_tokens=True)
        finish = "stop" if tokenizer.eos_token_id in written else "length"
        return stubs.Answer(stubs.chat(text, finish, logprobs={"content": positions} if "logprobs" in body else None))

    def entry(token: int, logprob: float) -> dict[str, Any]:
        return {"token": tokenizer.decode([token]), "logprob": logprob}

    return answer


@pytest.fixture(scope="session")
def same_weights() -> SimpleNamespace:
    """`CHAINS`, `save_judge(tiny, folder, kind, protocol, examples)`, `like_a_server(stubs, folder, most)`."""
    return SimpleNamespace(CHAINS=CHAINS, save_judge=save_judge, like_a_server=like_a_server)

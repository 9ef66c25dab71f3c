"""Judges behind a real vLLM server on a CPU: structured output, log-probabilities, token ids, its end."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rmbench.engine.judge import EngineOptions, judge
from rmbench.errors import UnreachableError
from rmbench.models.judges.responder import JudgeResponder
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.servers.backend import ServerBackend
from rmbench.models.servers.generation import Grammar, Question, Sampling
from rmbench.types import Example

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]


def backend_of(model: JudgeResponder) -> ServerBackend:
    assert isinstance(model.backend, ServerBackend)
    return model.backend


def at_its_server(llama: JudgeResponder, options: OpenOptions, **model_args: str) -> JudgeResponder:
    """Another judge at the same server, as anybody's server."""
    backend = backend_of(llama)
    asked = replace(options, base_url=(backend.client.servers[0].root,), vllm_bin=None, model_args=model_args)
    found = open_model(f"openai:{backend.model}", asked)
    assert isinstance(found, JudgeResponder)
    return found


def logprobs_by_transformers(folder: Path, ids: list[int], tokens: list[int]) -> list[float]:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1]
    return [float(value) for value in torch.log_softmax(logits, -1)[tokens]]


def test_it_finds_what_the_server_offers(llama: JudgeResponder, options: OpenOptions) -> None:
    settings = llama.facts.settings
    of_options = at_its_server(llama, options, protocol="option")  # asked for where probabilities are read alone
    found = of_options.facts.settings
    of_options.close()
    assert str(settings["server"]).startswith("vllm ")
    assert settings["structured_outputs"] is True
    assert found["token_ids"] is True
    assert settings["json_schema"] == "structured_outputs"
    assert found["logprobs"] == "ids"
    assert (settings["backend"], settings["dtype"], settings["device"]) == ("vllm", "float32", "cpu")


def test_it_judges_real_pairs_in_both_orders_by_structured_output(llama: JudgeResponder, pairs: list[Example]) -> None:
    judging = judge("rm-bench", pairs, llama, options=EngineOptions(window=16))
    assert len(judging.judgments) == 50
    assert {judgment.status for judgment in judging.judgments} == {"ok"}
    shown = Counter(verdict.shown for judgment in judging.judgments for verdict in judgment.verdicts)
    assert shown == {(0, 1): 50, (1, 0): 50}
    assert judging.remarks == {"answers_choice": 100}
    assert {text for judgment in judging.judgments for text in judgment.rationale} <= {"[[A]]", "[[B]]"}


def test_it_judges_real_pairs_by_log_probabilities(
    llama: JudgeResponder, llama_folder: Path, options: OpenOptions, pairs: list[Example]
) -> None:
    from transformers import AutoTokenizer

    asked = at_its_server(llama, options, protocol="option", min_option_mass="0")  # random weights hold little
    judging = judge("rm-bench", pairs, asked, options=EngineOptions(window=16))
    assert {judgment.status for judgment in judging.judgments} == {"ok"}
    assert judging.remarks == {"answers_logprobs": 100}
    tokenizer = AutoTokenizer.from_pretrained(llama_folder)
    questions = [question for example in pairs[:5] for question in asked.questions("rm-bench", example)]
    for question in questions:
        reply = asked.backend.ask(question)
        ids = tokenizer.apply_chat_template(
            [dict(message) for message in question.messages], add_generation_prompt=True, return_dict=False
        )
        names = list(question.grammar.options)
        tokens = [tokenizer(name, add_special_tokens=False)["input_ids"] for name in names]
        assert [len(token) for token in tokens] == [1] * len(names)
        wanted = logprobs_by_transformers(llama_folder, list(ids), [token[0] for token in tokens])
        assert reply.options is not None
        assert [reply.options[name] for name in names] == pytest.approx(wanted, abs=1e-3)
    asked.close()


def test_options_of_several_tokens_are_scored_token_by_token(
    llama: JudgeResponder, llama_folder: Path, options: OpenOptions
) -> None:
    from transformers import AutoTokenizer

    backend = backend_of(llama)
    messages = ({"role": "user", "content": "Which?"},)
    names = ("Paris zebra", "x")
    reply = backend.ask(Question("t", "e", (0, 1), 0, messages, grammar=Grammar(options=names)))
    assert (reply.error, reply.path) == ("", "logprobs")
    tokenizer = AutoTokenizer.from_pretrained(llama_folder)
    ids = list(
        tokenizer.apply_chat_template([dict(m) for m in messages], add_generation_prompt=True, return_dict=False)
    )
    tokens = tokenizer(names[0], add_special_tokens=False)["input_ids"]
    assert len(tokens) > 1
    total = 0.0
    for at, token in enumerate(tokens):
        total += logprobs_by_transformers(llama_folder, ids + tokens[:at], [token])[0]
    assert reply.options is not None
    assert reply.options["Paris zebra"] == pytest.approx(total, abs=1e-3)


@pytest.mark.parametrize("text", ["Which one is better?", "<|bos|>Which one is better?"])
def test_a_whole_prompt_gets_one_bos(llama: JudgeResponder, llama_folder: Path, text: str) -> None:
    """The server's own way would put a second one before a text that has one."""
    from transformers import AutoTokenizer

    question = Question("t", "e", (0, 1), 0, ({"role": "user", "content": text},), Sampling(max_tokens=1), raw=True)
    reply = backend_of(llama).ask(question)
    bare = AutoTokenizer.from_pretrained(llama_folder)("Which one is better?", add_special_tokens=False)["input_ids"]
    assert (reply.error, reply.prompt_tokens) == ("", 1 + len(bare))


def test_the_judges_own_beginning_is_continued(llama: JudgeResponder, llama_folder: Path) -> None:
    from transformers import AutoTokenizer

    begun = ({"role": "user", "content": "Which?"}, {"role": "assistant", "content": "The answer is"})
    options = Grammar(options=("1", "2"))
    reply = backend_of(llama).ask(Question("t", "e", (0, 1), 0, begun, grammar=options))
    tokenizer = AutoTokenizer.from_pretrained(llama_folder)
    ids = tokenizer.apply_chat_template([dict(m) for m in begun], continue_final_message=True, return_dict=False)
    tokens = [tokenizer(name, add_special_tokens=False)["input_ids"][0] for name in ("1", "2")]
    assert reply.options is not None
    wanted = logprobs_by_transformers(llama_folder, list(ids), tokens)
    assert list(reply.options.values()) == pytest.approx(wanted, abs=1e-3)


def test_a_question_that_is_too_long_fails_alone(llama: JudgeResponder) -> None:
    question = Question("t", "e", (0, 1), 0, ({"role": "user", "content": "word " * 40_000},))
    reply = backend_of(llama).ask(question)
    assert "maximum context length" in reply.error
    short = replace(question, messages=({"role": "user", "content": "Hi"},), sampling=Sampling(max_tokens=2))
    assert not backend_of(llama).ask(short).error


def test_a_killed_server_is_one_error_and_a_stopped_one_leaves_no_process(
    options: OpenOptions, tiny_model: Callable[..., Path], pairs: list[Example], tmp_path: Path
) -> None:
    """Qwen2: no BOS. The server is killed while it is asked."""
    folder = tiny_model(tmp_path / "chat-qwen2", "Qwen2")
    said: list[str] = []
    asked = replace(options, model_args={"protocol": "skywork-critic"}, note=said.append)
    model = open_model(f"vllm:{folder}", asked)
    assert isinstance(model, JudgeResponder)
    try:
        judging = judge("rm-bench", pairs[:10], model, options=EngineOptions(window=8))
        assert judging.remarks == {"answers_choice": 20}
        stop: Any = backend_of(model).stop
        group = stop.__self__.group
        os.killpg(group, signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="No server is reachable") as caught:
            judge("rm-bench", pairs, model, options=EngineOptions(window=8))
        assert "The end of the server's log" in str(caught.value)
        assert time.monotonic() - began < 60
    finally:
        model.close()
    assert not Path(f"/proc/{group}").exists()
    assert any("starting " in line for line in said)

"""A scalar model behind `/classify` against the same model in this process, and servers that give no logits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.engine.judge import EngineOptions, judge
from rmbench.errors import RmbenchError, UnreachableError
from rmbench.evaluation.run import run
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.served.scorer import ServedScorer, check_raw, classify
from rmbench.models.servers.client import Client
from rmbench.models.servers.errors import RejectedError, RetryableError
from rmbench.models.servers.key import ApiKey
from rmbench.types import Candidate, Example, Gold, Message
from tests._make import encodes_alone

EXAMPLES = [
    Example(
        id=str(number),
        prompt=(Message.of("user", f"Question {number}?"),),
        candidates=tuple(Candidate.of(f"Answer {letter}. " * (number % 4 + 1)) for letter in "AB"),
        gold=Gold(),
    )
    for number in range(12)
]


def pooling(stubs: Any, folder: Path, *, knows: bool = True, labels: int = 1, length: int = 128) -> Any:
    """The pooling endpoints of a checkpoint, computed one unpadded row at a time by transformers."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    model.config.pad_token_id = None

    def answer(call: Any) -> Any:
        if call.path == "/v1/models":
            return stubs.Answer({"data": [{"id": "rm", "max_model_len": length}]})
        if call.path != "/classify":
            return stubs.Answer({"detail": "Not Found"}, 404)
        if any(len(row) > length for row in call.body["input"]):
            return stubs.Answer({"error": {"message": "maximum context length"}}, 400)
        rows = []
        for index, ids in enumerate(call.body["input"]):
            with torch.no_grad():
                logit = float(model(input_ids=torch.tensor([ids])).logits[0, 0])
            raw = knows and not call.body["use_activation"]
            value = logit if raw else 1 / (1 + math.exp(-logit))
            rows.append({"index": index, "label": "LABEL_0", "probs": [value] * labels, "num_classes": labels})
        return stubs.Answer({"data": rows[::-1]})

    return answer


@pytest.fixture
def opened(stubs: Any, serve: Any, llama: Path) -> Iterator[Any]:
    """Opens `served:` models, which are closed with the test."""
    models: list[ServedScorer] = []

    def make(**more: Any) -> tuple[ServedScorer, Any]:
        options = more.pop("options", OpenOptions())
        stub = serve(pooling(stubs, llama, **more))
        model = open_model(f"served:{llama}", replace(options, base_url=(stub.url,)))
        assert isinstance(model, ServedScorer)
        models.append(model)
        return model, stub

    yield make
    for model in models:
        model.close()


def test_rewards_are_those_of_this_process(opened: Any, llama: Path) -> None:
    model, stub = opened()
    there = judge("t", EXAMPLES, model, options=EngineOptions(batch_tokens=256))
    here = judge("t", EXAMPLES, open_model(str(llama), OpenOptions(device="cpu")))
    for one, other in zip(there.judgments, here.judgments, strict=True):
        assert one.rewards == pytest.approx(other.rewards, abs=1e-5)
    sent = [call.body for call in stub.calls if call.path == "/classify"]
    assert all(isinstance(token, int) for body in sent for row in body["input"] for token in row)
    assert {body["model"] for body in sent} == {"rm"}
    assert len(sent) > 3  # several batches


def test_facts_say_who_computes(opened: Any, llama: Path) -> None:
    model, _ = opened()
    ours = open_model(str(llama), OpenOptions(device="cpu"))
    assert (model.facts.family, model.facts.settings["backend"]) == ("scalar", "vllm")
    assert model.facts.parameters == ours.facts.parameters
    assert model.facts.settings["template"] == ours.facts.settings["template"]
    assert model.facts.fingerprint != ours.facts.fingerprint


def test_rows_are_cut_to_what_the_server_takes(opened: Any) -> None:
    model, _ = opened(length=40)
    long = replace(EXAMPLES[0], candidates=(Candidate.of("many words " * 50), Candidate.of("few")))
    (judgment,) = judge("t", [long], model).judgments
    assert judgment.status == "ok"
    assert judgment.truncated == (True, False)


def test_a_server_that_leaves_the_sigmoid_on_is_refused(opened: Any) -> None:
    """It takes `use_activation` and ignores it, as servers do with names they do not know."""
    with pytest.raises(RmbenchError, match="so it does not know `use_activation`; logits are needed"):
        opened(knows=False)


def test_a_model_of_several_labels_is_refused(opened: Any) -> None:
    with pytest.raises(RmbenchError, match="rm has 3 labels"):
        opened(labels=3)


def test_the_servers_model_can_be_named(opened: Any) -> None:
    model, stub = opened(options=OpenOptions(model_args={"served_name": "other"}))
    model.forward(_batch(model))
    assert stub.calls[-1].body["model"] == "other"


def test_a_dead_server_ends_the_run(opened: Any) -> None:
    """One error, not a failed row for every row that is left."""
    model, stub = opened()
    stub.end()
    model.client.servers[0].answered = False  # so that it is not waited for
    with pytest.raises(UnreachableError, match="No server is reachable"):
        judge("t", EXAMPLES, model)


def test_a_checkpoint_that_no_server_computes_is_refused(tiny: Any, tmp_path: Path) -> None:
    folder = tiny.checkpoint(tmp_path / "bert", "bert")
    with pytest.raises(RmbenchError, match=r"layout stock-encoder; a server computes stock .* alone"):
        open_model(f"served:{folder}", OpenOptions(base_url=("http://127.0.0.1:1",)))


def test_a_language_model_is_no_scalar_model(tiny: Any, tmp_path: Path, llama: Path) -> None:
    folder = tmp_path / "lm"
    folder.mkdir()
    tiny.save_tokenizer(folder)
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    with pytest.raises(RmbenchError, match="no sequence classifier; a judge at a server is --model openai:NAME"):
        open_model(f"served:{folder}", OpenOptions(base_url=("http://127.0.0.1:1",)))


@pytest.mark.parametrize("kind", ["served", "vllm"])
@pytest.mark.parametrize(
    ("files", "named", "said"),
    [
        (["m.gguf"], "m.gguf", "m.gguf is a GGUF file, .*leave out {kind}: to read it in this process, or serve the"),
        (["m.gguf"], "", "m.gguf is a GGUF file"),
        (["m.gguf", "config.json"], "", "m.gguf is a GGUF file"),
        (["adapter_config.json", "adapter_model.safetensors"], "", "holds an adapter, .*leave out {kind}:"),
    ],
)
def test_what_this_process_alone_reads_is_refused(
    tmp_path: Path, kind: str, files: list[str], named: str, said: str
) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    options = OpenOptions(base_url=("http://127.0.0.1:1",) if kind == "served" else ())
    with pytest.raises(RmbenchError, match=said.format(kind=kind)):
        open_model(f"{kind}:{tmp_path / named}", options)


def test_workers_do_not_open_servers(llama: Path) -> None:
    with pytest.raises(RmbenchError, match="--workers"):
        run(f"served:{llama}", "rm-bench", source="sample", base_url="http://127.0.0.1:1", workers=2)


@pytest.fixture
def client(stubs: Any, serve: Any) -> Iterator[Any]:
    clients: list[Client] = []

    def make(answer: Any) -> Client:
        clients.append(Client([serve(answer).url], ApiKey("K"), policy=stubs.FAST))
        return clients[-1]

    yield make
    for one in clients:
        one.close()


def entries(*values: Any) -> Any:
    return {"data": [{"index": index, "probs": [value]} for index, value in enumerate(values)]}


@pytest.mark.parametrize(
    "body",
    [
        None,
        {"data": None},
        entries(1.0),
        {"data": [{"index": 0, "probs": [1.0]}, {"index": 0, "probs": [2.0]}]},
        {"data": [{"index": 0, "probs": None}, {"index": 1, "probs": [2.0]}]},
        {"data": [{"index": 0, "probs": ["x"]}, {"index": 1, "probs": [2.0]}]},
    ],
)
def test_half_an_answer_is_asked_again_and_then_fails(stubs: Any, client: Any, body: Any) -> None:
    with pytest.raises(RetryableError):
        classify(client(lambda _: stubs.Answer(body)), "rm", [(1,), (2,)])


def test_a_refusal_is_told(stubs: Any, client: Any) -> None:
    with pytest.raises(RejectedError, match="too long"):
        classify(client(lambda _: stubs.Answer({"error": {"message": "too long"}}, 400)), "rm", [(1,)])


@pytest.mark.parametrize(
    ("raw", "activated", "fine"),
    [
        ((2.0, -1.0), (0.8807970779778823, 0.2689414213699951), True),
        ((2.0, -1.0), (2.0, -1.0), True),  # a model whose own activation is none
        ((0.25, 0.75), (0.5621765008857981, 0.679178699175393), True),  # logits that happen to lie between 0 and 1
        ((0.25, 0.75), (0.25, 0.75), False),
        ((0.5, 0.5), (0.88, 0.27), False),
    ],
)
def test_logits_are_told_from_sigmoids(stubs: Any, client: Any, raw: Any, activated: Any, fine: bool) -> None:
    activations: list[bool] = []

    def answer(call: Any) -> Any:
        activations.append(call.body["use_activation"])
        return stubs.Answer(entries(*(activated if activations[-1] else raw)))

    one = client(answer)
    if fine:
        check_raw(one, "rm", [(1,), (2,)])
        assert activations == [False, True]
    else:
        with pytest.raises(RmbenchError):
            check_raw(one, "rm", [(1,), (2,)])


def _batch(model: ServedScorer) -> Any:
    from rmbench.models.protocols import Batch, Encoded

    row = Encoded("k", 2, (3, 4))
    ids = np.array([[3, 4]])
    return Batch((row,), ids, np.ones_like(ids), np.array([1]))


def test_a_check_compares_two_backends(stubs: Any, serve: Any, llama: Path, tmp_path: Path) -> None:
    """The probes' rewards from this process and from the server; then from a server that moves one of them."""
    from rmbench.check import check

    sound = pooling(stubs, llama)

    def off(call: Any) -> Any:
        answer = sound(call)
        if call.path == "/classify" and call.body["use_activation"] is False and len(call.body["input"]) > 3:
            answer.body["data"][-1]["probs"][0] += 9.0
        return answer

    for answer, status in ((sound, "pass"), (off, "fail")):
        stub = serve(answer)
        report = check(str(llama), against="served", base_url=stub.url, write=False, device="cpu")
        line = report.checks[-1]
        assert (line.name, line.status) == ("against", status)
        assert line.line.startswith(f"served:{llama}: largest difference ")
        assert (float(str(line.figures["largest_difference"])) < 1e-3) == (status == "pass")
        assert line.figures["missing"] == 0
    assert "against" not in {one.name for one in check(str(llama), write=False, device="cpu").checks}


def test_it_encodes_without_its_server(opened: Any, tiny: Any) -> None:
    assert encodes_alone(opened()[0], tiny.requests())

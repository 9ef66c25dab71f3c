"""Relevance by a sentence embedder, against transformers' own states and a plain loop."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.engine.judge import EngineOptions, judge
from rmbench.errors import RmbenchError
from rmbench.models.baselines.relevance import RelevanceScorer, Terms, terms_of
from rmbench.models.protocols import MultipartScorer
from rmbench.types import Candidate, Example, Gold, Message
from tests._make import open_as

ANSWERS = ["Put it into boiling water.", "Paris, of course! Paris, of course! Paris, of course!", "", "x"]
PROMPTS = ["How do I\n boil an egg?", "What is the capital of France?"]


def save_embedder(folder: Path, tiny: Any, kind: str = "bert") -> Path:
    """An encoder without a head; the stock checkpoint's classifier is dropped."""
    tiny.checkpoint(folder, kind)
    tiny.edit_tensors(folder, lambda tensors: [tensors.pop(name) for name in list(tensors) if name.startswith("cla")])
    tiny.edit_json(folder / "config.json", architectures=["BertModel"])
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory, tiny: Any) -> Path:
    return save_embedder(tmp_path_factory.mktemp("embedders") / "tiny-bert", tiny)


def opened(folder: Path, max_length: int | None = None, **args: str) -> RelevanceScorer:
    return open_as(
        RelevanceScorer, "baseline:relevance", max_length=max_length, model_args={"embedder": str(folder), **args}
    )


def examples(system: bool = False) -> list[Example]:
    before = (Message.of("system", "Be terse."),) if system else ()
    return [
        Example(str(n), (*before, Message.of("user", prompt)), tuple(map(Candidate.of, ANSWERS)), Gold())
        for n, prompt in enumerate(PROMPTS)
    ]


def plain_embedding(folder: Path, text: str, pooling: str = "mean", left: int | None = None) -> Any:
    """One unpadded text through transformers."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text)["input_ids"]
    if left is not None and len(ids) > left:
        ids = [ids[0], *ids[1:-1][-(left - 2) :], ids[-1]] if ids[0] == 4 else ids[-left:]
    with torch.no_grad():
        model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        states = model(input_ids=torch.tensor([ids])).last_hidden_state[0].double().numpy()
    return {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling]


def plain_terms(answer: str) -> tuple[float, float]:
    tokens = re.findall(r"\w+|[^\w\s]+", answer)
    runs = [tuple(tokens[start : start + 3]) for start in range(len(tokens) - 2)]
    return len(tokens) / 100, len(set(runs)) / len(runs) if runs else 1.0


def test_terms() -> None:
    assert terms_of("a b c a b c") == Terms(0.06, 0.75)
    assert terms_of("") == Terms(0.0, 1.0)


@pytest.mark.parametrize(
    ("args", "a", "b"),
    [
        ({}, 1, 1),
        ({"similarity": "dot"}, 1, 1),
        ({"pooling": "cls", "length_weight": "0", "repetition_weight": "0"}, 0, 0),
        ({"pooling": "last", "length_weight": "0.5", "repetition_weight": "2"}, 0.5, 2),
    ],
)
def test_rewards_are_the_plain_loops(bert: Path, args: dict[str, Any], a: float, b: float) -> None:
    judging = judge("t", examples(system=True), opened(bert, **args), options=EngineOptions(batch_rows=3))
    pooling = args.get("pooling", "mean")
    for prompt, judgment in zip(PROMPTS, judging.judgments, strict=True):
        assert judgment.rewards is not None
        question = plain_embedding(bert, " ".join(prompt.split()), pooling)
        for answer, reward, relevance in zip(ANSWERS, judgment.rewards, judgment.parts["relevance"], strict=True):
            reply = plain_embedding(bert, answer, pooling)
            expected = question @ reply
            if args.get("similarity") != "dot":
                expected /= np.linalg.norm(question) * np.linalg.norm(reply)
            length, repetition = plain_terms(answer)
            assert relevance[0] == pytest.approx(expected, rel=1e-4, abs=1e-5)
            assert reward == pytest.approx(expected * length**a * repetition**b, rel=1e-4, abs=1e-5)


def test_each_text_is_embedded_once(bert: Path) -> None:
    judging = judge(
        "t", [*examples(), *(Example(f"again{e.id}", e.prompt, e.candidates, e.gold) for e in examples())], opened(bert)
    )
    assert (judging.statistics.requests, judging.statistics.unique) == (32, len(PROMPTS) + len(ANSWERS))
    assert [j.rewards for j in judging.judgments[:2]] == [j.rewards for j in judging.judgments[2:]]


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(bert: Path, side: Any) -> None:
    model = opened(bert, pooling="last")
    alone = judge("t", examples(), model, options=EngineOptions(batch_rows=1)).judgments
    together = judge("t", examples(), model, options=EngineOptions(padding_side=side)).judgments
    for one, other in zip(alone, together, strict=True):
        assert one.rewards == pytest.approx(other.rewards, abs=1e-6)


def test_a_decoder_reads_its_last_token(llama: Path) -> None:
    (judgment,) = judge("t", examples()[:1], opened(llama, pooling="last", length_weight="0")).judgments
    question, reply = (plain_embedding(llama, text, "last") for text in (" ".join(PROMPTS[0].split()), ANSWERS[0]))
    cosine = question @ reply / (np.linalg.norm(question) * np.linalg.norm(reply))
    assert judgment.rewards is not None
    assert judgment.rewards[0] == pytest.approx(cosine, abs=1e-5)


def test_long_texts_lose_their_beginning(bert: Path) -> None:
    model = opened(bert, max_length=8, length_weight="0", repetition_weight="0")
    (judgment,) = judge("t", examples()[:1], model).judgments
    question = plain_embedding(bert, " ".join(PROMPTS[0].split()), left=8)
    reply = plain_embedding(bert, ANSWERS[1], left=8)
    assert judgment.rewards is not None
    assert judgment.rewards[1] == pytest.approx(
        question @ reply / (np.linalg.norm(question) * np.linalg.norm(reply)), abs=1e-5
    )
    assert judgment.truncated == (True, True, True, True)  # the prompt is too long for every candidate
    with pytest.raises(RmbenchError, match="leaves no room"):
        opened(bert, max_length=2)


def test_a_row_without_a_prompt_fails_alone(bert: Path) -> None:
    empty = Example("e", (), (Candidate.of("a"), Candidate.of("b")), Gold())
    failed, fine = judge("t", [empty, examples()[0]], opened(bert)).judgments
    assert (failed.status, fine.status) == ("failed", "ok")
    assert "no prompt" in failed.error


def test_facts(bert: Path) -> None:
    assert isinstance(opened(bert), MultipartScorer)
    facts = opened(bert).facts
    assert (facts.name, facts.family, facts.flags) == ("baseline:relevance", "baseline", ("baseline",))
    assert (facts.settings["embedder"], facts.settings["pooling"]) == ("tiny-bert", "mean")
    assert facts.settings["max_length"] == 128
    other = opened(bert, length_weight="0").facts
    assert len({facts.fingerprint, other.fingerprint}) == len({facts.revision, other.revision}) == 2


class TestSentenceTransformersFiles:
    """What lies beside the weights in that library's layout."""

    @pytest.fixture
    def folder(self, tmp_path: Path, tiny: Any) -> Path:
        return save_embedder(tmp_path / "embedder", tiny)

    def test_pooling_and_limit(self, folder: Path) -> None:
        (folder / "1_Pooling").mkdir()
        config = folder / "1_Pooling" / "config.json"
        config.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
        (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 16, "do_lower_case": false}')
        model = opened(folder)
        assert (model.pooling, model.text.max_length) == ("cls", 16)
        assert opened(folder, pooling="mean").pooling == "mean"
        config.write_text(json.dumps({"pooling_mode_max_tokens": True}))
        with pytest.raises(RmbenchError, match="pooling_mode_max_tokens: pass --model-args pooling="):
            opened(folder)

    def test_layers_behind_the_pooling(self, folder: Path) -> None:
        kinds = ["Transformer", "Pooling", "Normalize"]
        modules = [{"type": f"sentence_transformers.models.{kind}"} for kind in kinds]
        (folder / "modules.json").write_text(json.dumps(modules))
        assert opened(folder).pooling == "mean"
        (folder / "modules.json").write_text(json.dumps([*modules, {"type": "sentence_transformers.models.Dense"}]))
        with pytest.raises(RmbenchError, match=r"modules\.json names a layer Dense"):
            opened(folder)
        (folder / "modules.json").write_text("{}")
        with pytest.raises(RmbenchError, match="must hold a JSON list"):
            opened(folder)

    def test_a_missing_pooler_is_fine_and_a_missing_layer_is_not(self, folder: Path, tiny: Any) -> None:
        before = opened(folder)
        tiny.edit_tensors(folder, lambda tensors: [tensors.pop(n) for n in list(tensors) if ".pooler." in n])
        after = opened(folder)
        assert before.facts.parameters == after.facts.parameters
        rewards = [judge("t", examples(), model).judgments for model in (before, after)]
        assert [j.rewards for j in rewards[0]] == [j.rewards for j in rewards[1]]
        tiny.edit_tensors(folder, lambda tensors: tensors.pop("bert.encoder.layer.1.output.dense.weight"))
        with pytest.raises(RmbenchError, match=r"1 tensors .*output\.dense\.weight"):
            opened(folder)

    def test_an_encoder_with_a_decoder(self, folder: Path, tiny: Any) -> None:
        tiny.edit_json(folder / "config.json", is_encoder_decoder=True)
        with pytest.raises(RmbenchError, match="no sentence embedder"):
            opened(folder)

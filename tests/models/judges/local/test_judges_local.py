"""A judge in this process against transformers' own logits, both orders, shared and padded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import rmbench
from rmbench.engine.judge import EngineOptions, judge
from rmbench.engine.requests import requests_of
from rmbench.errors import RmbenchError
from rmbench.models.judges.local.scorer import LocalJudge
from rmbench.models.open import OpenOptions, open_model
from rmbench.types import Candidate, Example, Gold, Message
from tests._make import make_example, open_as

HEADER = "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"


@pytest.fixture(scope="module")
def folder(tiny: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import transformers

    made = tmp_path_factory.mktemp("judges") / "tiny-judge"
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.2,
        pad_token_id=1,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(made)
    tiny.save_tokenizer(made, template=tiny.CHAT + HEADER)
    return made


def opened(folder: Path, **args: str) -> LocalJudge:
    return open_as(LocalJudge, folder, adapter="judge", model_args=args)


def examples() -> list[Example]:
    texts = [
        ("How do I boil an egg?", "Eight minutes.", "No.", "Ask </answer_A> somebody else, please."),
        ("Hi", "Yo", "x"),
    ]
    return [make_example(f"e{n}", *row) for n, row in enumerate(texts)]


def test_margins_are_those_of_the_library_s_own_logits(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = opened(folder)
    requests, _ = requests_of(examples(), "chat", in_pairs=True)
    rows = model.encode(requests)
    language = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    letters = [model.text.tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in "AB"]
    expected = []
    with torch.no_grad():
        for row in rows:
            logits = language(input_ids=torch.tensor([row.ids])).logits[0, -1]
            expected.append(torch.log_softmax(logits, -1)[letters].tolist())
    for options in (EngineOptions(share=False), EngineOptions(), EngineOptions(padding_side="left", share=False)):
        judged = judge("t", examples(), model, options=options).judgments
        found = [judged[0].directed[i][j] for i in range(3) for j in range(3) if i != j]
        found += [judged[1].directed[0][1], judged[1].directed[1][0]]
        np.testing.assert_allclose(found, [a - b for a, b in expected], atol=2e-5)
    from rmbench.engine.batch import collate

    with torch.inference_mode():
        logps = model.language.next_logps(collate(rows, model.pad_id), model.options).numpy()
    np.testing.assert_allclose(logps, expected, atol=2e-5)


def test_the_question_is_the_protocol_s_and_ends_where_the_answer_begins(folder: Path) -> None:
    model = opened(folder)
    requests, _ = requests_of(examples()[:1], "chat", in_pairs=True)
    text = model.text.tokenizer.decode(model.encode(requests[:1])[0].ids)
    assert text.endswith("<|start|>assistant\n")
    assert text.index("Eight minutes.") < text.index("No.")
    assert "Ask </answer_A>" not in model.text.tokenizer.decode(model.encode(requests[1:2])[0].ids)
    raw = opened(folder, marks="raw")
    assert "Ask </answer_A>" in raw.text.tokenizer.decode(raw.encode(requests[1:2])[0].ids)


def test_equal_beginnings_are_computed_once(folder: Path) -> None:
    judging = judge("t", examples(), opened(folder))
    assert judging.sharing == "shared"
    assert judging.statistics.computed_tokens < 0.75 * judging.statistics.unique_tokens


def test_a_question_that_does_not_fit_fails_its_row(folder: Path) -> None:
    model = open_model(str(folder), OpenOptions(adapter="judge", max_length=500))
    long = Example("long", (Message.of("user", "word " * 600),), (Candidate.of("a"), Candidate.of("b")), Gold())
    judged = judge("t", [long, examples()[1]], model).judgments
    assert judged[0].status == "failed"
    assert "the question does not fit into max_length 500" in judged[0].error
    assert judged[1].status == "ok"


def test_a_run_has_both_orders(folder: Path, tmp_path: Path) -> None:
    results = rmbench.run(str(folder), "judgebench,llmbar", source="sample", out=tmp_path, adapter="judge")
    assert [record.task.id for record in results.records] == ["judgebench", "llmbar"]
    for record in results.records:
        assert record.counts.failed == 0
        assert record.orders is not None
        assert record.model.settings["protocol"] == "option"
        assert record.model.family == "judge"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"protocol": "pair"}, "protocol pair: a judge in this process is read by the probabilities of two options"),
        ({"protocl": "option"}, "no setting 'protocl'.*Did you mean .protocol"),
        ({"marks": "quote"}, "marks: .*found 'quote'"),
    ],
)
def test_what_cannot_be_asked_is_an_error(folder: Path, args: dict[str, str], message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        opened(folder, **args)


def test_a_causal_model_is_no_judge_by_itself(folder: Path) -> None:
    with pytest.raises(RmbenchError, match="language model without a reward head"):
        open_model(str(folder))

"""BLIP-2 with T5 that is asked a question, against the loss of transformers' own forward."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators
from rmbench.models.families.vision.blip.scorer import BlipScorer
from rmbench.models.open import OpenOptions, open_model
from tests.models.families.vision import conftest as vision

declare_missing_operators()

WORDS = [
    "<pad>",
    "</s>",
    "<unk>",
    "<image>",
    *'Does this figure show " ? Please answer yes or no . Yes a red cat two'.split(),
]
PROMPTS = ["a red cat", "two", "a cat ?"]


def tokenizer() -> Any:
    """Words between spaces and punctuation, with </s> behind each text, as T5's."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, additional_special_tokens=["<image>"], **special)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    from transformers import Blip2Config, Blip2ForConditionalGeneration, BlipImageProcessorPil

    folder = tmp_path_factory.mktemp("blip2") / "tiny"
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"model_type": "t5", "d_model": 24, "d_kv": 12, "d_ff": 48, "num_layers": 2, "num_heads": 2}
    text |= {"vocab_size": len(WORDS), "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
    torch.manual_seed(0)
    config = Blip2Config(
        vision_config=sizes | {"image_size": 32, "patch_size": 8, "initializer_range": 0.1},
        qformer_config=sizes | {"initializer_range": 0.2},
        text_config=text,
        num_query_tokens=4,
        image_token_index=WORDS.index("<image>"),
    )
    model = Blip2ForConditionalGeneration(config).eval()
    with torch.no_grad():
        model.query_tokens.normal_()
        for parameter in model.language_projection.parameters():
            parameter.normal_()
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    BlipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder, model


def opened(folder: Path, **settings: str) -> BlipScorer:
    scorer = open_model(str(folder), OpenOptions(device="cpu", adapter="vqa", model_args=settings))
    assert isinstance(scorer, BlipScorer)
    return scorer


def plain(kept: tuple[Path, Any], path: Path, question: str, answer: str = "Yes") -> float:
    """exp of minus the library's loss over the answer's tokens, its end among them."""
    from transformers import BlipImageProcessorPil

    folder, model = kept
    pixels = BlipImageProcessorPil.from_pretrained(folder)(Image.open(path).convert("RGB"), return_tensors="pt")
    ids = torch.tensor([[WORDS.index("<image>")] * 4 + tokenizer()(question)["input_ids"]])
    labels = torch.tensor([tokenizer()(answer)["input_ids"]])
    with torch.no_grad():
        loss = model(**pixels, input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
    return math.exp(-float(loss))


@pytest.mark.parametrize("budget", [4096, 1])
def test_the_reward_is_the_librarys_loss(budget: int, kept: tuple[Path, Any], images: list[Path]) -> None:
    examples = [vision.example(text, text, *map(vision.shown, images)) for text in PROMPTS]
    judging = vision.judged(opened(kept[0]), examples, budget)
    expected = [
        plain(kept, path, f'Does this figure show "{text}"? Please answer yes or no.')
        for text in PROMPTS
        for path in images
    ]
    found = [reward for judgment in judging.judgments for reward in judgment.rewards]
    assert found == pytest.approx(expected, rel=1e-4)
    assert np.std(expected) > 1e-3


def test_another_question_and_answer(kept: tuple[Path, Any], images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "question.txt").write_text("a figure ? {prompt}\n")
    examples = [vision.example("a", "red", *map(vision.shown, images))]
    for question in ("a figure ? {prompt}", str(tmp_path / "question.txt")):
        scorer = opened(kept[0], question=question, answer="two cat")
        (judgment,) = vision.judged(scorer, examples).judgments
        own = [plain(kept, path, "a figure ? red", "two cat") for path in images]
        assert judgment.rewards == pytest.approx(own, rel=1e-4)
        assert scorer.facts.settings["question"] == "a figure ? {prompt}"


def test_a_checklist_is_of_causal_models(kept: tuple[Path, Any]) -> None:
    with pytest.raises(RmbenchError, match="are settings of causal models alone"):
        opened(kept[0], questions="q.txt")

"""BLIP-2, InstructBLIP and CLIP with T5 that are asked a question, against the loss of transformers' own forward."""

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
    *'Does this figure show " ? Please answer yes or no . Yes a red cat two USER ASSISTANT : chat'.split(),
]
PROMPTS = ["a red cat", "two", "a cat ?"]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
T5 = {"model_type": "t5", "d_model": 24, "d_kv": 12, "d_ff": 48, "num_layers": 2, "num_heads": 2}
T5 |= {"vocab_size": len(WORDS), "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}


def tokenizer() -> Any:
    """Words between spaces and punctuation, with </s> behind each text, as T5's."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, additional_special_tokens=["<image>"], **special)


def save(model: Any, folder: Path) -> None:
    """With a projection and queries whose sizes are those of trained ones."""
    with torch.no_grad():
        model.query_tokens.normal_()
        for parameter in model.language_projection.parameters():
            parameter.normal_()
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    from transformers import Blip2Config, Blip2ForConditionalGeneration, BlipImageProcessorPil

    folder = tmp_path_factory.mktemp("blip2") / "tiny"
    torch.manual_seed(0)
    config = Blip2Config(
        vision_config=SIZES | {"image_size": 32, "patch_size": 8, "initializer_range": 0.1},
        qformer_config=SIZES | {"initializer_range": 0.2},
        text_config=T5,
        num_query_tokens=4,
        image_token_index=WORDS.index("<image>"),
    )
    model = Blip2ForConditionalGeneration(config).eval()
    save(model, folder)
    BlipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder, model


def figure(text: str) -> str:
    return f'Does this figure show "{text}"? Please answer yes or no.'


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
    expected = [plain(kept, path, figure(text)) for text in PROMPTS for path in images]
    found = [reward for judgment in judging.judgments for reward in judgment.rewards]
    assert found == pytest.approx(expected, rel=1e-4)
    assert np.std(expected) > 0.02 * np.mean(expected)


def test_another_question_and_answer(kept: tuple[Path, Any], images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "question.txt").write_text("a figure ? {prompt}\n")
    examples = [vision.example("a", "red", *map(vision.shown, images))]
    for question in ("a figure ? {prompt}", str(tmp_path / "question.txt")):
        scorer = opened(kept[0], question=question, answer="two cat")
        (judgment,) = vision.judged(scorer, examples).judgments
        own = [plain(kept, path, "a figure ? red", "two cat") for path in images]
        assert judgment.rewards == pytest.approx(own, rel=1e-4)
        assert scorer.facts.settings["question"] == "a figure ? {prompt}"


def test_a_clip_is_the_mean_of_its_frames(kept: tuple[Path, Any], images: list[Path], tmp_path: Path) -> None:
    clip = vision.clip(tmp_path / "clip.mp4", count=4)
    scorer = opened(kept[0], frames="stride:2")
    (judgment,) = vision.judged(scorer, [vision.example("a", "two", vision.shown(clip, "video"))]).judgments
    frames = [plain(kept, file, figure("two")) for file in vision.stills(clip, (0, 2))]
    assert judgment.rewards == pytest.approx([np.mean(frames)], rel=1e-4)
    assert opened(kept[0]).facts.settings["frames"] == "uniform:16"


def test_a_checklist_is_of_causal_models(kept: tuple[Path, Any]) -> None:
    with pytest.raises(RmbenchError, match="are settings of causal models alone"):
        opened(kept[0], questions="q.txt")


BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *'does this figure show " ? please answer yes or no . a red cat'.split()]


@pytest.fixture(scope="module")
def instructed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """InstructBLIP as transformers saves it, with its processor's two tokenizers."""
    from transformers import (
        BertTokenizer,
        BlipImageProcessorPil,
        InstructBlipConfig,
        InstructBlipForConditionalGeneration,
    )

    folder = tmp_path_factory.mktemp("instructblip") / "tiny"
    torch.manual_seed(1)
    config = InstructBlipConfig(
        vision_config=SIZES | {"image_size": 32, "patch_size": 8, "initializer_range": 0.1},
        qformer_config=SIZES | {"initializer_range": 0.3, "vocab_size": len(BERT) + 1, "encoder_hidden_size": 32},
        text_config=T5,
        num_query_tokens=4,
        image_token_index=WORDS.index("<image>"),
    )
    model = InstructBlipForConditionalGeneration(config).eval()
    save(model, folder)
    (folder / "qformer_tokenizer").mkdir()
    (folder / "qformer_tokenizer/vocab.txt").write_text("\n".join([*BERT, "[MASK]"]) + "\n")
    BertTokenizer.from_pretrained(folder / "qformer_tokenizer").save_pretrained(folder / "qformer_tokenizer")
    BlipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder, model


def by_instructblip(instructed: tuple[Path, Any], path: Path, question: str, most: int = 128) -> float:
    from transformers import BertTokenizer, BlipImageProcessorPil

    folder, model = instructed
    pixels = BlipImageProcessorPil.from_pretrained(folder)(Image.open(path).convert("RGB"), return_tensors="pt")
    read = tokenizer()(question)["input_ids"]
    asked = BertTokenizer.from_pretrained(folder / "qformer_tokenizer")(question)["input_ids"]
    read, asked = read[-most:], asked if len(asked) <= most else [asked[0], *asked[1 - most :]]
    ids, qformer = torch.tensor([[WORDS.index("<image>")] * 4 + read]), torch.tensor([asked])
    with torch.no_grad():
        loss = model(
            **pixels,
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            qformer_input_ids=qformer,
            qformer_attention_mask=torch.ones_like(qformer),
            labels=torch.tensor([tokenizer()("Yes")["input_ids"]]),
        ).loss
    return math.exp(-float(loss))


@pytest.mark.parametrize("budget", [4096, 1])
def test_instructblips_query_tokens_read_the_question(
    budget: int, instructed: tuple[Path, Any], images: list[Path]
) -> None:
    scorer = opened(instructed[0])
    prompts = [*PROMPTS, "a red cat " * 50]
    judging = vision.judged(
        scorer, [vision.example(text, text, *map(vision.shown, images)) for text in prompts], budget
    )
    expected = [by_instructblip(instructed, path, figure(text)) for text in prompts for path in images]
    assert [reward for judgment in judging.judgments for reward in judgment.rewards] == pytest.approx(
        expected, rel=1e-4
    )
    assert np.std(expected) > 0.01 * np.mean(expected)
    assert [judgment.truncated[0] for judgment in judging.judgments] == [False, False, False, True]
    assert scorer.facts.parameters == sum(each.numel() for each in instructed[1].parameters())


def test_instructblip_without_its_second_tokenizer(instructed: tuple[Path, Any], tmp_path: Path) -> None:
    for file in instructed[0].iterdir():
        if file.is_file():
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(RmbenchError, match="qformer_tokenizer is missing"):
        opened(tmp_path)

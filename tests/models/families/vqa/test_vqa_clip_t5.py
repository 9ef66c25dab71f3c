"""CLIP-FlanT5, against upstream's steps on transformers' own T5 and CLIP, one pair at a time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from rmbench.errors import RmbenchError
from rmbench.models.families.vision.blip.scorer import BlipScorer
from rmbench.models.open import OpenOptions, open_model
from rmbench.records.store import find, read_rows
from tests._make import exit_code
from tests.models.families.vision import conftest as vision
from tests.models.families.vqa.test_vqa_seq2seq import PROMPTS, T5, WORDS, figure, tokenizer

SPARE = 4
"""Rows of T5's output layer beyond its tokenizer, as FLAN-T5's has 28."""
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions."
)
Saved = tuple[Path, Any, Any, Any]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return save(tmp_path_factory.mktemp("clip-t5") / "tiny")


def save(folder: Path) -> Saved:
    """(folder, T5, CLIP tower, projector); names as upstream's class gives them."""
    from transformers import CLIPVisionConfig, CLIPVisionModel, T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    tower = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=128,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
            initializer_range=0.2,
        )
    ).eval()
    t5 = T5ForConditionalGeneration(T5Config(**T5 | {"vocab_size": len(WORDS) + SPARE})).eval()
    linear = [torch.nn.Linear(128, 24), torch.nn.Linear(24, 24)]
    projector = torch.nn.Sequential(linear[0], torch.nn.GELU(), linear[1])
    with torch.no_grad():
        for layer in linear:
            layer.weight.normal_()
    folder.mkdir(parents=True)
    state = {**t5.state_dict(), "embed_tokens.weight": t5.shared.weight}
    state |= {f"mm_projector.{name}": value for name, value in projector.state_dict().items()}
    state |= {f"vision_tower.vision_tower.vision_model.{name}": value for name, value in tower.state_dict().items()}
    state["vision_tower.vision_tower.vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    save_file({name: value.detach().clone() for name, value in state.items()}, folder / "model.safetensors")
    config = t5.config.to_dict() | {"model_type": "clip_t5", "architectures": ["CLIPT5ForConditionalGeneration"]}
    config |= {"mm_vision_tower": "openai/clip-vit-large-patch14-336", "mm_projector_type": "mlp2x_gelu"}
    config |= {"mm_vision_select_layer": -2, "mm_vision_select_feature": "patch", "mm_hidden_size": 128}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer().save_pretrained(folder)
    return folder, t5, tower, projector


def opened(folder: Path, **settings: str) -> BlipScorer:
    scorer = open_model(str(folder), OpenOptions(device="cpu", adapter="vqa", model_args=settings))
    assert isinstance(scorer, BlipScorer)
    return scorer


def squared(path: Path) -> Image.Image:
    """In the middle of a square of the mean's colour, pixel by pixel."""
    image = np.asarray(Image.open(path).convert("RGB"))
    side = max(image.shape[:2])
    canvas = np.empty((side, side, 3), dtype=np.uint8)
    canvas[:] = [int(0.48145466 * 255), int(0.4578275 * 255), int(0.40821073 * 255)]
    top, left = ((side - length) // 2 for length in image.shape[:2])
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return Image.fromarray(canvas)


def by_upstream(saved: Saved, path: Path, text: str) -> float:
    from transformers import CLIPImageProcessorPil

    _, t5, tower, projector = saved
    sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    pixels = CLIPImageProcessorPil(**sizes)(squared(path), return_tensors="pt")["pixel_values"]
    chunks = (SYSTEM + " USER: <image>\n" + figure(text) + " ASSISTANT: ").split("<image>")
    first, second = (torch.tensor([tokenizer()(chunk)["input_ids"]]) for chunk in chunks)
    with torch.no_grad():
        states = tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        embed = t5.get_input_embeddings()
        inputs = torch.cat([embed(first), projector(states), embed(second)], dim=1)
        labels = torch.tensor([tokenizer()("Yes")["input_ids"]])
        logits = t5(inputs_embeds=inputs, labels=labels).logits[0][:, : len(WORDS)]
    return math.exp(-float(torch.nn.functional.cross_entropy(logits, labels[0])))


@pytest.mark.parametrize("budget", [4096, 1])
def test_the_reward_is_upstreams(budget: int, saved: Saved, images: list[Path]) -> None:
    scorer = opened(saved[0])
    judging = vision.judged(
        scorer, [vision.example(text, text, *map(vision.shown, images)) for text in PROMPTS], budget
    )
    expected = [by_upstream(saved, path, text) for text in PROMPTS for path in images]
    assert [reward for each in judging.judgments for reward in each.rewards] == pytest.approx(expected, rel=1e-4)
    assert np.std(expected) > 0.01 * np.mean(expected)
    settings = scorer.facts.settings
    assert settings["preprocess"] == "pil order, bicubic, pad side, floor crop"
    assert settings["unused_tensors"] is None
    assert scorer.facts.parameters == sum(each.numel() for part in saved[1:] for each in part.parameters())


def test_vqascore_by_the_command(saved: Saved, images: list[Path], tmp_path: Path) -> None:
    task = vision.pair_task(tmp_path, [(text, images[0], images[2], "any") for text in PROMPTS])
    command = ["run", "--model", str(saved[0]), "--adapter", "vqa-clip-t5", "--tasks", str(task), "--device", "cpu"]
    assert exit_code(*command, "--model-args", f"tokenizer={saved[0]}", "--out", str(tmp_path / "out")) == 0
    for text, row in zip(PROMPTS, read_rows(find(tmp_path / "out")[0]), strict=True):
        own = [by_upstream(saved, path, text) for path in (images[0], images[2])]
        assert row.judgment.rewards == pytest.approx(own, rel=1e-4)


def change(folder: Path, into: Path, config: dict[str, Any], drop: str) -> None:
    from safetensors.torch import load_file

    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (into / file.name).write_bytes(file.read_bytes())
    state = {name: value for name, value in load_file(folder / "model.safetensors").items() if drop not in name}
    save_file(state, into / "model.safetensors")
    (into / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | config))


@pytest.mark.parametrize(
    ("config", "drop", "message"),
    [
        ({}, "vision_tower.", r"there is no tensor of vision_tower\.\*.*openai/clip-vit-large-patch14-336"),
        ({}, "layers.1.mlp.fc1.bias", r"CLIP's tower: 1 missing"),
        ({}, "mm_projector.2.bias", r"lacks mm_projector\.2\.bias"),
        ({}, "mm_projector.2", r"config\.json has 'clip_t5'"),
        ({}, "decoder.final_layer_norm", r"tensors that T5ForConditionalGeneration needs are missing"),
        ({"mm_projector_type": "linear"}, "nothing", "has mm_projector_type 'linear'"),
        ({"mm_vision_select_feature": "cls_patch"}, "nothing", "has mm_vision_select_feature 'cls_patch'"),
        ({"mm_vision_select_layer": -9}, "nothing", "mm_vision_select_layer is -9, of 3 layers"),
        ({"mm_vision_select_layer": "last"}, "nothing", "mm_vision_select_layer 'last', expected a whole number"),
    ],
)
def test_what_is_missing_or_another_thing(
    config: dict[str, Any], drop: str, message: str, saved: Saved, tmp_path: Path
) -> None:
    change(saved[0], tmp_path, config, drop)
    with pytest.raises(RmbenchError, match=message):
        opened(tmp_path)

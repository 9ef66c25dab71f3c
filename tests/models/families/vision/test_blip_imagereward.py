"""ImageReward from its flat state dict: equal to a forward written out by hand, and nothing missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import read_checkpoint
from rmbench.models.families.registry import decide
from rmbench.models.families.vision.affine import BLIP, read_stack
from rmbench.models.families.vision.blip.scorer import BlipScorer
from rmbench.models.open import OpenOptions, open_model
from rmbench.records.store import find, read_rows
from rmbench.types import Candidate, Example, Gold, Message, Part
from tests._make import exit_code

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"a cat two red blue dogs on the moon with horns ##s .".split()]
PROMPTS = ["A cat with horns.", "two red dogs on the moon", "cat " * 34, "unseen words", "blue"]
V, P, T, HIDDEN, LAYERS = 128, 16, 64, 96, 2
"""Widths of the towers (heads of 64 channels), patch, and the depth of both."""


def save(folder: Path, change: Callable[[dict[str, Tensor]], None] | None = None, **files: str) -> dict[str, Tensor]:
    """A random ImageReward.pt of two layers, with upstream's names, and BERT's vocabulary beside it."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = {}

    def tensor(name: str, *shape: int, scale: float = 0.15) -> None:
        state[name] = torch.randn(*shape) * scale

    def linear(name: str, out: int, into: int, scale: float = 0.15) -> None:
        tensor(f"{name}.weight", out, into, scale=scale)
        tensor(f"{name}.bias", out)

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = 1 + torch.randn(width) * 0.1
        tensor(f"{name}.bias", width)

    eye = "blip.visual_encoder."
    tensor(f"{eye}cls_token", 1, 1, V)
    tensor(f"{eye}pos_embed", 1, 5, V)
    tensor(f"{eye}patch_embed.proj.weight", V, 3, P, P, scale=0.03)
    tensor(f"{eye}patch_embed.proj.bias", V)
    for index in range(LAYERS):
        block = f"{eye}blocks.{index}."
        norm(f"{block}norm1", V)
        norm(f"{block}norm2", V)
        linear(f"{block}attn.qkv", 3 * V, V)
        linear(f"{block}attn.proj", V, V)
        linear(f"{block}mlp.fc1", HIDDEN, V)
        linear(f"{block}mlp.fc2", V, HIDDEN)
    norm(f"{eye}norm", V)
    text = "blip.text_encoder."
    tensor(f"{text}embeddings.word_embeddings.weight", len(WORDS) + 2, T, scale=1.0)
    tensor(f"{text}embeddings.position_embeddings.weight", 48, T, scale=0.5)
    norm(f"{text}embeddings.LayerNorm", T)
    state[f"{text}embeddings.position_ids"] = torch.arange(48)[None]
    for index in range(LAYERS):
        layer = f"{text}encoder.layer.{index}."
        for part, width in (("attention", T), ("crossattention", V)):
            linear(f"{layer}{part}.self.query", T, T)
            linear(f"{layer}{part}.self.key", T, width)
            linear(f"{layer}{part}.self.value", T, width)
            linear(f"{layer}{part}.output.dense", T, T)
            norm(f"{layer}{part}.output.LayerNorm", T)
        linear(f"{layer}intermediate.dense", HIDDEN, T)
        linear(f"{layer}output.dense", T, HIDDEN)
        norm(f"{layer}output.LayerNorm", T)
    linear("blip.vision_proj", 8, V)
    linear("blip.text_proj", 8, T)
    for place, (out, into) in zip((0, 2, 4, 6, 7), ((32, T), (16, 32), (8, 16), (4, 8), (1, 4)), strict=True):
        linear(f"mlp.layers.{place}", out, into, 0.5)
    if change is not None:
        change(state)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "ImageReward.pt")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    for name, content in files.items():
        (folder / name.replace("_json", ".json")).write_text(content)
    return state


@dataclass
class ByHand:
    """Upstream's forward, written out: a ViT, a BERT that reads it, and the head."""

    state: dict[str, Tensor]

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def norm(self, name: str, x: Tensor, eps: float) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"], eps)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[N, W] of [N, W], [M, W], [M, W] in heads of 64."""
        heads = [
            torch.softmax(q @ k.T / 8, dim=-1) @ v
            for q, k, v in zip(*(x.split(64, dim=-1) for x in (query, key, value)), strict=True)
        ]
        return torch.cat(heads, dim=-1)

    def image(self, pixels: Tensor) -> Tensor:
        """[5, V] of pixels [3, 32, 32]."""
        eye = "blip.visual_encoder."
        weight, bias = self.state[f"{eye}patch_embed.proj.weight"], self.state[f"{eye}patch_embed.proj.bias"]
        patches = F.conv2d(pixels[None], weight, bias, stride=P)[0].flatten(1).T
        x = torch.cat([self.state[f"{eye}cls_token"][0], patches]) + self.state[f"{eye}pos_embed"][0]
        for index in range(LAYERS):
            block = f"{eye}blocks.{index}."
            q, k, v = self.linear(f"{block}attn.qkv", self.norm(f"{block}norm1", x, 1e-6)).split(V, dim=-1)
            x = x + self.linear(f"{block}attn.proj", self.attend(q, k, v))
            middle = F.gelu(self.linear(f"{block}mlp.fc1", self.norm(f"{block}norm2", x, 1e-6)))
            x = x + self.linear(f"{block}mlp.fc2", middle)
        return self.norm(f"{eye}norm", x, 1e-6)

    def state_of(self, ids: list[int], pixels: Tensor) -> Tensor:
        """[T] at [CLS]."""
        seen, text = self.image(pixels), "blip.text_encoder."
        words = self.state[f"{text}embeddings.word_embeddings.weight"][ids]
        x = words + self.state[f"{text}embeddings.position_embeddings.weight"][: len(ids)]
        x = self.norm(f"{text}embeddings.LayerNorm", x, 1e-12)
        for index in range(LAYERS):
            layer = f"{text}encoder.layer.{index}."
            for part, other in (("attention", None), ("crossattention", seen)):
                own, read = f"{layer}{part}.", x if other is None else other
                q, k, v = (self.linear(f"{own}self.{n}", y) for n, y in (("query", x), ("key", read), ("value", read)))
                x = self.norm(
                    f"{own}output.LayerNorm", x + self.linear(f"{own}output.dense", self.attend(q, k, v)), 1e-12
                )
            middle = F.gelu(self.linear(f"{layer}intermediate.dense", x))
            x = self.norm(f"{layer}output.LayerNorm", x + self.linear(f"{layer}output.dense", middle), 1e-12)
        return x[0]

    def reward(self, ids: list[int], pixels: Tensor) -> float:
        head = self.state_of(ids, pixels)
        for place in (0, 2, 4, 6, 7):
            head = self.linear(f"mlp.layers.{place}", head)
        return float((head[0] - 0.16717362830052426) / 1.0333394966054072)


def ids_of(text: str) -> list[int]:
    """By hand: lower case, words and full stops, [CLS] and [SEP] around, 35 at most with [SEP] at the end."""
    words = text.lower().replace(".", " .").split()
    ids = [WORDS.index("[CLS]"), *(WORDS.index(word) if word in WORDS else 1 for word in words)][:34]
    return [*ids, WORDS.index("[SEP]")]


def pixels_of(path: Path, side: int = 32) -> Tensor:
    """Pillow: shortest side, bicubic; the centre; CLIP's mean and deviation."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    values = np.array(image.crop((left, top, left + side, top + side))) / 255
    scaled = (values - (0.48145466, 0.4578275, 0.40821073)) / (0.26862954, 0.26130258, 0.27577711)
    return torch.tensor(scaled, dtype=torch.float32).permute(2, 0, 1)


def opened(folder: Path, **settings: str) -> BlipScorer:
    scorer = open_model(str(folder), OpenOptions(device="cpu", model_args=settings))
    assert isinstance(scorer, BlipScorer)
    return scorer


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blip") / "tiny-imagereward"
    save(folder)
    return folder


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> ByHand:
    return ByHand(save(tmp_path_factory.mktemp("by-hand")))


@dataclass(frozen=True)
class Counted(BlipScorer):
    """A scorer that keeps how many images each batch of how many rows computed."""

    sizes: list[tuple[int, int]] = field(default_factory=list)

    def forward(self, batch: Any) -> Any:
        images: list[int] = []
        handle = self.model.vision.register_forward_hook(lambda _, __, out: images.append(len(out.last_hidden_state)))
        answer = super().forward(batch)
        handle.remove()
        self.sizes.append((sum(images), len(batch.rows)))
        return answer


@pytest.mark.parametrize("budget", [4096, 100])
def test_it_equals_the_forward_by_hand(
    budget: int, reward_model: Path, by_hand: ByHand, images: list[Path], seen: Any
) -> None:
    own = opened(reward_model)
    scorer = Counted(**{name: getattr(own, name) for name in own.__dataclass_fields__})
    examples = [seen.example(str(i), text, *map(seen.shown, images)) for i, text in enumerate(PROMPTS)]
    judging = seen.judged(scorer, examples, budget)
    expected = [by_hand.reward(ids_of(text), pixels_of(path)) for text in PROMPTS for path in images]
    assert np.std(expected) > 0.5
    found = [reward for judgment in judging.judgments for reward in judgment.rewards]
    assert found == pytest.approx(expected, abs=1e-4)
    assert [judgment.truncated[0] for judgment in judging.judgments] == [False, False, True, False, False]
    assert judging.statistics.unique == len(PROMPTS) * len(images)
    if budget == 4096:  # one batch
        assert scorer.sizes[-1] == (len(images), len(PROMPTS) * len(images))  # behind those of the batch trial
    else:  # a row costs 35 tokens and 5 of the image, so that two share a batch: neighbours of one image, mostly
        sizes = scorer.sizes[-len(PROMPTS) * len(images) // 2 :]  # behind those of the batch trial
        assert {rows for _, rows in sizes} == {2}
        assert sum(computed for computed, _ in sizes) < 0.75 * len(PROMPTS) * len(images)


def test_what_is_decided_and_said(reward_model: Path) -> None:
    checkpoint = read_checkpoint(reward_model)
    family = decide(checkpoint)
    assert (family.name, family.layout) == ("blip", "imagereward")
    scorer = opened(reward_model)
    facts = scorer.facts
    # transformers' own default, 1e-5, moves scores by 5e-5 in three small layers.
    assert scorer.model.vision.config.layer_norm_eps == 1e-6
    assert facts.modalities == {"image", "video"}
    assert facts.settings == {
        "layout": "imagereward",
        "weights": "ImageReward.pt",
        "tokenizer": "the checkpoint's",
        "max_length": 35,
        "preprocess": "pil order, bicubic, shortest side, round crop",
        "image_size": 32,
        "orientation": "exif",
        "frames": "uniform:16",
        "dtype": "float32",
        "device": "cpu",
    }
    stored = {n: t for n, t in checkpoint.tensors.items() if not n.startswith(("blip.vision_p", "blip.text_p"))}
    assert facts.parameters == sum(
        int(np.prod(tensor.shape)) for name, tensor in stored.items() if not name.endswith("position_ids")
    )


def drop(name: str) -> Callable[[dict[str, Tensor]], None]:
    def change(state: dict[str, Tensor]) -> None:
        del state[name]

    return change


def put(name: str, *shape: int) -> Callable[[dict[str, Tensor]], None]:
    return lambda state: state.update({name: torch.zeros(*shape)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("blip.visual_encoder.blocks.1.attn.qkv.bias"), "1 missing: encoder.layers.1.self_attn.qkv.bias"),
        (
            drop("blip.text_encoder.encoder.layer.1.crossattention.self.value.weight"),
            "1 missing: encoder.layer.1.cross",
        ),
        (drop("blip.visual_encoder.norm.weight"), "1 missing: post_layernorm.weight"),
        (drop("mlp.layers.6.bias"), r"lacks layers\.6\.bias"),
        (put("surprise", 1), "1 tensors are not of ImageReward: surprise"),
        (put("blip.text_encoder.pooler.dense.weight", T, T), "1 not of it: pooler.dense.weight"),
        (put("blip.visual_encoder.pos_embed", 1, 6, V), "for 5 patches, which are no square"),
        (put("mlp.layers.0.weight", 32, T + 1), "do not go together"),
        (put("blip.visual_encoder.patch_embed.proj.weight", 100, 3, P, P), "no multiple of 64"),
        (put("blip.visual_encoder.patch_embed.proj.weight", V), r"has shape \[128\], expected a tensor of 4"),
    ],
)
def test_nothing_is_missing_and_nothing_is_left(change: Any, message: str, tmp_path: Path) -> None:
    save(tmp_path, change)
    with pytest.raises(RmbenchError, match=message):
        opened(tmp_path)


def test_the_tokenizer(tmp_path: Path, reward_model: Path, images: list[Path], seen: Any) -> None:
    save(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(RmbenchError, match=r"holds no tokenizer: put vocab\.txt of bert-base-uncased there"):
        opened(tmp_path)
    other = opened(tmp_path, tokenizer=str(reward_model))
    (tmp_path / "vocab.txt").write_text("\n".join([*WORDS, *map(str, range(9))]) + "\n")
    with pytest.raises(RmbenchError, match="the tokenizer has 27 tokens, the text tower 20"):
        opened(tmp_path)
    examples = [seen.example("a", PROMPTS[0], seen.shown(images[0]))]
    first, second = (seen.judged(scorer, examples).judgments for scorer in (other, opened(reward_model)))
    assert first == second


def test_a_bad_row_fails_alone(
    reward_model: Path, by_hand: ByHand, images: list[Path], tmp_path: Path, seen: Any
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(images[1].read_bytes()[:200])
    examples = [
        seen.example("good", "blue", *map(seen.shown, images[:2])),
        seen.example("broken", "blue", seen.shown(broken)),
        seen.example("absent", "blue", seen.shown(None, name="y.png")),
        seen.example("text", "blue", Candidate.of("Yes.")),
    ]
    good, *bad = seen.judged(opened(reward_model), examples).judgments
    assert list(good.rewards) == pytest.approx(
        [by_hand.reward(ids_of("blue"), pixels_of(path)) for path in images[:2]], abs=1e-4
    )
    reasons = ["broken.png: cannot be decoded", "image y.png is not here", "candidate is text"]
    assert all(reason in each.error for reason, each in zip(reasons, bad, strict=True))


def test_a_clip_is_the_mean_of_its_frames(reward_model: Path, by_hand: ByHand, tmp_path: Path, seen: Any) -> None:
    clip = seen.clip(tmp_path / "clip.mp4", count=4)
    examples = [seen.example("a", "two red dogs", seen.shown(clip, "video"))]
    for rule, places in (("uniform:16", (0, 1, 2, 3)), ("first:2", (0, 1))):
        (judgment,) = seen.judged(opened(reward_model, frames=rule), examples).judgments
        frames = [by_hand.reward(ids_of("two red dogs"), pixels_of(file)) for file in seen.stills(clip, places)]
        assert judgment.rewards == pytest.approx([np.mean(frames)], abs=1e-4)
        assert np.std(frames) > 1e-3


def test_a_scorer_of_its_kind_by_the_command(
    reward_model: Path, by_hand: ByHand, images: list[Path], tmp_path: Path, seen: Any
) -> None:
    """VP-Score is such a one by its paper; its tensors were never to be had."""
    task = seen.pair_task(tmp_path, [("two red dogs", images[0], images[1], "any")])
    command = ["run", "--model", str(reward_model), "--adapter", "imagereward", "--tasks", str(task), "--device", "cpu"]
    assert exit_code(*command, "--out", str(tmp_path / "out")) == 0
    (row,) = read_rows(find(tmp_path / "out")[0])
    expected = [by_hand.reward(ids_of("two red dogs"), pixels_of(path)) for path in images[:2]]
    assert row.judgment.rewards == pytest.approx(expected, abs=1e-4)


def test_options_without_effect_are_refused(reward_model: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"attn": "eager"}, "--attn eager"),
        ({"max_length": 40}, "--max-length 40"),
    ]
    for options, message in cases:
        with pytest.raises(RmbenchError, match=message):
            open_model(str(reward_model), OpenOptions(device="cpu", **options))


def test_a_bert_configuration_beside_it_is_no_configuration_of_the_model(tmp_path: Path) -> None:
    save(tmp_path, med_config_json="{}", config_json='{"model_type": "bert"}')
    assert decide(read_checkpoint(tmp_path)).layout == "imagereward"
    (tmp_path / "config.json").write_text('{"architectures": ["BertForMaskedLM"]}')
    with pytest.raises(RmbenchError, match=r"config\.json names BertForMaskedLM"):
        decide(read_checkpoint(tmp_path))
    assert decide(read_checkpoint(tmp_path), "imagereward").name == "blip"


def cycle(state: dict[str, Tensor]) -> None:
    """The head of CycleReward in place of ImageReward's."""
    for name in [name for name in state if name.startswith("mlp.")]:
        del state[name]
    for place, (out, into) in zip((0, 2, 4, 6, 8), ((32, T), (16, 32), (8, 16), (4, 8), (1, 4)), strict=True):
        state[f"mlp.layers.{place}.weight"] = torch.randn(out, into) * 0.5
        state[f"mlp.layers.{place}.bias"] = torch.randn(out)
    state["blip.text_encoder.embeddings.position_embeddings.weight"] = torch.randn(128, T) * 0.5
    state["blip.text_encoder.embeddings.position_ids"] = torch.arange(128)[None]


def raw(by_hand: ByHand, text: str, path: Path) -> float:
    """CycleReward's reward."""
    ids = [WORDS.index("[CLS]"), *(WORDS.index(word) for word in text.split()), WORDS.index("[SEP]")]
    head = by_hand.state_of(ids, pixels_of(path))
    for place in (0, 2, 4, 6, 8):
        head = by_hand.linear(f"mlp.layers.{place}", head)
        head = F.gelu(head) if place < 8 else head
    return float(head[0])


def test_cyclereward_by_hand(tmp_path: Path, images: list[Path], seen: Any) -> None:
    """Longer texts, GELU between the layers, raw rewards; images for a text, and texts for an image."""
    by_hand = ByHand(save(tmp_path / "cycle", cycle))
    scorer = opened(tmp_path / "cycle")
    assert scorer.facts.settings["layout"] == "cyclereward"
    assert scorer.facts.settings["head"] == "64-32-16-8-4-1, GELU"
    texts = ["cat " * 60 + "red", "two red dogs on the moon"]
    drawn = [seen.example(text[:5], text, *map(seen.shown, images[:2])) for text in texts]
    image = Part("image", name="x", path=str(images[0]))
    described = Example("captions", (Message("user", (image,)),), tuple(map(Candidate.of, texts)), Gold())
    judging = seen.judged(scorer, [*drawn, described])
    found = [reward for judgment in judging.judgments for reward in judgment.rewards]
    expected = [raw(by_hand, text, path) for text in texts for path in images[:2]]
    expected += [raw(by_hand, text, images[0]) for text in texts]
    assert found == pytest.approx(expected, abs=1e-4)
    assert not any(judgment.truncated[0] for judgment in judging.judgments)
    (lost,) = seen.judged(scorer, [Example("none", (Message.of("user", "x"),), described.candidates, Gold())]).judgments
    assert "a caption is read with the prompt's image, and the prompt has 0" in lost.error


def test_the_head_of_cyclereward_by_hand() -> None:
    def matrix(rows: int, columns: int, seed: int) -> Tensor:
        return torch.tensor([[math.sin(seed + a * columns + b) for b in range(columns)] for a in range(rows)])

    def vector(length: int, seed: int) -> Tensor:
        return torch.tensor([0.1 * math.cos(seed + a) for a in range(length)])

    tensors = {}
    sizes = {0: (6, 8, 400), 2: (5, 6, 410), 4: (4, 5, 420), 6: (3, 4, 430), 8: (1, 3, 440)}
    for place, (rows, columns, seed) in sizes.items():
        tensors[f"layers.{place}.weight"] = matrix(rows, columns, seed)
        tensors[f"layers.{place}.bias"] = vector(rows, seed)
    state = torch.tensor([[math.sin(i + 1) for i in range(8)]])
    assert float(read_stack(tensors, "mlp", BLIP)(state)) == pytest.approx(1.91951121, abs=1e-5)

"""MPS: equal to a loop over heads and tokens around the library's towers, alone and in any batch."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.models.families.vision.mps.open import OVERALL
from rmbench.models.families.vision.mps.scorer import MpsScorer
from rmbench.models.open import OpenOptions, open_model
from tests.models.families.vision.conftest import clip, example, judged, picture, request, shown, stills

WIDTH, HEADS, LAYERS = 48, 2, 2
PROMPTS = ["a red cat on the moon", "structure and light", "word " * 90, "zzz"]


def towers() -> Any:
    from transformers import CLIPConfig, CLIPModel

    shared: dict[str, Any] = {
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "initializer_range": 0.3,
        "intermediate_size": 96,
    }
    shared |= {"hidden_act": "gelu", "projection_dim": WIDTH, "hidden_size": 64}
    text = {"vocab_size": 49408, "max_position_embeddings": 77}
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config=text | shared, vision_config={"image_size": 32, "patch_size": 8, **shared}, projection_dim=WIDTH
    )
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for projection in (model.visual_projection, model.text_projection):
            projection.weight.normal_(std=0.3)
    return model


def cross() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    state: dict[str, Tensor] = {}

    def draw(name: str, rows: int, columns: int) -> None:
        state[f"{name}.weight"] = torch.randn(rows, columns, generator=generator) * 1.5 / columns**0.5

    for layer in range(LAYERS):
        across, among = (f"cross_model.layers.{layer}.{k}.fn" for k in (0, 1))
        inner = HEADS * 64
        draw(f"{across}.to_q", inner, WIDTH)
        draw(f"{across}.to_kv", 128, WIDTH)
        draw(f"{across}.to_out", WIDTH, inner)
        draw(f"{across}.ff.0", 8 * WIDTH, WIDTH)
        draw(f"{across}.ff.2", WIDTH, 4 * WIDTH)
        draw(f"{among}.fused_attn_ff_proj", inner + 128 + 8 * WIDTH, WIDTH)
        draw(f"{among}.attn_out", WIDTH, inner)
        draw(f"{among}.ff_out.1", WIDTH, 4 * WIDTH)
        state[f"{among}.rotary_emb.inv_freq"] = 1.0 / (10000 ** (torch.arange(0, 64, 2).float() / 64))
        for block in (across, among):
            state[f"{block}.norm.weight"] = 1 + torch.randn(WIDTH, generator=generator) * 0.1
            state[f"{block}.norm.bias"] = torch.zeros(WIDTH)
    return state


def save(folder: Path, clip_tokenizer: Path) -> tuple[Any, dict[str, Tensor]]:
    """A folder as imscore's hub copy is; returns the library's towers and the cross model's tensors."""
    folder.mkdir()
    model, network = towers(), cross()
    state = {f"model.{name}": value for name, value in model.state_dict().items()} | network
    save_file({f"mps.{name}": value.contiguous() for name, value in state.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    for file in clip_tokenizer.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return model, network


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, clip_tokenizer: Path) -> Any:
    folder = tmp_path_factory.mktemp("mps") / "mps"
    return folder, *save(folder, clip_tokenizer)


def opened(folder: Path, **args: str) -> MpsScorer:
    found = open_model(str(folder), OpenOptions(device="cpu", model_args=args))
    assert isinstance(found, MpsScorer)
    return found


def linear(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ state[f"{name}.weight"].T


def norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt() * state[f"{name}.norm.weight"]


def swiglu(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x[:, half:] * torch.sigmoid(x[:, half:]) * x[:, :half]


def turned(x: Tensor) -> Tensor:
    """Rotary positions, pair by pair."""
    out = x.clone()
    for place in range(x.shape[0]):
        for k in range(32):
            angle = place * 10000 ** (-2 * k / 64)
            a, b = x[place, k], x[place, k + 32]
            out[place, k] = a * math.cos(angle) - b * math.sin(angle)
            out[place, k + 32] = b * math.cos(angle) + a * math.sin(angle)
    return out


def attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """One head."""
    return torch.softmax(query * 64**-0.5 @ key.T + mask, dim=-1) @ value


def condition_of(saved: Any, ids: list[int]) -> Tensor:
    _, model, _ = saved
    with torch.no_grad():
        found: Tensor = model.text_projection(model.text_model(input_ids=torch.tensor([ids])).last_hidden_state[0])
    return found


def by_loops(saved: Any, path: Path, ids: list[int], asked: Tensor) -> tuple[float, int]:
    """Upstream's steps for one image and one text alone: the score, and how many tokens of the text are read."""
    _, model, state = saved
    pixels = torch.from_numpy(np.array(resized(path))).permute(2, 0, 1).float() / 255
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    pixels = (pixels - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        x = model.visual_projection(model.vision_model(pixel_values=pixels[None]).last_hidden_state)[0]
        states = model.text_model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        text, end = model.text_projection(states), model.text_projection(states[ids.index(49407)])
        likeness = (text @ asked.T).max(dim=1).values
        mask = torch.where(likeness / likeness.max() > 0.01, 0.0, float("-inf"))
        for layer in range(LAYERS):
            across, among = (f"cross_model.layers.{layer}.{k}.fn" for k in (0, 1))
            read = norm(state, across, x)
            key, value = linear(state, f"{across}.to_kv", text).split(64, dim=-1)
            queries = linear(state, f"{across}.to_q", read).split(64, dim=-1)
            heads = torch.cat([attended(query, key, value, mask) for query in queries], dim=-1)
            ahead = linear(state, f"{across}.ff.2", swiglu(linear(state, f"{across}.ff.0", read)))
            x = x + linear(state, f"{across}.to_out", heads) + ahead
            read = norm(state, among, x)
            parts = linear(state, f"{among}.fused_attn_ff_proj", read).split([HEADS * 64, 64, 64, 8 * WIDTH], dim=-1)
            key, nothing = turned(parts[1]), torch.zeros(len(x))
            heads = torch.cat([attended(turned(q), key, parts[2], nothing) for q in parts[0].split(64, dim=-1)], dim=-1)
            x = x + linear(state, f"{among}.attn_out", heads) + linear(state, f"{among}.ff_out.1", swiglu(parts[3]))
        cosine = x[0] @ end / (x[0].norm() * end.norm())
        return float(model.logit_scale.exp() * cosine), int((mask == 0).sum())


def resized(path: Path) -> Image.Image:
    """32 pixels square of an image that is one already."""
    with Image.open(path) as image:
        return image.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC)


def padded(scorer: MpsScorer, text: str) -> list[int]:
    ids, _ = scorer.tokens(text)
    return [*ids, *[49407] * (77 - len(ids))]


def scores(scorer: MpsScorer, rows: list[Any]) -> list[float]:
    from rmbench.models.protocols import Batch

    ids = np.zeros((len(rows), 77), dtype=np.int64)
    found = scorer.forward(Batch(tuple(rows), ids, np.ones_like(ids), np.full(len(rows), 76)))
    return [float(value) for value in found["reward"][:, 0]]


def test_each_row_is_upstreams_and_the_same_in_any_batch(saved: Any, tmp_path: Path) -> None:
    scorer = opened(saved[0])
    images = [picture(tmp_path / f"{seed}.png", seed, (48, 48)) for seed in (1, 2)]
    asked = [(path, prompt) for prompt in PROMPTS for path in images]
    rows = scorer.encode([request(prompt, shown(path)) for path, prompt in asked])
    condition = condition_of(saved, padded(scorer, OVERALL))
    wanted = [by_loops(saved, path, padded(scorer, prompt), condition)[0] for path, prompt in asked]
    alone = [scores(scorer, [row])[0] for row in rows]
    assert alone == pytest.approx(wanted, abs=2e-4)
    assert scores(scorer, rows) == pytest.approx(alone, abs=1e-5)
    assert scores(scorer, rows[::-1]) == pytest.approx(alone[::-1], abs=1e-5)
    assert max(wanted) - min(wanted) > 1
    assert [row.truncated for row in rows[::2]] == [False, False, True, False]


def test_the_condition_counts_and_stands_in_the_record(saved: Any, tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png", 3, (48, 48))
    scorer = opened(saved[0], condition="moon")
    assert scorer.facts.settings["condition"] == "moon"
    assert torch.allclose(scorer.condition, condition_of(saved, padded(scorer, "moon")), atol=1e-5)
    one = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(1))  # unlike about half of all tokens
    rows = scorer.encode([request(prompt, shown(image)) for prompt in PROMPTS])
    wanted = [by_loops(saved, image, padded(scorer, prompt), one) for prompt in PROMPTS]
    assert any(5 < read < 72 for _, read in wanted)
    masked = scores(replace(scorer, condition=one), rows)
    assert masked == pytest.approx([score for score, _ in wanted], abs=2e-4)
    assert max(abs(a - b) for a, b in zip(masked, scores(scorer, rows), strict=True)) > 1e-2
    with pytest.raises(RmbenchError, match="more than 77 tokens"):
        opened(saved[0], condition="word " * 90)


def test_a_clip_is_the_mean_of_its_frames(saved: Any, tmp_path: Path) -> None:
    scorer, path = opened(saved[0], frames="stride:2"), clip(tmp_path / "clip.mp4", count=4)
    shots = stills(path, (0, 2))
    examples = [example("a", PROMPTS[0], shown(path, "video"), *map(shown, shots))]
    (whole, *frames) = judged(scorer, examples).judgments[0].rewards or ()
    assert frames == pytest.approx(scores(scorer, scorer.encode([request(PROMPTS[0], shown(each)) for each in shots])))
    assert whole == pytest.approx(sum(frames) / 2, abs=1e-4)
    assert abs(frames[0] - frames[1]) > 0.1


def test_names_without_imscores_prefix_are_read_too(saved: Any, tmp_path: Path, clip_tokenizer: Path) -> None:
    _, model, network = saved
    torch.save({**{f"model.{n}": v for n, v in model.state_dict().items()}, **network}, tmp_path / "MPS_overall.pt")
    for file in clip_tokenizer.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    image = picture(tmp_path / "a.png", 3, (48, 48))
    first, second = (opened(folder) for folder in (saved[0], tmp_path))
    rows = [scorer.encode([request(PROMPTS[0], shown(image))]) for scorer in (first, second)]
    assert scores(second, rows[1]) == scores(first, rows[0])
    assert second.facts.parameters == sum(
        v.numel() for v in model.state_dict().values() if v.is_floating_point()
    ) + sum(v.numel() for n, v in network.items() if not n.endswith(("norm.bias", "inv_freq")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("cross_model.layers.1.0.fn.to_out.weight"), "layers.1.0.fn.to_out.weight is missing"),
        (lambda state: state.update({"cross_model.layers.0.0.fn.extra.weight": torch.ones(1)}), "is no part of MPS"),
        (lambda state: state.update({"cross_model.layers.0.0.fn.to_kv.weight": torch.ones(64, 48)}), r"\[128, 48\]"),
        (lambda state: state.pop("model.text_model.final_layer_norm.bias"), "CLIP's towers: 1 missing"),
    ],
)
def test_what_is_missing_or_foreign_is_refused(saved: Any, tmp_path: Path, change: Any, said: str) -> None:
    _, model, network = saved
    state = {**{f"model.{n}": v for n, v in model.state_dict().items()}, **network}
    change(state)
    torch.save(state, tmp_path / "MPS_overall.pt")
    with pytest.raises(RmbenchError, match=said):
        opened(tmp_path)


def test_a_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "MPS_overall_checkpoint.pth")
    with pytest.raises(RmbenchError, match=r"more than tensors|no torch file|allow-pickle"):
        open_model(str(tmp_path), OpenOptions(device="cpu", adapter="mps"))

"""The declared layouts: formulas by hand-made weights, and tiny checkpoints in upstream's own names."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rmbench.engine.judge import judge
from rmbench.errors import RmbenchError
from rmbench.models.families.scalar.heads.network import Linear, Network
from rmbench.models.families.vl.heads import Modulation, VisionHead, joined
from rmbench.models.families.vl.schema import layouts
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions

WORDS = "Rate the picture.\nTextual prompt - {prompt}\n\nThe score is <|Reward|>\nEND\n"
OTHER = "Rate how well it is made, whatever was asked: {prompt} <|Reward|> END"
THREE = "Quality <|VQ_reward|> END\nMotion <|MQ_reward|> END\nAlignment with {prompt} <|TA_reward|> END"


def matrix(rows: int, columns: int, seed: int) -> torch.Tensor:
    return torch.tensor([[math.sin(seed + a * columns + b) for b in range(columns)] for a in range(rows)])


def vector(length: int, seed: int) -> torch.Tensor:
    return torch.tensor([0.1 * math.cos(seed + a) for a in range(length)])


STATE = torch.tensor([[[math.sin(i + 1) for i in range(8)]]])


def toy(seed: int, modulation: Modulation | None = None) -> VisionHead:
    layers = ((4, 8, seed, 1), (3, 4, seed + 10, 2), (2, 3, seed + 20, 3))
    network = Network(tuple(Linear(matrix(a, b, s), vector(a, v)) for a, b, s, v in layers), "relu")
    return VisionHead(network, log_sigma=True, modulation=modulation)


def read(found: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in found.items()}


def test_hpsv3_by_hand() -> None:
    found = read(toy(200)(STATE))
    assert found["reward"] == pytest.approx(4.05123038, abs=1e-5)
    assert math.log(found["sigma"]) == pytest.approx(-3.86744812, abs=1e-5)


def test_the_modulated_head_by_hand() -> None:
    gamma = [0.1 * math.sin(i) for i in range(8)]
    beta = [0.1 * math.cos(i) for i in range(8)]
    constant = Network((Linear(torch.zeros(16, 3), torch.tensor(gamma + beta)),))
    condition = Network((Linear(torch.zeros(3, 2)),))
    modulation = Modulation(Linear(torch.ones(2, 8)), Linear(torch.ones(1, 2)), condition, constant, 0.0)
    found = read(toy(200, modulation)(STATE))
    assert found["reward"] == pytest.approx(4.53326345, abs=1e-5)
    assert math.log(found["sigma"]) == pytest.approx(-4.3090454, abs=1e-5)


def test_videoreward_by_hand() -> None:
    output = layouts()["videoreward"].output
    head = VisionHead(
        Network((Linear(torch.ones(1, 1)),)), output.names, mean=output.mean, std=output.std, weights=output.weights
    )
    found = head(torch.tensor([[[1.0], [2.0], [3.0]]]))
    assert found["objectives"][0].tolist() == pytest.approx([-1.19046983, 0.60488017, 0.0754349], abs=1e-6)
    assert float(found["reward"]) == pytest.approx(-0.51015477, abs=1e-6)


@pytest.mark.parametrize(
    ("how", "reward", "log_sigma"),
    [("mean", 3.26945856, -2.9540962), ("sum", 6.53891712, -2.02795782), ("min", 2.48768674, -3.86744812)],
)
def test_editreward_by_hand(how: str, reward: float, log_sigma: float) -> None:
    found = joined([read(toy(seed)(STATE)) for seed in (200, 300)], how)
    assert found["reward"] == pytest.approx(reward, abs=1e-5)
    assert math.log(found["sigma"]) == pytest.approx(log_sigma, abs=1e-5)


def ranknet(prefix: str, width: int = 64, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = {0: (16, width), 3: (8, 16), 5: (2, 8)}
    found = {}
    for number, (rows, columns) in sizes.items():
        found[f"{prefix}.{number}.weight"] = torch.randn(rows, columns, generator=generator) / columns**0.5
        found[f"{prefix}.{number}.bias"] = torch.randn(rows, generator=generator) * 0.1
    return found


def by_ranknet(tensors: dict[str, torch.Tensor], prefix: str, state: torch.Tensor) -> torch.Tensor:
    """Upstream's Sequential."""
    layers: list[torch.nn.Module] = []
    for number in (0, 3, 5):
        weight = tensors[f"{prefix}.{number}.weight"]
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight, "bias": tensors[f"{prefix}.{number}.bias"]})
        layers += [linear, torch.nn.ReLU()]
    with torch.no_grad():
        found: torch.Tensor = torch.nn.Sequential(*layers[:-1])(state)
    return found


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    for name, text in {"words": WORDS, "other": OTHER, "three": THREE}.items():
        (folder / name).write_text(text)
    return folder


def opened(folder: Path, adapter: str | None = None, **args: Any) -> Any:
    given = {key: str(value) for key, value in args.items()}
    return open_model(str(folder), OpenOptions(device="cpu", adapter=adapter, model_args=given))


def upstream_states(model: Any, processor: Any, text: str, images: list[Any], marks: list[str]) -> torch.Tensor:
    """[S, H] at special tokens, as upstream's code of transformers 4.45 runs it: plain positions on all axes."""
    turn = [{"role": "user", "content": [*({"type": "image"} for _ in images), {"type": "text", "text": text}]}]
    chat = processor.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[chat], images=images, return_tensors="pt", images_kwargs={"do_resize": False})
    plain = torch.arange(inputs["input_ids"].shape[1]).expand(3, 1, -1)
    with torch.no_grad():
        hidden = model.model(**{**inputs, "position_ids": plain}).last_hidden_state[0]
    ids = inputs["input_ids"][0].tolist()
    return hidden[[ids.index(processor.tokenizer.convert_tokens_to_ids(mark)) for mark in marks]]


@pytest.fixture(scope="module")
def hpsv3(vl: Any, words: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("hpsv3") / "hpsv3"
    head = ranknet("rm_head")
    model, processor = vl.save(folder, "qwen2-vl", head)
    scorer = opened(folder, prompt=words / "words", min_pixels=28 * 28 * 8, max_pixels=28 * 28 * 8)
    return folder, head, model, processor, scorer


def test_hpsv3_reads_its_token_with_plain_positions(hpsv3: Any, vl: Any, shown: Any) -> None:
    _, head, model, processor, scorer = hpsv3
    assert scorer.facts.family == "vl-scalar"
    assert scorer.facts.settings["positions"] == "sequential"
    (row,) = scorer.encode([vl.request(["A red disc."], shown.wide)])
    picture = Image.open(shown.wide).convert("RGB").resize((112, 28), Image.Resampling.BICUBIC)
    text = WORDS.replace("{prompt}", "A red disc.")
    state = upstream_states(model, processor, text, [picture], ["<|Reward|>"])
    found = scorer.forward(vl.batch([row]))
    mu, log_sigma = by_ranknet(head, "rm_head", state)[0].tolist()
    assert float(found["reward"][0, 0]) == pytest.approx(mu, abs=1e-5)
    assert float(found["sigma"][0, 0]) == pytest.approx(math.exp(log_sigma), abs=1e-5)
    assert row.ids[-1] == processor.tokenizer.convert_tokens_to_ids("<|Reward|>")  # nothing behind it is computed


@pytest.mark.parametrize(
    "mark", ["<|Reward|>", "<|image_pad|>", "<|im_end|>", "<|vision_start|><|image_pad|><|vision_end|>"]
)
def test_a_literal_special_token_moves_neither_the_place_that_is_read_nor_the_picture(
    hpsv3: Any, vl: Any, shown: Any, mark: str
) -> None:
    *_, processor, scorer = hpsv3
    plain, forged = scorer.encode([vl.request([f"A {text} disc."], shown.square) for text in ("red", f"red {mark}")])
    pads = processor.image_token_id
    assert [row.ids.count(pads) for row in (plain, forged)] == [plain.payload.places[0].shown.places] * 2
    assert forged.payload.spots == (len(forged.ids) - 1,)
    assert forged.payload.places == plain.payload.places
    assert forged.remarks == ("special_tokens_in_text",)
    assert plain.remarks == ()
    quoted = processor.tokenizer(f"A red {mark} disc.", split_special_tokens=True)["input_ids"]
    joined_ids = ",".join(map(str, forged.ids))
    assert ",".join(map(str, quoted[3:-3])) in joined_ids


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((1024, 1024), (448, 448)),
        ((100, 100), (448, 448)),
        ((1024, 768), (504, 364)),
        ((1920, 1080), (588, 336)),
        ((64, 2000), (84, 2520)),
    ],
)
def test_pictures_become_as_large_as_hpsv3_makes_them(hpsv3: Any, size: Any, fitted: Any) -> None:
    pictures = replace(hpsv3[-1].backbone.pictures, pixels=layouts()["hpsv3"].pixels)
    assert pictures._resized(Image.new("RGB", size)).size == fitted


def test_frames_are_resized_as_torchvision_does(hpsv3: Any) -> None:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as theirs

    layout = layouts()["videoreward"]
    pictures = replace(hpsv3[-1].backbone.pictures, pixels=layout.pixels)
    noise = np.random.default_rng(0).integers(0, 255, (96, 172, 3), dtype=np.uint8)
    frame = Image.fromarray(noise).resize((688, 384), Image.Resampling.BICUBIC)
    ours = pictures._resized(frame)
    assert ours.size == (588, 308)  # grid 22 x 42 of example_3_B
    tensor = torch.from_numpy(np.array(frame)).permute(2, 0, 1)
    wanted = theirs.resize(tensor, [308, 588], InterpolationMode.BICUBIC, antialias=True)
    difference = np.abs(np.array(ours).astype(int) - wanted.permute(1, 2, 0).numpy().astype(int))
    assert difference.max() <= 1


def test_hpsv3_plus_scores_each_image_alone(vl: Any, words: Path, shown: Any, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(3)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) / shape[-1] ** 0.5

    head = ranknet("rm_head")
    sizes = {"cond_encoder.0": (8, 2), "cond_encoder.2": (8, 8), "film_gen.0": (16, 8), "film_gen.2": (128, 16)}
    sizes |= {"cap_encoder.proj": (8, 64), "cap_encoder.pool_attn": (1, 8), "cap_encoder.out_proj": (1, 8)}
    for name, shape in sizes.items():
        head |= {f"{name}.weight": drawn(*shape), f"{name}.bias": drawn(shape[0])}
    model, processor = vl.save(tmp_path / "plus", "qwen3-vl", head)
    scorer = opened(tmp_path / "plus", prompt=words / "words", min_pixels=32 * 32 * 4, max_pixels=32 * 32 * 8)
    rows = scorer.encode([vl.request(["A red disc."], one) for one in (shown.square, shown.wide, shown.tall)])
    alone = [vl.score(scorer, [row])[0] for row in rows]
    assert vl.score(scorer, rows) == pytest.approx(alone, abs=1e-5)

    (place,) = rows[1].payload.places
    inputs = scorer.backbone.pictures.process(place.shown.medium).inputs
    ids = torch.tensor([rows[1].ids])
    with torch.no_grad():
        state = model.model(
            input_ids=ids, mm_token_type_ids=(ids == processor.image_token_id).int(), **inputs
        ).last_hidden_state[:, -1]
        lin = torch.nn.functional.linear
        hidden = lin(state, head["cap_encoder.proj.weight"], head["cap_encoder.proj.bias"])
        cap = torch.sigmoid(lin(hidden, head["cap_encoder.out_proj.weight"], head["cap_encoder.out_proj.bias"]))
        condition = torch.cat([cap, torch.zeros_like(cap)], dim=-1)
        for name, activation in (("cond_encoder", torch.nn.functional.gelu), ("film_gen", torch.relu)):
            first = activation(lin(condition, head[f"{name}.0.weight"], head[f"{name}.0.bias"]))
            condition = lin(first, head[f"{name}.2.weight"], head[f"{name}.2.bias"])
        gamma, beta = condition.chunk(2, dim=-1)
    expected = by_ranknet(head, "rm_head", state * (1 + gamma) + beta)[0, 0]
    assert alone[1] == pytest.approx(float(expected), abs=1e-5)
    other = opened(
        tmp_path / "plus", prompt=words / "words", min_pixels=32 * 32 * 4, max_pixels=32 * 32 * 8, iteration=1
    )
    assert abs(vl.score(other, rows[1:2])[0] - alone[1]) > 1e-4


def test_videoreward_reads_three_tokens_of_a_clip(vl: Any, words: Path, shown: Any, tmp_path: Path) -> None:
    head = vl.linear_head()
    vl.save(tmp_path / "video", "qwen2-vl", {"rm_head.weight": head})
    scorer = opened(
        tmp_path / "video", "videoreward", prompt=words / "three", min_pixels=28 * 28, max_pixels=28 * 28 * 4
    )
    rows = scorer.encode([vl.request(["A red disc rolls."], shown.clip), vl.request(["A disc."], shown.clip)])
    assert rows[0].payload.places[0].shown.medium.indices == tuple(range(8))
    found = scorer.forward(vl.batch(rows))
    assert found["objectives"].shape == (2, 3)
    states = scorer.backbone.states(rows[:1], torch.tensor([rows[0].ids]), torch.ones(1, len(rows[0].ids)))
    output = layouts()["videoreward"].output
    logits = (states @ head[0]).tolist()
    expected = [(a - b) / c for a, b, c in zip(logits, output.mean, output.std, strict=True)]
    assert found["objectives"][0].tolist() == pytest.approx(expected, abs=1e-5)
    assert float(found["reward"][0, 0]) == pytest.approx(sum(expected), abs=1e-5)


def test_editreward_reads_two_texts_with_both_images(vl: Any, words: Path, shown: Any, tmp_path: Path) -> None:
    head = ranknet("rm_heads.head_0") | ranknet("rm_heads.head_1", seed=1)
    model, processor = vl.save(tmp_path / "edit", "qwen2.5-vl", head)
    args: dict[str, Any] = {
        "prompt": words / "words",
        "prompt_2": words / "other",
        "min_pixels": 6272,
        "max_pixels": 6272,
    }
    scorer = opened(tmp_path / "edit", **args)
    row = vl.example("edit", [shown.square, "Make it red."], [shown.tall], [shown.wide])
    judgment = judge("task", [row], scorer).judgments[0]
    images = [Image.open(path).convert("RGB") for path in (shown.square, shown.tall)]
    images = [scorer.backbone.pictures._resized(image) for image in images]
    rewards = []
    for number, text in enumerate((WORDS, OTHER)):
        state = upstream_states(model, processor, text.replace("{prompt}", "Make it red."), images, ["<|Reward|>"])
        rewards.append(float(by_ranknet(head, f"rm_heads.head_{number}", state)[0, 0]))
    assert judgment.rewards is not None
    assert judgment.rewards[0] == pytest.approx(sum(rewards) / 2, abs=1e-5)
    assert judgment.parts["objectives"][0] == pytest.approx(rewards, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, r"pass --model-args prompt=FILE, a text with \{prompt\}.*<\|Reward\|>.*data_collator_qwen"),
        ("No place <|Reward|>", r"\{prompt\} is not there"),
        ("{prompt} and no token", r"<\|Reward\|> is there 0 times"),
        ("{prompt} <|Reward|> <|Reward|>", r"<\|Reward\|> is there 2 times"),
    ],
)
def test_words_that_cannot_be_read_are_refused(hpsv3: Any, tmp_path: Path, text: str | None, found: str) -> None:
    (tmp_path / "words").write_text(text or "")
    given: dict[str, Any] = {} if text is None else {"prompt": tmp_path / "words"}
    with pytest.raises(RmbenchError, match=found):
        opened(hpsv3[0], **given)


def test_options_that_do_not_fit_are_refused(hpsv3: Any, words: Path) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"prompt_2": words / "other"}, "prompt_2: this model reads one text"),
        ({"passes": "sum"}, "passes=sum: the layout hpsv3 has one pass"),
        ({"iteration": 0.5}, "iteration=0.5: the layout hpsv3 has no such condition"),
        ({"min_pixels": 100, "max_pixels": 10}, "min_pixels is 100, above max_pixels, 10"),
        ({"pixels": 3}, "no setting 'pixels'"),
    ]
    for args, found in refused:
        with pytest.raises(RmbenchError, match=found):
            opened(hpsv3[0], **{"prompt": words / "words", **args})


def test_words_are_refused_by_a_model_of_chats(tmp_path: Path, words: Path, vl: Any) -> None:
    vl.save(tmp_path / "chats", "qwen2-vl", {"score.weight": vl.linear_head()})
    with pytest.raises(RmbenchError, match="prompt: this model reads chats as they are"):
        opened(tmp_path / "chats", prompt=words / "words")


def test_the_embedding_has_the_rows_that_are_stored(tmp_path: Path, vl: Any, shown: Any) -> None:
    """Reward tokens are added behind the base's, and config.json may still have the base's number."""
    from safetensors.torch import load_file, save_file

    vl.save(tmp_path / "model", "qwen2-vl", {"score.weight": vl.linear_head()})
    before = opened(tmp_path / "model")
    tensors = load_file(tmp_path / "model/model.safetensors")
    name = next(name for name in tensors if name.endswith("embed_tokens.weight"))
    tensors[name] = torch.cat([tensors[name], torch.zeros(40, 64)])
    save_file(tensors, tmp_path / "model/model.safetensors")
    after = opened(tmp_path / "model")
    assert after.text.vocabulary == before.text.vocabulary + 40
    asked = [vl.request([shown.square, "Is it red?"], "Yes.")]
    assert vl.score(after, after.encode(asked)) == vl.score(before, before.encode(asked))
    config = json.loads((tmp_path / "model/config.json").read_text())
    tensors[name] = tensors[name][:200].clone()
    save_file(tensors, tmp_path / "model/model.safetensors")
    small = opened(tmp_path / "model")
    assert config["text_config"]["vocab_size"] > small.text.vocabulary == 200
    assert "is outside the model's 200 embeddings" in small.encode(asked)[0].error


def test_another_backbone_is_refused_by_its_type(tmp_path: Path, vl: Any) -> None:
    vl.save(tmp_path / "other", "qwen2-vl", {"score.weight": vl.linear_head()})
    config = json.loads((tmp_path / "other/config.json").read_text())
    (tmp_path / "other/config.json").write_text(json.dumps(config | {"model_type": "mllama"}))
    with pytest.raises(
        RmbenchError, match=r"The layout vl-score is of backbones qwen2_vl, .* config\.json has 'mllama'"
    ):
        opened(tmp_path / "other", "vl-score")


def test_the_value_head_of_skywork_vl_lies_beside_the_weights(tmp_path: Path, vl: Any, shown: Any) -> None:
    head = {"v_head.summary.weight": vl.linear_head(), "v_head.summary.bias": torch.tensor([0.25])}
    model, _ = vl.save(tmp_path / "skywork", "qwen2.5-vl", head, file="value_head.safetensors")
    scorer = opened(tmp_path / "skywork")
    assert scorer.facts.settings["layout"] == "skywork-vl"
    assert scorer.facts.settings["head_dtype"] == "float32"
    (row,) = scorer.encode([vl.request([shown.square, "Is it red?"], "Yes.")])
    inputs = scorer.backbone.pictures.process(row.payload.places[0].shown.medium).inputs
    ids = torch.tensor([row.ids])
    with torch.no_grad():
        state = model.model(
            input_ids=ids, mm_token_type_ids=(ids == model.config.image_token_id).int(), **inputs
        ).last_hidden_state[0, -1]
    assert vl.score(scorer, [row])[0] == pytest.approx(float(head["v_head.summary.weight"][0] @ state) + 0.25, abs=1e-5)

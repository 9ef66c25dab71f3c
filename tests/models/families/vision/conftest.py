"""Tiny random two-tower and BLIP checkpoints in upstream's own layouts, and images and clips to show them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from rmbench.engine.interfaces import EngineOptions
from rmbench.engine.judge import Judging, judge
from rmbench.models.protocols import Request
from rmbench.types import Candidate, Example, Gold, Message, Part

TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
"""An open_clip `model_cfg` of the usual kind, small."""


def tiny_model(config: Mapping[str, Any] = TINY, seed: int = 0) -> Any:
    """open_clip's own model with weights large enough that a wrong pixel or token shows."""
    import open_clip

    torch.manual_seed(seed)
    model = open_clip.CLIP(**json.loads(json.dumps(config)))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    return model.eval()


def save_open_clip(folder: Path, config: Mapping[str, Any] = TINY, *, safe: bool = True, **preprocess: Any) -> Any:
    """A folder as open_clip pushes it to a hub; returns the model."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    model = tiny_model(config)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    if safe:
        save_file(state, folder / "open_clip_model.safetensors")
    else:
        torch.save(state, folder / "open_clip_pytorch_model.bin")
    return model


def save_transformers(folder: Path, *, seed: int = 0) -> Any:
    """transformers' CLIPModel, as PickScore is saved; returns the model."""
    from transformers import CLIPConfig, CLIPModel

    shared = {"num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.2}
    text = {"hidden_size": 32, "intermediate_size": 64, "vocab_size": 49408, "max_position_embeddings": 77}
    vision = {"hidden_size": 32, "intermediate_size": 64, "image_size": 32, "patch_size": 8}
    torch.manual_seed(seed)
    config = CLIPConfig(text_config=text | shared, vision_config=vision | shared, projection_dim=16)
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for projection in (model.visual_projection, model.text_projection):
            projection.weight.normal_()
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="session")
def clip_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLIP's vocabulary as transformers keeps it, from open_clip's copy; tests only read it."""
    folder = tmp_path_factory.mktemp("tokens")
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    own = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): number for token, number in own.encoder.items()}
    merges = [" ".join(pair) for pair in own.bpe_ranks]
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


def picture(path: Path, seed: int, size: tuple[int, int] = (40, 32)) -> Path:
    """A smooth random image."""
    small = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def clip(path: Path, count: int = 6, seed: int = 0) -> Path:
    """A video of smooth random frames."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for index in range(count):
            small = np.random.default_rng([seed, index]).integers(0, 255, (4, 4, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_image(Image.fromarray(small).resize((48, 32), Image.Resampling.BICUBIC))
            frame.pts, frame.time_base = index, Fraction(1, 8)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def stills(path: Path, places: Sequence[int]) -> list[Path]:
    """Frames of a video as files beside it."""
    with av.open(str(path)) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    files = [path.with_name(f"{path.stem}-{place}.png") for place in places]
    for file, place in zip(files, places, strict=True):
        frames[place].save(file)
    return files


def shown(path: Path | None, kind: Any = "image", name: str = "x") -> Candidate:
    part = Part(kind, name=name, path=None if path is None else str(path))
    return Candidate((Message("assistant", (part,)),))


def example(id_: str, prompt: str, *candidates: Candidate) -> Example:
    return Example(id_, (Message.of("user", prompt),), candidates, Gold())


def request(prompt: str, candidate: Candidate) -> Request:
    return Request((Message.of("user", prompt), *candidate.messages), 1)


def pair_task(folder: Path, rows: Sequence[tuple[str, Path, Path, str]], name: str = "mine") -> Path:
    """A task of pairs in a TOML file: (prompt, better image, worse image, style), the images in one folder."""
    text = {"prompt": 0, "chosen": 1, "rejected": 2, "style": 3}
    plain = [{key: Path(str(row[at])).name if at in (1, 2) else row[at] for key, at in text.items()} for row in rows]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row | {"best": 0}) + "\n" for row in plain))
    root = rows[0][1].parent
    if not (folder / "shown").exists():
        (folder / "shown").symlink_to(root, target_is_directory=True)
    (folder / f"{name}.toml").write_text(
        f"""
id = "{name}"
version = 1
title = "Pairs of images"
family = "image"
modality = "image"
shape = "pair"
n = {len(rows)}
official = false
verified = true
[[files]]
paths = ["{name}.jsonl"]
[media]
roots = ["shown"]
[columns]
prompt = "prompt"
candidates = [{{ column = "chosen", form = "image" }}, {{ column = "rejected", form = "image" }}]
gold = {{ column = "best", index = true }}
[groups]
style = "style"
[[metric]]
name = "accuracy"
rule = "pair"
"""
    )
    return folder / f"{name}.toml"


def judged(scorer: Any, examples: Sequence[Example], budget: int = 4096) -> Judging:
    return judge("task", examples, scorer, options=EngineOptions(batch_tokens=budget))


@pytest.fixture(scope="session")
def seen() -> SimpleNamespace:
    """The builders of this file."""
    return SimpleNamespace(
        TINY=TINY,
        clip=clip,
        example=example,
        judged=judged,
        pair_task=pair_task,
        picture=picture,
        request=request,
        save_open_clip=save_open_clip,
        save_transformers=save_transformers,
        shown=shown,
        stills=stills,
        tiny_model=tiny_model,
    )


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip folder that tests only read."""
    folder = tmp_path_factory.mktemp("clip") / "tiny-clip"
    save_open_clip(folder)
    return folder


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six images of different sizes and shapes."""
    folder = tmp_path_factory.mktemp("images")
    sizes = [(40, 32), (32, 32), (33, 70), (90, 41), (31, 20), (64, 47)]
    return [picture(folder / f"{index}.png", index, size) for index, size in enumerate(sizes)]


@pytest.fixture
def tiny_registered(tmp_path: Path) -> Iterator[str]:
    """The tiny configuration under a name of open_clip's registry, for files without a configuration."""
    from open_clip import factory

    file = tmp_path / "rmbench-tiny.json"
    file.write_text(json.dumps(TINY))
    factory.add_model_config(file)
    yield file.stem
    factory._MODEL_CONFIG_PATHS.remove(file)
    factory._MODEL_CONFIGS.pop(file.stem)

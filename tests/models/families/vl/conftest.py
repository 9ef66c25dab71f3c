"""Tiny random vision-language reward models, made in memory and saved as a trainer would, and pictures to show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rmbench.models.backbone.lean import lean_layers
from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators
from rmbench.models.protocols import Batch, Encoded, Request
from rmbench.types import Candidate, Example, Gold, Message, Part

declare_missing_operators()

MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QWEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
READ = ("<|Reward|>", "<|VQ_reward|>", "<|MQ_reward|>", "<|TA_reward|>")

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}{% if p.type == 'image' %}IMAGE{% elif p.type == 'video' %}VIDEO"
    "{% else %}{{ p.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SEEN = "<|vision_start|><|image_pad|><|vision_end|>"
QWEN_CHAT = CHAT.replace("IMAGE", SEEN).replace("VIDEO", SEEN.replace("image", "video"))


@cache
def tokenizer(marks: tuple[str, ...], template: str, **names: str) -> Any:
    """A byte-level BPE of 512 tokens, trained here, with special tokens behind them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(marks),
        show_progress=False,
    )
    raw.train_from_iterator(["a red disc on a white ground, which of the pictures is better and why?"] * 4, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        chat_template=template,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=[mark for mark in marks if mark not in MARKS],
        **names,
    )


def louder(model: Any, seed: int = 0) -> Any:
    """Weights large enough that a wrong pixel, token or position shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 1.5 / parameter.shape[-1] ** 0.5)
    return model.eval()


def rope(section: Sequence[int], **more: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 1e6, "mrope_section": list(section), **more}


TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 4096,
}
VISION = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2}
"""Of Qwen2-VL."""


def ids_of(tokens: Any) -> dict[str, int]:
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    marks = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    return {name: tokens.convert_tokens_to_ids(mark) for name, mark in zip(names, marks, strict=True)}


def qwen_processor(kind: str, tokens: Any, *, patch: int = 14) -> Any:
    """The processor of a Qwen-VL model, for pictures of up to twelve places."""
    import transformers
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

    films = Qwen3VLVideoProcessor if kind == "Qwen3VL" else Qwen2VLVideoProcessor
    place = (2 * patch) ** 2
    size = {"size": {"shortest_edge": place, "longest_edge": place * 12}, "patch_size": patch}
    made = getattr(transformers, f"{kind}Processor")
    return made(Qwen2VLImageProcessor(**size), tokens, films(**size), tokens.chat_template)


def qwen2_vl(tokens: Any) -> tuple[Any, Any]:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    text: dict[str, Any] = TEXT | {"vocab_size": len(tokens), "pad_token_id": 0, "rope_parameters": rope([4, 6, 6])}
    config = Qwen2VLConfig(text_config=text, vision_config=VISION, **ids_of(tokens))
    return Qwen2VLForConditionalGeneration(config), qwen_processor("Qwen2VL", tokens)


WIDE: Mapping[str, Any] = {
    "depth": 2,
    "hidden_size": 32,
    "out_hidden_size": 64,
    "intermediate_size": 64,
    "num_heads": 2,
}
"""Vision towers of the later ones."""


def qwen2_5_vl(tokens: Any) -> tuple[Any, Any]:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text: dict[str, Any] = TEXT | {"vocab_size": len(tokens), "pad_token_id": 0, "rope_parameters": rope([4, 6, 6])}
    vision = {**WIDE, "window_size": 112, "fullatt_block_indexes": [1], "tokens_per_second": 2}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids_of(tokens))
    return Qwen2_5_VLForConditionalGeneration(config), qwen_processor("Qwen2_5_VL", tokens)


def qwen3_vl(tokens: Any) -> tuple[Any, Any]:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    text: dict[str, Any] = TEXT | {"vocab_size": len(tokens), "pad_token_id": 0, "head_dim": 32}
    text["rope_parameters"] = rope([6, 5, 5], mrope_interleaved=True)
    vision = {**WIDE, "patch_size": 16, "num_position_embeddings": 256, "deepstack_visual_indexes": [0, 1]}
    config = Qwen3VLConfig(text_config=text, vision_config=vision, **ids_of(tokens))
    return Qwen3VLForConditionalGeneration(config), qwen_processor("Qwen3VL", tokens, patch=16)


def internvl(tokens: Any) -> tuple[Any, Any]:
    from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLProcessor
    from transformers.models.got_ocr2.image_processing_got_ocr2 import GotOcr2ImageProcessor
    from transformers.models.internvl.video_processing_internvl import InternVLVideoProcessor

    text: dict[str, Any] = TEXT | {"model_type": "qwen2", "vocab_size": len(tokens), "pad_token_id": 0}
    vision: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"intermediate_size": 64, "image_size": [28, 28], "patch_size": [7, 7]}
    config = InternVLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=tokens.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    images = GotOcr2ImageProcessor(size={"height": 28, "width": 28}, crop_to_patches=True, max_patches=4)
    videos = InternVLVideoProcessor(size={"height": 28, "width": 28})
    processor = InternVLProcessor(images, tokens, videos, 4, chat_template=tokens.chat_template)
    return InternVLForConditionalGeneration(config), processor


def llava_onevision(tokens: Any) -> tuple[Any, Any]:
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor
    from transformers.models.llava_onevision.image_processing_llava_onevision import LlavaOnevisionImageProcessor
    from transformers.models.llava_onevision.video_processing_llava_onevision import LlavaOnevisionVideoProcessor

    text: dict[str, Any] = TEXT | {"model_type": "qwen2", "vocab_size": len(tokens), "pad_token_id": 0}
    vision: dict[str, Any] = {"model_type": "siglip_vision_model", "hidden_size": 32, "num_hidden_layers": 3}
    vision |= {"num_attention_heads": 2, "intermediate_size": 64, "image_size": 28, "patch_size": 7}
    vision |= {"vision_use_head": False}
    pinpoints = [[28, 56], [56, 28], [56, 56]]
    config = LlavaOnevisionConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        video_token_id=tokens.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
    )
    images = LlavaOnevisionImageProcessor(size={"height": 28, "width": 28}, image_grid_pinpoints=pinpoints)
    videos = LlavaOnevisionVideoProcessor(size={"height": 28, "width": 28})
    processor = LlavaOnevisionProcessor(images, tokens, videos, 16, "full", chat_template=tokens.chat_template)
    return LlavaOnevisionForConditionalGeneration(config), processor


def idefics3(tokens: Any) -> tuple[Any, Any]:
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_idefics3 import Idefics3ImageProcessor

    text: dict[str, Any] = TEXT | {"model_type": "llama", "vocab_size": len(tokens), "pad_token_id": 0}
    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    vision |= {"image_size": 28, "patch_size": 7}
    config = Idefics3Config(
        text_config=text,
        vision_config=vision,
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    sizes = {"size": {"longest_edge": 56}, "max_image_size": {"longest_edge": 28}}
    processor = Idefics3Processor(Idefics3ImageProcessor(**sizes), tokens, 4, chat_template=tokens.chat_template)
    return Idefics3ForConditionalGeneration(config), processor


def paligemma(tokens: Any) -> tuple[Any, Any]:
    from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration, PaliGemmaProcessor
    from transformers.models.siglip.image_processing_siglip import SiglipImageProcessor

    images = SiglipImageProcessor(size={"height": 28, "width": 28})
    images.image_seq_length = 16
    processor = PaliGemmaProcessor(images, tokens, chat_template=tokens.chat_template)
    text: dict[str, Any] = TEXT | {"model_type": "gemma", "vocab_size": len(tokens), "pad_token_id": 0, "head_dim": 32}
    vision: dict[str, Any] = {"model_type": "siglip_vision_model", "hidden_size": 32, "num_hidden_layers": 2}
    vision |= {"num_attention_heads": 2, "intermediate_size": 64, "image_size": 28, "patch_size": 7}
    vision |= {"vision_use_head": False, "projection_dim": 64}
    config = PaliGemmaConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        projection_dim=64,
    )
    return PaliGemmaForConditionalGeneration(config), processor


PALIGEMMA_CHAT = (
    "{% for m in messages %}{% for p in m.content if p.type == 'image' %}<image>{% endfor %}{% endfor %}"
    "<bos>{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %} {% endfor %}{{ '\n' }}"
)
TILES = ("<fake_token_around_image>", "<global-img>", *(f"<row_{i}_col_{j}>" for i in (1, 2) for j in (1, 2)))
OTHERS: Mapping[str, tuple[Callable[[Any], tuple[Any, Any]], tuple[str, ...], str, dict[str, str]]] = {
    "internvl": (
        internvl,
        ("<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
        CHAT.replace("IMAGE", "<IMG_CONTEXT>").replace("VIDEO", "<video>"),
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    ),
    "llava-onevision": (
        llava_onevision,
        ("<image>", "<video>"),
        CHAT.replace("IMAGE", "<image>").replace("VIDEO", "<video>"),
        {},
    ),
    "idefics3": (idefics3, ("<image>", "<end_of_utterance>", *TILES), CHAT.replace("IMAGE", "<image>"), {}),
    "paligemma": (
        paligemma,
        ("<image>", "<bos>"),
        PALIGEMMA_CHAT,
        {"bos_token": "<bos>"},
    ),
}
"""Name -> maker, special tokens, chat template, and names that the tokenizer keeps."""

MAKERS: Mapping[str, Callable[[Any], tuple[Any, Any]]] = {
    "qwen2-vl": qwen2_vl,
    "qwen2.5-vl": qwen2_5_vl,
    "qwen3-vl": qwen3_vl,
}


def save(
    folder: Path, kind: str, head: Mapping[str, Any], *, file: str | None = None, seed: int = 0
) -> tuple[Any, Any]:
    """A checkpoint of a backbone with a head's tensors, in one file with the backbone's or in `file`.

    Returns:
        The library's model and processor.
    """
    from safetensors.torch import load_file, save_file

    if kind in MAKERS:
        model, processor = MAKERS[kind](tokenizer((*MARKS, *QWEN, *READ), QWEN_CHAT))
    else:
        make, marks, template, names = OTHERS[kind]
        model, processor = make(tokenizer((*MARKS, *marks, *READ), template, **names))
    louder(model, seed)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    tensors = {name: value.contiguous() for name, value in head.items()}
    if file is not None:
        save_file(tensors, folder / file)
    else:
        save_file({**load_file(folder / "model.safetensors"), **tensors}, folder / "model.safetensors")
    return model, processor


def linear_head(width: int = 64, outputs: int = 1, seed: int = 5) -> Any:
    return torch.randn(outputs, width, generator=torch.Generator().manual_seed(seed)) / width**0.5


def picture(path: Path, seed: int, size: tuple[int, int] = (60, 60)) -> Path:
    """A smooth random image."""
    small = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def animation(path: Path, seed: int = 0, count: int = 8, duration: int = 500, size: tuple[int, int] = (60, 60)) -> Path:
    """A GIF of smooth random frames, each shown for `duration` milliseconds."""
    frames = []
    for index in range(count):
        small = np.random.default_rng([seed, index]).integers(0, 255, (4, 4, 3), dtype=np.uint8)
        frames.append(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=duration)
    return path


def part(what: str | Path) -> Part:
    """A text, or the medium in a file."""
    if isinstance(what, str):
        return Part(text=what)
    return Part("video" if what.suffix in (".gif", ".mp4") else "image", name=what.name, path=str(what))


def request(prompt: Sequence[str | Path], *answer: str | Path) -> Request:
    messages = (
        Message("user", tuple(map(part, prompt))),
        Message("assistant", tuple(map(part, answer))),
    )
    return Request(messages, 1)


def example(id_: str, prompt: Sequence[str | Path], *answers: Sequence[str | Path]) -> Example:
    candidates = tuple(Candidate((Message("assistant", tuple(map(part, answer))),)) for answer in answers)
    return Example(id_, (Message("user", tuple(map(part, prompt))),), candidates, Gold())


def batch(rows: Sequence[Encoded], side: str = "right", pad: int = 0) -> Batch:
    """Rows padded on a side."""
    width = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), width), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        place = slice(0, len(row.ids)) if side == "right" else slice(width - len(row.ids), width)
        ids[index, place], mask[index, place] = row.ids, 1
    last = np.array([len(row.ids) - 1 if side == "right" else width - 1 for row in rows])
    return Batch(tuple(rows), ids, mask, last)


def score(scorer: Any, rows: Sequence[Encoded], side: str = "right") -> list[float]:
    assert not [row.error for row in rows if row.error]
    return [float(value) for value in scorer.forward(batch(rows, side))["reward"][:, 0]]


@pytest.fixture(scope="session")
def vl() -> SimpleNamespace:
    """The builders of this file."""
    return SimpleNamespace(
        READ=READ,
        animation=animation,
        batch=batch,
        example=example,
        linear_head=linear_head,
        picture=picture,
        request=request,
        save=save,
        score=score,
    )


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Three images of different shapes and a clip; tests only read them."""
    folder = tmp_path_factory.mktemp("shown")
    sizes = {"square": (60, 60), "wide": (150, 60), "tall": (60, 90)}
    images = {name: picture(folder / f"{name}.png", seed, size) for seed, (name, size) in enumerate(sizes.items())}
    return SimpleNamespace(**images, clip=animation(folder / "clip.gif"))


@pytest.fixture(scope="session", params=list(OTHERS))
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The same as `scored` of backbones without axes of positions."""
    folder = tmp_path_factory.mktemp("other") / str(request.param)
    head = linear_head()
    model, processor = save(folder, request.param, {"score.weight": head})
    return SimpleNamespace(folder=folder, kind=request.param, model=model, processor=processor, head=head)


@pytest.fixture(scope="session", params=list(MAKERS))
def scored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A folder of each backbone with a linear score, and the library's model, processor and the head."""
    folder = tmp_path_factory.mktemp("vl") / str(request.param)
    head = linear_head()
    model, processor = save(folder, request.param, {"score.weight": head})
    return SimpleNamespace(folder=folder, kind=request.param, model=model, processor=processor, head=head)


@pytest.fixture
def packed_tokens(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of tokens that language models are given from here on, in packed lines."""
    found: list[int] = []

    def counted(model: Any, layout: Any, *given: Any) -> Any:
        found.append(len(layout.ids))
        return lean_layers(model, layout, *given)

    monkeypatch.setattr("rmbench.models.families.vl.packed.lean_layers", counted)
    return found

"""Tiny random pipelines of each architecture, saved as diffusers saves them, and images to show them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rmbench.models.families.diffusion.library import diffusers
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.types import Candidate, Edge, Example, Gold, Message, Part

if find_spec("diffusers") is None:  # the extra diffusion
    collect_ignore_glob = ["test_*.py"]

SIDE = 32
WORDS = "a an red blue cat dog house on the hill of painting photo night in rain".split()
UNET = {
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (16, 32),
    "norm_num_groups": 8,
    "attention_head_dim": 8,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
PARTS: dict[str, list[str]] = {
    "sd15": ["clip"],
    "sd-v": ["clip"],
    "sdxl": ["clip", "clip-projection"],
    "sd3": ["clip-projection", "clip-projection", "t5"],
    "flux": ["clip", "t5"],
    "pixart": ["t5"],
}
PIPELINES = {
    "sd15": "StableDiffusionPipeline",
    "sd-v": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "sd3": "StableDiffusion3Pipeline",
    "flux": "FluxPipeline",
    "pixart": "PixArtAlphaPipeline",
}


def _tokenizer(folder: Path, most: int) -> None:
    """A tokenizer of words; as CLIP's and T5's it closes a text and pads to the length that is asked for."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    saved = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=most
    )
    saved.save_pretrained(folder)


def _text_encoder(kind: str) -> Any:
    import transformers

    if kind == "t5":
        sizes = {"d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 64}
        return transformers.T5EncoderModel(transformers.T5Config(**sizes))
    config = transformers.CLIPTextConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=64,
        max_position_embeddings=16,
        projection_dim=16,
        eos_token_id=1,
        bos_token_id=1,
        pad_token_id=0,
        initializer_range=0.5,
    )
    return (transformers.CLIPTextModelWithProjection if "proj" in kind else transformers.CLIPTextModel)(config)


def _denoiser(kind: str) -> Any:
    library = diffusers()
    if kind in ("sd15", "sd-v"):
        return library.UNet2DConditionModel(**UNET, cross_attention_dim=16)
    if kind == "sdxl":
        return library.UNet2DConditionModel(
            **UNET,
            cross_attention_dim=32,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 16,
        )
    if kind == "sd3":
        return library.SD3Transformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            caption_projection_dim=16,
            pooled_projection_dim=32,
            pos_embed_max_size=16,
        )
    if kind == "flux":
        return library.FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=16,
            guidance_embeds=True,
            axes_dims_rope=(2, 4, 2),
        )
    return library.PixArtTransformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=3,
        cross_attention_dim=24,
        caption_channels=32,
        use_additional_conditions=True,
    )


def _loud(model: Any) -> Any:
    """Layers that start at zero, as the last ones do, get weights, so that everything that goes in shows."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and not parameter.any():
                parameter.normal_(std=0.2)
    return model.eval()


def save_denoiser(folder: Path, kind: str, seed: int) -> Any:
    """The folder of a denoiser alone."""
    torch.manual_seed(seed)
    model = _loud(_denoiser(kind))
    model.save_pretrained(folder)
    return model


def save_pipeline(folder: Path, kind: str, seed: int = 0) -> Path:
    """A pipeline's folder; those of one kind share everything but the denoiser, which `seed` makes."""
    library = diffusers()
    torch.manual_seed(100)
    vae = library.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        latent_channels=4,
        sample_size=SIDE,
        scaling_factor=0.3,
        shift_factor=0.1 if kind in ("sd3", "flux") else None,
    )
    vae.eval().save_pretrained(folder / "vae")
    for number, part in enumerate(PARTS[kind]):
        suffix = f"_{number + 1}" if number else ""
        _text_encoder(part).eval().save_pretrained(folder / f"text_encoder{suffix}")
        _tokenizer(folder / f"tokenizer{suffix}", 32 if part == "t5" else 16)
    if kind in ("sd3", "flux"):
        scheduler = library.FlowMatchEulerDiscreteScheduler(shift=3.0)
    else:
        target = "v_prediction" if kind == "sd-v" else "epsilon"
        scheduler = library.PNDMScheduler(**NOISE, prediction_type=target, skip_prk_steps=True, steps_offset=1)
    scheduler.save_pretrained(folder / "scheduler")
    save_denoiser(folder / ("unet" if kind.startswith("sd") and kind != "sd3" else "transformer"), kind, seed)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": PIPELINES[kind]}))
    return folder


def picture(path: Path, seed: int, size: tuple[int, int] = (48, 40)) -> Path:
    small = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def pair(id_: str, prompt: str, *paths: Path) -> Example:
    shown = tuple(
        Candidate((Message("assistant", (Part("image", name=path.name, path=str(path)),)),)) for path in paths
    )
    return Example(id_, (Message.of("user", prompt),), shown, Gold((Edge(0, 1),)))


def opened(policy: Path, reference: Path | None = None, **args: Any) -> Any:
    """A diffusion model; keywords are model arguments."""
    given = {"resolution": SIDE, "draws": 6, "batch": 3} | args
    return open_model(
        str(policy),
        OpenOptions(
            ref_model=None if reference is None else str(reference),
            device="cpu",
            model_args={key: str(value) for key, value in given.items()},
        ),
    )


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """A policy and its reference of a kind, which tests only read."""
    made: dict[str, tuple[Path, Path]] = {}

    def of(kind: str) -> tuple[Path, Path]:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            made[kind] = (save_pipeline(folder / "own", kind, 0), save_pipeline(folder / "ref", kind, 1))
        return made[kind]

    return of


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    sizes = [(48, 40), (32, 32), (33, 70), (90, 41)]
    return [picture(folder / f"{index}.png", index, size) for index, size in enumerate(sizes)]


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """The builders of this file."""

    def copied(folder: Path, to: Path) -> Path:
        """The same model in other files: the digest differs."""
        shutil.copytree(folder, to)
        for name in ("unet", "transformer"):
            if (to / name).is_dir():
                (to / name / "note.txt").write_text("the same")
        return to

    return SimpleNamespace(
        SIDE=SIDE,
        copied=copied,
        opened=opened,
        pair=pair,
        picture=picture,
        save_denoiser=save_denoiser,
        save_pipeline=save_pipeline,
    )

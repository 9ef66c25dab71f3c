"""A pipeline's VAE and text encoders: images into latents and prompts into states, each computed once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.library import explained
from rmbench.models.checkpoint.placement import Placement
from rmbench.models.families.diffusion.denoisers import TextState
from rmbench.models.families.diffusion.library import diffusers, silent
from rmbench.models.families.diffusion.parts import load_text_encoder, load_tokenizer, load_vae
from rmbench.models.options import OpenOptions

__all__ = ["Encoders", "Kept", "Prompt", "load_encoders", "part_names"]

Kind = TypeVar("Kind")

_KEPT_BYTES = 2**29
"""Of latents, and as many of text states."""
_TEXT_LENGTHS = {"sd3": 256, "flux": 512, "pixart": 120, "pixart-sigma": 300}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the text encoders make of a prompt."""

    state: TextState
    tokens: int
    """Tokens of the longest reading, special ones included."""
    cut: bool
    """Whether an encoder was given less than all of them."""


@dataclass
class Kept:
    """What was computed already, by content: the most recent within a number of bytes."""

    most: int = _KEPT_BYTES
    computed: int = 0
    """How often something was computed."""
    _held: OrderedDict[Hashable, tuple[Any, int]] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def get(self, key: Hashable, make: Callable[[], Kind], size: Callable[[Kind], int]) -> Kind:
        """What is held under the key, else what `make` gives."""
        if key in self._held:
            self._held.move_to_end(key)
            found: Kind = self._held[key][0]
            return found
        made = make()
        self.computed += 1
        self._held[key] = (made, size(made))
        self._bytes += self._held[key][1]
        while self._bytes > self.most and len(self._held) > 1:
            self._bytes -= self._held.popitem(last=False)[1][1]
        return made


@dataclass(frozen=True)
class Encoders:
    """The VAE in float32, and a pipeline of diffusers that encodes prompts."""

    pipeline: Any
    layout: str
    device: torch.device
    text_length: int | None
    """Tokens of T5; None where there is none."""

    @property
    def scale(self) -> int:
        """Pixels of an image to a place of its latents, along a side."""
        return 1 << (len(self.pipeline.vae.config.block_out_channels) - 1)

    def latent(self, pixels: Tensor, posterior: Literal["mode", "sample"], seed: str) -> Tensor:
        """The latents [C, h, w] of an image [3, S, S] in [-1, 1], shifted and scaled as the denoiser reads them.

        Args:
            pixels: float32.
            posterior: the mean, or a sample.
            seed: what the sample's noise depends on.
        """
        vae = self.pipeline.vae
        with torch.inference_mode():
            found = vae.encode(pixels[None].to(self.device)).latent_dist
            if posterior == "mode":
                latent: Tensor = found.mode()[0]
            else:
                number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big") >> 1
                noise = torch.randn(found.mean.shape[1:], generator=torch.Generator().manual_seed(number))
                latent = found.mean[0] + found.std[0] * noise.to(self.device)
        return (latent - float(vae.config.get("shift_factor") or 0.0)) * float(vae.config.scaling_factor)

    def prompt(self, text: str) -> Prompt:
        """The states of a prompt, by the pipeline's own `encode_prompt`."""
        counts = [
            (len(tokenizer(text, verbose=False).input_ids), self._most(name, tokenizer))
            for name, tokenizer in self.pipeline.components.items()
            if name.startswith("tokenizer") and tokenizer is not None
        ]
        with torch.inference_mode(), silent():
            state = self._encoded(text)
        return Prompt(state, max(count for count, _ in counts), any(count > most for count, most in counts))

    def _most(self, name: str, tokenizer: Any) -> int:
        encoder = getattr(self.pipeline, name.replace("tokenizer", "text_encoder"))
        t5 = encoder is not None and type(encoder).__name__.startswith("T5")
        return int(self.text_length if t5 and self.text_length else tokenizer.model_max_length)

    def _encoded(self, text: str) -> Mapping[str, Tensor]:
        encode, device, length = self.pipeline.encode_prompt, self.device, {"max_sequence_length": self.text_length}
        if self.layout == "flux":
            states, pooled, ids = encode(text, device=device, **length)
            return {"states": states, "pooled": pooled, "ids": ids}
        if self.layout == "pixart":
            states, mask, *_ = encode(text, False, device=device, **length)
            return {"states": states, "mask": mask}
        if self.layout == "sd3":
            states, _, pooled, _ = encode(text, None, None, device=device, do_classifier_free_guidance=False, **length)
            return {"states": states, "pooled": pooled}
        if len(part_names(self.pipeline.components)) > 2:
            states, _, pooled, _ = encode(text, device=device, do_classifier_free_guidance=False)
            return {"states": states, "pooled": pooled}
        return {"states": encode(text, device, 1, False)[0]}


def part_names(folder: Path | Mapping[str, Any]) -> list[str]:
    """The VAE and the text encoders of a pipeline's folder, or of its parts by name."""
    names = ("vae", "text_encoder", "text_encoder_2", "text_encoder_3")
    if isinstance(folder, Path):
        return [name for name in names if (folder / name / "config.json").is_file()]
    return [name for name in names if folder.get(name) is not None]


def load_encoders(
    folder: Path, layout: str, placement: Placement, options: OpenOptions, text_length: int | None
) -> Encoders:
    """The VAE and text encoders of a pipeline's folder.

    Args:
        folder: with `vae`, `text_encoder`, `tokenizer` ... as diffusers saves them.
        layout: of the denoiser.
        placement: of the text encoders.
        options: the user's.
        text_length: tokens of T5; None: the pipeline's own.

    Raises:
        RmbenchError: a part is missing, of an unknown class, or lacks a tensor.
    """
    made, needed, optional = _pipeline(folder, layout)
    lacking = [name for name in needed if not (folder / name).is_dir()]
    if lacking:
        raise RmbenchError(f"{folder} lacks {', '.join(lacking)}, parts that {made} needs.")
    parts: dict[str, Any] = {"vae": load_vae(folder, placement.device, options)}
    for name in (*needed, *optional):
        if name.startswith("text_encoder"):
            parts[name] = load_text_encoder(folder / name, placement, options) if (folder / name).is_dir() else None
        elif name.startswith("tokenizer"):
            parts[name] = load_tokenizer(folder / name) if (folder / name).is_dir() else None
    denoiser = "unet" if layout == "unet" else "transformer"
    more = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    with silent(), explained(folder):
        pipeline = getattr(diffusers(), made)(
            **parts, **{denoiser: None}, scheduler=None, **(more if made == "StableDiffusionPipeline" else {})
        )
    sigma = "-sigma" if made == "PixArtSigmaPipeline" else ""
    return Encoders(pipeline, layout, placement.device, text_length or _TEXT_LENGTHS.get(layout + sigma))


def _pipeline(folder: Path, layout: str) -> tuple[str, list[str], list[str]]:
    """Diffusers' class for a pipeline's folder, the parts it needs, and those that it may have."""
    both = ["vae", "text_encoder", "tokenizer"]
    second, third = ["text_encoder_2", "tokenizer_2"], ["text_encoder_3", "tokenizer_3"]
    if layout == "sd3":
        return "StableDiffusion3Pipeline", both + second, third
    if layout == "flux":
        return "FluxPipeline", both + second, []
    if layout == "pixart":
        return ("PixArtSigmaPipeline" if _named(folder).startswith("PixArtSigma") else "PixArtAlphaPipeline"), both, []
    if (folder / "text_encoder_2").is_dir():
        return "StableDiffusionXLPipeline", both + second, []
    return "StableDiffusionPipeline", both, []


def _named(folder: Path) -> str:
    """The class that model_index.json names."""
    from rmbench.models.checkpoint.read import read_json

    file = folder / "model_index.json"
    return str(read_json(file).get("_class_name", "")) if file.is_file() else ""

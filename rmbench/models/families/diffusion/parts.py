"""The parts of a pipeline's folder: where they lie, what pins them, and each loaded with no tensor missing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.denoiser_lora import DenoiserLora
from rmbench.models.checkpoint.library import explained
from rmbench.models.checkpoint.limits import check_parameters
from rmbench.models.checkpoint.placement import Placement
from rmbench.models.checkpoint.read import Checkpoint, digest_files, read_checkpoint
from rmbench.models.checkpoint.unused import accepted_unused, refuse_unscaled
from rmbench.models.checkpoint.weight_files import weight_files
from rmbench.models.families.diffusion.library import diffusers, silent
from rmbench.models.options import OpenOptions

__all__ = ["digest_parts", "load_denoiser", "load_text_encoder", "load_tokenizer", "load_vae", "same_weights"]

_TEXT = ("CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel")


def load_denoiser(checkpoint: Checkpoint, placement: Placement, options: OpenOptions) -> Any:
    """A denoiser in eval mode on its device, with what a LoRA changes of it.

    Raises:
        RmbenchError: a tensor is missing, foreign or of another shape.
    """
    model = _of_diffusers(checkpoint, str(checkpoint.config["_class_name"]), placement, options)
    if isinstance(checkpoint.source, DenoiserLora):
        with explained(checkpoint.source.file):
            changed = checkpoint.source.changed(model.dtype)
            foreign = model.load_state_dict(changed, strict=False).unexpected_keys
        if foreign:
            raise RmbenchError(f"{checkpoint.folder}: {type(model).__name__} has no {foreign[0]}.")
    return model


def load_vae(folder: Path, device: torch.device, options: OpenOptions) -> Any:
    """A pipeline's VAE in float32, in which its latents do not depend on the device's lower precision; raises as
    `load_denoiser`."""
    checkpoint = read_checkpoint(folder / "vae")
    named = checkpoint.config.get("_class_name")
    if named != "AutoencoderKL":
        raise RmbenchError(f"{folder / 'vae'}: the VAE is {named}, and only AutoencoderKL is known here.")
    return _of_diffusers(checkpoint, named, Placement(device, torch.float32, None), options)


def load_text_encoder(folder: Path, placement: Placement, options: OpenOptions) -> Any:
    """A text encoder of transformers' CLIP or T5; raises as `load_denoiser`."""
    import transformers

    checkpoint = read_checkpoint(folder)
    named = checkpoint.architectures[0] if len(checkpoint.architectures) == 1 else ""
    if named not in _TEXT:
        raise RmbenchError(f"{folder}: config.json names {named or 'no class'}, expected one of {', '.join(_TEXT)}.")
    refuse_unscaled(checkpoint, scaled=False)
    make = getattr(transformers, named)
    with silent(), explained(folder):
        config = make.config_class.from_pretrained(folder, local_files_only=True)
        check_parameters(make, deepcopy(config), checkpoint.size, folder, packed=False)
        model, report = make.from_pretrained(
            folder,
            config=config,
            dtype=placement.dtype,
            use_safetensors=checkpoint.safe,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # so that the report names them
            output_loading_info=True,
        )
    _check_report(report, checkpoint, model, options)
    return placement.move(model, str(folder)).eval()


def load_tokenizer(folder: Path) -> Any:
    """A pipeline's tokenizer."""
    from transformers import AutoTokenizer

    with silent(), explained(f"the tokenizer of {folder}"):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def digest_parts(folder: Path, names: Sequence[str]) -> str:
    """sha256 over the files of a pipeline's parts."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name} {digest_files(folder / name)}\n".encode())
    return digest.hexdigest()


def same_weights(one: Path, other: Path, names: Sequence[str]) -> str:
    """The first of these parts whose weights differ between two pipelines, or "". Files that a later version of the
    library saved otherwise hold the same tensors in the same bytes; configurations name the version."""
    for name in names:
        if not (other / name).is_dir() or _hashes(one / name) != _hashes(other / name):
            return name
    return ""


def _hashes(folder: Path) -> list[str]:
    found = []
    for file in weight_files(folder):
        with file.open("rb") as stream:
            found.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return found


def _of_diffusers(checkpoint: Checkpoint, named: str, placement: Placement, options: OpenOptions) -> Any:
    refuse_unscaled(checkpoint, scaled=False)
    make = getattr(diffusers(), named)
    with silent(), explained(checkpoint.folder):
        check_parameters(
            make.from_config, deepcopy(dict(checkpoint.config)), checkpoint.size, checkpoint.folder, packed=False
        )
        model, report = make.from_pretrained(
            checkpoint.folder,
            torch_dtype=placement.dtype,
            use_safetensors=checkpoint.safe,
            local_files_only=True,
            low_cpu_mem_usage=find_spec("accelerate") is not None,
            output_loading_info=True,
        )
    _check_report(report, checkpoint, model, options)
    return placement.move(model, str(checkpoint.folder)).eval()


def _check_report(report: Mapping[str, Any], checkpoint: Checkpoint, model: Any, options: OpenOptions) -> None:
    """Raise RmbenchError for tensors that are missing, of another shape, or of no known use."""
    lacking = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if lacking:
        raise RmbenchError(
            f"{checkpoint.folder}: {len(lacking)} tensors that {type(model).__name__} needs are missing or have "
            f"another shape, and loading would fill them with random numbers: {', '.join(lacking[:5])}."
        )
    own = (type(model).__name__, model.state_dict().keys())
    accepted_unused(report["unexpected_keys"], checkpoint, own, language=False, ignore=options.ignore_tensors)

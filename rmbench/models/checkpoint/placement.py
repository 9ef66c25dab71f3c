"""Where a checkpoint's weights go, in which precision, and how its attention is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from rmbench.errors import RmbenchError
from rmbench.models.backbone.rope import rope_by_length
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.options import OpenOptions, dtype_spelled

__all__ = ["Placement", "dtype_name", "place", "spread_over", "torch_dtype"]

_SPREAD_SHARE = 0.85
"""Of a GPU's free memory for the weights of a model that is spread over several; the rest is for what a batch takes."""
_EAGER_ONLY = frozenset({"gemma2"})
"""Soft-capped attention, which the fused kernels leave out."""

_SAFETENSORS_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float32"}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a model computes, resolved."""

    device: torch.device
    dtype: torch.dtype
    attention: str | None
    """None: what the library takes for this class."""

    def facts(self, model: Any = None) -> dict[str, str | None]:
        """How numbers are computed, for the record; of a transformers model its attention as well."""
        device = self.device.type
        if device == "cuda":
            device = f"{device} ({torch.cuda.get_device_name(self.device)})"
        facts: dict[str, str | None] = {"dtype": dtype_name(self.dtype), "device": device}
        if model is None:
            return facts
        rope = rope_by_length(model)
        return facts | {"attention": model.config._attn_implementation} | ({"rope": rope} if rope else {})

    def move(self, model: Any, where: str) -> Any:
        """The model on the device; raises RmbenchError where it does not fit."""
        try:
            return model.to(self.device)
        except RuntimeError as error:
            raise RmbenchError(f"{where} does not fit on {self.device}: {error}") from error


def place(opening: Opening) -> Placement:
    """Resolve device, dtype and attention: the user's options, then the card, then the checkpoint.

    Raises:
        RmbenchError: the device is not there, or the dtype has no such name.
    """
    checkpoint, options, card = opening.checkpoint, opening.options, opening.card
    device = _device(options.device)
    wanted = options.dtype
    if wanted == "auto":
        wanted = "float32" if device.type == "cpu" else card.dtype
    if wanted == "auto":
        wanted = _own_dtype(checkpoint)
    attn: str | None = options.attn if options.attn != "auto" else card.attention
    if attn == "auto":
        attn = "eager" if checkpoint.config.get("model_type") in _EAGER_ONLY else None
    return Placement(device, torch_dtype(wanted), attn)


def torch_dtype(name: str) -> torch.dtype:
    """The floating dtype called `name`; raises RmbenchError for any other name."""
    found = getattr(torch, dtype_spelled(name), None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise RmbenchError(f"dtype {name!r} is unknown: expected auto, float32, bfloat16 or float16.")
    return found


def dtype_name(dtype: torch.dtype) -> str:
    """The dtype as in options and records: "float32"."""
    return str(dtype).removeprefix("torch.")


def spread_over(placement: Placement, options: OpenOptions) -> dict[str, Any]:
    """The library's arguments for a model that is spread over several GPUs, layer after layer; {} for one device.

    Raises:
        RmbenchError: there are too few GPUs, or accelerate is not installed.
    """
    wanted = options.gpus_per_worker or 1
    if options.gpus_per_worker and placement.device.type != "cuda":
        raise RmbenchError(f"--gpus-per-worker {wanted}: the model is on the device {placement.device}, not on a GPU.")
    if wanted == 1:
        return {}
    present = torch.cuda.device_count()
    if wanted > present:
        raise RmbenchError(f"--gpus-per-worker {wanted}: there are {present} GPUs.")
    if find_spec("accelerate") is None:
        raise RmbenchError(f"--gpus-per-worker {wanted} needs accelerate: pip install accelerate")
    room = {number: int(_SPREAD_SHARE * torch.cuda.mem_get_info(number)[0]) for number in range(wanted)}
    return {"device_map": "auto", "max_memory": room}


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RmbenchError(f"--device {name!r} is unknown: expected auto, cpu, cuda or cuda:N.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RmbenchError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices.")
    return device


def _own_dtype(checkpoint: Checkpoint) -> str:
    """The checkpoint's dtype: as config.json says, else that of its largest tensor."""
    config = checkpoint.config
    named = config.get("dtype") or config.get("torch_dtype")
    if isinstance(named, str) and named != "auto":
        return named
    stored = max(checkpoint.tensors.values(), key=lambda tensor: math.prod(tensor.shape)).dtype
    return _SAFETENSORS_DTYPES.get(stored, stored)

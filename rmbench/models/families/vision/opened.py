"""What opening a vision model of either family needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.loading import Placement
from rmbench.models.checkpoint.opening import Opening
from rmbench.models.checkpoint.read import Checkpoint

__all__ = ["placed", "placement_settings", "refuse_text_options", "weights_name"]


def refuse_text_options(opening: Opening) -> None:
    """Raise RmbenchError for an option that would be left without effect."""
    options = opening.options
    given = {"--template": options.template, "--max-length": options.max_length, "--ref-model": options.ref_model}
    for name, value in given.items():
        if value is not None:
            raise RmbenchError(f"{name} {value}: a {opening.family.name} model has no use for it.")


def weights_name(checkpoint: Checkpoint) -> str:
    """The weights' files, for the record: a repository may hold several checkpoints."""
    return ", ".join(sorted({tensor.file for tensor in checkpoint.tensors.values()}))


def placed(model: Any, placement: Placement, where: str) -> Any:
    """The model on its device; raises RmbenchError where it does not fit."""
    try:
        return model.to(placement.device)
    except RuntimeError as error:
        raise RmbenchError(f"{where} does not fit on {placement.device}: {error}") from error


def placement_settings(placement: Placement) -> Mapping[str, str]:
    """How numbers are computed, for the record."""
    device = placement.device.type
    if device == "cuda":
        device = f"{device} ({torch.cuda.get_device_name(placement.device)})"
    return {"dtype": str(placement.dtype).removeprefix("torch."), "device": device}

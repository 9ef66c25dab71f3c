"""Processes that each hold a part of every layer's weights and compute together: ranks of torch.distributed."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError

if TYPE_CHECKING:
    import torch

__all__ = ["RANK", "RANKS", "STORE", "check_split", "has_joined", "is_rank", "join_ranks"]

RANK, RANKS, STORE = "RMBENCH_RANK", "RMBENCH_RANKS", "RMBENCH_RANKS_STORE"
"""Variables of the environment: this process's number, from 0; how many there are; and a file, not there at first, by
which they find each other. A launcher's own RANK and WORLD_SIZE mean other things, as in a job of Slurm."""


def is_rank() -> bool:
    """Whether this process is one of several that compute the same rows together."""
    return RANK in os.environ


def has_joined() -> bool:
    """Whether this rank has found the others, which it does where it loads a model of which it holds a part."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.distributed.is_initialized()


def join_ranks(device: torch.device, config: Any) -> dict[str, Any]:
    """Join the others, once, and return the library's arguments for a model of which each rank holds a part.

    Source: transformers 5, `DistributedConfig`, whose plan for an architecture says which weights are split and how.

    Args:
        device: "cuda", of which each rank takes the GPU of its number, or "cpu".
        config: of the model.

    Raises:
        RmbenchError: the model's heads cannot be shared out evenly; transformers is too old (5.23 was tried), or
            accelerate is not installed.
    """
    import torch  # not where the engine asks whether this is a rank

    ranks, rank = int(os.environ[RANKS]), int(os.environ[RANK])
    text = config.get_text_config()
    for name, what in (("num_key_value_heads", "key"), ("num_attention_heads", "attention")):
        heads = getattr(text, name, None)
        if isinstance(heads, int) and heads % ranks:
            raise RmbenchError(f"--tensor-parallel {ranks} does not divide the model's {heads} {what} heads.")
    try:
        from transformers.distributed import DistributedConfig

        distributed = DistributedConfig(tp_size=ranks)
    except (ImportError, TypeError):
        raise RmbenchError("--tensor-parallel needs a newer transformers: pip install -U transformers") from None
    if find_spec("accelerate") is None:
        raise RmbenchError("--tensor-parallel needs accelerate: pip install accelerate")
    if not torch.distributed.is_initialized():
        os.environ["LOCAL_RANK"] = str(rank)  # the library binds the GPU of this number
        if device.type == "cuda":
            torch.cuda.set_device(rank)
        torch.distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=f"file://{os.environ[STORE]}",
            rank=rank,
            world_size=ranks,
        )
    return {"distributed_config": distributed}


def check_split(model: Any) -> None:
    """Raise RmbenchError where no weight of a loaded model is split, so that every rank would hold all of it."""
    from torch.distributed.tensor import DTensor

    if not any(isinstance(each, DTensor) for each in model.parameters()):
        raise RmbenchError(f"--tensor-parallel: transformers has no plan by which {type(model).__name__} is split.")

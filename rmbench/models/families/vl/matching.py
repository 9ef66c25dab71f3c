"""Whether a checkpoint has a vision-language layout: its tensors and its files."""

from __future__ import annotations

from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.scalar.heads.schema import NetworkSpec
from rmbench.models.families.vl.schema import Layout

__all__ = ["BACKBONES", "first_weight", "lacking"]

BACKBONES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl", "llava_onevision", "idefics3", "paligemma")
"""`model_type` of the backbones whose batches were held against single rows."""


def lacking(layout: Layout, checkpoint: Checkpoint) -> list[str]:
    """The tensors or files of a layout that the checkpoint has not."""
    needed = [*map(first_weight, layout.networks), *([f"{layout.film.capability}.proj.weight"] if layout.film else [])]
    files = [spec.file for spec in layout.networks if spec.file]
    inside = [name for name, spec in zip(needed, layout.networks, strict=False) if not spec.file]
    return [name for name in inside if name not in checkpoint.tensors] + [
        file for file in files if checkpoint.beside(file) is None
    ]


def first_weight(spec: NetworkSpec) -> str:
    """The name of a network's first weight."""
    return spec.name.replace("{}", spec.layers[0] if spec.layers else "0") + ".weight"

"""LoRA pairs that one file holds beside the weights that they change, as the state dict of a wrapped model does: merged
into plain weights, W + scale B A."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.headers import Tensor
from rmbench.models.checkpoint.read import Checkpoint, digest_files, read_json
from rmbench.models.checkpoint.state_dict import checkpoint_state
from rmbench.models.options import OpenOptions
from rmbench.types import Setting

__all__ = ["LoraInside", "merged_inside"]

_PAIR = re.compile(r"(.+)\.lora_(A|B)\.default\.weight")
_BASE = re.compile(r"(.+)\.base_layer\.(weight|bias)")
_SAVED = re.compile(r"(.+)\.modules_to_save\.default\.(.+)")
_DROPPED = re.compile(r".+\.original_module\..+")
_ALSO = re.compile(r".*(lora_|base_layer|modules_to_save|original_module)")
_CONFIG = "model_config.json"
"""What KlingTeam/VideoAlign writes beside its checkpoints: its `peft_lora_config` holds rank and alpha."""


@dataclass(frozen=True)
class LoraInside:
    """A `Source` of merged tensors."""

    checkpoint: Checkpoint
    """As it lies on disk."""
    options: OpenOptions
    rank: int
    alpha: float
    root: bool
    """Whether the scale is alpha / sqrt(rank) (rsLoRA) in place of alpha / rank."""
    modules: tuple[str, ...]
    """Names of the modules that have a pair."""

    @property
    def scale(self) -> float:
        """What B A is multiplied with."""
        return self.alpha / (math.sqrt(self.rank) if self.root else self.rank)

    @property
    def why(self) -> str:
        """One line on what is made of what."""
        return f"{len(self.modules)} LoRA pairs of rank {self.rank} are merged into the weights beside them"

    @property
    def settings(self) -> Mapping[str, Setting]:
        """For the record."""
        return {
            "lora_inside": len(self.modules),
            "lora_rank": self.rank,
            "lora_alpha": self.alpha,
            "lora_scale": self.scale,
        }

    @property
    def tokenizer(self) -> Path:
        """The checkpoint's own folder."""
        return self.checkpoint.folder

    def digest(self, commit: str | None) -> str:
        """Of the checkpoint's own files, which are all there is."""
        return commit or digest_files(self.checkpoint.folder)

    def makes(self, name: str) -> bool:
        """Whether it is a weight that a pair changes."""
        return name.endswith(".weight") and name.removesuffix(".weight") in self.modules

    def state(self, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """All tensors by their names without a wrapper, on the CPU. The change is computed and added in float32."""
        stored = checkpoint_state(self.checkpoint, self.options)
        state: dict[str, torch.Tensor] = {}
        for name, tensor in stored.items():
            plain = plain_name(name)
            if plain is not None:
                state[plain] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        for module in self.modules:
            down, up = (stored[f"{module}.lora_{side}.default.weight"].float() for side in "AB")
            base = stored[f"{module}.base_layer.weight"].float()
            state[f"{module}.weight"] = (base + self.scale * (up @ down)).to(dtype)
        return state


def plain_name(name: str) -> str | None:
    """A tensor's name without the wrapper; None: it is a part of a pair, or what a saved module stands in place of.

    >>> plain_name("q.base_layer.weight"), plain_name("q.lora_A.default.weight"), plain_name("q.weight")
    ('q.weight', None, 'q.weight')
    """
    if _PAIR.fullmatch(name) or _DROPPED.fullmatch(name):
        return None
    return _SAVED.sub(r"\1.\2", _BASE.sub(r"\1.\2", name))


def merged_inside(checkpoint: Checkpoint, options: OpenOptions, alpha: float | None) -> Checkpoint:
    """The checkpoint with its LoRA pairs merged, or as it is where it has none.

    Args:
        checkpoint: read already.
        options: as of opening.
        alpha: the scale's numerator, unless model_config.json beside the weights, or one folder above, says otherwise;
            None: the file has to.

    Raises:
        RmbenchError: a pair lacks its other half or its weight, has another shape, or is of another kind (embeddings,
            DoRA); pairs of several ranks; model_config.json says another rank; nothing says alpha.
    """
    pairs = [match for name in checkpoint.tensors if (match := _PAIR.fullmatch(name))]
    if not pairs or checkpoint.source is not None:
        return checkpoint
    where, tensors = str(checkpoint.folder), checkpoint.tensors
    modules = tuple(dict.fromkeys(match[1] for match in pairs))
    ranks = {_rank(tensors, module, where) for module in modules}
    if len(ranks) > 1:
        raise RmbenchError(
            f"{where}: its LoRA pairs have the ranks {', '.join(map(str, sorted(ranks)))}, expected one."
        )
    (rank,) = ranks
    told = _told(checkpoint.folder)
    if told.get("lora_r", rank) != rank:
        raise RmbenchError(f"{where}: {_CONFIG} says rank {told['lora_r']}, the LoRA pairs have {rank}.")
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        short = plain_name(name)
        if short is not None:
            plain[short] = tensor
    odd = next((name for name in plain if _ALSO.match(name)), None)
    if odd is not None:
        raise RmbenchError(f"{where}: {odd} belongs to an adapter of another kind than LoRA on linear layers.")
    said = told.get("lora_alpha", alpha)
    if not isinstance(said, int | float) or not 0 < said < math.inf:
        raise RmbenchError(
            f"{where}: {len(modules)} LoRA pairs lie beside the weights that they change, and nothing says their alpha:"
            f" put the {_CONFIG} of the training run there, or merge them first."
        )
    source = LoraInside(checkpoint, options, rank, float(said), bool(told.get("use_rslora", False)), modules)
    return replace(checkpoint, tensors=plain, source=source)


def _rank(tensors: Mapping[str, Tensor], module: str, where: str) -> int:
    names = [f"{module}.{part}" for part in ("lora_A.default.weight", "lora_B.default.weight", "base_layer.weight")]
    missing = [name for name in names if name not in tensors]
    if missing:
        raise RmbenchError(f"{where}: {module} has a part of a LoRA pair, and {missing[0]} is missing.")
    down, up, base = (tuple(tensors[name].shape) for name in names)
    if len(down) != 2 or len(up) != 2 or down[0] != up[1] or (up[0], down[1]) != base:
        raise RmbenchError(f"{where}: {module}: a pair of {list(up)} and {list(down)} does not change {list(base)}.")
    return int(down[0])


def _told(folder: Path) -> Mapping[str, object]:
    file = next((each for each in (folder / _CONFIG, folder.parent / _CONFIG) if each.is_file()), None)
    found = read_json(file).get("peft_lora_config") if file is not None else None
    return found if isinstance(found, dict) else {}

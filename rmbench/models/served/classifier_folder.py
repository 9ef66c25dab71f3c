"""A vision-language reward model's folder as vLLM wants it: its head as the score of a classifier of one label.

vLLM takes a vision-language class for a classifier (`--convert classify`) whose last token's state goes through one
linear layer without a bias. The layer is the language model's where vLLM makes that a classifier of its own, and the
whole model's in Qwen3-VL, whose language model it builds itself; under the other name it stops vLLM. Files are linked,
but for those that say otherwise: config.json, the index, and a file of weights that holds the head and more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import Checkpoint, read_json

__all__ = ["CLASSIFIED", "write_classifier"]

_HEADS = {
    "qwen2_vl": "language_model.score.weight",
    "qwen2_5_vl": "language_model.score.weight",
    "qwen3_vl": "score.weight",
}
"""`model_type` -> the name of the layer."""
CLASSIFIED = tuple(_HEADS)
"""Backbones whose scores by vLLM were held against those of this process."""
_FILE = "rmbench-head.safetensors"
_INDEX = "model.safetensors.index.json"


def write_classifier(checkpoint: Checkpoint, weight: torch.Tensor, head: str, folder: Path) -> None:
    """Write the folder.

    Args:
        checkpoint: the model's, in safetensors.
        weight: [1, H], of the head.
        head: how the names of the head's own tensors begin, which are left out.
        folder: an empty one.

    Raises:
        RmbenchError: the checkpoint is no plain folder of safetensors.
    """
    from safetensors.torch import load_file, save_file

    if not checkpoint.safe or checkpoint.source is not None or checkpoint.renamed:
        raise RmbenchError(
            f"{checkpoint.folder}: a server is given a folder of safetensors as the library writes it; run this model "
            "in this process: --model with the folder itself."
        )
    mapped = {name: tensor.file for name, tensor in checkpoint.tensors.items() if not name.startswith(f"{head}.")}
    mixed = {tensor.file for name, tensor in checkpoint.tensors.items() if name.startswith(f"{head}.")}
    for file in checkpoint.folder.iterdir():
        if file.name in mixed or file.name in ("config.json", _INDEX) or not file.is_file():
            continue
        if file.suffix != ".safetensors" or file.name in mapped.values():
            (folder / file.name).symlink_to(file.resolve())
    for name in mixed & set(mapped.values()):
        kept = {key: value for key, value in load_file(checkpoint.folder / name).items() if key in mapped}
        save_file(kept, folder / name, metadata={"format": "pt"})
    named = _HEADS[checkpoint.config["model_type"]]
    save_file({named: weight.contiguous()}, folder / _FILE, metadata={"format": "pt"})
    _write(folder / _INDEX, {"metadata": {}, "weight_map": {**mapped, named: _FILE}})
    labels = {"num_labels": 1, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    _write(folder / "config.json", {**read_json(checkpoint.folder / "config.json"), **labels})


def _write(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1), encoding="utf-8")

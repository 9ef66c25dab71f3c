"""LAION's aesthetic heads: a score of an image alone, from its CLIP embedding of length 1.

v1 is one linear layer (`weight`, `bias`); v2 is a stack of five (`layers.N.weight`), with ReLU between them in the
reluMSE file and nothing in the others. Sources: LAION-AI/aesthetic-predictor, christophschuhmann/improved-aesthetic-
predictor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.state_dict import load_state
from rmbench.models.families.vision.affine import Stack, read_stack
from rmbench.models.protocols import FloatArray

__all__ = ["AestheticHead", "load_head"]


@dataclass(frozen=True)
class AestheticHead:
    """A head and the file that it was read from."""

    stack: Stack
    file: str
    sha256: str

    def __call__(self, images: FloatArray) -> FloatArray:
        """[k] scores of embeddings [k, D] of length 1."""
        with torch.inference_mode():
            scores: FloatArray = self.stack(torch.from_numpy(images.copy()))[:, 0].numpy()
        return scores

    @property
    def settings(self) -> Mapping[str, str]:
        """For the record."""
        return {"head": self.file, "head_sha256": self.sha256, "head_shape": self.stack.shape}


def load_head(name: str, folder: Path, width: int) -> AestheticHead:
    """A head from a file, for embeddings of `width`.

    Args:
        name: its path, or the name of a file in the model's folder.
        folder: the model's.
        width: D.

    Raises:
        RmbenchError: no such file, tensors that are no head, or one made for another width.
    """
    places = [place for place in (Path(name), folder / Path(name).name) if place.is_file()]
    if not places:
        raise RmbenchError(f"head={name}: there is no such file, nor {Path(name).name} in {folder}.")
    file = places[0]
    stack = read_stack(load_state(file), str(file))
    if stack.width != width:
        raise RmbenchError(
            f"{file} reads embeddings of {stack.width} numbers, but the image tower gives {width}: a head belongs to "
            "one tower (ViT-L-14: 768, ViT-B-32 and ViT-B-16: 512)."
        )
    return AestheticHead(stack, file.name, hashlib.sha256(file.read_bytes()).hexdigest())

"""Tiny general preference models in upstream's layout: a causal checkpoint with extra heads."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

SaveGpm = Callable[..., Path]
H = 32


def head_tensors(name: str, width: int, inner: tuple[int, ...], seed: int) -> dict[str, torch.Tensor]:
    """One layer without a bias, or the nonlinear variant with layers of the `inner` widths."""
    make = torch.Generator().manual_seed(seed)
    if not inner:
        return {f"{name}.weight": torch.randn(width, H, generator=make)}
    sizes = [H, *inner, width]
    tensors = {}
    for place, (entering, leaving) in enumerate(itertools.pairwise(sizes)):
        tensors[f"{name}.net.{2 * place}.weight"] = torch.randn(leaving, entering, generator=make)
        tensors[f"{name}.net.{2 * place}.bias"] = torch.randn(leaving, generator=make)
    return tensors


@pytest.fixture(scope="session")
def save_gpm(tiny: Any) -> SaveGpm:
    """Writes a GPM; `prompt` is the prompt head's width, by default half of `width`, 0 for none."""

    def save(
        folder: Path,
        kind: str = "llama",
        *,
        width: int = 6,
        prompt: int | None = None,
        inner: tuple[int, ...] = (),
        named: str = "LlamaForCausalLM",
        **config: Any,
    ) -> Path:
        tiny.checkpoint(folder, kind, **config)
        prompt = width // 2 if prompt is None else prompt

        def change(tensors: dict[str, Any]) -> None:
            del tensors["score.weight"]
            tensors["lm_head.weight"] = torch.randn(400, H)
            tensors |= head_tensors("value_head", width, inner, 1)
            if prompt:
                # Small enough that the gate's softmax is not all but one-hot.
                tensors |= {name: tensor / 5 for name, tensor in head_tensors("prompt_head", prompt, inner, 2).items()}

        tiny.edit_tensors(folder, change)
        tiny.edit_json(folder / "config.json", architectures=[named])
        return folder

    return save


@pytest.fixture(scope="session")
def gpm(tmp_path_factory: pytest.TempPathFactory, save_gpm: SaveGpm) -> Path:
    """A gated GPM of width 6 that tests only read."""
    return save_gpm(tmp_path_factory.mktemp("checkpoints") / "tiny-gpm")

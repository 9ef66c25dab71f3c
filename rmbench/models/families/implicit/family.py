"""Recognises language models, with or without sight, that can serve as implicit rewards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.models.checkpoint.opening import Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.vl.matching import BACKBONES
from rmbench.models.protocols import Scorer

__all__ = ["IMPLICIT"]

_HEAD = re.compile(r"(.+\.)?(lm_head|embed_out|output)\.weight")
_EMBEDDING = re.compile(r"(.+\.)?(embed_tokens|wte|embed_in|word_embeddings|tok_embeddings)\.weight")


@dataclass(frozen=True, slots=True)
class ImplicitFamily:
    """Language models whose log-probability of an answer is its reward.

    No checkpoint shows that it is meant so, hence none is ever recognised: `--adapter implicit`, `--ref-model` or a
    card says it.
    """

    name: str = "implicit"

    @property
    def layouts(self) -> Sequence[str]:
        """One: whatever the library loads as a causal language model, and the known vision-language models."""
        return ("implicit",)

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        """Nothing fits unless the layout is named."""
        if layout is None:
            return ()
        head = next((name for name in checkpoint.tensors if _HEAD.fullmatch(name)), "")
        if head:
            return (Fit("implicit", f"the checkpoint holds {head} {list(checkpoint.tensors[head].shape)}"),)
        embedding = next((name for name in checkpoint.tensors if _EMBEDDING.fullmatch(name)), "")
        tied = checkpoint.config.get("tie_word_embeddings", True)
        if embedding and tied and not checkpoint.heads():
            shape = list(checkpoint.tensors[embedding].shape)
            return (Fit("implicit", f"its output embedding is {embedding} {shape}"),)
        return ()

    def open(self, opening: Opening) -> Scorer:
        if opening.checkpoint.config.get("model_type") in BACKBONES:
            from rmbench.models.families.implicit.open_seeing import open_seeing

            return open_seeing(opening)
        from rmbench.models.families.implicit.open import open_implicit

        return open_implicit(opening)


IMPLICIT = ImplicitFamily()

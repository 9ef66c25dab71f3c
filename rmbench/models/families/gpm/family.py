"""Recognises checkpoints of general preference models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.models.checkpoint.opening import Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.gpm.marks import LINEAR, MLP, PROMPT_HEAD, VALUE_HEAD, weights_of
from rmbench.models.protocols import Scorer

__all__ = ["GPM"]

_CAUSAL_CLASS = re.compile(r"\w+ForCausalLM")
_OWN_CLASS = "CustomRewardModel"
"""What general_preference/models/rw_model_general_preference.py calls the class that it makes of a causal one."""


@dataclass(frozen=True, slots=True)
class GpmFamily:
    """General preference models as a family."""

    name: str = "gpm"

    @property
    def layouts(self) -> Sequence[str]:
        """Heads of one layer, and heads of several with ReLU between them."""
        return (LINEAR, MLP)

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        """A value head of width 1 alone is a scalar's as well, so it has to be named; so has one
        of a class that says nothing, unless a prompt head is there."""
        if layout is None:
            return [fit for one in self.layouts for fit in self.fits(checkpoint, one) if _is_marked(checkpoint, one)]
        value = weights_of(checkpoint, VALUE_HEAD, layout)
        if not value:
            return ()
        shown = [f"{name} {list(checkpoint.tensors[name].shape)}" for name in value[-1:]]
        prompt = weights_of(checkpoint, PROMPT_HEAD, layout)
        shown += [f"{name} {list(checkpoint.tensors[name].shape)}" for name in prompt[-1:]]
        return (Fit(layout, f"the checkpoint holds {' and '.join(shown)}"),)

    def open(self, opening: Opening) -> Scorer:
        from rmbench.models.families.gpm.open import open_gpm

        return open_gpm(opening)


def _is_marked(checkpoint: Checkpoint, layout: str) -> bool:
    """Whether the configuration and the tensors agree that this is a GPM."""
    shape = checkpoint.tensors[weights_of(checkpoint, VALUE_HEAD, layout)[-1]].shape
    if len(shape) != 2 or shape[0] < 2 or shape[0] % 2 or len(checkpoint.architectures) != 1:
        return False
    named = checkpoint.architectures[0]
    own = named == _OWN_CLASS or _CAUSAL_CLASS.fullmatch(named) is not None
    return own or bool(weights_of(checkpoint, PROMPT_HEAD, layout))


GPM = GpmFamily()

"""What marks a general preference model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.registry import Fit

if TYPE_CHECKING:
    from rmbench.models.checkpoint.opening import Opening
    from rmbench.models.protocols import Scorer

__all__ = ["GPM", "LINEAR", "MLP", "PROMPT_HEAD", "VALUE_HEAD", "weights_of"]

VALUE_HEAD, PROMPT_HEAD = "value_head", "prompt_head"
LINEAR, MLP = "gpm-linear", "gpm-mlp"

_CAUSAL_CLASS = re.compile(r"\w+ForCausalLM")
_OWN_CLASS = "CustomRewardModel"
"""What general_preference/models/rw_model_general_preference.py calls the class that it makes of a causal one."""


def weights_of(checkpoint: Checkpoint, head: str, layout: str) -> list[str]:
    """The names of a head's weights, first layer first: `<head>.weight`, or `<head>.net.0.weight`, `.net.2.weight` ...
    of the nonlinear variant (deep-alignment/DeepRLHF), whose odd places are ReLUs. Empty where there are none."""
    if layout == LINEAR:
        return [name for name in (f"{head}.weight",) if name in checkpoint.tensors]
    numbers = [re.fullmatch(rf"{head}\.net\.(\d+)\.weight", name) for name in checkpoint.tensors]
    return [f"{head}.net.{number}.weight" for number in sorted(int(found[1]) for found in numbers if found)]


@dataclass(frozen=True, slots=True)
class GpmFamily:
    """General preference models as a family."""

    name: str = "gpm"

    @property
    def layouts(self) -> Sequence[str]:
        """Heads of one layer, and heads of several with ReLU between them."""
        return (LINEAR, MLP)

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        """As `ModelFamily` says. A value head of width 1 alone is a scalar's as well, so it has to be named; so has one
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
        """As `ModelFamily` says."""
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

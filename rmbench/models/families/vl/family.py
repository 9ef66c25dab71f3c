"""Recognises checkpoints of vision-language reward models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.models.checkpoint.opening import Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.vl.matching import BACKBONES, first_weight, lacking
from rmbench.models.families.vl.schema import Layout, layouts
from rmbench.models.protocols import Scorer

__all__ = ["VL_SCALAR"]


@dataclass(frozen=True, slots=True)
class VisionLanguageFamily:
    """Vision-language reward models as a family."""

    name: str = "vl-scalar"

    @property
    def layouts(self) -> Sequence[str]:
        """The declared ones."""
        return tuple(layouts())

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        if checkpoint.config.get("model_type") not in BACKBONES:
            return []
        asked = [each for name, each in layouts().items() if layout in (None, name)]
        return [
            Fit(each.name, _ground(each, checkpoint))
            for each in asked
            if (layout is not None or _agrees(each, checkpoint)) and not lacking(each, checkpoint)
        ]

    def lacks(self, checkpoint: Checkpoint, layout: str | None) -> str:
        """Why the layout that is asked for does not fit; "" where there is nothing to say."""
        if layout is None or layout not in layouts():
            return ""
        kind = checkpoint.config.get("model_type")
        if kind not in BACKBONES:
            return f"The layout {layout} is of backbones {', '.join(BACKBONES)}, and config.json has {kind!r}."
        return f"The layout {layout} lacks {', '.join(lacking(layouts()[layout], checkpoint))}."

    def open(self, opening: Opening) -> Scorer:
        from rmbench.models.families.vl.open import open_vision_language

        return open_vision_language(opening, layouts()[opening.family.layout])


def _agrees(layout: Layout, checkpoint: Checkpoint) -> bool:
    named = checkpoint.architectures
    return len(named) == 1 and any(re.fullmatch(pattern, named[0]) for pattern in layout.architectures)


def _ground(layout: Layout, checkpoint: Checkpoint) -> str:
    spec = layout.networks[0]
    name = first_weight(spec) if spec.file is None else spec.file
    shape = f" {list(checkpoint.tensors[name].shape)}" if name in checkpoint.tensors else ""
    return f"the checkpoint holds {name}{shape}" + ("" if layout.verified else " (the layout is unverified)")


VL_SCALAR = VisionLanguageFamily()

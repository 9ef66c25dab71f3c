"""Vision-language models that are asked a question, as a family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.models.checkpoint.opening import Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.vl.matching import BACKBONES
from rmbench.models.families.vqa.marks import BLIPS, CLIP_T5, SEQ2SEQ, with_t5
from rmbench.models.protocols import Scorer

__all__ = ["CAUSAL", "VQA"]

CAUSAL = "vqa"


@dataclass(frozen=True, slots=True)
class VqaFamily:
    """Causal vision-language models, and BLIP-2, InstructBLIP and CLIP with T5, without a reward head.

    No checkpoint is recognised as one, since none shows that it is meant so: `--adapter vqa` or a card decides.
    """

    name: str = "vqa"

    @property
    def layouts(self) -> Sequence[str]:
        """By the kind of language model."""
        return (CAUSAL, SEQ2SEQ, CLIP_T5)

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        """See `ModelFamily.fits`; nothing fits unless the family or a layout is named."""
        kind = checkpoint.config.get("model_type")
        if layout == CAUSAL and kind in BACKBONES:
            return (Fit(CAUSAL, f"a causal vision-language model ({kind})"),)
        found = with_t5(checkpoint)
        return (found,) if found is not None and found.layout == layout else ()

    def lacks(self, checkpoint: Checkpoint, layout: str | None) -> str:
        """Why the layout that is asked for does not fit; "" where there is nothing to say."""
        if layout not in self.layouts:
            return ""
        kind = checkpoint.config.get("model_type")
        return (
            f"The family vqa has {', '.join(BACKBONES)} ({CAUSAL}), {' and '.join(BLIPS)} with T5 ({SEQ2SEQ}) and "
            f"clip_t5 ({CLIP_T5}), and config.json has {kind!r}."
        )

    def open(self, opening: Opening) -> Scorer:
        if opening.family.layout in (SEQ2SEQ, CLIP_T5):
            from rmbench.models.families.vqa.open_seq2seq import open_seq2seq

            return open_seq2seq(opening)
        from rmbench.models.families.vqa.causal import open_causal

        return open_causal(opening)


VQA = VqaFamily()

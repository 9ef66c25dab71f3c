"""Vision-language models that are asked a question, as a family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.models.checkpoint.opening import Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.vl.matching import BACKBONES
from rmbench.models.protocols import Scorer

__all__ = ["CAUSAL", "SEQ2SEQ", "VQA"]

CAUSAL, SEQ2SEQ = "vqa", "vqa-seq2seq"


@dataclass(frozen=True, slots=True)
class VqaFamily:
    """Causal vision-language models, and BLIP-2 with T5, without a reward head.

    No checkpoint is recognised as one, since none shows that it is meant so: `--adapter vqa` or a card decides.
    """

    name: str = "vqa"

    @property
    def layouts(self) -> Sequence[str]:
        """By the kind of language model."""
        return (CAUSAL, SEQ2SEQ)

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        """See `ModelFamily.fits`; nothing fits unless the family or a layout is named."""
        kind = checkpoint.config.get("model_type")
        if layout == CAUSAL and kind in BACKBONES:
            return (Fit(CAUSAL, f"a causal vision-language model ({kind})"),)
        text = checkpoint.config.get("text_config")
        if layout == SEQ2SEQ and kind == "blip-2" and isinstance(text, dict) and text.get("model_type") == "t5":
            return (Fit(SEQ2SEQ, "BLIP-2 with T5"),)
        return ()

    def lacks(self, checkpoint: Checkpoint, layout: str | None) -> str:
        """Why the layout that is asked for does not fit; "" where there is nothing to say."""
        if layout not in (CAUSAL, SEQ2SEQ):
            return ""
        kind = checkpoint.config.get("model_type")
        return f"The layout {layout} is of {', '.join(BACKBONES)} and of blip-2 with T5, and config.json has {kind!r}."

    def open(self, opening: Opening) -> Scorer:
        if opening.family.layout == SEQ2SEQ:
            from rmbench.models.families.vqa.seq2seq import open_seq2seq

            return open_seq2seq(opening)
        from rmbench.models.families.vqa.causal import open_causal

        return open_causal(opening)


VQA = VqaFamily()

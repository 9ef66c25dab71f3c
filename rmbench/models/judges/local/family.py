"""The family of causal language models that judge by option probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.models.checkpoint.opening import Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.protocols import Scorer

__all__ = ["LOCAL_JUDGE"]


@dataclass(frozen=True, slots=True)
class LocalJudgeFamily:
    """Causal language models that compare two responses without a server and without generating text.

    No checkpoint is recognised as one, since none shows that it is meant so: `--adapter judge` or a card decides.
    """

    name: str = "judge"

    @property
    def layouts(self) -> Sequence[str]:
        """One: any checkpoint that transformers loads as a causal language model."""
        return ("judge",)

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        """See `ModelFamily.fits`; nothing fits unless the layout is named."""
        from rmbench.models.families.implicit.family import IMPLICIT

        if layout is None:
            return ()
        return tuple(Fit("judge", fit.why) for fit in IMPLICIT.fits(checkpoint, "implicit"))

    def open(self, opening: Opening) -> Scorer:
        """See `ModelFamily.open`."""
        from rmbench.models.judges.local.open import open_local

        return open_local(opening)


LOCAL_JUDGE = LocalJudgeFamily()

"""What marks a language model that can judge by option probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.models.checkpoint.opening import Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.protocols import Scorer

__all__ = ["LOCAL_JUDGE"]


@dataclass(frozen=True, slots=True)
class LocalJudgeFamily:
    """Causal language models that are asked which of two answers is better, without a server and without writing.

    No checkpoint shows that it is meant so, hence none is ever recognised: `--adapter judge` or a card says it.
    """

    name: str = "judge"

    @property
    def layouts(self) -> Sequence[str]:
        """One: whatever the library loads as a causal language model."""
        return ("judge",)

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        """As `ModelFamily` says; nothing fits unless the layout is named."""
        from rmbench.models.families.implicit.family import IMPLICIT

        if layout is None:
            return ()
        return tuple(Fit("judge", fit.why) for fit in IMPLICIT.fits(checkpoint, "implicit"))

    def open(self, opening: Opening) -> Scorer:
        """As `ModelFamily` says."""
        from rmbench.models.judges.local.open import open_local

        return open_local(opening)


LOCAL_JUDGE = LocalJudgeFamily()

"""Threads, batch size and prefix sharing of a scorer, which are those of the backbones that it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rmbench.models.backbone.backbone import Backbone
from rmbench.models.protocols import Batch, Sharing

__all__ = ["BackboneSharing"]


class BackboneSharing:
    """The half of a `SharingScorer` that its backbones decide: several of them share prefixes, or none does."""

    why_whole: ClassVar[str] = "logits come from the model's own forward"
    """Why nothing is shared where a model has no backbone."""

    @property
    def backbones(self) -> Sequence[Backbone | None]:
        """All that a forward runs; None for a model that computes whole rows alone."""
        raise NotImplementedError

    @property
    def threads(self) -> int:
        """Batches that pay to be computed at once."""
        return min(1 if backbone is None else backbone.threads for backbone in self.backbones)

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a batch in groups that suit the backbones best."""
        return min((backbone.chunk_tokens for backbone in self.backbones if backbone is not None), default=1)

    def sharing(self, batches: Sequence[Batch]) -> Sharing:
        """Whether prefixes are shared: every backbone tries it on these rows, and one that does not decides."""
        tried = [
            Sharing(False, self.why_whole) if backbone is None else backbone.sharing(batches)
            for backbone in self.backbones
        ]
        return next((sharing for sharing in tried if not sharing.shares), tried[0])

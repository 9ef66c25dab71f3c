"""Recognises checkpoints of pairwise models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.opening import Fit, Opening
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.pairwise.marks import BACKBONE, HEAD, PAIRRM, PREFIX_KEYS, SLIC, STEAMSHP
from rmbench.models.protocols import Scorer

__all__ = ["PAIRWISE"]

_OWN_CLASS = "DebertaV2PairRM"
_TREE = "decision_tree.pkl"
_EMBEDDINGS = ("embed_tokens.weight", "embed_in.weight", "wte.weight")


@dataclass(frozen=True, slots=True)
class PairwiseFamily:
    """Pairwise models as a family.

    PairRM is recognised by its class (or its prefix tokens) and its head. The other two are plain language models that
    were taught to answer "A" or "B", which no file of theirs says: a card or `--adapter` has to name their layout.
    """

    name: str = "pairwise"

    @property
    def layouts(self) -> Sequence[str]:
        """PairRM's head, and two ways of asking a language model for a letter."""
        return (PAIRRM, SLIC, STEAMSHP)

    def fits(self, checkpoint: Checkpoint, layout: str | None) -> Sequence[Fit]:
        """The layouts that the checkpoint has.

        Raises:
            RmbenchError: a decision tree lies next to the weights, or config.json names PairRM's class and a tensor of
                its head is not there.
        """
        if layout is None:
            _refuse_a_tree(checkpoint)
            return self.fits(checkpoint, PAIRRM) if _says_pairrm(checkpoint) else ()
        found = {PAIRRM: _pairrm, SLIC: _causal, STEAMSHP: _encoder_decoder}[layout](checkpoint)
        return (Fit(layout, found),) if found else ()

    def open(self, opening: Opening) -> Scorer:
        from rmbench.models.families.pairwise.open import open_pairwise

        return open_pairwise(opening)


def _says_pairrm(checkpoint: Checkpoint) -> bool:
    named = checkpoint.architectures
    if named != (_OWN_CLASS,) and not all(key in checkpoint.config for key in PREFIX_KEYS):
        return False
    missing = [name for name in HEAD if name not in checkpoint.tensors]
    if missing:
        raise RmbenchError(
            f"{checkpoint.folder}: config.json names {', '.join(named) or 'no architecture'} with PairRM's prefix "
            f"tokens, but the checkpoint lacks {', '.join(missing)}, and loading would invent them."
        )
    return True


def _pairrm(checkpoint: Checkpoint) -> str:
    """What of PairRM is there; "" where it is not PairRM."""
    under = any(name.startswith(BACKBONE) for name in checkpoint.tensors)
    if not under or any(name not in checkpoint.tensors for name in HEAD):
        return ""
    first, last = (checkpoint.tensors[name].shape for name in (HEAD[0], HEAD[2]))
    if len(first) != 2 or len(last) != 2 or first[1] != 2 * first[0] or last[1] != first[0]:
        raise RmbenchError(
            f"{checkpoint.folder}: {HEAD[0]} has shape {list(first)} and {HEAD[2]} {list(last)}, expected [H, 2H] and "
            "[tasks, H]."
        )
    return f"the checkpoint holds {HEAD[0]} {list(first)} and {HEAD[2]} {list(last)}"


def _causal(checkpoint: Checkpoint) -> str:
    """The embeddings of a decoder without any head but the language model's."""
    if checkpoint.heads() or any(name.startswith("decoder.") for name in checkpoint.tensors):
        return ""
    found = [name for name in checkpoint.tensors if name.endswith(_EMBEDDINGS)]
    return f"the checkpoint holds {found[0]} and no reward head" if found else ""


def _encoder_decoder(checkpoint: Checkpoint) -> str:
    there = [any(name.startswith(part) for name in checkpoint.tensors) for part in ("encoder.", "decoder.")]
    if "shared.weight" not in checkpoint.tensors or not all(there):
        return ""
    return f"the checkpoint holds an encoder and a decoder over shared.weight {list(_shape(checkpoint))}"


def _shape(checkpoint: Checkpoint) -> tuple[int, ...]:
    return checkpoint.tensors["shared.weight"].shape


def _refuse_a_tree(checkpoint: Checkpoint) -> None:
    if _TREE in checkpoint.files:
        raise RmbenchError(
            f"{checkpoint.folder}: this model compares answers by the decision tree in {_TREE}, a pickle of a whole "
            "program's objects. Loading it runs whatever code it holds, so rmbench does not, even with --allow-pickle. "
            "Compute its preferences elsewhere and pass them as scores:FILE, or pass --adapter to read the weights "
            "alone as another model."
        )


PAIRWISE = PairwiseFamily()

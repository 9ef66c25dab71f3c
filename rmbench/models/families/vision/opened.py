"""What opening a vision model of either family needs."""

from __future__ import annotations

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.opening import CARD_ARGS, Opening
from rmbench.models.checkpoint.read import Checkpoint

__all__ = ["refuse_text_options", "weights_name"]


def refuse_text_options(opening: Opening, *, referenced: bool = False) -> None:
    """Raise RmbenchError for an option that would be left without effect; `referenced`: the family has references."""
    options = opening.options
    reference = None if referenced else options.ref_model
    given = {"--template": options.template, "--max-length": options.max_length, "--ref-model": reference}
    for name, value in given.items():
        if value is not None:
            raise RmbenchError(f"{name} {value}: a {opening.family.name} model has no use for it.")
    for key in CARD_ARGS:
        if key in options.model_args:
            raise RmbenchError(f"--model-args: a {opening.family.name} model has no setting {key!r}.")


def weights_name(checkpoint: Checkpoint) -> str:
    """The weights' files, for the record: a repository may hold several checkpoints."""
    return ", ".join(sorted({tensor.file for tensor in checkpoint.tensors.values()}))

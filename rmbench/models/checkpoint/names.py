"""Names of tensors without what wrappers put before or into them: training in parallel, compilation, sharding,
checkpointing of activations, a Lightning module."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rmbench.errors import RmbenchError

__all__ = ["other_prefix", "plain_names"]

_WRAPPER = re.compile(r"(?:(?<=\.)|^)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\.")
"""Parts of names that no model has by itself, wherever they stand."""
_PREFIXES = ("module.", "base_model.model.", "pretrained_model.", "model.")
_TOP_HEAD = re.compile(r"(score|scores|classifier|[a-z]+_head|head|v_head|out_proj|lm_head|embed_out)\.")
"""Heads of library models, which stand outside the backbone."""


def plain_names(names: Iterable[str], where: str) -> dict[str, str]:
    """Stored name -> name without wrappers, for the tensors of a whole checkpoint.

    `module.` is taken off where all tensors have it, so is peft's `base_model.model.`; TRL's `pretrained_model.` where
    all but a value head have it; `model.` only where a head or another `model.` follows: backbones of the library have
    one of their own.

    Raises:
        RmbenchError: two tensors would have the same name, or some but not all have `module.`.
    """
    plain = {name: _WRAPPER.sub("", name) for name in names}
    without = [name for name in plain.values() if not name.startswith("module.")]
    if 0 < len(without) < len(plain):
        raise RmbenchError(
            f"{where}: {len(plain) - len(without)} of {len(plain)} tensors have the prefix 'module.' of training in "
            f"parallel, and {', '.join(without[:3])} do not: save the model without it."
        )
    while prefix := next((one for one in _PREFIXES if _covers(one, plain.values())), ""):
        plain = {name: _WRAPPER.sub("", short.removeprefix(prefix)) for name, short in plain.items()}
    stored: dict[str, str] = {}
    for name, short in plain.items():
        if short in stored:
            raise RmbenchError(
                f"{where}: {name} has the name {short} without what a wrapper put before it, as {stored[short]} has."
            )
        stored[short] = name
    return plain


def _covers(prefix: str, names: Iterable[str]) -> bool:
    """Whether all tensors have a wrapper's prefix."""
    found = [name for name in names if not (prefix == "pretrained_model." and name.startswith("v_head."))]
    if not found or not all(name.startswith(prefix) for name in found):
        return False
    rest = [name.removeprefix(prefix) for name in found]
    return prefix != "model." or any(name.startswith(("model.", "module.")) or _TOP_HEAD.match(name) for name in rest)


def other_prefix(needed: Iterable[str], stored: Iterable[str]) -> str:
    """A sentence on what stored names have before one that is needed; "" where none has such."""
    found = list(stored)
    pairs = ((one, name.removesuffix(one)) for one in needed for name in found if name.endswith("." + one))
    return next(
        (f" The checkpoint holds {one} under the prefix {before!r}, of a wrapper." for one, before in pairs), ""
    )

"""Tensors that a checkpoint holds and its model does not take: harmless, ignored at the user's word, or refused."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import HEADLIKE, Checkpoint

__all__ = ["accepted_unused", "held_instead", "ignored", "refuse_unscaled", "unmerged"]

_LANGUAGE_HEAD = re.compile(
    r"(.*\.)?(lm_head|embed_out|((lm|mask|generator|discriminator)_predictions)|cls\.(predictions|seq_relationship))\..*"
)
"""Heads of pretraining, of which a reward model without one of its own reads nothing."""
_HARMLESS = re.compile(
    r"(.*\.)?((original_)?inv_freq|(cos|sin)_cached|position_ids|final_logits_bias|masked_bias|pooler\..*)"
)
"""Buffers that are computed anew, and the pooler of a class that has none."""
_MASK = re.compile(r"(.*\.)?(attn|attention|self_attn)\.(bias|mask|causal_mask)")
_QUANTISED = re.compile(r"(float8|f8|f6|f4|int4|int8|uint8|i8|u8)(?!\d)", re.IGNORECASE)
_WHOLE = re.compile(r"(int|uint|i|u)(16|32|64)|bool", re.IGNORECASE)
_SCALE = re.compile(
    r".*([._](scale|scale_inv|scales|zero_point|qzeros|amax|absmax)|\.(g_idx|SCB|weight_format|quant_map|quant_state.*"
    r"|qweight|weight_packed|weight_shape|nested_.*))"
)
_ADAPTER = re.compile(r".*(lora_|\.modules_to_save\.|\.original_module\.|\.base_layer\.|adapter|ia3_|vera_|\.hada_).*")


def accepted_unused(
    names: Iterable[str],
    checkpoint: Checkpoint,
    model: tuple[str, Collection[str]],
    *,
    language: bool,
    ignore: Sequence[str],
) -> tuple[str, ...]:
    """The unused tensors that change nothing, or that the user ignores.

    Args:
        names: tensors that the model does not take, as they are called behind any renaming.
        checkpoint: read already.
        model: its class and the names of its own tensors.
        language: whether the model's own head predicts tokens.
        ignore: glob patterns over names.

    Raises:
        RmbenchError: there are others; the message names them and what they most likely are.
    """
    found = sorted(names)
    refused = [name for name in found if not (_harmless(name, checkpoint, language=language) or ignored(name, ignore))]
    if refused:
        raise RmbenchError(
            f"{checkpoint.folder}: {model[0]} does not take {len(refused)} tensors of the checkpoint, and without them "
            f"its scores may be others: {_meanings(refused, model[1])}. If they do not matter, pass "
            "--ignore-tensors GLOB, which goes into the record."
        )
    return tuple(found)


def held_instead(names: Iterable[str], checkpoint: Checkpoint, own: Collection[str]) -> str:
    """A sentence on tensors that a model does not take, `names`, where it lacks others; "" where there are none of use.
    `own` are the names of the model's."""
    found = [name for name in sorted(names) if not _harmless(name, checkpoint, language=False)]
    return f" What the checkpoint holds instead: {_meanings(found, own)}." if found else ""


def unmerged(names: Iterable[str]) -> str:
    """A sentence on parts of an adapter among the tensors of a whole model; "" where there are none."""
    found = sorted(filter(_ADAPTER.fullmatch, names))
    way = "merge it (merge_and_unload) and save the model, or save the adapter alone (save_pretrained)"
    return f"It holds parts of an adapter that is not merged ({_some(found)}): {way}. " if found else ""


def _meanings(names: Iterable[str], own: Collection[str]) -> str:
    """The names by what they most likely are."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_meaning(name, own), []).append(name)
    return "; ".join(f"{meaning}: {_some(members)}" for meaning, members in groups.items())


def ignored(name: str, patterns: Sequence[str]) -> bool:
    """Whether the user ignores a tensor of this name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def refuse_unscaled(checkpoint: Checkpoint, *, scaled: bool) -> None:
    """Raise RmbenchError for weights in 8 bits or fewer, or in whole numbers, unless a loader that knows their scales
    reads them (`scaled`): cast as they are, they are other weights."""
    named = checkpoint.config.get("quantization_config")
    if scaled:
        _check_scales(checkpoint, named)
        return
    unscaled = [
        name
        for name, tensor in checkpoint.tensors.items()
        if (_QUANTISED.match(tensor.dtype) or (_WHOLE.fullmatch(tensor.dtype) and name.endswith((".weight", ".bias"))))
        and not _harmless(name, checkpoint, language=False)
    ]
    if not unscaled:
        return
    scales = [name for name in checkpoint.tensors if _SCALE.fullmatch(name)]
    dtypes = ", ".join(sorted({checkpoint.tensors[name].dtype for name in unscaled}))
    beside = f"; their scales are stored beside them ({_some(scales)}) and would not be used" if scales else ""
    why = (
        "the library, which knows its quantization_config, does not read them here: their names or their file are not "
        "its own"
        if named
        else "config.json names no quantization_config by which the library would scale them"
    )
    raise RmbenchError(
        f"{checkpoint.folder}: {len(unscaled)} tensors are stored as {dtypes} ({_some(unscaled)}), and {why}{beside}. "
        "Save the weights unquantised, or with the configuration that they were quantised by."
    )


def _check_scales(checkpoint: Checkpoint, named: Any) -> None:
    """Raise RmbenchError for weights in float8 without their scales, of the method that has one for each."""
    if not isinstance(named, dict) or named.get("quant_method") != "fp8":
        return
    lacking = [
        name
        for name, tensor in checkpoint.tensors.items()
        if re.match(r"f(loat)?8_e[45]m", tensor.dtype, re.IGNORECASE)
        and not any(f"{name}{end}" in checkpoint.tensors for end in ("_scale", "_scale_inv"))
        and not name.endswith(("_scale", "_scale_inv"))
    ]
    if lacking:
        raise RmbenchError(
            f"{checkpoint.folder}: {len(lacking)} tensors in float8 have no scale beside them ({_some(lacking)}), by "
            "which config.json's quantization_config multiplies them."
        )


def _harmless(name: str, checkpoint: Checkpoint, *, language: bool) -> bool:
    if _HARMLESS.fullmatch(name) or (not language and _LANGUAGE_HEAD.fullmatch(name)):
        return True
    tensor = checkpoint.tensors.get(name)
    # A mask over pairs of places; a real bias has one number for each output.
    return bool(_MASK.fullmatch(name) and tensor and len(tensor.shape) > 1 and tensor.shape[-1] == tensor.shape[-2])


def _meaning(name: str, own: Collection[str]) -> str:
    if _ADAPTER.fullmatch(name):
        return "an adapter that is not merged (lora)"
    if _SCALE.fullmatch(name):
        return "scales of quantised weights"
    if name.endswith(".bias") and name.removesuffix("bias") + "weight" in own:
        return "a bias that the class does not add"
    parts = name.split(".")
    for start in range(1, len(parts)):
        if ".".join(parts[start:]) in own:
            return f"weights under the prefix {'.'.join(parts[:start])!r} (a wrapper, or a second model)"
    return "a second head" if HEADLIKE.search(name) else "of unknown use"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

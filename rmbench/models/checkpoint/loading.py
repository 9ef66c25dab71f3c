"""Loads weights and tokenizers; no tensor may be missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch

from rmbench.errors import RmbenchError
from rmbench.models.backbone.rope import rope_by_row
from rmbench.models.backbone.switches import refuse_sticky
from rmbench.models.checkpoint.gguf_split import split_as_declared
from rmbench.models.checkpoint.library import explained, quiet
from rmbench.models.checkpoint.limits import check_parameters
from rmbench.models.checkpoint.names import other_prefix
from rmbench.models.checkpoint.placement import Placement, spread_over
from rmbench.models.checkpoint.quantised import check_packages, is_quantised, unpacked_on
from rmbench.models.checkpoint.ranks import check_split, is_rank, join_ranks
from rmbench.models.checkpoint.read import TOKENIZERS, Checkpoint
from rmbench.models.checkpoint.state_dict import checkpoint_state
from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators
from rmbench.models.checkpoint.unused import accepted_unused, held_instead, refuse_unscaled
from rmbench.models.checkpoint.weight_files import ADAPTER_CONFIG
from rmbench.models.options import OpenOptions
from rmbench.models.text.special import LiteralTokenizer

__all__ = ["load_model", "load_tokenizer", "reads_pad_id", "warm"]

declare_missing_operators()

_ELEMENTARY = (torch.sin, torch.cos, torch.exp, torch.log, torch.sqrt, torch.tanh, torch.erf)


def _no_tokenizer(checkpoint: Checkpoint) -> RmbenchError:
    folder = checkpoint.tokenizer_path
    beside = "" if folder == checkpoint.folder else f", and {checkpoint.folder}, the adapter's, has none either"
    return RmbenchError(
        f"{folder} has no tokenizer: looked for {', '.join(TOKENIZERS)}{beside}. Put the tokenizer's files of the "
        "model that was trained there, as tokenizer.save_pretrained writes them."
    )


def load_tokenizer(checkpoint: Checkpoint, options: OpenOptions) -> Any:
    """The tokenizer that lies next to the weights, or an adapter's base's, which reads special tokens as the options
    say; raises RmbenchError where there is none, or where it cannot."""
    from transformers import AutoTokenizer

    folder = checkpoint.tokenizer_path
    inside = {"gguf_file": folder.name} if folder.is_file() else {}
    try:
        with quiet(), explained(f"the tokenizer of {folder}"):
            tokenizer = AutoTokenizer.from_pretrained(
                folder.parent if inside else folder,
                trust_remote_code=options.trust_remote_code,
                local_files_only=True,
                **inside,
            )
    except RmbenchError as error:
        if inside or any((folder / name).exists() for name in TOKENIZERS):
            raise
        raise _no_tokenizer(checkpoint) from error
    if not inside and set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise _no_tokenizer(checkpoint)  # transformers makes an empty one of a config alone
    if inside:
        split_as_declared(tokenizer, folder, options.note)
    if options.special_tokens == "parsed":
        return tokenizer
    literal = LiteralTokenizer(tokenizer)
    if literal.problem:
        raise RmbenchError(
            f"--special-tokens text: the tokenizer of {checkpoint.folder} cannot read them as text: {literal.problem}."
        )
    return literal


def load_model(
    checkpoint: Checkpoint,
    placement: Placement,
    options: OpenOptions,
    *,
    kind: str = "AutoModel",
    config: Mapping[str, Any] | None = None,
    rename: Mapping[str, str] | None = None,
    drop: str | None = None,
    spare: str | None = None,
    accept_unused: bool = False,
) -> tuple[Any, tuple[str, ...]]:
    """A transformers model with every tensor from the checkpoint, in eval mode, on its device; and the names of tensors
    that the checkpoint holds and the model has no use for, harmless or ignored by the user.

    Args:
        checkpoint: read already.
        placement: where and how.
        options: whether remote code and pickles are allowed.
        kind: the library's automatic class: "AutoModel" (the backbone alone), "AutoModelForSequenceClassification",
            "AutoModelForCausalLM"; or a class that no automatic one names.
        config: keys of config.json to change, e.g. {"num_labels": 1}.
        rename: regular expressions over the checkpoint's tensor names -> what stands in their place.
        drop: a regular expression over names (renamed already) that are not the model's, e.g. a head that the caller
            reads by itself; they are no part of the second result.
        spare: a regular expression over names of tensors that may be missing, because the caller reads nothing of what
            they give.
        accept_unused: tensors that the model has no use for are in the second result, whatever they are.

    Raises:
        RmbenchError: a tensor is missing or has another shape, so that the library would put random numbers there; one
            that may matter is not taken; weights in 8 bits whose scales are not used.
    """
    check_packages(checkpoint)
    quantised = is_quantised(checkpoint)
    refuse_unscaled(checkpoint, scaled=quantised)
    with quiet(), explained(str(checkpoint.folder)):
        model, report = _load(checkpoint, placement, options, kind, dict(config or {}), dict(rename or {}))
    missing = [name for name in sorted(report["missing_keys"]) if not (spare and re.fullmatch(spare, name))]
    lacking = missing + [_mismatch(*key) for key in sorted(report["mismatched_keys"])]
    if lacking:
        raise RmbenchError(
            f"{checkpoint.folder}: {len(lacking)} tensors that {type(model).__name__} needs are missing or have "
            f"another shape, and loading would fill them with random numbers: {', '.join(lacking[:5])}."
            + (
                other_prefix(missing, report["unexpected_keys"])
                or held_instead(report["unexpected_keys"], checkpoint, model.state_dict().keys())
            )
        )
    unused = accepted_unused(
        [name for name in report["unexpected_keys"] if not (drop and re.fullmatch(drop, name))],
        checkpoint,
        (type(model).__name__, model.state_dict().keys()),
        language=kind in ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM"),
        ignore=("*",) if accept_unused else options.ignore_tensors,
    )
    refuse_sticky(model, checkpoint.folder)
    rope_by_row(model)
    if is_rank():
        check_split(model)
    placed = quantised or is_rank() or spread_over(placement, options)
    model = model if placed else placement.move(model, str(checkpoint.folder))
    return model.eval(), unused


def _load(
    checkpoint: Checkpoint,
    placement: Placement,
    options: OpenOptions,
    kind: str,
    changes: dict[str, Any],
    rename: dict[str, str],
) -> Any:
    """The library's model and its report on what it found."""
    import transformers

    trusted = options.trust_remote_code
    if "model_type" in changes or checkpoint.source is not None:  # the library does not know what config.json says
        config = transformers.AutoConfig.for_model(**{**checkpoint.config, **changes})
    else:
        config = transformers.AutoConfig.from_pretrained(
            checkpoint.folder, trust_remote_code=trusted, local_files_only=True, **changes
        )
    _without_pad_outside(config)
    arguments: dict[str, Any] = {
        "config": config,
        "dtype": placement.dtype,
        "attn_implementation": placement.attention,
        "ignore_mismatched_sizes": True,  # so that the report names them
        "output_loading_info": True,
    }
    arguments |= join_ranks(placement.device, config) if is_rank() else spread_over(placement, options)
    if is_quantised(checkpoint):  # such weights are packed where they are loaded, and cannot be moved
        arguments = {"device_map": {"": str(placement.device)}} | arguments
        arguments |= unpacked_on(placement.device.type, checkpoint)
    if rename:
        arguments["key_mapping"] = rename
    automatic = getattr(transformers, kind)
    classes = getattr(automatic, "_model_mapping", {type(config): automatic})
    if type(config) in classes:  # not for remote code, which the user trusts
        make, packed = classes[type(config)], is_quantised(checkpoint) or checkpoint.source is not None
        check_parameters(make, deepcopy(config), checkpoint.size, checkpoint.folder, packed=packed)
    made = checkpoint.source is not None or ADAPTER_CONFIG in checkpoint.files  # which the library would load as well
    if made or (options.allow_pickle and not checkpoint.safe) or checkpoint.renamed or not checkpoint.known:
        # The library reads torch files with weights_only alone, whatever it is told, and names of tensors as they are;
        # and it does not find all files that are read here.
        if is_rank():
            raise RmbenchError(
                f"--tensor-parallel splits weights as it reads them from safetensors, and those of {checkpoint.folder} "
                "are made or named anew here (an adapter, a GGUF file, pickles): save the model whole first."
            )
        state = checkpoint_state(checkpoint, options, placement.dtype)
        own = classes[type(config)] if type(config) in classes else _remote_class(checkpoint, config, kind)
        return own.from_pretrained(None, state_dict=state, **arguments)
    return automatic.from_pretrained(
        checkpoint.folder,
        trust_remote_code=trusted,
        use_safetensors=checkpoint.safe,
        local_files_only=True,
        **arguments,
    )


def _remote_class(checkpoint: Checkpoint, config: Any, kind: str) -> Any:
    """The class that a folder's own code has for an automatic class of the library; its configuration was read, so the
    user trusts it."""
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    named = (getattr(config, "auto_map", None) or {}).get(kind)
    if not named:
        raise RmbenchError(f'{checkpoint.folder}: config.json: key "auto_map" names no {kind}.')
    return get_class_from_dynamic_module(named, str(checkpoint.folder))


def reads_pad_id(model_type: object) -> bool:
    """Whether a model is an encoder whose first position is the pad id plus one, so that its table of positions holds
    fewer tokens than rows."""
    return model_type in ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "roberta-prelayernorm")


def _without_pad_outside(config: Any) -> None:
    """No pad id where the embedding has none such, of a decoder: what lies on padded places is never read."""
    text = config.get_text_config()
    pad, size = getattr(text, "pad_token_id", None), getattr(text, "vocab_size", None)
    if isinstance(pad, int) and isinstance(size, int) and pad >= size and not reads_pad_id(config.model_type):
        text.pad_token_id = None


def warm(first_forward: Callable[[], object]) -> None:
    """Before the first real forward of a process: elementary functions on one element and one thread, then a forward
    that is thrown away. A first large call on several threads may otherwise come out in low precision
    (pytorch issue 188792)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for function in _ELEMENTARY:
            function(torch.ones(1))
    finally:
        torch.set_num_threads(threads)
    first_forward()


def _mismatch(name: str, stored: Sequence[int], needed: Sequence[int]) -> str:
    return f"{name} (stored {list(stored)}, needed {list(needed)})"

"""Reads folders of adapters as trainers leave them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.checkpoint.adapter import CLASSIFIER, METHODS, TABLES, Adapter, Base
from rmbench.models.checkpoint.headers import Tensor, tensors_in
from rmbench.models.checkpoint.limits import check_config, whole_numbers
from rmbench.models.checkpoint.read import HEADLIKE, Checkpoint, check_beside
from rmbench.models.checkpoint.weight_files import ADAPTER_CONFIG, read_json, weight_files
from rmbench.models.options import OpenOptions

__all__ = ["is_adapter", "named_base", "read_adapter"]

_LEADING = re.compile(r"^((module|_orig_mod|pretrained_model)\.)*(base_model\.model\.)?")
"""What peft and wrappers around it put before a name."""
_INSIDE = re.compile(r"\.(base_layer|modules_to_save)(\.default)?(?=\.)|(?<=\.)(_orig_mod|_fsdp_wrapped_module)\.")
"""What peft puts into the names of whole tensors, and wrappers into all."""
_NAMED = re.compile(r"(\.(?:lora|ia3|hada|lokr|oft|boft|trainable_tokens)_\w+)\.default\b")
"""The name of the adapter behind that of its tensor, where a training loop saved the model's own state."""
_RANK = re.compile(r"rank_pattern\..*|(\w+_)?(r|rank|block_size|block_num|num|factor)")
"""Keys of adapter_config.json that give tensors their sizes."""
_MOST_HEAD = 32
"""Tensors in a file beside an adapter that is not a whole model."""


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model of its own.

    Raises:
        RmbenchError: it holds both.
    """
    files = weight_files(folder) if (folder / ADAPTER_CONFIG).is_file() else []
    if not files or files[0].name.startswith("adapter_model"):
        return bool(files) or (folder / ADAPTER_CONFIG).is_file()
    held = sorted(file.name for file in folder.glob("adapter_model.*") if file.suffix in (".safetensors", ".bin"))
    if not held:
        return False  # what a merge leaves behind
    if _heads_alone(files):
        return True
    raise RmbenchError(
        f"{folder} holds a whole model and an adapter in {held[0]}, which would be left out. Merge the adapter "
        "into the model; or move it elsewhere, if the model is meant without it or holds it already."
    )


def named_base(folder: Path) -> tuple[str, str | None]:
    """The base model and its revision as adapter_config.json names them; "" where it names none."""
    config = read_json(folder / ADAPTER_CONFIG)
    name, revision = config.get("base_model_name_or_path"), config.get("revision")
    return (name if isinstance(name, str) else ""), (revision if isinstance(revision, str) and revision else None)


def read_adapter(folder: Path, base: Base, options: OpenOptions) -> Checkpoint:
    """The adapter in `folder` with its base as one checkpoint, whose tensors are those of the merged model.

    Raises:
        RmbenchError: a broken file, a method that cannot be merged, a base that is quantised.
    """
    from rmbench.models.checkpoint.merge import MergedAdapter

    check_beside(folder)
    method = _method(folder)
    tensors, stored = _tensors(folder, options)
    _check_ranks(method, tensors, folder / ADAPTER_CONFIG)
    adapter = MergedAdapter(folder, method, tensors, stored, base, options)
    if not adapter.touched and not adapter.whole:
        raise RmbenchError(f"{folder} holds no tensors of a {adapter.method} adapter.")
    below = base.checkpoint
    if below.config.get("quantization_config"):
        raise RmbenchError(
            f"{folder}: its base {base.name} is quantised, and an adapter is merged into whole weights alone: name the "
            "unquantised base by --base-model."
        )
    made = {name: _placed(below.folder, tensor) for name, tensor in below.tensors.items()} | dict(adapter.whole)
    if adapter.unties and below.config.get("tie_word_embeddings", True):
        table = next((tensor for name, tensor in made.items() if TABLES.fullmatch(name)), None)
        made |= {"lm_head.weight": table} if table and "lm_head.weight" not in made else {}
    config = _config(adapter, made)
    check_config(config, max((side for tensor in made.values() for side in tensor.shape), default=0), folder)
    return Checkpoint(
        folder,
        config,
        made,
        below.safe and all(tensor.file.endswith(".safetensors") for tensor in tensors.values()),
        frozenset(file.name for file in folder.iterdir() if file.is_file()),
        {**below.renamed, **adapter.stored},
        source=adapter,
    )


def _method(folder: Path) -> dict[str, Any]:
    """adapter_config.json of a method that can be merged."""
    file = folder / ADAPTER_CONFIG
    config = read_json(file)
    method = config.get("peft_type")
    if not isinstance(method, str) or method not in METHODS:
        near = did_you_mean(str(method), METHODS)
        raise RmbenchError(
            f'{file}: "peft_type" is {method!r}, which cannot be merged into the base\'s weights; expected one of '
            f"{', '.join(METHODS)}.{near}"
        )
    return config


def _check_ranks(config: Mapping[str, Any], tensors: Mapping[str, Tensor], where: Path) -> None:
    """Raise RmbenchError for a size that no tensor has, before peft gives memory to one."""
    widest = max((side for tensor in tensors.values() for side in tensor.shape), default=0)
    for key, value in whole_numbers(config):
        if _RANK.fullmatch(key) and value > widest:
            raise RmbenchError(f'{where}: "{key}" is {value:,}, but the widest tensor of the adapter has {widest:,}.')


def _tensors(folder: Path, options: OpenOptions) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The adapter's tensors and a head's beside it by their plain names, and stored name -> plain name."""
    files = [folder / name for name in ("adapter_model.safetensors", "adapter_model.bin") if (folder / name).exists()]
    if not files:
        raise RmbenchError(
            f"{folder} has {ADAPTER_CONFIG} and no weights: expected adapter_model.safetensors or adapter_model.bin."
        )
    heads = [file for file in weight_files(folder) if not file.name.startswith("adapter_model")]
    found: dict[str, Tensor] = {}
    stored: dict[str, str] = {}
    for file in (files[0], *heads):
        for name, tensor in tensors_in(file, allow_pickle=options.allow_pickle).items():
            if ".original_module." in name:
                continue  # what the base had
            if 0 in tensor.shape:
                raise RmbenchError(
                    f"{file}: {name} is empty, as ZeRO-3 leaves what it does not gather: save the adapter again with "
                    "stage3_gather_16bit_weights_on_model_save."
                )
            plain = _NAMED.sub(r"\1", _INSIDE.sub("", _LEADING.sub("", name)))
            if plain in found:
                raise RmbenchError(f"{file}: {name} has the name {plain} without peft's parts, as another tensor has.")
            found[plain], stored[name] = _placed(folder, tensor), plain
    return found, stored


def _placed(folder: Path, tensor: Tensor) -> Tensor:
    """The tensor with its file as a path from anywhere."""
    return Tensor(str((folder / tensor.file).resolve()), tensor.shape, tensor.dtype)


def _heads_alone(files: list[Path]) -> bool:
    """Whether weights under a model's usual name are a head's few tensors, as TRL saves a value head."""
    names = [name for file in files for name in tensors_in(file)]
    return len(names) <= _MOST_HEAD and all(HEADLIKE.search(name) for name in names)


def _config(adapter: Adapter, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """config.json of the merged model: the base's, with what the adapter's own folder and its tensors say."""
    own = adapter.folder / "config.json"
    config = {**adapter.base.checkpoint.config, **(read_json(own) if own.exists() else {})}
    changed: dict[str, Any] = {}
    if (rows := adapter.vocabulary) is not None:
        changed["vocab_size"] = rows
    if adapter.unties:
        changed["tie_word_embeddings"] = False
    text = config.get("text_config")
    config |= {"text_config": {**text, **changed}} if isinstance(text, dict) else changed
    if "value_head_prefix" in config and f"{config['value_head_prefix']}.weight" in tensors:
        return config | {"architectures": ["RewardModel"]}  # OpenRLHF leaves the base's name there
    if adapter.config.get("task_type") == "SEQ_CLS" or any(map(CLASSIFIER.match, adapter.tensors)):
        return config | {"architectures": [_classifier(config, adapter.folder)]}
    return config


def _classifier(config: Mapping[str, Any], folder: Path) -> str:
    """The library's sequence classifier over the base's backbone."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as NAMES

    name = NAMES.get(config.get("model_type"))
    if name is None:
        raise RmbenchError(
            f"{folder}: the adapter is a sequence classifier's, and transformers has none for models of the type "
            f"{config.get('model_type')!r}."
        )
    return str(name)

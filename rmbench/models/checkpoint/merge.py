"""Merges an adapter into its base in memory, by peft."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import torch

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.adapter import Adapter
from rmbench.models.checkpoint.library import explained, quiet
from rmbench.models.checkpoint.loading import load_model
from rmbench.models.checkpoint.placement import Placement
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.checkpoint.state_dict import read_tensors
from rmbench.models.checkpoint.weight_files import ADAPTER_CONFIG

__all__ = ["MergedAdapter"]

_UNMERGED = ("layer_replication", "alora_invocation_tokens", "arrow_config")
"""Keys of adapter_config.json of what no change of the base's weights can stand for."""
_LANGUAGE_HEADS = r"(lm_head|embed_out)\..*"
_MANY = 4


class MergedAdapter(Adapter):
    """A `Source` of merged tensors."""

    def state(self, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """As `_merged_state`."""
        return _merged_state(self, dtype)


def _merged_state(adapter: Adapter, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """All tensors of the merged model by name, on the CPU. Changes of weights are computed in float32 and added to the
    base's in `dtype`.

    Raises:
        RmbenchError: peft is not installed, the base lacks a module that the adapter changes, or shapes do not fit.
    """
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise RmbenchError(f"An adapter is merged by peft: pip install 'rmbench[peft]' ({error}).") from error
    own = read_tensors(
        Checkpoint(adapter.folder, {}, adapter.tensors, safe=True, renamed=adapter.stored),
        adapter.tensors,
        adapter.options,
    )
    model, untaken = _base(adapter, dtype)
    with quiet(), explained(adapter.folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's advice on how to train
        _put_whole(adapter, model, own)
        parts = {name: tensor.float() for name, tensor in own.items() if name not in adapter.whole}
        merged = _merge(adapter, model, parts) if parts else model
    state = {name: tensor.detach() for name, tensor in merged.state_dict().items()}
    beside = _beside(adapter, state, untaken)
    if _lacks_output(adapter):  # what the library drew in its place
        state = {name: tensor for name, tensor in state.items() if not name.startswith(("lm_head.", "embed_out."))}
    heads = {name: own[name] for name in adapter.whole if name not in state}
    return {**beside, **state, **heads}


def _base(adapter: Adapter, dtype: torch.dtype) -> tuple[Any, tuple[str, ...]]:
    """The base as the class whose modules the adapter names, and the names of tensors that it does not take, whatever
    the others are called there."""
    spare = "|".join([_LANGUAGE_HEADS, *map(re.escape, adapter.whole)])
    return load_model(
        adapter.base.checkpoint,
        Placement(torch.device("cpu"), dtype, None),
        adapter.options,
        kind=adapter.kind,
        config={} if adapter.labels is None else {"num_labels": adapter.labels},
        spare=spare,
        accept_unused=True,
    )


def _beside(adapter: Adapter, state: Mapping[str, torch.Tensor], untaken: Collection[str]) -> dict[str, torch.Tensor]:
    """Heads of the base of which the class knows nothing: they stand outside its modules."""
    known = {name.partition(".")[0] for name in state}
    held = [name for name in adapter.base.checkpoint.tensors if name in untaken]
    names = [name for name in held if name.partition(".")[0] not in known]
    wanted = [name for name in names if name not in adapter.whole and not name.startswith(("lm_head.", "embed_out."))]
    return read_tensors(adapter.base.checkpoint, wanted, adapter.options)


def _put_whole(adapter: Adapter, model: Any, own: Mapping[str, torch.Tensor]) -> None:
    """Put the tensors that replace the base's into it, whose embedding grows where theirs is larger."""
    rows = adapter.vocabulary
    if rows is not None and rows != model.get_input_embeddings().weight.shape[0]:
        given = [name for name in adapter.whole if name.endswith(("lm_head.weight", "embed_out.weight"))]
        if model.get_output_embeddings() is not None and not given:
            raise RmbenchError(
                f"{adapter.folder}: its embedding has {rows} rows, that of the base {adapter.base.name} "
                f"{model.get_input_embeddings().weight.shape[0]}, and the adapter holds no output embedding of that "
                "size: save it with save_embedding_layers=True."
            )
        model.resize_token_embeddings(rows, mean_resizing=False)
    output = model.get_output_embeddings()
    if adapter.unties and output is not None:
        output.weight = torch.nn.Parameter(output.weight.detach().clone())
        model.config.get_text_config().tie_word_embeddings = model.config.tie_word_embeddings = False
    model.load_state_dict({name: own[name] for name in adapter.whole if name in model.state_dict()}, strict=False)


def _merge(adapter: Adapter, model: Any, parts: Mapping[str, torch.Tensor]) -> Any:
    """The model with the adapter's low-rank and other parts merged into its modules.

    The parts lie on torch's meta device until their tensors come, which costs less memory, but for those that begin as
    a part of the base's own weights (PiSSA, OLoRA) and are computed first.
    """
    from peft import set_peft_model_state_dict
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    config = _configuration(adapter)
    empty = not isinstance(getattr(config, "init_lora_weights", None), str)
    with torch.random.fork_rng(devices=[]):
        tuner = PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type](model, config, "default", low_cpu_mem_usage=empty)
        report = set_peft_model_state_dict(tuner.model, dict(parts), low_cpu_mem_usage=empty)
    foreign = [name.replace(".default", "") for name in report.unexpected_keys]
    missing = [name.replace(".default", "") for name, one in tuner.model.named_parameters() if one.is_meta]
    if foreign or missing:
        told = [
            f"{word} {', '.join(names[:_MANY])}"
            for word, names in (("it has no place for", foreign), ("lacking are", missing))
            if names
        ]
        raise RmbenchError(
            f"{adapter.folder} does not fit its base {adapter.base.name}, read as {type(model).__name__}: "
            f"{'; '.join(told)}. Name the base that it was trained on by --base-model."
        )
    return tuner.merge_and_unload()


def _configuration(adapter: Adapter) -> Any:
    """Peft's own object for adapter_config.json; whole modules are put into the model by us."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    schema = PEFT_TYPE_TO_CONFIG_MAPPING[adapter.config["peft_type"]]
    known = {each.name for each in dataclasses.fields(schema) if each.init}
    given = {key: value for key, value in adapter.config.items() if value not in (None, False, [], {}, "")}
    strange = [key for key in given if key not in (*known, "peft_version")]
    if strange:
        raise RmbenchError(
            f"{adapter.folder / ADAPTER_CONFIG}: the installed peft has no option {strange[0]!r}; a newer one may: "
            "pip install --upgrade peft."
        )
    unmerged = [key for key in _UNMERGED if key in given]
    if unmerged:
        raise RmbenchError(
            f'{adapter.folder / ADAPTER_CONFIG}: an adapter with "{unmerged[0]}" is more than a change of the base\'s '
            "weights, and cannot be merged."
        )
    kept = {key: value for key, value in adapter.config.items() if key in known}
    return schema(**{**kept, "modules_to_save": None, "inference_mode": True})


def _lacks_output(adapter: Adapter) -> bool:
    """Whether a language model's output embedding is neither in the adapter nor in the base."""
    names = (*adapter.base.checkpoint.tensors, *adapter.whole)
    tied = adapter.base.checkpoint.config.get("tie_word_embeddings", True)
    return not tied and not any(re.search(rf"(^|\.){_LANGUAGE_HEADS}", name) for name in names)

"""open_clip's towers from a configuration, or from a name, or from the shapes of the tensors where these say enough."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.checkpoint.state_dict import missing_and_foreign
from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators

__all__ = ["build", "chosen", "named_config", "open_clip", "shapes_of"]

_FOREIGN_TOWERS = (("vision_cfg", "timm_model_name"), ("text_cfg", "hf_model_name"), ("text_cfg", "hf_tokenizer_name"))

Config = Mapping[str, Any]
"""`model_cfg` of an open_clip_config.json: embed_dim, vision_cfg, text_cfg and, where it is so, quick_gelu."""


def open_clip() -> Any:
    """The library; raises RmbenchError where it is not installed."""
    declare_missing_operators()
    try:
        import open_clip as library
    except ImportError as error:
        raise RmbenchError(f"open_clip is not installed: pip install 'rmbench[clip]' ({error}).") from error
    return library


def named_config(name: str) -> Config:
    """The configuration that open_clip calls so; raises RmbenchError with the nearest name for an unknown one."""
    library = open_clip()
    config = library.get_model_config(name)
    if config is None:
        known = library.list_models()
        raise RmbenchError(f"architecture={name}: open_clip has no such model.{did_you_mean(name, known)}")
    return dict(config)


def chosen(checkpoint: Checkpoint, named: str | None) -> tuple[str, Config]:
    """The architecture of a checkpoint without a configuration, by name: the one that is named, else the only one of
    open_clip's whose tensors have exactly these names and shapes.

    Raises:
        RmbenchError: none has them, or several do. Shapes tell neither the activation nor the number of heads, so that
            ViT-B-32 and ViT-B-32-quickgelu look the same and score differently.
    """
    if named is not None:
        return named, named_config(named)
    stored = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    library = open_clip()
    fitting = [name for name in library.list_models() if _may_fit(library.get_model_config(name), stored)]
    fitting = [name for name in fitting if shapes_of(named_config(name), name) == stored]
    if len(fitting) == 1:
        return fitting[0], named_config(fitting[0])
    if not fitting:
        raise RmbenchError(
            f"{checkpoint.folder}: no model of open_clip has these tensors. If you know which one it is, pass "
            "--model-args architecture=NAME to hear what differs."
        )
    raise RmbenchError(
        f"{checkpoint.folder}: the tensors fit {', '.join(fitting)}, which compute different things with them; pass "
        "--model-args architecture=NAME with the one that it was trained as."
    )


def shapes_of(config: Config, where: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that a model of this configuration has; nothing is allocated."""
    with torch.device("meta"):
        model = _instance(config, where)
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def build(config: Config, state: dict[str, torch.Tensor], where: str, dtype: torch.dtype) -> Any:
    """The model with these tensors, all of them and no others, in eval mode.

    Raises:
        RmbenchError: a tensor is missing, foreign or of another shape; or the towers are of another library.
    """
    stored = {name: tuple(value.shape) for name, value in state.items()}
    missing_and_foreign(stored, shapes_of(config, where), where, "its open_clip model")
    model = _instance(config, where)
    model.load_state_dict(state, strict=True)
    # No cast_dtype: it would ask for layer norms in float32, and here every tensor is of one dtype.
    return model.to(dtype).eval()


def _instance(config: Config, where: str) -> Any:
    """A model with random weights. Only towers that open_clip itself computes: others would be looked for on a hub."""
    given = deepcopy(dict(config))
    custom = bool(given.pop("custom_text", False))
    if not all(isinstance(given.get(key), dict) for key in ("vision_cfg", "text_cfg")) or "embed_dim" not in given:
        raise RmbenchError(f"{where}: model_cfg must have embed_dim, vision_cfg and text_cfg.")
    foreign = [f"{part}.{key}" for part, key in _FOREIGN_TOWERS if given[part].get(key)]
    if "multimodal_cfg" in given:
        foreign.append("multimodal_cfg")
    if foreign:
        raise RmbenchError(f"{where}: model_cfg has {', '.join(foreign)}; only open_clip's own towers are read here.")
    library = open_clip()
    kind = library.CustomTextCLIP if custom else library.CLIP
    unknown = sorted(set(given) - set(inspect.signature(kind).parameters))
    if unknown:
        raise RmbenchError(f"{where}: model_cfg has {', '.join(unknown)}, which open_clip's {kind.__name__} has not.")
    try:
        return kind(**given)
    except (TypeError, ValueError, ArithmeticError, RuntimeError, AssertionError, AttributeError) as error:
        said = " ".join(str(error).split())[:200]
        raise RmbenchError(f"{where}: open_clip cannot make a model of this model_cfg: {said}") from error


def _may_fit(config: Config, stored: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether it is worth building: towers of open_clip's own, with the sizes that the tensors show."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    if any(config[part].get(key) for part, key in _FOREIGN_TOWERS) or "multimodal_cfg" in config:
        return False
    prefix = "text." if config.get("custom_text") else ""
    width, layers = text.get("width", 512), text.get("layers", 12)
    return (
        stored.get(f"{prefix}token_embedding.weight") == (text.get("vocab_size", 49408), width)
        and stored.get(f"{prefix}text_projection") in (None, (width, config["embed_dim"]))
        and _blocks(stored, f"{prefix}transformer") == layers
        and (isinstance(vision["layers"], list) or _blocks(stored, "visual.transformer") == vision["layers"])
    )


def _blocks(stored: Mapping[str, tuple[int, ...]], tower: str) -> int:
    """How many layers a transformer has."""
    return sum(name.startswith(f"{tower}.resblocks.") and name.endswith(".ln_1.weight") for name in stored)

"""LoRA of diffusion models over the denoiser that it changes, as diffusers, peft and kohya's scripts save it, merged
into plain weights: W + scale B A."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.adapter import Base
from rmbench.models.checkpoint.headers import Tensor, tensors_in
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.checkpoint.weight_files import ADAPTER_CONFIG, read_json
from rmbench.models.options import OpenOptions
from rmbench.types import Setting

if TYPE_CHECKING:
    import torch

__all__ = ["DenoiserLora", "lora_file", "read_lora"]

_USUAL = ("pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin")
"""As diffusers calls the file."""
_WHOLE = ("config.json", "model_index.json")
_HALF = re.compile(
    r"(?P<block>.+?)"
    r"(?:\.processor\.(?P<own>to_q|to_k|to_v|to_out)_lora|\.lora_linear_layer|\.lora|\.lora_(?=A|B|down|up))"
    r"\.?(?P<half>A|B|down|up)(?:\.default)?\.weight"
)
"""A factor of a pair, under today's name and those of earlier versions."""
_ALPHA = re.compile(r"(.+)\.alpha")
_PREFIX = re.compile(r"(?:base_model\.model\.)?(?:unet|transformer)\.|base_model\.model\.|lora_(?:unet|transformer)_")
_OF_TEXT = re.compile(r"(?:base_model\.model\.)?text_encoder|lora_te\d?_")
_METADATA = "lora_adapter_metadata"
"""Where diffusers keeps peft's configuration, in the header of a safetensors file."""
_NAME = re.compile(r"\^?[\w.]+")


@dataclass(frozen=True, slots=True)
class _Pair:
    down: str
    """Names in the file."""
    up: str
    scale: float


@dataclass(frozen=True)
class DenoiserLora:
    """A `Source` of merged tensors, those of the base with some changed."""

    file: Path
    base: Base
    pairs: Mapping[str, _Pair]
    """By the tensor of the base that each changes."""
    tensors: Mapping[str, Tensor]
    """By names in the file."""
    options: OpenOptions

    @property
    def why(self) -> str:
        """One line on what is made of what."""
        return f"{len(self.pairs)} LoRA pairs of {self.file.name} are merged into its base {self.base.name}"

    @property
    def settings(self) -> Mapping[str, Setting]:
        """For the record."""
        return {"adapter": "lora", "base": self.base.name, "lora_pairs": len(self.pairs)}

    @property
    def tokenizer(self) -> Path:
        """The base's folder, which has none."""
        return self.base.checkpoint.folder

    def digest(self, commit: str | None) -> str:
        """sha256 over what pins the file and the base."""
        own = commit
        if own is None:
            with self.file.open("rb") as stream:
                own = hashlib.file_digest(stream, "sha256").hexdigest()
        rest = self.file.parent / ADAPTER_CONFIG
        told = hashlib.sha256(rest.read_bytes()).hexdigest() if rest.is_file() and commit is None else ""
        return hashlib.sha256(f"{own} {told} {self.base.digest}".encode()).hexdigest()

    def makes(self, name: str) -> bool:
        """Whether a pair changes a tensor of this name."""
        return name in self.pairs

    def state(self, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """All tensors by name, on the CPU."""
        from rmbench.models.checkpoint.state_dict import checkpoint_state

        plain = checkpoint_state(self.base.checkpoint, self.options)
        whole = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in plain.items()}
        return whole | self.changed(dtype)

    def changed(self, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """The tensors that pairs change, by name, on the CPU; computed and added in float32."""
        from rmbench.models.checkpoint.state_dict import read_tensors

        own = read_tensors(
            Checkpoint(self.file.parent, {}, self.tensors, safe=self.file.suffix == ".safetensors"),
            [name for pair in self.pairs.values() for name in (pair.down, pair.up)],
            self.options,
        )
        found = read_tensors(self.base.checkpoint, self.pairs, self.options)
        for name, pair in self.pairs.items():
            change = own[pair.up].float().flatten(1) @ own[pair.down].float().flatten(1)
            found[name] = (found[name].float() + pair.scale * change.reshape(found[name].shape)).to(dtype)
        return found


def lora_file(folder: Path, weights: str | None = None) -> Path | None:
    """The file of a LoRA of a diffusion model, which no adapter_config.json need lie beside; None where a folder holds
    something else.

    Args:
        folder: what is looked at.
        weights: the one file that is meant; None: the one that diffusers writes, or the folder's only safetensors file
            where it has no config.json.
    """
    if weights is None and any((folder / name).exists() for name in (*_WHOLE, ADAPTER_CONFIG)):
        return None
    if weights is None:
        usual = [folder / name for name in _USUAL if (folder / name).is_file()]
        alone = sorted(folder.glob("*.safetensors"))
        file = usual[0] if usual else alone[0] if len(alone) == 1 else None
    else:
        file = folder / weights
    if file is None or (file.name not in _USUAL and (file.suffix != ".safetensors" or not file.is_file())):
        return None
    if file.name in _USUAL:
        return file
    return file if any(_HALF.fullmatch(name) for name in tensors_in(file)) else None


def read_lora(file: Path, base: Base, options: OpenOptions) -> Checkpoint:
    """The base with a LoRA of its denoiser as one checkpoint.

    Scales are alpha / rank, by `.alpha` beside a pair, by the file's own header (diffusers) or by adapter_config.json
    (peft); where nothing says alpha, it is the rank, as diffusers has it.

    Raises:
        RmbenchError: a tensor is no half of a LoRA pair on a linear layer or a convolution, or a text encoder's; a pair
            lacks a half, or the base its weight, or shapes do not fit; the base is an adapter or no denoiser.
    """
    below = base.checkpoint
    if "_class_name" not in below.config or below.source is not None:
        what = "an adapter itself" if below.source is not None else "no denoiser of diffusers"
        raise RmbenchError(f"{file}: its base {base.name} is {what}: name the denoiser or pipeline by --base-model.")
    tensors = tensors_in(file, allow_pickle=options.allow_pickle)
    halves, alphas = _parts(tensors, file)
    modules = _modules(below.tensors)
    told = _Told.of(file)
    odd = next((key for key in told.config if key in ("use_dora", "lora_bias") and told.config[key]), None)
    if odd is not None:
        raise RmbenchError(f"{file}: a LoRA with {odd} is more than a change of weights by B A; merge it first.")
    unknown = [name for name in halves if name not in modules]
    if unknown:
        raise RmbenchError(
            f"{file}: its base {base.name} has no {', '.join(unknown[:3])}, which {len(unknown)} of its "
            f"{len(halves)} pairs change. Name the base that it was trained on by --base-model."
        )
    pairs: dict[str, _Pair] = {}
    values = _values(file, tensors, alphas, options)
    for name, found in halves.items():
        target = f"{modules[name]}.weight"
        if lacking := {"down", "up"} - found.keys():
            raise RmbenchError(f"{file}: {name} has one half of a LoRA pair alone; {lacking.pop()} is missing.")
        down, up, weight = tensors[found["down"]].shape, tensors[found["up"]].shape, below.tensors[target].shape
        rank = _rank(down, up, weight)
        if rank is None:
            raise RmbenchError(f"{file}: {name}: a pair of {list(up)} and {list(down)} does not change {list(weight)}.")
        if target in pairs:
            raise RmbenchError(f"{file}: two pairs change {target}.")
        alpha = values.get(name, told.alpha(modules[name], rank))
        if not 0 < alpha < math.inf:
            raise RmbenchError(f"{file}: {name}: alpha is {alpha}, expected a number above 0.")
        pairs[target] = _Pair(found["down"], found["up"], alpha / (math.sqrt(rank) if told.root else rank))
    return replace(below, source=DenoiserLora(file, base, pairs, tensors, options))


def _parts(tensors: Iterable[str], file: Path) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Module -> half ("down", "up") -> name in the file; and module -> name of its alpha."""
    halves: dict[str, dict[str, str]] = {}
    alphas: dict[str, str] = {}
    for name in tensors:
        if _OF_TEXT.match(name):
            raise RmbenchError(
                f"{file} changes a text encoder too ({name}), and policy and reference are shown the same states of a "
                "prompt: merge it into a pipeline, and say by --model-args pipeline=FOLDER whose encoders are meant."
            )
        if match := _ALPHA.fullmatch(name):
            alphas[_PREFIX.sub("", match[1], count=1)] = name
        elif match := _HALF.fullmatch(name):
            module = _PREFIX.sub("", match["block"], count=1)
            if own := match["own"]:
                module = f"{module}.{'to_out.0' if own == 'to_out' else own}"
            half = {"A": "down", "B": "up"}.get(match["half"], match["half"])
            if half in halves.setdefault(module, {}):
                raise RmbenchError(f"{file}: {name} and {halves[module][half]} are the same half of a pair.")
            halves[module][half] = name
        else:
            raise RmbenchError(
                f"{file}: {name} is no half of a LoRA pair, and adapters of other kinds are not merged into denoisers."
            )
    if not halves:
        raise RmbenchError(f"{file} holds no LoRA pairs.")
    return halves, alphas


def _modules(tensors: Iterable[str]) -> dict[str, str]:
    """Name of a module, also with "_" for each "." as kohya's scripts write it -> the name in the base."""
    names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    return {name.replace(".", "_"): name for name in names} | {name: name for name in names}


def _rank(down: tuple[int, ...], up: tuple[int, ...], weight: tuple[int, ...]) -> int | None:
    """Of a pair that changes a weight of a linear layer or a convolution; None where it does not fit."""
    if min(len(down), len(up), len(weight)) < 2 or not down[0] or down[0] != up[1] or math.prod(up[2:]) != 1:
        return None
    inside = down[1:] + (1,) * (len(weight) - len(down))
    plain = weight[1:] + (1,) * (len(down) - len(weight))
    return down[0] if up[0] == weight[0] and inside == plain else None


def _values(
    file: Path, tensors: Mapping[str, Tensor], alphas: Mapping[str, str], options: OpenOptions
) -> dict[str, float]:
    """Module -> its alpha, of those that the file holds as tensors."""
    from rmbench.models.checkpoint.state_dict import read_tensors

    wide = next((name for name in alphas.values() if math.prod(tensors[name].shape) != 1), None)
    if wide is not None:
        raise RmbenchError(f"{file}: {wide} {list(tensors[wide].shape)} is no single number.")
    held = Checkpoint(file.parent, {}, tensors, safe=file.suffix == ".safetensors")
    found = read_tensors(held, alphas.values(), options) if alphas else {}
    return {module: float(found[name].float().reshape(())) for module, name in alphas.items()}


@dataclass(frozen=True, slots=True)
class _Told:
    """Peft's configuration of a LoRA, as far as it is known."""

    config: Mapping[str, Any]
    file: Path

    @classmethod
    def of(cls, file: Path) -> _Told:
        """From the file's own header, or from adapter_config.json beside it."""
        beside = file.parent / ADAPTER_CONFIG
        if beside.is_file():
            config = read_json(beside)
            if config.get("peft_type") != "LORA":
                raise RmbenchError(
                    f'{beside}: "peft_type" is {config.get("peft_type")!r}, and only LORA is merged into denoisers.'
                )
            return cls(config, beside)
        if file.suffix != ".safetensors":
            return cls({}, file)
        from safetensors import safe_open

        with safe_open(file, "pt") as opened:
            written = (opened.metadata() or {}).get(_METADATA, "{}")
        try:
            config = json.loads(written)
            return cls({_PREFIX.sub("", key, count=1): value for key, value in config.items()}, file)
        except (ValueError, AttributeError, RecursionError) as error:
            raise RmbenchError(f"{file}: {_METADATA} in its header is no JSON object: {error}") from None

    @property
    def root(self) -> bool:
        """Whether the scale is alpha / sqrt(rank) (rsLoRA) in place of alpha / rank."""
        return bool(self.config.get("use_rslora"))

    def alpha(self, module: str, rank: int) -> float:
        """Of a module, by its own name or the end of it; the rank where nothing says it."""
        patterns = self.config.get("alpha_pattern") or {}
        if not isinstance(patterns, dict) or not all(map(_NAME.fullmatch, patterns)):
            raise RmbenchError(f"{self.file}: alpha_pattern: expected names of modules, each with a number.")
        for key, value in patterns.items():
            if module == key.lstrip("^") or (not key.startswith("^") and module.endswith(f".{key}")):
                return self._number("alpha_pattern", value)
        return self._number("lora_alpha", self.config.get("lora_alpha", rank))

    def _number(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RmbenchError(f"{self.file}: {key} is {value!r}, expected a number.")
        return float(value)

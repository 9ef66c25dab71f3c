"""Checkpoints whose config.json says how their weights are quantised, which transformers reads with other packages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import Checkpoint

__all__ = ["check_packages", "is_quantised", "quantisation", "unpacked_on"]

_PACKAGES = {
    "bitsandbytes": ("accelerate", "bitsandbytes"),
    "gptq": ("accelerate", "optimum", "gptqmodel"),
    "awq": ("accelerate", "gptqmodel"),
    "compressed-tensors": ("accelerate", "compressed-tensors"),
    "fp8": ("accelerate",),
    "fbgemm_fp8": ("accelerate", "fbgemm-gpu-genai"),
    "torchao": ("accelerate", "torchao"),
    "hqq": ("accelerate", "hqq"),
    "quanto": ("accelerate", "optimum-quanto"),
    "auto-round": ("accelerate", "auto-round"),
    "aqlm": ("accelerate", "aqlm"),
    "mxfp4": ("accelerate", "kernels"),
}
"""Method -> the packages that the library reads it with."""
_MODULES = {"optimum-quanto": "optimum.quanto", "fbgemm-gpu-genai": "fbgemm_gpu"}
"""Package -> its module, where that is not its name with underscores."""


def is_quantised(checkpoint: Checkpoint) -> bool:
    """Whether config.json names a quantisation that the library undoes or computes with."""
    from transformers.quantizers import AutoHfQuantizer

    named = checkpoint.config.get("quantization_config")
    return isinstance(named, dict) and bool(AutoHfQuantizer.supports_quant_method(named))


def quantisation(config: Mapping[str, Any]) -> str | None:
    """How config.json says that weights are quantised, for the record: "bitsandbytes 4-bit nf4", "gptq 4-bit", "fp8";
    None where it says nothing."""
    named = config.get("quantization_config")
    if not isinstance(named, Mapping) or not named:
        return None
    bits = 4 if named.get("load_in_4bit") else 8 if named.get("load_in_8bit") else named.get("bits", named.get("w_bit"))
    details = [named.get("format"), named.get("bnb_4bit_quant_type") if bits == 4 else None, named.get("fmt")]
    words = [_method(named), f"{bits}-bit" if isinstance(bits, int) else None, *details]
    return " ".join(word for word in words if isinstance(word, str))


def check_packages(checkpoint: Checkpoint) -> None:
    """Raise RmbenchError where packages that the quantisation needs are not installed; it names all of them."""
    named = checkpoint.config.get("quantization_config")
    if not isinstance(named, dict):
        return
    missing = [package for package in _PACKAGES.get(_method(named), ()) if not _is_there(package)]
    if missing:
        raise RmbenchError(
            f"{checkpoint.folder}: its weights are quantised ({quantisation(checkpoint.config)}), which is read with "
            f"packages that are not installed: pip install {' '.join(missing)}"
        )


def unpacked_on(device: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """What the library is told where it would else leave weights packed that this kind of device cannot multiply."""
    if device != "cpu" or _method(checkpoint.config["quantization_config"]) != "compressed-tensors":
        return {}
    from transformers import CompressedTensorsConfig

    return {"quantization_config": CompressedTensorsConfig(run_compressed=False)}


def _method(named: Mapping[str, Any]) -> str:
    if named.get("load_in_4bit") or named.get("load_in_8bit"):
        return "bitsandbytes"
    return str(named.get("quant_method") or "of no method")


def _is_there(package: str) -> bool:
    try:
        return find_spec(_MODULES.get(package, package.replace("-", "_"))) is not None
    except (ImportError, ValueError):  # of a package in a package that is not there
        return False

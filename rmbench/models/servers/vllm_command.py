"""The command line and environment of `vllm serve` for a checkpoint on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rmbench.errors import RmbenchError
from rmbench.models.options import OpenOptions
from rmbench.models.servers.key import ApiKey

__all__ = ["Machine", "Parallel", "Runner", "parallel", "serve_command", "serve_environment", "this_machine"]

Runner = Literal["generate", "pooling"]


_WEIGHTS_SHARE = 0.7
"""Of a GPU's memory, at most, for weights; the rest is for the cache of keys and values, and for what a batch takes."""
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Machine:
    """The GPUs of a server."""

    gpus: int
    """How many it may use; 0: the CPU."""
    visible: str | None = None
    """The value of CUDA_VISIBLE_DEVICES; None: unchanged."""
    memory: int = 0
    """Bytes of the smallest GPU; 0: unknown."""


@dataclass(frozen=True, slots=True)
class Parallel:
    """How a model is spread over GPUs: `copies` of it that share the requests, each over `gpus` of them."""

    copies: int
    gpus: int
    why: str = ""
    """One line for the user; "" where there is nothing to choose."""


def parallel(machine: Machine, folder: Path, dtype: str) -> Parallel:
    """As many copies as fit: a copy over several GPUs waits for the slowest of them at every layer, copies for nobody.

    Args:
        machine: its GPUs.
        folder: the checkpoint, whose weights count as they are stored, or in `dtype` where that is named.
        dtype: "auto", "float32", "bfloat16" or "float16".
    """
    total = machine.gpus
    if total <= 1:
        return Parallel(1, total)
    size = _weight_bytes(folder, dtype)
    if not size or not machine.memory:
        unknown = "the size of its weights" if not size else "the GPUs' memory"
        return Parallel(
            1, total, f"one copy of the model over {total} GPUs (tensor parallel), since {unknown} is unknown"
        )
    each = next((n for n in range(1, total) if total % n == 0 and size <= n * _WEIGHTS_SHARE * machine.memory), total)
    held = f"{size / 1e9:.1f} GB of weights, and a GPU has {machine.memory / 1e9:.0f} GB"
    if each == 1:
        return Parallel(total, 1, f"{total} copies of the model, one on each GPU (data parallel): {held}")
    copies = f"{total // each} copies" if each < total else "one copy"
    return Parallel(total // each, each, f"{copies} of the model over {each} GPUs each (tensor parallel): {held}")


def _weight_bytes(folder: Path, dtype: str) -> int:
    """Bytes of a checkpoint's weights on a GPU; 0 where it has no weight files."""
    files = list(folder.glob("*.safetensors")) or list(folder.glob("*.bin"))
    size = sum(file.stat().st_size for file in files)
    stored = _stored_dtype(folder)
    return size * _BYTES[dtype] // _BYTES[stored] if dtype in _BYTES and stored in _BYTES else size


def _stored_dtype(folder: Path) -> str:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    if not isinstance(config, dict) or "quantization_config" in config:
        return ""
    return str(config.get("dtype") or config.get("torch_dtype") or "")


def this_machine(device: str) -> Machine:
    """The GPUs that `--device` selects for a server: all of them by default.

    Raises:
        RmbenchError: the device asks for a GPU that does not exist.
    """
    if device == "cpu":
        return Machine(0)
    count = _count()
    if device == "auto" or (device == "cuda" and count):
        return Machine(count, memory=_memory() if count > 1 else 0)
    kind, _, index = device.partition(":")
    if kind != "cuda" or not count or (index and not index.isdecimal()):
        raise RmbenchError(f"--device {device}: a server takes auto, cpu, cuda or cuda:N, and there are {count} GPUs.")
    visible = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one] or list(
        map(str, range(count))
    )
    if int(index) >= len(visible):
        raise RmbenchError(f"--device {device}: this machine has {count} GPUs.")
    return Machine(1, visible[int(index)])


def serve_command(
    program: Path,
    folder: Path,
    name: str,
    port: int,
    runner: Runner,
    options: OpenOptions,
    machine: Machine,
    spread: Parallel,
    dtype: str,
    images: int = 0,
    convert: str | None = None,
) -> list[str]:
    """The command line.

    Args:
        program: `vllm`.
        folder: the checkpoint.
        name: what requests call the model.
        port: on 127.0.0.1; the program's own default is all interfaces.
        runner: "generate" for judges, "pooling" for scalar models.
        options: the user's.
        machine: its GPUs.
        spread: how the model is spread over them.
        dtype: "auto", "float32", "bfloat16" or "float16".
        images: how many a request may show; 0: requests show none.
        convert: what a pooling server makes of a model that is none, "classify" say.
    """
    command = [str(program), "serve", str(folder), "--served-model-name", name]
    command += ["--host", "127.0.0.1", "--port", str(port), "--runner", runner, "--dtype", dtype]
    if runner == "generate":
        # Without it the sampling settings in the model's own files would override ours.
        command += ["--generation-config", "vllm"]
    if convert is not None:
        command += ["--convert", convert]
    if images:
        command += ["--limit-mm-per-prompt", json.dumps({"image": images, "video": 0})]
    if options.max_length is not None:
        command += ["--max-model-len", str(options.max_length)]
    if options.template is not None:
        command += ["--chat-template", str(options.template)]
    if options.trust_remote_code:
        command += ["--trust-remote-code"]
    if spread.gpus > 1:
        command += ["--tensor-parallel-size", str(spread.gpus)]
    if spread.copies > 1:
        command += ["--data-parallel-size", str(spread.copies)]
    if not machine.gpus:
        command += ["--enforce-eager"]
    return command


def serve_environment(machine: Machine, key: ApiKey) -> Mapping[str, str]:
    """The server's environment: this process's, without the API key, which it does not need."""
    environment = {name: value for name, value in os.environ.items() if name != key.variable}
    environment |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}
    environment |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}  # everything it needs is in the folder
    if machine.visible is not None:
        environment["CUDA_VISIBLE_DEVICES"] = machine.visible
    if not machine.gpus:
        # Without it the first request with log-probabilities compiles for a minute, and needs a compiler.
        environment["TORCHDYNAMO_DISABLE"] = "1"
        environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")  # GiB
    return environment


def _memory() -> int:
    """Bytes of the smallest GPU that the driver lists; 0 where it does not say."""
    said = _driver("--query-gpu=memory.total", "--format=csv,noheader,nounits")
    sizes = [int(line) for line in said.split() if line.isdecimal()]  # in MiB
    return min(sizes, default=0) << 20


def _count() -> int:
    """GPUs as the driver lists them, without those that CUDA_VISIBLE_DEVICES hides."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([one for one in visible.split(",") if one.strip() and one.strip() != "-1"])
    return sum(line.startswith("GPU ") for line in _driver("-L").splitlines())


def _driver(*arguments: str) -> str:
    """What nvidia-smi prints; "" where there is none, or where it fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        listed = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return listed.stdout if listed.returncode == 0 else ""

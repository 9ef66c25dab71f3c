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

__all__ = ["Machine", "Runner", "serve_command", "serve_environment", "this_machine"]

Runner = Literal["generate", "pooling"]


@dataclass(frozen=True, slots=True)
class Machine:
    """The GPUs of a server."""

    gpus: int
    """How many it may use; 0: the CPU."""
    visible: str | None = None
    """The value of CUDA_VISIBLE_DEVICES; None: unchanged."""


def this_machine(device: str) -> Machine:
    """The GPUs that `--device` selects for a server: all of them by default.

    Raises:
        RmbenchError: the device asks for a GPU that does not exist.
    """
    if device == "cpu":
        return Machine(0)
    count = _count()
    if device == "auto" or (device == "cuda" and count):
        return Machine(count)
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
    dtype: str,
    images: int = 0,
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
        dtype: "auto", "float32", "bfloat16" or "float16".
        images: how many a request may show; 0: requests show none.
    """
    command = [str(program), "serve", str(folder), "--served-model-name", name]
    command += ["--host", "127.0.0.1", "--port", str(port), "--runner", runner, "--dtype", dtype]
    if runner == "generate":
        # Without it the sampling settings in the model's own files would override ours.
        command += ["--generation-config", "vllm"]
    if images:
        command += ["--limit-mm-per-prompt", json.dumps({"image": images, "video": 0})]
    if options.max_length is not None:
        command += ["--max-model-len", str(options.max_length)]
    if options.template is not None:
        command += ["--chat-template", str(options.template)]
    if options.trust_remote_code:
        command += ["--trust-remote-code"]
    if machine.gpus > 1:
        command += ["--tensor-parallel-size", str(machine.gpus)]
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


def _count() -> int:
    """GPUs as the driver lists them, without those that CUDA_VISIBLE_DEVICES hides."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([one for one in visible.split(",") if one.strip() and one.strip() != "-1"])
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0

"""Folders of training runs: which of their folders holds weights, and what to run where no folder does yet."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.pipeline import denoiser_in
from rmbench.models.checkpoint.weight_files import ADAPTER_CONFIG, LEFT_BY_TRAINING

__all__ = ["name_of", "with_weights"]

_STEP = re.compile(r"checkpoint-(\d+)")
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_SHARDS = (
    (
        ("pytorch_model_fsdp_*/*.distcp", "fsdp_*/*.distcp"),
        "FSDP's shards ({found})",
        "accelerate merge-weights {found} {folder}",
    ),
    (
        ("*.distcp", "*/*.distcp", "*/*/*.distcp"),
        "shards of torch.distributed ({found})",
        "python -m torch.distributed.checkpoint.format_utils dcp_to_torch {found} {folder}/pytorch_model.bin",
    ),
    (
        ("model_world_size_*_rank_*.pt", "*/model_world_size_*_rank_*.pt", "*/*/model_world_size_*_rank_*.pt"),
        "FSDP's shards as verl saves them ({found})",
        "python -m verl.model_merger merge --backend fsdp --local_dir {found} --target_dir {folder}",
    ),
    (
        ("global_step*/*_states.pt", "*_model_states.pt"),
        "DeepSpeed's shards ({found})",
        "python {script} {folder} {folder} --safe_serialization",
    ),
    (
        ("mp_rank_*/*", "iter_*/mp_rank_*/*", "release/mp_rank_*/*"),
        "Megatron's shards ({found})",
        "the trainer's export (Megatron Bridge: AutoBridge.export_ckpt; ms-swift: swift export --to_hf true)",
    ),
)
"""Patterns of files below a folder, what they are, and what makes weights of them."""


def with_weights(folder: Path, note: Callable[[str], None]) -> Path:
    """The folder itself where it has weights of its own, else its only `checkpoint-N` that has; a folder with neither
    and without shards is returned as it is.

    Raises:
        RmbenchError: there are several such, or shards that must be put together first, the message says how; or models
            lie deeper alone.
    """
    if _has_weights(folder):
        return folder
    steps = sorted((int(match[1]), each) for each in _folders(folder) if (match := _STEP.fullmatch(each.name)))
    found = [each for _, each in steps if _has_weights(each)]
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise RmbenchError(
            f"{folder} holds no weights of its own and {len(found)} checkpoints, the newest last: {names}. Name one: "
            f"--model {found[-1]}"
        )
    if found:
        note(f"{folder} holds no weights of its own; taken is {found[0].name}, its only checkpoint")
        return found[0]
    adapters = sorted(each for each in _folders(folder) if (each / ADAPTER_CONFIG).is_file())
    if adapters:
        names = ", ".join(each.name for each in adapters)
        raise RmbenchError(
            f"{folder} holds no weights of its own, and adapters in {names}: name one, --model {adapters[0]}"
        )
    for each in (*reversed([each for _, each in steps]), folder):
        _refuse_shards(each)
    below = [file.parent for depth in ("*", "*/*", "*/*/*") for file in sorted(folder.glob(f"{depth}/config.json"))]
    models = [each for each in below if _has_weights(each)]
    if models and not (folder / "config.json").exists() and denoiser_in(folder) is None:
        names = ", ".join(str(each.relative_to(folder)) for each in models[:8])
        raise RmbenchError(
            f"{folder} holds no weights of its own, and models in {names}: name one, --model {models[-1]}"
        )
    return folder


def name_of(folder: Path) -> str:
    """A model's name by its folder, with that of the run for one of its checkpoints: "run-checkpoint-500"."""
    folder = folder.resolve()
    return f"{folder.parent.name}-{folder.name}" if _STEP.fullmatch(folder.name) else folder.name


def _has_weights(folder: Path) -> bool:
    """Whether a folder looks like a model's: a file of weights, an index of shards, or an adapter's configuration."""
    try:
        names = [each.name for each in folder.iterdir() if not each.is_dir()]
    except OSError:
        return False
    return any(
        name == ADAPTER_CONFIG
        or name.endswith(".index.json")
        or (name.endswith(_WEIGHTS) and not name.startswith((".", *LEFT_BY_TRAINING, "model_world_size_")))
        for name in names
        if not name.endswith(("_states.pt", "_fsdp.bin"))
    )


def _refuse_shards(folder: Path) -> None:
    """Raise RmbenchError for shards of a trainer, or for a trainer's state alone."""
    for patterns, what, command in _SHARDS:
        for pattern in patterns:
            file = next(iter(sorted(folder.glob(pattern))), None)
            if file is None:
                continue
            own = folder / "zero_to_fp32.py"
            script = str(own) if own.exists() else "-m deepspeed.utils.zero_to_fp32"
            given = {"found": file.parent, "folder": folder, "script": script}
            raise RmbenchError(
                f"{folder} holds {what.format(**given)}, not a whole model. Put them together first: "
                f"{command.format(**given)} - and see that config.json and the tokenizer lie there too."
            )
    left = sorted(each.name for each in folder.iterdir() if each.name.startswith(LEFT_BY_TRAINING) and each.is_file())
    if left and not (folder / "config.json").exists():
        raise RmbenchError(f"{folder} holds a trainer's state alone ({', '.join(left[:4])}) and no weights of a model.")


def _folders(folder: Path) -> list[Path]:
    try:
        return [each for each in folder.iterdir() if each.is_dir()]
    except OSError:
        return []

"""Folders of adapters, which hold changes to a base model's weights and not a model."""

from __future__ import annotations

from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.weight_files import read_json

__all__ = ["refuse_adapter"]

_CONFIG = "adapter_config.json"


def refuse_adapter(folder: Path) -> None:
    """Raise RmbenchError for a folder that holds an adapter, with a model's own weights or without."""
    weights = any(any(folder.glob(pattern)) for pattern in ("model*.safetensors", "pytorch_model*.bin"))
    held = sorted(file.name for file in folder.glob("adapter_model.*") if file.suffix in (".safetensors", ".bin"))
    if weights and held:
        raise RmbenchError(
            f"{folder} holds a whole model and an adapter in {held[0]}, which would be left out. Merge the adapter "
            "into the model; or move it elsewhere, if the model is meant without it or holds it already."
        )
    if weights or not (folder / _CONFIG).is_file():
        return
    config = read_json(folder / _CONFIG)
    base = config.get("base_model_name_or_path") or "a base model that adapter_config.json does not name"
    kind = config.get("peft_type") or "PEFT"
    raise RmbenchError(
        f"{folder} is no model but a {str(kind).replace('LORA', 'LoRA')} adapter of {base}, and must be merged with "
        "it: load the base with the class that was trained (AutoModelForSequenceClassification with num_labels=1 for a "
        f"score head), then peft's PeftModel.from_pretrained(base, {str(folder)!r}).merge_and_unload() and "
        "save_pretrained(NEW), put the tokenizer there too, and pass --model NEW."
    )

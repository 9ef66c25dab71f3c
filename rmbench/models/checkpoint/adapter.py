"""An adapter over its base: what it changes, and how the record calls it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rmbench.models.checkpoint.headers import Tensor
from rmbench.models.checkpoint.read import Checkpoint, digest_files
from rmbench.models.options import OpenOptions
from rmbench.types import Setting

__all__ = ["CLASSIFIER", "METHODS", "TABLES", "Adapter", "Base"]

METHODS = {
    "LORA": "lora_",
    "ADALORA": "lora_",
    "IA3": "ia3_",
    "LOHA": "hada_",
    "LOKR": "lokr_",
    "OFT": "oft_",
    "BOFT": "boft_",
}
"""peft's name of a method that can be merged -> how its tensors' names begin."""
TABLES = re.compile(r"(?:.*\.)?(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|lm_head|embed_out)\.(.+)")
"""Embeddings at the model's input and output, and their own parts."""
CLASSIFIER = re.compile(r"(score|classifier)\.")
_CLASSIFIERS = ("score.weight", "classifier.weight", "classifier.out_proj.weight")
"""The library's names of a sequence classifier's last layer."""


@dataclass(frozen=True, slots=True)
class Base:
    """The base model of an adapter."""

    name: str
    """As people call it, with its revision: `org/name@commit`."""
    digest: str
    """What pins its files."""
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Adapter:
    """An adapter and its base; all of a `Source` but its tensors."""

    folder: Path
    config: Mapping[str, Any]
    """adapter_config.json."""
    tensors: Mapping[str, Tensor]
    """By names without what peft puts before and into them; their files are paths."""
    stored: Mapping[str, str]
    """Name in the file -> name in `tensors`."""
    base: Base
    options: OpenOptions

    @property
    def method(self) -> str:
        """As in the record: "lora", "dora", "ia3" ..."""
        return "dora" if self.config.get("use_dora") else str(self.config["peft_type"]).lower()

    @property
    def why(self) -> str:
        """One line on what is merged."""
        return f"the {self.method} adapter is merged into its base {self.base.name}"

    @property
    def settings(self) -> dict[str, Setting]:
        """For the record; a base that is an adapter itself says what it is of."""
        below = self.base.checkpoint.source
        return {"adapter": self.method, "base": f"{self.base.name}{f' ({below.why})' if below else ''}"}

    @property
    def tokenizer(self) -> Path:
        """The base's folder, or that of the base's own."""
        return self.base.checkpoint.tokenizer_path

    @cached_property
    def whole(self) -> Mapping[str, Tensor]:
        """The tensors that stand in the place of the base's: heads, embeddings, biases."""
        return {name: tensor for name, tensor in self.tensors.items() if not self._is_part(name)}

    @cached_property
    def touched(self) -> frozenset[str]:
        """Modules that the adapter's own tensors change."""
        return frozenset(
            name[: match.start()] for name in self.tensors if self._is_part(name) and (match := self._part.search(name))
        )

    @cached_property
    def kind(self) -> str:
        """The library's automatic class whose modules the adapter's names are of."""
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as LANGUAGE
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as SEEING

        if self.labels is not None:
            return "AutoModelForSequenceClassification"
        kind = self.base.checkpoint.config.get("model_type")
        seeing = "AutoModelForImageTextToText" if kind in SEEING else "AutoModel"
        return "AutoModelForCausalLM" if kind in LANGUAGE else seeing

    @cached_property
    def labels(self) -> int | None:
        """Outputs of a sequence classifier's head, the adapter's or else the base's; None where it is of none."""
        if self.config.get("task_type") != "SEQ_CLS" and not any(map(CLASSIFIER.match, self.tensors)):
            return None
        heads = {**self.base.checkpoint.tensors, **self.whole}
        found = [heads[name] for name in _CLASSIFIERS if name in heads and heads[name].shape]
        return found[0].shape[0] if found else None

    @property
    def unties(self) -> bool:
        """Whether it changes an embedding whose other end the base shares with it, and leaves that end as it is."""
        tables = [name for name in self.tensors if TABLES.fullmatch(name) and ".token_adapter." not in name]
        return bool(tables) and not self.config.get("ensure_weight_tying")

    @property
    def vocabulary(self) -> int | None:
        """Rows of the embedding that it holds; None where it holds none."""
        for name, tensor in self.tensors.items():
            match = TABLES.fullmatch(name)
            if match and match[2] in ("weight", "lora_embedding_A"):
                return tensor.shape[0 if match[2] == "weight" else 1]
        return None

    def digest(self, commit: str | None) -> str:
        """sha256 over what pins the adapter's files and the base's."""
        own = commit or digest_files(self.folder)
        return hashlib.sha256(f"{own} {self.base.digest}".encode()).hexdigest()

    def makes(self, name: str) -> bool:
        """Whether merging changes a tensor of this name."""
        return name.rpartition(".")[0] in self.touched or bool(TABLES.fullmatch(name) and self.unties)

    @property
    def _part(self) -> re.Pattern[str]:
        return re.compile(rf"\.({METHODS[self.config['peft_type']]}|token_adapter\.)")

    def _is_part(self, name: str) -> bool:
        return bool(self._part.search(name))

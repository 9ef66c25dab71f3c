"""GGUF files: weights, configuration and tokenizer in one file, read and dequantised by transformers."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.gguf_header import Header, read_header
from rmbench.models.checkpoint.headers import Tensor
from rmbench.models.checkpoint.library import explained, quiet
from rmbench.models.checkpoint.limits import check_config, check_parameters
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.checkpoint.weight_files import weight_files
from rmbench.types import Setting

__all__ = ["GgufFile", "gguf_in", "read_gguf"]


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A GGUF file, a `Source` of dequantised tensors."""

    file: Path
    quantisation: str
    """The type in which most of its numbers are: "Q4_K", "F16"."""
    config: Any
    """The library's."""

    @property
    def why(self) -> str:
        """One line."""
        return f"{self.file.name} is dequantised from {self.quantisation}"

    @property
    def settings(self) -> dict[str, Setting]:
        """For the record."""
        return {"quantisation": f"GGUF {self.quantisation}"}

    @property
    def tokenizer(self) -> Path:
        """The file itself."""
        return self.file

    def digest(self, commit: str | None) -> str:
        """The hub's commit with the file's name, or sha256 over its content."""
        if commit is not None:
            return f"{commit}/{self.file.name}"
        with self.file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def makes(self, name: str) -> bool:
        """All of them."""
        return True

    def state(self, dtype: Any) -> dict[str, Any]:
        """The dequantised tensors by the library's names."""
        from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

        with quiet(), explained(self.file), contextlib.redirect_stderr(io.StringIO()):  # its bar cannot be turned off
            read = load_gguf_checkpoint(
                str(self.file), return_tensors=True, model_to_load=_empty(self.config), torch_dtype=dtype
            )
        tensors: dict[str, Any] = read["tensors"]
        return tensors


def gguf_in(folder: Path) -> Path | None:
    """The GGUF file of a folder that holds no other weights; None where it has none.

    Raises:
        RmbenchError: it holds several.
    """
    found = sorted(file for file in folder.glob("*.gguf") if not file.name.startswith(("mmproj", ".")))
    if not found or weight_files(folder):
        return None
    if len(found) > 1:
        names = ", ".join(file.name for file in found[:8])
        raise RmbenchError(f"{folder} holds {len(found)} GGUF files ({names}): name one, --model {found[0]}")
    return found[0]


def read_gguf(file: Path) -> Checkpoint:
    """A language model in a GGUF file.

    Raises:
        RmbenchError: gguf is not installed, the file is broken or one of several, or the library does not read its
            architecture.
    """
    from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators

    declare_missing_operators()
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as LANGUAGE

    header = read_header(file)
    if header.shards > 1:
        raise RmbenchError(
            f"{file} is one of {header.shards} parts: put them together by llama.cpp's llama-gguf-split --merge."
        )
    if head := sorted(name for name in header.tensors if name.startswith("cls.")):
        raise RmbenchError(
            f"{file} holds a classifier's head ({', '.join(head[:4])}), which transformers' reader of GGUF leaves out: "
            "open the folder that it was converted from."
        )
    with quiet(), explained(file):
        config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
        if config.model_type not in LANGUAGE:
            raise RmbenchError(f"{file} holds a model of the type {config.model_type}, which is no language model.")
        plain = {**config.to_dict(), "architectures": [LANGUAGE[config.model_type]]}
        plain = {key: value for key, value in plain.items() if key not in _OF_THE_READER and value is not None}
        check_config(plain, max((side for tensor in header.tensors.values() for side in tensor.shape), default=0), file)
        stored = sum(math.prod(tensor.shape) for tensor in header.tensors.values())
        check_parameters(_empty, config, stored, file, packed=False)
        shapes = {name: tuple(one.shape) for name, one in _empty(config).state_dict().items()}
    tensors = {name: Tensor(file.name, shape, "F32") for name, shape in shapes.items()}
    source = GgufFile(file, _quantisation(header), config)
    return Checkpoint(file.parent, plain, tensors, safe=True, source=source)


_OF_THE_READER = ("_name_or_path", "_model_name_or_path", "transformers_version", "id2label", "label2id")


def _empty(config: Any) -> Any:
    """The language model's class on the meta device, where tensors have shapes alone."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def _quantisation(header: Header) -> str:
    """The type of most numbers."""
    counts: Counter[str] = Counter()
    for tensor in header.tensors.values():
        counts[tensor.dtype] += math.prod(tensor.shape)
    return counts.most_common(1)[0][0] if counts else "nothing"

"""Tiny random language models, and a plain loop over the library's own logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Encoded

HEADER = "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
SIZES = {
    "llama": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 128,
    },
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "bos_token_id": 0, "eos_token_id": 3},
}


@pytest.fixture(scope="session")
def policy(tiny: SimpleNamespace) -> Callable[..., Path]:
    """Writes a tiny language model and its tokenizer."""

    def write(folder: Path, kind: str = "llama", *, seed: int = 0, bos: bool = True, **more: Any) -> Path:
        import transformers

        template = more.pop("template", tiny.CHAT + HEADER)
        config = {"vocab_size": 400, "initializer_range": 0.2, "pad_token_id": 1}
        size = config | SIZES.get(kind, SIZES["llama"]) | more
        name = tiny.NAMES.get(kind, kind)
        torch.manual_seed(seed)
        causal = "GPT2LMHeadModel" if kind == "gpt2" else f"{name}ForCausalLM"
        getattr(transformers, causal)(getattr(transformers, f"{name}Config")(**size)).save_pretrained(folder)
        tiny.save_tokenizer(folder, bos=bos, template=template)
        return folder

    return write


@pytest.fixture(scope="session")
def pair(policy: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A Llama policy and its reference, which tests only read."""
    folder = tmp_path_factory.mktemp("policies")
    return policy(folder / "policy", seed=0), policy(folder / "reference", seed=1)


@pytest.fixture(scope="session")
def opened() -> Callable[..., Any]:
    """Opens a policy as an implicit reward; keywords that are no options are model arguments."""

    def load(folder: Path, reference: Path | str | None = None, *, max_length: int | None = None, **args: Any) -> Any:
        options = OpenOptions(
            adapter="implicit",
            ref_model=None if reference is None else str(reference),
            max_length=max_length,
            model_args={key: str(value) for key, value in args.items()},
        )
        return open_model(str(folder), options)

    return load


@pytest.fixture(scope="session")
def plain() -> Callable[[Path, Sequence[Encoded]], list[list[float]]]:
    """The answer tokens' log-probabilities of each row, one unpadded row at a time, from the library's own logits."""

    def loop(folder: Path, rows: Sequence[Encoded]) -> list[list[float]]:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        found = []
        for row in rows:
            with torch.no_grad():
                table = model(input_ids=torch.tensor([row.ids])).logits[0].double().log_softmax(-1)
            payload: Any = row.payload
            start = payload.start
            found.append([float(table[at - 1, row.ids[at]]) for at in range(start, len(row.ids))])
        return found

    return loop

"""Tiny models with dropout, trained for some steps by the real trainers of TRL and transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.conftest import NAMES, PAD, save_tokenizer

STEPS = 24
SIZE: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "pad_token_id": PAD,
}
DROPOUT: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2, "head_dim": 8, "attention_dropout": 0.3},
    "gpt2": {"resid_pdrop": 0.2, "embd_pdrop": 0.2, "attn_pdrop": 0.2},
    "bert": {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2},
}


def make_model(kind: str = "llama", head: str = "ForSequenceClassification", **more: Any) -> Any:
    """A random model with dropout, the same at every call."""
    import transformers

    labels = {"num_labels": 1} if head == "ForSequenceClassification" else {}
    torch.manual_seed(1)
    config = getattr(transformers, f"{NAMES[kind]}Config")(**{**SIZE, **DROPOUT[kind], **labels, **more})
    return getattr(transformers, f"{NAMES[kind]}{head}")(config)


@pytest.fixture(scope="session")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tokenizer of decoders, and that of encoders."""
    from transformers import AutoTokenizer

    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("llama", "bert")}
    for kind, folder in folders.items():
        save_tokenizer(folder, encoder=kind == "bert")
    made = {kind: AutoTokenizer.from_pretrained(folder) for kind, folder in folders.items()}
    return made | {"gpt2": made["llama"]}


def pairs() -> Any:
    """A data set of preferences."""
    from datasets import Dataset

    def turn(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    rows = [
        {
            "prompt": turn("user", f"How do I boil {k} eggs?"),
            "chosen": turn("assistant", f"Put them into boiling water for {k} minutes. " * (1 + k % 3)),
            "rejected": turn("assistant", f"I do not know {k}."),
        }
        for k in range(48)
    ]
    return Dataset.from_list(rows)


@dataclass
class Trained:
    """What a run of training leaves."""

    trainer: Any

    @property
    def losses(self) -> list[float]:
        return [entry["loss"] for entry in self.history if "loss" in entry]

    @property
    def history(self) -> list[dict[str, Any]]:
        """The trainer's own entries, but for what a clock says."""
        kept = [entry for entry in self.trainer.state.log_history if not _is_ours(entry)]
        clock = ("_runtime", "_per_second")
        return [{key: value for key, value in entry.items() if not key.endswith(clock)} for entry in kept]

    @property
    def benchmarks(self) -> dict[int, dict[str, Any]]:
        """Step -> what was logged of benchmarks."""
        entries = [entry for entry in self.trainer.state.log_history if _is_ours(entry)]
        assert len({entry["step"] for entry in entries}) == len(entries)
        return {entry["step"]: entry for entry in entries}

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Weights, buffers and the optimizer's state."""
        found = dict(self.trainer.model.state_dict())
        for place, state in self.trainer.optimizer.state_dict()["state"].items():
            found |= {f"optimizer {place} {name}": value for name, value in state.items()}
        return found


def _is_ours(entry: dict[str, Any]) -> bool:
    return any(key.startswith("rmbench/") for key in entry)


def arguments(out: Path, **more: Any) -> dict[str, Any]:
    return {
        "output_dir": str(out),
        "max_steps": STEPS,
        "logging_steps": 1,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "save_steps": 12,
        "disable_dropout": False,
        **more,
    }


def train_reward(out: Path, tokenizer: Any, model: Any, callbacks: Sequence[Any] = (), **more: Any) -> Trained:
    """TRL's RewardTrainer."""
    from trl import RewardConfig, RewardTrainer

    own = {key: more.pop(key) for key in ("peft_config",) if key in more}
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(**arguments(out, **more)),
        processing_class=tokenizer,
        train_dataset=pairs(),
        callbacks=list(callbacks),
        **own,
    )
    trainer.train()
    return Trained(trainer)


def train_policy(out: Path, tokenizer: Any, model: Any, callbacks: Sequence[Any] = (), **more: Any) -> Trained:
    """TRL's DPOTrainer."""
    from trl import DPOConfig, DPOTrainer

    own = {key: more.pop(key) for key in ("peft_config", "ref_model") if key in more}
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(**arguments(out, **more)),
        processing_class=tokenizer,
        train_dataset=pairs(),
        callbacks=list(callbacks),
        **own,
    )
    trainer.train()
    return Trained(trainer)


def brief(tokenizers: dict[str, Any], folder: Path, callbacks: list[Any], **more: Any) -> Trained:
    """A few steps of training."""
    given = {"max_steps": 4, "save_strategy": "no", **more}
    return train_reward(folder, tokenizers["llama"], make_model(), callbacks, **given)

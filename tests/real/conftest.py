"""Real models: the folder that RMBENCH_REAL names, and two reward models that TRL trains from one of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators
from tests._make import loaded

declare_missing_operators()
NEEDS_MODELS = "need real models: RMBENCH_REAL names the folder that examples/make_real_models.py makes"
STEPS = 12
"""Of two pairs each, about a minute on two cores."""
LONGEST = 128
"""Tokens of a pair's longer conversation, so that a step is short."""


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder with smollm2, smollm2.gguf and minilm."""
    folder = os.environ.get("RMBENCH_REAL")
    if not folder:
        pytest.skip(NEEDS_MODELS)
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def reward_model(real: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A reward model by TRL, saved by TRL: "full" as a folder of all weights, "lora" as an adapter. Each is trained
    once."""
    made: dict[str, Path] = {}

    def folder_of(kind: str) -> Path:
        if kind not in made:
            made[kind] = train(real / "smollm2", data, tmp_path_factory.mktemp("trl") / f"smollm2-rm-{kind}", kind)
        return made[kind]

    return folder_of


def train(base: Path, data: Path, out: Path, kind: str) -> Path:
    """Train on pairs of HH-RLHF's harmless test split, which no test here judges."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    tokenizer = AutoTokenizer.from_pretrained(base)
    pairs = []
    for example in loaded("hh-harmless", data).examples:
        turns = [{"role": one.role, "content": one.text} for one in example.prompt]
        sides = [[*turns, {"role": "assistant", "content": each.text}] for each in example.candidates]
        length = max(len(tokenizer.apply_chat_template(side)["input_ids"]) for side in sides)
        better = example.gold.relation[0].i
        if length <= LONGEST:
            pairs.append({"chosen": sides[better], "rejected": sides[1 - better]})
        if len(pairs) == 2 * STEPS:
            break
    lora: Any = None
    if kind == "lora":
        lora = LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=32, target_modules=["q_proj", "v_proj", "down_proj"])
    config = RewardConfig(
        output_dir=str(out),
        max_steps=STEPS,
        per_device_train_batch_size=2,
        learning_rate=1e-3 if lora else 2e-5,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
        gradient_checkpointing=False,
        seed=0,
        model_init_kwargs={"dtype": "float32"},
    )
    trainer = RewardTrainer(model=str(base), args=config, train_dataset=Dataset.from_list(pairs), peft_config=lora)
    trainer.train()
    trainer.save_model()
    return out

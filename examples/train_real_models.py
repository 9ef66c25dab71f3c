"""Train two reward models by TRL's RewardTrainer, from the folder of `make_real_models.py`, two minutes each.

python examples/train_real_models.py MODELS --data FOLDER

MODELS/smollm2-rm-full   all weights, as TRL saves them
MODELS/smollm2-rm-lora   a LoRA adapter of MODELS/smollm2, as TRL saves it

Both see the same pairs of Anthropic's HH-RLHF, harmless-base (MIT): the first short ones of the test split, which is
the one that the task hh-harmless reads. FOLDER holds upstream's own files. What is in MODELS already is left alone. It
takes the packages trl and peft.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load

__all__ = ["KINDS", "TASK", "main", "train"]

KINDS = ("full", "lora")
TASK = "hh-harmless"
"""Whose rows they are trained on."""
STEPS, PAIRS = 16, 2
"""Steps of so many pairs."""
LONGEST = 128
"""Tokens of a pair's longer conversation, so that a step is short."""


def main(models: Path, data: Path) -> None:
    """Train what is missing."""
    with tempfile.TemporaryDirectory(dir=models) as scratch:
        for kind in KINDS:
            name = f"smollm2-rm-{kind}"
            if not (models / name).is_dir():
                train(models / "smollm2", data, Path(scratch) / name, kind).rename(models / name)


def train(base: Path, data: Path, out: Path, kind: str, *, steps: int = STEPS, pairs: int = PAIRS) -> Path:
    """Train and save one model; `kind` is one of KINDS. Gives `out`."""
    declare_missing_operators()
    from datasets import Dataset
    from peft import LoraConfig
    from trl import RewardConfig, RewardTrainer

    lora: Any = None
    if kind == "lora":
        lora = LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=32, target_modules=["q_proj", "v_proj", "down_proj"])
    config = RewardConfig(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=pairs,
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
    rows = Dataset.from_list(short_pairs(base, data, steps * pairs))
    trainer = RewardTrainer(model=str(base), args=config, train_dataset=rows, peft_config=lora)
    trainer.train()
    trainer.save_model()
    return out


def short_pairs(base: Path, data: Path, count: int) -> list[dict[str, Any]]:
    """The first rows of TASK of at most LONGEST tokens, as TRL takes them."""
    from transformers import AutoTokenizer

    tokenizer, pairs = AutoTokenizer.from_pretrained(base), list[dict[str, Any]]()
    for example in load(get(TASK), str(data)).examples:
        sides = [
            [{"role": turn.role, "content": turn.text} for turn in example.conversation(index)]
            for index in range(len(example.candidates))
        ]
        better = example.gold.relation[0].i
        if max(len(tokenizer.apply_chat_template(side)["input_ids"]) for side in sides) <= LONGEST:
            pairs.append({"chosen": sides[better], "rejected": sides[1 - better]})
        if len(pairs) == count:
            return pairs
    raise SystemExit(f"{TASK} has {len(pairs)} pairs of at most {LONGEST} tokens, and {count} are needed.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    main(given.models, given.data)

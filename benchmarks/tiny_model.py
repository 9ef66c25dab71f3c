"""A reward model of some 25 million random parameters that both sides can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
SHAPE = {
    "vocab_size": 12_000,
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "max_position_embeddings": 16_384,
}
"""25.0M parameters, 18.9M of them outside the embedding."""


def write(folder: Path, texts: list[str], seed: int = 0) -> None:
    """Weights, a byte-level BPE tokenizer trained on the texts, and configuration in the spelling that transformers 4
    and 5 both read."""
    import torch
    import transformers

    from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators

    declare_missing_operators()
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, texts)
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(**SHAPE, pad_token_id=0, eos_token_id=2, bos_token_id=None, num_labels=1)
    model = transformers.LlamaForSequenceClassification(config)
    with torch.no_grad():  # the library's start would give all rows one score
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(2.0 if "score" not in name else 5.0)
    model.save_pretrained(folder)
    _old_spelling(folder / "config.json")


def write_tokenizer(folder: Path, texts: list[str]) -> None:
    """A byte-level BPE tokenizer trained on the texts, with its configuration."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    size = SHAPE["vocab_size"]
    bpe.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    bpe.save(str(folder / "tokenizer.json"))
    facts: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<|pad|>",
        "eos_token": "<|im_end|>",
        "model_max_length": SHAPE["max_position_embeddings"],
        "model_input_names": ["input_ids", "attention_mask"],
        "chat_template": TEMPLATE,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(facts, indent=1))


def _old_spelling(file: Path) -> None:
    config = json.loads(file.read_text())
    ropes = config.pop("rope_parameters", None) or {}
    config["rope_theta"] = ropes.get("rope_theta", 10_000.0)
    config["torch_dtype"] = config.pop("dtype", "float32")
    file.write_text(json.dumps(config, indent=1))

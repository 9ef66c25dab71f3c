"""Tensors that a checkpoint holds and its model does not take: refused by name unless they are known to be harmless or
the user ignores them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.errors import RmbenchError
from rmbench.models.open import OpenOptions, open_model

Q = "model.layers.0.self_attn.q_proj"


def with_tensors(folder: Path, tiny: Any, more: dict[str, torch.Tensor], kind: str = "llama") -> str:
    tiny.checkpoint(folder, kind)
    tiny.edit_tensors(folder, lambda held: held.update(more))
    return str(folder)


@pytest.mark.parametrize("ignore", [(), ("*",)])
def test_float8_weights_are_refused_with_the_names_of_their_scales(
    ignore: tuple[str, ...], tmp_path: Path, tiny: Any
) -> None:
    def quantise(held: dict[str, Any]) -> None:
        scale = held[f"{Q}.weight"].abs().max() / 448
        held[f"{Q}.weight"] = (held[f"{Q}.weight"] / scale).to(torch.float8_e4m3fn)
        held[f"{Q}.weight_scale"] = scale.reshape(1)

    tiny.checkpoint(tmp_path)
    tiny.edit_tensors(tmp_path, quantise)
    with pytest.raises(RmbenchError, match=rf"F8_E4M3 \({Q}\.weight\).*{Q}\.weight_scale"):
        open_model(str(tmp_path), OpenOptions(ignore_tensors=ignore))


def test_int8_weights_without_scales_are_refused(tmp_path: Path, tiny: Any) -> None:
    tiny.checkpoint(tmp_path)
    tiny.edit_tensors(tmp_path, lambda held: held.update({f"{Q}.weight": (held[f"{Q}.weight"] * 99).to(torch.int8)}))
    with pytest.raises(RmbenchError, match=rf"1 tensors are stored as I8 \({Q}\.weight\)"):
        open_model(str(tmp_path))


@pytest.mark.parametrize(
    ("more", "meaning"),
    [
        ({f"{Q}.lora_A.weight": (4, 32), f"{Q}.lora_B.weight": (32, 4)}, "an adapter that is not merged"),
        ({"score.modules_to_save.default.weight": (1, 32)}, "an adapter that is not merged"),
        ({f"{Q}.weight_scale_inv": (1,)}, "scales of quantised weights"),
        ({"score.bias": (1,)}, "a bias that the class does not add"),
        ({"v_head.summary.weight": (1, 32)}, "a second head"),
        ({"ref_model.model.norm.weight": (32,)}, "weights under the prefix 'ref_model'"),
        ({"model.layers.0.self_attn.bias": (32,)}, "of unknown use"),
        ({"model.layers.0.gate_vector": (32,)}, "of unknown use"),
    ],
)
def test_what_the_class_does_not_take_is_named_with_its_meaning(
    more: dict[str, tuple[int, ...]], meaning: str, tmp_path: Path, tiny: Any
) -> None:
    name = with_tensors(tmp_path, tiny, {key: torch.ones(shape) for key, shape in more.items()})
    with pytest.raises(RmbenchError) as raised:
        open_model(name)
    said = str(raised.value)
    assert f"LlamaForSequenceClassification does not take {len(more)} tensors" in said
    assert meaning in said
    assert all(key in said for key in more)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("llama", {"lm_head.weight": (400, 32), "model.layers.0.self_attn.rotary_emb.inv_freq": (4,)}),
        ("llama", {"model.layers.0.self_attn.masked_bias": (1,), "model.layers.0.self_attn.bias": (1, 1, 128, 128)}),
        ("roberta", {"roberta.embeddings.position_ids": (1, 128), "lm_head.dense.weight": (32, 32)}),
        ("roberta", {"roberta.pooler.dense.weight": (32, 32), "roberta.pooler.dense.bias": (32,)}),
        ("bert", {"cls.predictions.bias": (400,), "cls.seq_relationship.weight": (2, 32)}),
    ],
)
def test_what_changes_nothing_passes(kind: str, more: dict[str, tuple[int, ...]], tmp_path: Path, tiny: Any) -> None:
    open_model(with_tensors(tmp_path, tiny, {key: torch.ones(shape) for key, shape in more.items()}, kind))


def test_a_language_head_counts_where_the_model_is_a_language_model(tmp_path: Path, tiny: Any) -> None:
    name = with_tensors(tmp_path, tiny, {"lm_head.weight": torch.ones(400, 32), "lm_head.bias": torch.ones(400)})
    tiny.edit_tensors(tmp_path, lambda held: held.pop("score.weight"))
    tiny.edit_json(tmp_path / "config.json", architectures=["LlamaForCausalLM"])
    with pytest.raises(RmbenchError, match=r"a bias that the class does not add: lm_head\.bias"):
        open_model(name, OpenOptions(adapter="implicit"))


def test_the_user_may_ignore_tensors_and_the_settings_say_so(tmp_path: Path, tiny: Any) -> None:
    plain: Any = open_model(str(tiny.checkpoint(tmp_path / "plain")))
    more = {f"{Q}.lora_A.weight": torch.ones(4, 32), "score.bias": torch.ones(1)}
    name = with_tensors(tmp_path / "more", tiny, more)
    with pytest.raises(RmbenchError, match=r"does not take 1 tensors.*score\.bias"):
        open_model(name, OpenOptions(ignore_tensors=("*.lora_A.*",)))
    model: Any = open_model(name, OpenOptions(ignore_tensors=("*.lora_A.*", "score.bias")))
    assert model.facts.settings["ignore_tensors"] == "*.lora_A.*, score.bias"
    assert model.facts.settings["unused_tensors"] == f"{Q}.lora_A.weight, score.bias"
    assert "ignore_tensors" not in plain.facts.settings
    assert plain.facts.fingerprint != model.facts.fingerprint
    batch = tiny.batch(model.encode(tiny.requests()), model.pad_id)
    np.testing.assert_allclose(model.forward(batch)["reward"], plain.forward(batch)["reward"], atol=1e-5)


def test_weights_in_float64_are_no_quantised_ones(tmp_path: Path, tiny: Any) -> None:
    tiny.checkpoint(tmp_path)
    tiny.edit_tensors(tmp_path, lambda held: held.update({name: each.double() for name, each in held.items()}))
    model: Any = open_model(str(tmp_path), OpenOptions(device="cpu"))
    rows = model.encode(tiny.requests(3))
    got = model.forward(tiny.batch(rows, tiny.PAD))["reward"][:, 0]
    assert got == pytest.approx(tiny.alone(tmp_path, rows), abs=1e-5)


def test_what_stands_in_the_place_of_a_missing_tensor_is_named(tmp_path: Path, tiny: Any) -> None:
    def pack(held: dict[str, Any]) -> None:
        del held[f"{Q}.weight"]
        held[f"{Q}.qweight"] = torch.zeros(4, 32, dtype=torch.int32)
        held[f"{Q}.scales"] = torch.ones(1, 32)

    tiny.checkpoint(tmp_path)
    tiny.edit_tensors(tmp_path, pack)
    named = rf"random numbers: {Q}\.weight\..* instead: scales of quantised weights: {Q}\.qweight, {Q}\.scales\."
    with pytest.raises(RmbenchError, match=named):
        open_model(str(tmp_path))


def in_float8(folder: Path, tiny: Any, *, lost: str = "", prefix: str = "") -> None:
    """Every linear layer of the backbone in blocks of 16, as transformers' method fp8 stores them."""

    def quantise(held: dict[str, Any]) -> None:
        for name in [name for name in held if name.endswith("_proj.weight")]:
            rows, columns = held[name].shape
            blocks = held[name].reshape(rows // 16, 16, columns // 16, 16)
            scale = blocks.abs().amax((1, 3)) / 448
            whole = scale.repeat_interleave(16, 0).repeat_interleave(16, 1)
            held[name] = (held[name] / whole).to(torch.float8_e4m3fn)
            if name != lost:
                held[f"{name}_scale_inv"] = scale
        for name in list(held):
            held[prefix + name] = held.pop(name)

    tiny.checkpoint(folder)
    tiny.edit_tensors(folder, quantise)
    method = {"quant_method": "fp8", "weight_block_size": [16, 16], "activation_scheme": "dynamic"}
    tiny.edit_json(folder / "config.json", quantization_config=method)


def test_a_scale_that_is_missing_is_named(tmp_path: Path, tiny: Any) -> None:
    pytest.importorskip("accelerate")
    in_float8(tmp_path, tiny, lost=f"{Q}.weight")
    with pytest.raises(RmbenchError, match=rf"1 tensors in float8 have no scale beside them \({Q}\.weight\)"):
        open_model(str(tmp_path), OpenOptions(device="cpu"))


def test_a_configuration_that_is_not_used_is_not_called_missing(tmp_path: Path, tiny: Any) -> None:
    pytest.importorskip("accelerate")
    in_float8(tmp_path, tiny, prefix="module.")
    with pytest.raises(RmbenchError, match="does not read them here: their names or their file are not its own"):
        open_model(str(tmp_path), OpenOptions(device="cpu"))

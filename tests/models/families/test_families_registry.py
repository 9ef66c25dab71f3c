"""What a checkpoint's files say before any tensor is loaded, and which family follows from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.headers import Tensor
from rmbench.models.checkpoint.read import Checkpoint, digest_files, read_checkpoint
from rmbench.models.families.registry import decide
from tests._make import make_checkpoint


def made(architecture: str | None, *heads: tuple[str, tuple[int, ...]]) -> Checkpoint:
    return make_checkpoint(architecture, ("model.layers.0.self_attn.out_proj.weight", (8, 8)), *heads)


@pytest.mark.parametrize(
    ("architecture", "head", "layout"),
    [
        ("LlamaForSequenceClassification", "score.weight", "stock"),
        ("Qwen3ForSequenceClassification", "score.weight", "stock"),
        ("Gemma2ForSequenceClassification", "score.weight", "stock"),
        ("DebertaV2ForSequenceClassification", "classifier.weight", "stock-encoder"),
        ("RobertaForSequenceClassification", "classifier.out_proj.weight", "stock-encoder"),
    ],
)
def test_stock_classifiers_are_scalar(architecture: str, head: str, layout: str) -> None:
    family = decide(made(architecture, (head, (1, 8))))
    assert (family.name, family.layout) == ("scalar", layout)
    assert family.why == f"config.json names {architecture}, the checkpoint holds {head} [1, 8]"


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (made("LlamaForCausalLM", ("lm_head.weight", (10, 8))), "language model without a reward head"),
        (made("LlamaForCausalLM", ("score.weight", (1, 8))), r"do not fit together.*--adapter with one of .*stock"),
        (made(None, ("score.weight", (1, 8))), "config.json names no architecture"),
        (made("LlamaForSequenceClassification"), "loading would invent one"),
        (
            made("LlamaForSequenceClassification", ("score.weight", (1, 8)), ("classifier.weight", (1, 8))),
            r"2 ways, so it is ambiguous: stock \(.*score.weight \[1, 8\]\); stock-encoder \(",
        ),
        (made("RewardModel", ("value_head.weight", (1, 8))), r"found: value_head.weight \[1, 8\]"),
        (made("LlamaForSequenceClassification", ("value_head.weight", (1, 8))), r"No layout known|do not fit together"),
        (made("GRewardModel", ("v_head.summary.0.weight", (1024, 8))), r"v_head.summary.0.weight \[1024, 8\]"),
        (
            made(
                "LlamaForRewardModelWithGating",
                ("regression_layer.weight", (19, 8)),
                ("gating.layers.0.weight", (4, 8)),
            ),
            r"regression_layer.weight \[19, 8\], gating.layers.0.weight",
        ),
        (made("LlamaForSequenceClassification", ("score.weight", (8,))), r"shape \[8\], expected \[labels, hidden"),
        (
            made("INFORM", ("score.0.weight", (8, 8)), ("score.2.weight", (1, 8))),
            r"No layout known|do not fit together",
        ),
    ],
)
def test_whatever_does_not_fit_is_refused_with_what_was_found(checkpoint: Checkpoint, message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        decide(checkpoint)


def test_the_adapter_overrides_the_configuration() -> None:
    family = decide(made("LlamaForCausalLM", ("score.weight", (1, 8))), "scalar")
    assert family.why == "--adapter scalar, the checkpoint holds score.weight [1, 8]"


def test_the_order_of_layers_hides_nothing() -> None:
    with pytest.raises(RmbenchError) as raised:
        decide(made("X"))
    assert "self_attn" not in str(raised.value)


def test_shards_are_read_through_their_index(tmp_path: Path, tiny: Any) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny.checkpoint(tmp_path)
    whole = read_checkpoint(folder)
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    for part, chosen in (("a", names[:5]), ("b", names[5:])):
        save_file({name: tensors[name] for name in chosen}, folder / f"{part}.safetensors", {"format": "pt"})
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {name: f"{'a' if name in names[:5] else 'b'}.safetensors" for name in names}})
    )
    split = read_checkpoint(folder)
    assert {name: tensor.shape for name, tensor in split.tensors.items()} == {
        name: tensor.shape for name, tensor in whole.tensors.items()
    }
    (folder / "b.safetensors").unlink()
    with pytest.raises(RmbenchError, match=r"b\.safetensors does not exist.*incomplete"):
        read_checkpoint(folder)
    index.write_text(json.dumps({"weight_map": {"x": "../b.safetensors"}}))
    with pytest.raises(RmbenchError, match="not a file name"):
        read_checkpoint(folder)


def test_torch_files_tell_names_and_shapes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    torch.save({"score.weight": torch.ones(1, 8, dtype=torch.bfloat16)}, tmp_path / "pytorch_model.bin")
    checkpoint = read_checkpoint(tmp_path)
    assert not checkpoint.safe
    assert checkpoint.tensors == {"score.weight": Tensor("pytorch_model.bin", (1, 8), "bfloat16")}


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"\xff" * 64, b"\x02" + b"\0" * 7 + b"[]"]
)
def test_a_file_that_is_no_safetensors(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(RmbenchError, match=r"model\.safetensors"):
        read_checkpoint(tmp_path)


def test_a_safetensors_file_that_is_cut_off(tmp_path: Path, tiny: Any) -> None:
    tiny.save_model(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RmbenchError, match="is cut off"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{", "\x80"])
def test_a_configuration_that_is_no_object(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(RmbenchError, match=r"config\.json"):
        read_checkpoint(tmp_path)


def test_the_digest_is_of_what_loading_reads(tmp_path: Path, tiny: Any) -> None:
    folder = tiny.checkpoint(tmp_path)
    before = digest_files(folder)
    for name in ("README.md", "optimizer.pt", "trainer_state.json", ".hidden.json", "pytorch_model.bin"):
        (folder / name).write_text("x")
    assert digest_files(folder) == before
    (folder / "chat_template.jinja").write_text("x")
    assert digest_files(folder) != before

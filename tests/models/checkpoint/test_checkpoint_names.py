"""Weights whose names wrappers changed, and shards without an index. Scores are transformers' own of the checkpoint as
the library saves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.names import plain_names
from rmbench.models.checkpoint.read import read_checkpoint
from rmbench.models.checkpoint.state_dict import read_tensors
from rmbench.models.open import OpenOptions, open_model


@pytest.fixture
def plain(tmp_path: Path, tiny: SimpleNamespace) -> Path:
    folder: Path = tiny.checkpoint(tmp_path / "plain")
    return folder


def rewritten(
    plain: Path, tmp_path: Path, name: Callable[[str], str], *, safe: bool, more: Mapping[str, Any] = {}
) -> Path:
    """The same checkpoint under other names."""
    folder = tmp_path / "wrapped"
    folder.mkdir()
    for file in plain.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    tensors = {name(each): tensor for each, tensor in load_file(plain / "model.safetensors").items()} | dict(more)
    if safe:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        torch.save(tensors, folder / "pytorch_model.bin")
    return folder


def scores(folder: Path, tiny: SimpleNamespace, plain: Path) -> tuple[list[float], list[float]]:
    """Of a folder, by rmbench; and of the plain checkpoint, by transformers."""
    model: Any = open_model(str(folder), OpenOptions(device="cpu"))
    rows = model.encode(tiny.requests(4))
    ours = model.forward(tiny.batch(rows, tiny.PAD))["reward"][:, 0]
    return [float(one) for one in ours], tiny.alone(plain, rows)


def sharded(
    plain: Path, count: int, stem: str = "model", suffix: str = ".safetensors", *, width: int = 5
) -> list[Path]:
    """The weights in shards, in place of the one file."""
    tensors = load_file(plain / "model.safetensors")
    (plain / "model.safetensors").rename(plain.parent / "whole.safetensors")
    names, files = sorted(tensors), []
    for number in range(count):
        file = plain / f"{stem}-{number + 1:0{width}d}-of-{count:0{width}d}{suffix}"
        part = {name: tensors[name] for name in names[number::count]}
        if suffix == ".bin":
            torch.save(part, file)
        else:
            save_file(part, file, metadata={"format": "pt"})
        files.append(file)
    return files


WRAPPED: dict[str, Callable[[str], str]] = {
    "ddp": lambda name: "module." + name,
    "compiled": lambda name: "_orig_mod." + name,
    "fsdp": lambda name: "_fsdp_wrapped_module." + name,
    "lightning": lambda name: "model." + name,
    "peft": lambda name: "base_model.model." + name,
    "ddp of peft": lambda name: "module.base_model.model." + name,
    "ddp of compiled": lambda name: "module._orig_mod." + name,
    "lightning of ddp of compiled": lambda name: "model.module._orig_mod." + name,
    "compiled of lightning": lambda name: "_orig_mod.model." + name,
    "fsdp of each layer": lambda name: (
        "_fsdp_wrapped_module."
        + name.replace(".self_attn.", "._fsdp_wrapped_module._checkpoint_wrapped_module.self_attn.")
    ),
    "compiled backbone": lambda name: name.replace("model.", "model._orig_mod."),
}


class TestWrappers:
    @pytest.mark.parametrize("safe", [True, False])
    @pytest.mark.parametrize("wrapper", WRAPPED)
    def test_the_scores_are_those_of_the_plain_checkpoint(
        self, wrapper: str, safe: bool, plain: Path, tmp_path: Path, tiny: SimpleNamespace
    ) -> None:
        ours, theirs = scores(rewritten(plain, tmp_path, WRAPPED[wrapper], safe=safe), tiny, plain)
        assert ours == pytest.approx(theirs, abs=2e-5)

    def test_a_value_head_of_trl_beside_its_prefix(self, plain: Path, tmp_path: Path, tiny: SimpleNamespace) -> None:
        """As ZeRO-3 gathers it: the language model has a prefix, the head none."""

        def name(stored: str) -> str:
            return "v_head.summary.weight" if stored == "score.weight" else f"pretrained_model.{stored}"

        folder = rewritten(plain, tmp_path, name, safe=True)
        model: Any = open_model(str(folder), OpenOptions(device="cpu", adapter="grm-linear"))
        rows = model.encode(tiny.requests(4))
        ours = [float(one) for one in model.forward(tiny.batch(rows, tiny.PAD))["reward"][:, 0]]
        assert ours == pytest.approx(tiny.alone(plain, rows), abs=2e-5)

    def test_a_prefix_of_some_names_is_an_error_that_names_it(self, plain: Path, tmp_path: Path) -> None:
        folder = rewritten(
            plain, tmp_path, lambda name: "module." + name, safe=True, more={"n_averaged": torch.ones(1)}
        )
        with pytest.raises(RmbenchError, match=r"21 of 22 tensors have the prefix 'module\.'.* n_averaged do not"):
            open_model(str(folder))

    def test_an_unknown_prefix_is_named_where_tensors_are_missing(self, plain: Path, tmp_path: Path) -> None:
        folder = rewritten(
            plain, tmp_path, lambda name: name if name == "score.weight" else "wrapped." + name, safe=True
        )
        with pytest.raises(RmbenchError, match=r"are missing.*under the prefix 'wrapped\.'"):
            open_model(str(folder))

    def test_an_unknown_prefix_of_all_names_is_named(self, plain: Path, tmp_path: Path) -> None:
        folder = rewritten(plain, tmp_path, lambda name: "net." + name, safe=True)
        with pytest.raises(RmbenchError, match=r"All tensors have the prefix 'net\.': if a wrapper put it there"):
            open_model(str(folder))

    def test_a_backbone_keeps_its_own_prefix(self) -> None:
        names = ["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"]
        assert plain_names(names, "here") == {name: name for name in names}

    def test_two_tensors_of_one_name(self) -> None:
        with pytest.raises(RmbenchError, match=r"here: score\.weight has the name score\.weight .* _orig_mod\.score"):
            plain_names(["_orig_mod.score.weight", "score.weight"], "here")

    @pytest.mark.parametrize("nested", [False, True])
    def test_tensors_by_name(self, nested: bool, plain: Path, tmp_path: Path) -> None:
        folder = rewritten(plain, tmp_path, lambda name: "module." + name, safe=False)
        if nested:
            state = torch.load(folder / "pytorch_model.bin")
            torch.save({"state_dict": state}, folder / "pytorch_model.bin")
        found = read_tensors(read_checkpoint(folder), ["score.weight"], OpenOptions())
        assert torch.equal(found["score.weight"], load_file(plain / "model.safetensors")["score.weight"])


class TestShards:
    @pytest.mark.parametrize(
        ("count", "stem", "suffix"),
        [(1, "model", ".safetensors"), (3, "model", ".safetensors"), (2, "pytorch_model", ".bin")],
    )
    def test_all_are_read_without_an_index(
        self, count: int, stem: str, suffix: str, plain: Path, tmp_path: Path, tiny: SimpleNamespace
    ) -> None:
        kept = tmp_path / "kept"
        kept.mkdir()
        for file in plain.iterdir():
            (kept / file.name).write_bytes(file.read_bytes())
        sharded(plain, count, stem, suffix)
        ours, theirs = scores(plain, tiny, kept)
        assert ours == pytest.approx(theirs, abs=2e-5)

    def test_those_that_are_missing_are_named(self, plain: Path) -> None:
        for file in sharded(plain, 4)[1:3]:
            file.unlink()
        named = "model-00002-of-00004.safetensors, model-00003-of-00004.safetensors do not exist"
        with pytest.raises(RmbenchError, match=named):
            open_model(str(plain))

    def test_those_that_an_index_names_are_named(self, plain: Path) -> None:
        files = sharded(plain, 3)
        index = {"weight_map": {name: file.name for file in files for name in load_file(file)}}
        (plain / "model.safetensors.index.json").write_text(json.dumps(index))
        for file in files[:2]:
            file.unlink()
        named = r"model-00001-of-00003\.safetensors, model-00002-of-00003\.safetensors do not exist, but model\.safe"
        with pytest.raises(RmbenchError, match=named):
            open_model(str(plain))

    def test_a_number_that_no_model_has_is_refused_at_once(self, plain: Path) -> None:
        sharded(plain, 2)[0].rename(plain / "model-00001-of-99999999999999.safetensors")
        (plain / "model-00002-of-00002.safetensors").unlink()
        with pytest.raises(RmbenchError, match="its name says there are 99999999999999 shards"):
            open_model(str(plain))

    @pytest.mark.parametrize("indexed", [True, False])
    def test_a_tensor_that_stands_in_two_is_named(self, indexed: bool, plain: Path) -> None:
        files = sharded(plain, 2)
        first, second = (load_file(file) for file in files)
        save_file(second | {"score.weight": torch.ones(1, 32)}, files[1], metadata={"format": "pt"})
        save_file(first | {"score.weight": torch.zeros(1, 32)}, files[0], metadata={"format": "pt"})
        if indexed:
            index = {"weight_map": dict.fromkeys(first, files[0].name) | dict.fromkeys(second, files[1].name)}
            (plain / "model.safetensors.index.json").write_text(json.dumps(index))
        both = r"score\.weight stands in model-00001-of-00002\.safetensors and in model-00002-of-00002\.safetensors"
        with pytest.raises(RmbenchError, match=both):
            open_model(str(plain))

    def test_of_two_checkpoints(self, plain: Path) -> None:
        sharded(plain, 2)[0].rename(plain / "model-00001-of-00003.safetensors")
        with pytest.raises(RmbenchError, match=r"shards of 2 checkpoints .*-of-00002.*-of-00003"):
            open_model(str(plain))


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "inside"),
        [
            ("model.pth", None),
            ("model_best.bin", None),
            ("consolidated.pt", None),
            ("weights.safetensors", None),
            ("pytorch_model.bin", "state_dict"),
            ("pytorch_model.bin", "model"),
            ("epoch_3.pt", "model_state_dict"),
            ("pytorch_model.bin", "module"),
        ],
    )
    def test_a_file_of_another_name_or_shape_is_read(
        self, name: str, inside: str | None, plain: Path, tmp_path: Path, tiny: SimpleNamespace
    ) -> None:
        folder = rewritten(plain, tmp_path, str, safe=True)
        tensors = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        if name.endswith(".safetensors"):
            save_file(tensors, folder / name, metadata={"format": "pt"})
        else:
            torch.save({inside: tensors, "step": 3, "optimizer": {}} if inside else tensors, folder / name)
        ours, theirs = scores(folder, tiny, plain)
        assert ours == pytest.approx(theirs, abs=2e-5)

    def test_a_mapping_without_tensors_is_an_error_with_its_keys(self, plain: Path, tmp_path: Path) -> None:
        folder = rewritten(plain, tmp_path, str, safe=True)
        tensors = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        torch.save({"net": tensors, "step": 3}, folder / "pytorch_model.bin")
        with pytest.raises(RmbenchError, match=r"pytorch_model\.bin holds no tensors by name.*its keys are net, step"):
            open_model(str(folder))

    def test_files_that_are_not_read_are_named(self, plain: Path) -> None:
        (plain / "model.safetensors").rename(plain / "last.ckpt")
        with pytest.raises(RmbenchError, match=r"holds no weights: .*; last\.ckpt is not read\."):
            open_model(str(plain))

    @pytest.mark.parametrize("spelled", ["torch.float32", "fp32", ["float32"], {"": "float32"}])
    def test_a_dtype_that_the_library_does_not_know(self, spelled: Any, plain: Path, tiny: SimpleNamespace) -> None:
        tiny.edit_json(plain / "config.json", dtype=spelled)
        with pytest.raises(RmbenchError, match=r'config\.json: key "dtype" is .*; expected one of float32, bfloat16'):
            open_model(str(plain))

    def test_parts_of_an_adapter_in_a_whole_model_are_named(self, plain: Path, tmp_path: Path) -> None:
        def name(stored: str) -> str:
            stored = stored.replace("score.", "score.modules_to_save.default.")
            return "base_model.model." + stored.replace("q_proj.", "q_proj.base_layer.")

        more = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight": torch.ones(4, 32)}
        folder = rewritten(plain, tmp_path, name, safe=False, more=more)
        with pytest.raises(RmbenchError, match=r"parts of an adapter that is not merged \(.*lora_A.*\): merge it"):
            open_model(str(folder))

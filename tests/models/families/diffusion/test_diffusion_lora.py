"""LoRA of denoisers: rewards as of the model that diffusers itself makes of base and LoRA, in each format of files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators
from rmbench.models.families.diffusion.library import diffusers
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions

declare_missing_operators()
PROMPT = "a red house"
PEFT = pytest.importorskip("peft", exc_type=ImportError)
UNET = ["to_q", "to_v", "to_out.0", "conv1", "proj_in"]
"""Linear layers, convolutions of 3 x 3, and one of 1 x 1."""


def lora(folder: Path, base: Path, kind: str, *, root: bool = False) -> Path:
    """A LoRA of rank 3 and alpha 5, of which one module has alpha 2, as a pipeline of diffusers saves it."""
    library = diffusers()
    part, make = ("unet", "UNet2DConditionModel") if kind == "sd15" else ("transformer", "FluxTransformer2DModel")
    model = getattr(library, make).from_pretrained(base / part)
    targets = UNET if kind == "sd15" else ["to_q", "to_k", "proj_mlp"]
    config = PEFT.LoraConfig(
        r=3, lora_alpha=5, target_modules=targets, alpha_pattern={"to_q": 2}, use_rslora=root, init_lora_weights=False
    )
    torch.manual_seed(7)
    model.add_adapter(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3)
    layers = PEFT.get_peft_model_state_dict(model)
    pipeline = library.StableDiffusionPipeline if kind == "sd15" else library.FluxPipeline
    meta = {f"{part}_lora_adapter_metadata": model.peft_config["default"].to_dict()}
    pipeline.save_lora_weights(folder, **{f"{part}_lora_layers": layers}, **meta)
    return folder


def merged(folder: Path, base: Path, kind: str, file: Path) -> Path:
    """The pipeline whose denoiser diffusers has loaded the LoRA into and fused."""
    library = diffusers()
    shutil.copytree(base, folder)
    part, make = ("unet", "UNet2DConditionModel") if kind == "sd15" else ("transformer", "FluxTransformer2DModel")
    model = getattr(library, make).from_pretrained(base / part)
    mixin = library.loaders.StableDiffusionLoraLoaderMixin if kind == "sd15" else library.loaders.FluxLoraLoaderMixin
    given = {"return_lora_metadata": True, **({} if kind == "sd15" else {"return_alphas": True})}
    state, alphas, metadata = mixin.lora_state_dict(str(file.parent), weight_name=file.name, **given)
    model.load_lora_adapter(state, network_alphas=alphas or None, prefix=part, metadata=metadata)
    model.fuse_lora()
    model.unload_lora()
    model.save_pretrained(folder / part)
    return folder


@pytest.fixture(scope="module")
def made_of(pipelines: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SimpleNamespace]:
    """The base of a kind, a LoRA over it, and what the library makes of both."""
    known: dict[str, SimpleNamespace] = {}

    def of(kind: str) -> SimpleNamespace:
        if kind not in known:
            base, folder = pipelines(kind)[0], tmp_path_factory.mktemp(f"lora-{kind}")
            file = lora(folder / "lora", base, kind) / "pytorch_lora_weights.safetensors"
            known[kind] = SimpleNamespace(base=base, file=file, whole=merged(folder / "whole", base, kind, file))
        return known[kind]

    return of


def opened(model: Path, base: Path, reference: str = "base", **args: Any) -> Any:
    given = {"resolution": "32", "draws": "4", "batch": "4"} | args
    return open_model(
        str(model), OpenOptions(ref_model=reference, base_model=str(base), device="cpu", model_args=given)
    )


@pytest.mark.parametrize("kind", ["sd15", "flux"])
def test_a_lora_over_its_base_equals_what_the_library_fuses(
    kind: str, made_of: Any, images: list[Path], made: SimpleNamespace
) -> None:
    built = made_of(kind)
    row = made.pair("row", PROMPT, *images[:2])
    expected = made.opened(built.whole, built.base, draws=4, batch=4).judge("t", row).rewards
    assert max(map(abs, expected)) > 1
    for model in (built.file.parent, built.file):  # the folder, or the file itself
        scorer = opened(model, built.base)
        assert scorer.judge("t", row).rewards == pytest.approx(expected, rel=1e-3, abs=1e-2)
    kept = scorer.facts.settings
    assert kept["adapter"] == "lora"
    assert str(kept["reference"]) == kept["base"]
    assert int(kept["lora_pairs"]) == len(load_file(built.file)) / 2
    assert kept["encoders"] == built.base.name
    alone = opened(built.file, built.base / ("unet" if kind == "sd15" else "transformer"), pipeline=str(built.base))
    assert alone.judge("t", row).rewards == scorer.judge("t", row).rewards


def renamed(built: SimpleNamespace, folder: Path, rename: Callable[[str], str], **more: Any) -> Path:
    """The same LoRA, without what its header says, under other names."""
    folder.mkdir()
    state = {rename(name): tensor for name, tensor in load_file(built.file).items()}
    save_file(state | more, folder / "pytorch_lora_weights.safetensors")
    return folder / "pytorch_lora_weights.safetensors"


def kohya(name: str) -> str:
    block, _, half = name.removeprefix("unet.").removesuffix(".weight").rpartition(".lora_")
    return f"lora_unet_{block.replace('.', '_')}.lora_{'down' if half == 'A' else 'up'}.weight"


def older(name: str) -> str:
    return name.replace(".lora_A.", ".lora.down.").replace(".lora_B.", ".lora.up.")


def test_earlier_names_and_kohyas_are_read(
    made_of: Any, images: list[Path], made: SimpleNamespace, tmp_path: Path
) -> None:
    """With alpha from the file, and with alpha as the rank where nothing says it."""
    built = made_of("sd15")
    row = made.pair("row", PROMPT, *images[:2])
    names = {name.rpartition(".lora_")[0] for name in load_file(built.file)}
    alphas = {f"lora_unet_{name.removeprefix('unet.').replace('.', '_')}.alpha": torch.tensor(2.0) for name in names}
    for rename, more in ((older, {}), (kohya, alphas)):
        file = renamed(built, tmp_path / rename.__name__, rename, **more)
        whole = merged(tmp_path / f"{rename.__name__}-whole", built.base, "sd15", file)
        expected = made.opened(whole, built.base, draws=4, batch=4).judge("t", row).rewards
        assert opened(file, built.base).judge("t", row).rewards == pytest.approx(expected, rel=1e-3, abs=1e-2)


def test_a_folder_of_peft_is_read(made_of: Any, images: list[Path], made: SimpleNamespace, tmp_path: Path) -> None:
    built = made_of("sd15")
    row = made.pair("row", PROMPT, *images[:2])
    model = diffusers().UNet2DConditionModel.from_pretrained(built.base / "unet")
    config = PEFT.LoraConfig(r=2, lora_alpha=6, target_modules=["to_k"], use_rslora=True, init_lora_weights=False)
    tuned = PEFT.get_peft_model(model, config)
    tuned.save_pretrained(tmp_path / "lora")
    whole = made.copied(built.base, tmp_path / "whole")
    tuned.merge_and_unload().save_pretrained(whole / "unet")
    expected = made.opened(whole, built.base, draws=4, batch=4).judge("t", row).rewards
    assert opened(tmp_path / "lora", built.base).judge("t", row).rewards == pytest.approx(expected, rel=1e-3, abs=1e-2)
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps({"peft_type": "LOHA"}))
    with pytest.raises(RmbenchError, match="only LORA is merged into denoisers"):
        opened(tmp_path / "lora", built.base)


Q = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({f"{Q}.dora_scale": torch.ones(16)}, "dora_scale is no half of a LoRA pair"),
        ({"text_encoder.layers.0.lora_A.weight": torch.ones(2, 2)}, "changes a text encoder too"),
        ({f"{Q}.lora_B.weight": None}, "to_q has one half of a LoRA pair alone; up is missing"),
        ({f"{Q}.lora_B.weight": torch.ones(8, 3)}, r"a pair of \[8, 3\] and \[3, 16\] does not change \[16, 16\]"),
        ({f"{Q}.lora_B.weight": torch.ones(16, 4)}, r"a pair of \[16, 4\] and \[3, 16\] does not change"),
        ({f"{Q}.alpha": torch.tensor(0.0)}, "alpha is 0.0, expected a number above 0"),
        ({f"{Q}.alpha": torch.ones(2)}, r"alpha \[2\] is no single number"),
        ({"unet.nowhere.lora_A.weight": torch.ones(2, 2)}, "has no nowhere, which 1 of its"),
        ({f"{Q}.lora.up.weight": torch.ones(16, 3)}, "are the same half of a pair"),
        ({"lora_unet_" + Q[5:].replace(".", "_") + ".lora_down.weight": torch.ones(3, 16)}, "one half|two pairs"),
    ],
)
def test_what_is_no_plain_lora_is_refused(change: dict[str, Any], why: str, made_of: Any, tmp_path: Path) -> None:
    built = made_of("sd15")
    state = {key: value for key, value in (load_file(built.file) | change).items() if value is not None}
    save_file(state, tmp_path / "pytorch_lora_weights.safetensors")
    with pytest.raises(RmbenchError, match=why):
        opened(tmp_path, built.base)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("[", "is no JSON object"),
        ("[1]", "is no JSON object"),
        ({"unet.use_dora": True}, "a LoRA with use_dora is more than a change"),
        ({"unet.lora_alpha": "5"}, "lora_alpha is '5', expected a number"),
        ({"unet.alpha_pattern": {"(a+)+$": 1}}, "alpha_pattern: expected names of modules"),
    ],
)
def test_a_header_that_says_something_else_is_refused(said: Any, why: str, made_of: Any, tmp_path: Path) -> None:
    built = made_of("sd15")
    metadata = {"lora_adapter_metadata": said if isinstance(said, str) else json.dumps(said)}
    save_file(load_file(built.file), tmp_path / "pytorch_lora_weights.safetensors", metadata)
    with pytest.raises(RmbenchError, match=why):
        opened(tmp_path, built.base)


def test_bases_that_are_none_are_refused(made_of: Any, tmp_path: Path) -> None:
    built = made_of("sd15")
    with pytest.raises(RmbenchError, match="holds a LoRA, which names no base"):
        open_model(str(built.file), OpenOptions())
    with pytest.raises(RmbenchError, match=r"has no single_transformer_blocks.* which 5 of its 5 pairs change"):
        opened(made_of("flux").file, built.base)
    with pytest.raises(RmbenchError, match="is no denoiser of diffusers"):
        opened(built.file, built.base / "text_encoder")
    with pytest.raises(RmbenchError, match="holds a whole model, no adapter"):
        opened(built.base, built.base)


def test_a_file_that_is_no_lora_is_no_model(pipelines: Any) -> None:
    file = pipelines("sd15")[0] / "vae" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(RmbenchError, match="is a file, not a folder"):
        open_model(str(file), OpenOptions())

"""The three ways to save a two-tower model, how each is told from its files, and that nothing is guessed."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.headers import Tensor
from rmbench.models.checkpoint.read import Checkpoint, read_checkpoint
from rmbench.models.families.registry import decide
from rmbench.models.families.vision.clip.architecture import chosen, named_config, shapes_of
from rmbench.models.open import OpenOptions, open_model

pytestmark = pytest.mark.skipif(find_spec("open_clip") is None, reason="need open_clip (the extra clip)")

TEXTS = ["a cat", "two blue dogs on a long, long road"]


def opened(folder: Path, allow_pickle: bool = False, **settings: str) -> Any:
    options = OpenOptions(device="cpu", model_args=settings, allow_pickle=allow_pickle)
    return open_model(str(folder), options)


def scores(scorer: Any, images: Sequence[Path], seen: Any) -> list[float]:
    examples = [seen.example(text, text, *map(seen.shown, images)) for text in TEXTS]
    judgments = seen.judged(scorer, examples).judgments
    assert all(judgment.status == "ok" for judgment in judgments), [each.error for each in judgments]
    return [reward for judgment in judgments for reward in judgment.rewards]


def save_bare(folder: Path, model: Any, prefix: str = "", name: str = "HPS_v2_compressed.pt", **more: Any) -> Path:
    """As HPSv2 is released, and as its training leaves it with `more`."""
    folder.mkdir(exist_ok=True)
    state = {prefix + key: value for key, value in model.state_dict().items()}
    torch.save({"state_dict": state, **more}, folder / name)
    return folder


def test_each_layout_is_told_from_its_files(tmp_path: Path, seen: Any) -> None:
    seen.save_open_clip(tmp_path / "a")
    save_bare(tmp_path / "b", seen.tiny_model())
    seen.save_transformers(tmp_path / "c")
    found = [decide(read_checkpoint(tmp_path / name)) for name in "abc"]
    assert [(family.name, family.layout) for family in found] == [
        ("clip", "open-clip"),
        ("clip", "hpsv2"),
        ("clip", "hf-clip"),
    ]
    assert found[1].why == (
        "no class is named, one torch file and open_clip's tensors visual.*, token_embedding and logit_scale"
    )
    assert "config.json names CLIPModel" in found[2].why
    assert read_checkpoint(tmp_path / "b").config == {}


@pytest.mark.parametrize("safe", [True, False])
def test_an_open_clip_folder_with_timms_files_beside_it(
    safe: bool, tmp_path: Path, tiny_clip: Path, images: list[Path], seen: Any
) -> None:
    """The hub's copies of OpenAI's models hold the image tower once more, under timm's configuration."""
    from safetensors.torch import save_file

    seen.save_open_clip(tmp_path, safe=safe)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_base_patch32_clip_224"}))
    save_file({"cls_token": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert scores(opened(tmp_path), images, seen) == scores(opened(tiny_clip), images, seen)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_one_torch_file_of_a_named_architecture(
    prefix: str, tmp_path: Path, tiny_clip: Path, tiny_registered: str, images: list[Path], seen: Any
) -> None:
    folder = save_bare(tmp_path / "hps", seen.tiny_model(), prefix, epoch=3, name="x.pt")
    scorer = opened(folder, architecture=tiny_registered)
    assert scores(scorer, images, seen) == scores(opened(tiny_clip), images, seen)
    assert scorer.facts.settings["weights"] == "x.pt"


def test_the_architecture_is_worked_out_where_one_alone_fits(
    tmp_path: Path, tiny_clip: Path, tiny_registered: str, images: list[Path], seen: Any
) -> None:
    scorer = opened(save_bare(tmp_path / "hps", seen.tiny_model()))
    assert scorer.facts.settings["architecture"] == tiny_registered
    assert scores(scorer, images, seen) == scores(opened(tiny_clip), images, seen)


def with_tensors_of(name: str) -> Checkpoint:
    """A checkpoint with the names and shapes of an open_clip model, and no bytes."""
    tensors = {key: Tensor("x.pt", shape, "F32") for key, shape in shapes_of(named_config(name), name).items()}
    return Checkpoint(Path("ckpt"), {}, tensors, safe=False)


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("ViT-B-32", "ViT-B-32, ViT-B-32-quickgelu, which compute different things"),
        ("ViT-H-14", "ViT-H-14, ViT-H-14-quickgelu, "),
    ],
)
def test_shapes_do_not_show_the_activation(name: str, candidates: str) -> None:
    checkpoint = with_tensors_of(name)
    assert decide(checkpoint).layout == "hpsv2"
    with pytest.raises(RmbenchError, match=candidates):
        chosen(checkpoint, None)
    assert chosen(checkpoint, name)[0] == name


def test_shapes_of_nothing_that_is_known(tmp_path: Path, seen: Any) -> None:
    folder = save_bare(tmp_path, seen.tiny_model())
    with pytest.raises(RmbenchError, match=r"no model of open_clip has these tensors.*architecture=NAME"):
        opened(folder)
    with pytest.raises(RmbenchError, match=r'no such model\. Did you mean "ViT-B-32"'):
        opened(folder, architecture="ViT-B32")
    # Two layers of twelve are there, in each tower, and a layer has 12 tensors.
    with pytest.raises(RmbenchError, match=r"240 missing: .*text_projection \[32, 32\] instead of \[384, 384\]"):
        opened(folder, architecture="ViT-S-32")


def test_the_activation_changes_the_score(tmp_path: Path, tiny_clip: Path, images: list[Path], seen: Any) -> None:
    seen.save_open_clip(tmp_path, {**seen.TINY, "quick_gelu": True})
    quick = opened(tmp_path)
    assert quick.facts.settings["activation"] == "QuickGELU"
    difference = np.subtract(scores(quick, images, seen), scores(opened(tiny_clip), images, seen))
    assert np.abs(difference).max() > 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("ln_final.bias"), "1 missing: ln_final.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "1 not of it: extra"),
        (
            lambda state: state.update(text_projection=torch.zeros(3, 4)),
            r"text_projection \[3, 4\] instead of \[32, 32\]",
        ),
    ],
)
def test_tensors_are_all_there_and_no_others(change: Any, message: str, tmp_path: Path, seen: Any) -> None:
    seen.save_open_clip(tmp_path, safe=False)
    file = tmp_path / "open_clip_pytorch_model.bin"
    state = torch.load(file)
    change(state)
    torch.save(state, file)
    with pytest.raises(RmbenchError, match=message):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vision_cfg": {"timm_model_name": "hf-hub:evil/x", "image_size": 32}}, r"vision_cfg\.timm_model_name"),
        ({"text_cfg": {**TINY, "hf_model_name": "x"}} if (TINY := {"width": 32}) else {}, r"text_cfg\.hf_model_name"),
        ({"multimodal_cfg": {}}, "multimodal_cfg"),
        ({"surprise": 1}, "surprise, which open_clip's CLIP has not"),
        ({"vision_cfg": None}, "must have embed_dim, vision_cfg and text_cfg"),
        ({"text_cfg": {"widht": 32}}, "open_clip cannot make a model"),
        ({"embed_dim": 10**9}, "of another shape"),
    ],
)
def test_a_configuration_is_distrusted(change: Any, message: str, tmp_path: Path, seen: Any) -> None:
    """Nothing is looked for on a hub, and shapes are compared before memory is taken."""
    seen.save_open_clip(tmp_path)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {**seen.TINY, **change}}))
    with pytest.raises(RmbenchError, match=message):
        opened(tmp_path)


def test_a_torch_file_that_would_run_code(tmp_path: Path, tiny_registered: str, seen: Any) -> None:
    class Surprise:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    folder = save_bare(tmp_path / "hps", seen.tiny_model(), optimizer=Surprise())
    with pytest.raises(RmbenchError, match="more than tensors, and unpickling it would run code"):
        opened(folder, architecture=tiny_registered)
    assert not (tmp_path / "ran").exists()
    opened(folder, allow_pickle=True, architecture=tiny_registered)
    assert (tmp_path / "ran").exists()


def test_two_torch_files_without_a_word(tmp_path: Path, seen: Any) -> None:
    save_bare(tmp_path, seen.tiny_model(), name="HPS_v2_compressed.pt")
    save_bare(tmp_path, seen.tiny_model(), name="HPS_v2.1_compressed.pt")
    with pytest.raises(RmbenchError, match=r"2 files of weights \(HPS_v2\.1_compressed\.pt, HPS_v2_compressed\.pt\)"):
        read_checkpoint(tmp_path)
    only = read_checkpoint(tmp_path, weights="HPS_v2.1_compressed.pt")
    assert {tensor.file for tensor in only.tensors.values()} == {"HPS_v2.1_compressed.pt"}
    with pytest.raises(RmbenchError, match=r"HPS_v3\.pt does not exist"):
        read_checkpoint(tmp_path, weights="HPS_v3.pt")


def by_transformers(folder: Path, images: Sequence[Path], tokenizer: Any) -> list[float]:
    """CLIPModel's own logits, one picture and one text at a time, with its own tokenizer and a plain preprocessing."""
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(folder).eval()
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    std = np.array([0.26862954, 0.26130258, 0.27577711])
    found = []
    for text in TEXTS:
        read = tokenizer([text], return_tensors="pt", truncation=True, max_length=77)
        for path in images:
            image = Image.open(path).convert("RGB")
            width, height = image.size
            scale = 32 / min(width, height)
            size = (32, int(32 * height / width)) if scale == 32 / width else (int(32 * width / height), 32)
            image = image.resize(size, Image.Resampling.BICUBIC)
            left, top = (size[0] - 32) // 2, (size[1] - 32) // 2
            pixels = (np.array(image.crop((left, top, left + 32, top + 32))) / 255 - mean) / std
            values = torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None]
            with torch.no_grad():
                found.append(float(model(pixel_values=values, **read).logits_per_image.item()))
    return found


@pytest.mark.parametrize("tokenizer", [True, False])
def test_transformers_model_as_pickscore_is_saved(
    tokenizer: bool, tmp_path: Path, images: list[Path], clip_tokenizer: Path, seen: Any
) -> None:
    from transformers import CLIPTokenizer

    folder = tmp_path / "pick"
    seen.save_transformers(folder)
    if tokenizer:
        shutil.copytree(clip_tokenizer, folder, dirs_exist_ok=True)
    scorer = opened(folder, score="logit")
    own = CLIPTokenizer.from_pretrained(clip_tokenizer)
    expected = by_transformers(folder, images, own)
    assert np.std(expected) > 0.1
    assert scores(scorer, images, seen) == pytest.approx(expected, abs=1e-4)
    source = "the checkpoint's" if tokenizer else "open_clip's CLIP vocabulary, lower"
    assert scorer.facts.settings["tokenizer"] == source
    assert scorer.facts.settings["activation"] == "quick_gelu"


def test_a_transformers_model_lacks_nothing_and_has_nothing_else(tmp_path: Path, seen: Any) -> None:
    from safetensors.torch import load_file, save_file

    seen.save_transformers(tmp_path)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    save_file({**state, "surprise": torch.zeros(1)}, file, {"format": "pt"})
    with pytest.raises(RmbenchError, match=r"CLIPModel does not take 1 tensors.*of unknown use: surprise"):
        opened(tmp_path)
    name = next(name for name in state if "final_layer_norm.weight" in name)
    state.pop(name)
    save_file(state, file, {"format": "pt"})
    with pytest.raises(RmbenchError, match="missing or have another shape"):
        opened(tmp_path)


def test_a_two_tower_text_model_is_no_clip(tmp_path: Path, seen: Any) -> None:
    seen.save_transformers(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["SiglipModel"]}))
    with pytest.raises(RmbenchError, match=r"config\.json names SiglipModel"):
        decide(read_checkpoint(tmp_path))


def test_without_open_clip_it_says_what_to_install(tiny_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(RmbenchError, match=r"open_clip is not installed: pip install 'rmbench\[clip\]'"):
        opened(tiny_clip)

"""LAION's aesthetic heads: the published files on the published embeddings, and on images through a tower."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.state_dict import load_state
from rmbench.models.families.vision.affine import read_stack
from rmbench.models.families.vision.clip.aesthetic import load_head
from rmbench.models.open import OpenOptions, open_model

pytestmark = pytest.mark.skipif(find_spec("open_clip") is None, reason="need open_clip (the extra clip)")

GOLDEN = {
    ("sa_0_4_vit_l_14_linear.pth", "vit_l_14"): (
        "-2.4579, -0.1379, 1.8951, 3.5849, 5.0997, 6.4701, 7.7870, 9.0480, 10.2264, 11.3044"
    ),
    ("sa_0_4_vit_b_32_linear.pth", "vit_b_32"): (
        "-1.4700, 0.2728, 1.9900, 3.6114, 5.0874, 6.3926, 7.6682, 8.9155, 9.9166, 11.0056"
    ),
    ("sac+logos+ava1-l14-linearMSE.collapsed.pth", "vit_l_14"): (
        "1.6555, 2.3593, 3.0698, 3.6725, 4.2380, 4.7010, 5.0731, 5.3654, 5.5767, 5.7468"
    ),
}


def embeddings(data: Path, tower: str) -> np.ndarray:
    """[10, D] of length 1, the prototypes of ratings 0 to 9."""
    folder = data / "laion-aesthetic" / f"{tower}_embeddings"
    return np.concatenate([np.load(folder / f"rating{rating}.npy") for rating in range(10)])


@pytest.mark.parametrize(("file", "tower"), GOLDEN)
def test_published_heads_on_published_embeddings(file: str, tower: str, data: Path) -> None:
    images = embeddings(data, tower)
    head = load_head(str(data / "laion-aesthetic" / file), data, images.shape[1])
    found = head(images)
    assert np.all(np.diff(found) > 0)
    assert found.tolist() == pytest.approx([float(text) for text in GOLDEN[file, tower].split(", ")], abs=1e-4)
    # 5e-5: the golden figures have four digits.
    assert np.abs(found - [float(text) for text in GOLDEN[file, tower].split(", ")]).max() < 1e-4


def test_a_head_belongs_to_its_tower(data: Path) -> None:
    with pytest.raises(RmbenchError, match="reads embeddings of 768 numbers, but the image tower gives 512"):
        load_head(str(data / "laion-aesthetic" / "sa_0_4_vit_l_14_linear.pth"), data, 512)


def test_the_bias_of_the_third_file(data: Path) -> None:
    state = load_state(data / "laion-aesthetic" / "sa_0_4_vit_b_16_linear.pth")
    assert float(state["bias"]) == pytest.approx(3.150602, abs=1e-6)
    assert float(state["weight"].norm()) == pytest.approx(28.1968, abs=1e-4)


def upstream(relu: bool, width: int = 32) -> nn.Sequential:
    """The five layers as improved-aesthetic-predictor writes them down."""
    torch.manual_seed(1)
    sizes = [width, 24, 16, 8, 4]
    steps: list[nn.Module] = []
    for into, out, share in zip(sizes, sizes[1:], (0.2, 0.2, 0.1, None), strict=False):
        steps.append(nn.Linear(into, out))
        steps += [nn.ReLU()] if relu else []
        steps += [nn.Dropout(share)] if share is not None else []
    return nn.Sequential(*steps, nn.Linear(4, 1)).eval()


def saved(module: nn.Sequential, path: Path) -> Path:
    torch.save({f"layers.{name}": value for name, value in module.state_dict().items()}, path)
    return path


@pytest.mark.parametrize(("relu", "places"), [(False, {"0", "2", "4", "6", "7"}), (True, {"0", "3", "6", "9", "11"})])
def test_stacks_with_and_without_activation(relu: bool, places: set[str], tmp_path: Path) -> None:
    module = upstream(relu)
    assert {name.partition(".")[0] for name in module.state_dict()} == places
    head = load_head("head.pth", saved(module, tmp_path / "head.pth").parent, 32)
    states = torch.randn(6, 32)
    with torch.no_grad():
        assert head(states.numpy()).tolist() == pytest.approx(module(states)[:, 0].tolist(), abs=1e-6)
    assert head.settings["head_shape"] == "32-24-16-8-4-1, " + ("ReLU" if relu else "no activation")


def test_a_stack_without_activation_is_one_affine_map(tmp_path: Path) -> None:
    """The product of its matrices in float64, as the collapsed file was made."""
    head = load_head("head.pth", saved(upstream(False), tmp_path / "head.pth").parent, 32)
    weight, bias = np.eye(32), np.zeros(32)
    for matrix, shift in head.stack.layers:
        weight, bias = matrix.double().numpy() @ weight, matrix.double().numpy() @ bias + shift.double().numpy()
    states = torch.randn(6, 32)
    expected = states.double().numpy() @ weight.T + bias
    assert head(states.numpy()).tolist() == pytest.approx(expected[:, 0].tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"weight": torch.zeros(2, 32), "bias": torch.zeros(2)}, "the last layer has 2 outputs"),
        ({"weight": torch.zeros(1, 32)}, "expected weight and bias, or layers"),
        ({"layers.0.weight": torch.zeros(1, 32), "layers.0.bias": torch.zeros(1)}, r"linear layers at \[0\], expected"),
        ({"layers.0.weight": torch.zeros(1, 32)}, r"lacks layers\.0\.bias"),
        ({"weight": torch.full((1, 32), torch.nan), "bias": torch.zeros(1)}, "not finite"),
        ({}, "lacks layers"),
    ],
)
def test_what_is_no_head(state: Any, message: str) -> None:
    with pytest.raises(RmbenchError, match=message):
        read_stack(state, "x.pth")


def test_layers_that_do_not_follow_each_other(tmp_path: Path) -> None:
    state = torch.load(saved(upstream(False), tmp_path / "head.pth"))
    state["layers.2.weight"] = torch.zeros(16, 23)
    with pytest.raises(RmbenchError, match="do not follow each other"):
        read_stack(state, "x.pth")


def test_images_are_scored_without_a_text(tiny_clip: Path, images: list[Path], tmp_path: Path, seen: Any) -> None:
    module = upstream(True)
    file = saved(module, tmp_path / "head.pth")
    scorer: Any = open_model(str(tiny_clip), OpenOptions(device="cpu", model_args={"head": str(file)}))
    examples = [seen.example("a", "hi", *map(seen.shown, images)), seen.example("b", "", seen.shown(images[0]))]
    judging = seen.judged(scorer, examples)
    first, second = (judgment.rewards for judgment in judging.judgments)
    own = seen.tiny_model()
    from rmbench.media import open_image

    pixels = [scorer.preprocess(open_image(path)) for path in images]
    with torch.no_grad():
        expected = [float(module(own.encode_image(each[None], normalize=True)).item()) for each in pixels]
    assert list(first) == pytest.approx(expected, abs=1e-5)
    assert second == first[:1]
    assert judging.statistics.unique == len(images)
    assert scorer.facts.settings["head_sha256"]
    assert scorer.facts.settings["score"] == "aesthetic"
    assert "prefix" not in scorer.facts.settings

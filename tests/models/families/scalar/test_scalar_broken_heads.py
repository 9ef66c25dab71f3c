"""Checkpoints whose head is broken: each is refused with a message that names what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.engine.judge import judge
from rmbench.errors import RmbenchError
from rmbench.models.card import Card
from rmbench.models.families.scalar.declared import DeclaredScorer
from rmbench.models.locate import Located
from rmbench.models.open import OpenOptions, _open_checkpoint, open_model
from rmbench.types import Candidate, Example, Gold, Message

ONE_PER_FORMULA = ("openbmb, UltraRM", "beaver-reward", "grm", "qrm-gemma2", "oasst", "ideal-point")
NOT_NEEDED = ("lm_head", "model.", "count", "bias")


@pytest.fixture(autouse=True)
def without_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads are looked at before the backbone is read, so a broken one costs no loading."""

    def read(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the backbone was read")

    monkeypatch.setattr("rmbench.models.families.scalar.open_declared.load_model", read)


@pytest.mark.parametrize("which", ONE_PER_FORMULA)
def test_a_tensor_that_is_missing_is_named(which: str, tmp_path: Path, tiny: Any, upstream: Any) -> None:
    case = upstream.cases[which]
    folder, _ = upstream.save(tmp_path / "model", case, tiny)
    needed = [name for name in case.head if not any(part in name for part in NOT_NEEDED)]
    assert needed
    for name in needed:
        tensors = dict(case.head)
        tiny.edit_tensors(folder, lambda held, name=name: held.pop(name))
        with pytest.raises(RmbenchError) as raised:
            open_model(str(folder), OpenOptions(adapter=which.partition(",")[0]))
        said = str(raised.value).replace("\\", "")
        # Without its last layer an ideal point's item is one of fewer layers, which the prototypes do not fit.
        assert name in said or (name == "item.2.weight" and "prototypes has shape [3, 6], expected [3, 16]" in said)
        tiny.edit_tensors(folder, lambda held, name=name, tensors=tensors: held.update({name: tensors[name].clone()}))


@pytest.mark.parametrize(
    ("which", "tensors", "message"),
    [
        (
            "grm",
            {"v_head.summary.2.weight": (1, 7)},
            r"v_head\.summary\.2\.weight \[1, 7\] does not go behind a layer of 8",
        ),
        ("grm", {"v_head.summary.2.bias": (2,)}, r"v_head\.summary\.2\.bias has shape \[2\], expected \[1\]"),
        ("grm", {"v_head.summary.4.weight": (3, 1)}, r"v_head\.summary\.\{\} has 3 outputs, expected 1"),
        (
            "grm",
            {"v_head.summary.3.weight": (1, 1)},
            r"v_head\.summary\.3\.weight has no place: layers are 2 numbers apart",
        ),
        ("beaver-reward", {"normalizer.var": (2,)}, r"normalizer\.var has shape \[2\], expected \[1\]"),
        (
            "qrm-gemma2",
            {"reward_transform_matrix": (3, 4)},
            r"reward_transform_matrix has shape \[3, 4\], expected \[3, 3\]",
        ),
        (
            "qrm-gemma2",
            {"regression_layer.weight": (16, 32)},
            "16 outputs, which are no whole number of objectives of 5",
        ),
        ("qrm-gemma2", {"regression_layer.weight": (20, 32)}, r"gating\.layers\.\{\} has 3 outputs, expected 4"),
        (
            "qrm-gemma2",
            {"gating.layers.4.running_mean": (3,)},
            r"BatchNorm at \[2, 4, 5\], expected one behind each of \[0, 3\]",
        ),
        ("ideal-point", {"prototypes": (3, 5)}, r"prototypes has shape \[3, 5\], expected \[3, 6\]"),
        ("ideal-point", {"user": (3, 1)}, r"user has shape \[3, 1\], expected \[points\]"),
        ("oasst", {"out_proj.weight": (2, 32)}, r"oasst has no out_proj\.weight \[2, 32\]"),
        ("steerlm", {"rm_head.weight": (5, 32)}, r"steerlm has no rm_head\.weight \[5, 32\]"),
    ],
)
def test_shapes_that_do_not_go_together(
    which: str, tensors: Any, message: str, tmp_path: Path, tiny: Any, upstream: Any
) -> None:
    folder, _ = upstream.save(tmp_path / "model", upstream.cases[which], tiny)
    tiny.edit_tensors(folder, lambda held: held.update({name: torch.ones(shape) for name, shape in tensors.items()}))
    with pytest.raises(RmbenchError, match=message):
        open_model(str(folder), OpenOptions(adapter=which))


def test_objectives_that_are_not_as_many_as_their_names(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    folder, _ = upstream.save(tmp_path / "model", upstream.cases["armorm"], tiny)
    tiny.edit_tensors(folder, lambda held: held.update({"regression_layer.weight": torch.ones(18, 32)}))
    with pytest.raises(RmbenchError, match="the layout armorm names 19 objectives, the head has 18"):
        open_model(str(folder))


@pytest.mark.parametrize("which", ["openbmb, UltraRM", "ldl", "grm"])
def test_the_wrong_layout_is_refused(which: str, tmp_path: Path, tiny: Any, upstream: Any) -> None:
    folder, _ = upstream.save(tmp_path / "model", upstream.cases[which], tiny)
    for wrong in ("armorm", "athene", "stock", "gpm-linear"):
        with pytest.raises(RmbenchError, match=f"--adapter {wrong} does not fit"):
            open_model(str(folder), OpenOptions(adapter=wrong))


class TestWithBackbones:
    @pytest.fixture(autouse=True)
    def with_backbones(self, without_backbones: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()

    @pytest.mark.parametrize(
        ("which", "name", "shape"),
        [
            ("openbmb, UltraRM", "regression_head.weight", (1, 16)),
            ("grm", "v_head.summary.0.weight", (8, 64)),
            ("qrm-gemma2", "gating.layers.0.weight", (12, 16)),
        ],
    )
    def test_a_head_for_another_width(
        self, which: str, name: str, shape: Any, tmp_path: Path, tiny: Any, upstream: Any
    ) -> None:
        folder, _ = upstream.save(tmp_path / "model", upstream.cases[which], tiny)
        tiny.edit_tensors(folder, lambda held: held.update({name: torch.ones(shape)}))
        with pytest.raises(RmbenchError) as raised:
            open_model(str(folder))
        assert f"{name.split('.')[0]}" in str(raised.value).partition(" reads ")[0].partition(": ")[2]
        assert f"reads states of {shape[1]} numbers, the backbone gives 32" in str(raised.value)

    def test_a_gate_file_for_another_width(self, tmp_path: Path, tiny: Any, upstream: Any) -> None:
        folder, _ = upstream.save(tmp_path / "model", upstream.cases["ldl"], tiny)
        held = torch.load(folder / "gating_layer.pt")
        torch.save(held | {"network.0.weight": torch.ones(16, 24)}, folder / "gating_layer.pt")
        with pytest.raises(RmbenchError, match=r"gating_layer\.pt: network\.\{\} reads states of 24 numbers"):
            open_model(str(folder))

    def test_a_backbone_with_a_hole(self, tmp_path: Path, tiny: Any, upstream: Any) -> None:
        folder, _ = upstream.save(tmp_path / "model", upstream.cases["openbmb, UltraRM"], tiny)
        tiny.edit_tensors(folder, lambda held: held.pop("model.layers.1.mlp.up_proj.weight"))
        with pytest.raises(RmbenchError, match=r"random numbers: .*layers\.1\.mlp\.up_proj\.weight"):
            open_model(str(folder))

    def test_nan_fails_its_rows_and_not_the_run(self, tmp_path: Path, tiny: Any, upstream: Any) -> None:
        folder, _ = upstream.save(tmp_path / "model", upstream.cases["openbmb, UltraRM"], tiny)
        tiny.edit_tensors(folder, lambda held: held["regression_head.weight"].fill_(float("nan")))
        prompt = (Message.of("user", "Hi"),)
        example = Example("a", prompt, (Candidate.of("Yo"), Candidate.of("Oh")), Gold())
        judged = judge("task", [example], open_model(str(folder)))
        assert judged.judgments[0].status == "failed"
        assert judged.judgments[0].error == "candidate 0: the model's reward is NaN"

    def test_a_cost_model_that_is_read_as_a_reward_model_has_the_other_sign(
        self, tmp_path: Path, tiny: Any, upstream: Any
    ) -> None:
        folder, _ = upstream.save(tmp_path / "model", upstream.cases["beaver-cost"], tiny)
        tiny.edit_json(folder / "config.json", do_normalize=False)
        found = {}
        for layout in (None, "beaver-reward"):
            model = open_model(str(folder), OpenOptions(adapter=layout))
            assert isinstance(model, DeclaredScorer)
            batch = tiny.batch(model.encode(tiny.requests()), model.pad_id)
            found[layout] = model.forward(batch)["reward"]
        np.testing.assert_array_equal(found[None], -found["beaver-reward"])

    def test_a_card_that_brings_the_head(self, tmp_path: Path, tiny: Any, upstream: Any) -> None:
        """A gate and objectives that no layout has, without any code."""
        tiny.save_tokenizer(tmp_path)
        backbone = upstream.backbone()
        head = {"aspects.weight": upstream.draw(2, 32), "mixer.weight": upstream.draw(2, 32, seed=2)}
        upstream.write(tmp_path, backbone, "SomethingNew", head)
        from transformers import AutoTokenizer

        header = AutoTokenizer.from_pretrained(tmp_path)("<|start|>assistant\n", add_special_tokens=False)["input_ids"]
        declared = {
            "score": {"name": "aspects"},
            "objectives": {"names": ["true", "kind"]},
            "gate": {"name": "mixer", "temperature": 2.0},
            "pooling": {"prompt": {"pattern": header}},
        }
        card = Card(name="new", family="scalar", verified=False, head=declared)
        model = _open_checkpoint(Located(tmp_path, "new", None, card), OpenOptions())
        assert isinstance(model, DeclaredScorer)
        assert model.facts.settings["layout"] == "card"
        assert model.objectives == ("true", "kind")
        rows = model.encode(tiny.requests(5))
        wanted = []
        for row, states in zip(rows, upstream.states(backbone, rows), strict=True):
            start = max(i for i in range(len(row.ids)) if list(row.ids[i : i + len(header)]) == header)
            gate = torch.softmax(head["mixer.weight"] @ states[start] / 2, 0)
            wanted.append(float(gate @ (head["aspects.weight"] @ states[-1])))
        found = model.forward(tiny.batch(rows, model.pad_id, "left"))["reward"][:, 0].tolist()
        assert found == pytest.approx(wanted, abs=2e-5)
        other = card.model_copy(update={"head": declared | {"gate": {"name": "mixer", "temperature": 3.0}}})
        again = _open_checkpoint(Located(tmp_path, "new", None, other), OpenOptions())
        assert again.facts.fingerprint != model.facts.fingerprint

    def test_a_head_file_is_part_of_the_fingerprint(self, tmp_path: Path, tiny: Any, upstream: Any) -> None:
        folder, _ = upstream.save(tmp_path / "model", upstream.cases["ldl"], tiny)
        before = open_model(str(folder)).facts.fingerprint
        held = torch.load(folder / "gating_layer.pt")
        torch.save({name: tensor * 2 for name, tensor in held.items()}, folder / "gating_layer.pt")
        assert open_model(str(folder)).facts.fingerprint != before

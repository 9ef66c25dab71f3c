"""Which checkpoints are general preference models, and which of them are broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.families.registry import decide
from rmbench.models.open import OpenOptions, open_model
from tests._make import make_checkpoint, special_tokens_read

Heads = dict[str, tuple[int, ...]]
GATED: Heads = {"value_head.weight": (6, 8), "prompt_head.weight": (3, 8)}
NONLINEAR: Heads = {"value_head.net.0.weight": (16, 8), "value_head.net.2.weight": (4, 16)}


def made(architecture: str | None, heads: Heads) -> Checkpoint:
    return make_checkpoint(architecture, *heads.items())


@pytest.mark.parametrize(
    ("architecture", "heads", "layout"),
    [
        ("GemmaForCausalLM", GATED, "gpm-linear"),
        ("LlamaForCausalLM", {"value_head.weight": (2, 8)}, "gpm-linear"),
        ("CustomRewardModel", {"value_head.weight": (8, 8)}, "gpm-linear"),
        ("SomebodysPreferenceModel", GATED, "gpm-linear"),
        ("LlamaForCausalLM", NONLINEAR, "gpm-mlp"),
    ],
)
def test_gpm_by_class_and_tensors(architecture: str, heads: Heads, layout: str) -> None:
    family = decide(made(architecture, heads))
    assert (family.name, family.layout) == ("gpm", layout)
    assert family.why.startswith(f"config.json names {architecture}, the checkpoint holds value_head.")
    assert ("prompt_head.weight [3, 8]" in family.why) == ("prompt_head.weight" in heads)


@pytest.mark.parametrize(
    ("architecture", "heads"),
    [
        ("LlamaForCausalLM", {"value_head.weight": (1, 8)}),
        ("LlamaForCausalLM", {"value_head.weight": (3, 8)}),
        ("LlamaForCausalLM", {"prompt_head.weight": (3, 8)}),
        ("RewardModel", {"value_head.weight": (4, 8)}),
        (None, GATED),
    ],
)
def test_what_might_be_something_else_is_not_taken(architecture: str | None, heads: Heads) -> None:
    with pytest.raises(RmbenchError) as raised:
        decide(made(architecture, heads))
    assert ("gpm-linear" in str(raised.value)) == ("value_head.weight" in heads)


def test_a_named_family_needs_the_tensors_alone() -> None:
    value: Heads = {"value_head.weight": (1, 8)}
    for heads, layout in ((GATED, "gpm-linear"), (NONLINEAR, "gpm-mlp"), (value, "gpm-linear")):
        assert decide(made(None, heads), "gpm").layout == layout
    with pytest.raises(RmbenchError, match="--adapter gpm does not fit"):
        decide(made("LlamaForCausalLM", {"prompt_head.weight": (3, 8)}), "gpm")


def test_both_kinds_of_head_are_ambiguous() -> None:
    with pytest.raises(RmbenchError, match=r"2 ways.*gpm-linear.*gpm-mlp"):
        decide(made("LlamaForCausalLM", GATED | NONLINEAR))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value_head.weight": (5, 32)}, "value_head has width 5; it must be even, or 1"),
        ({"prompt_head.weight": (4, 32)}, "prompt_head has width 4, expected 3, half that of value_head"),
        ({"value_head.weight": (6, 16)}, r"value_head.weight has shape \[6, 16\], expected \[width, 32\]"),
        ({"prompt_head.weight": (3, 16)}, r"prompt_head.weight has shape \[3, 16\]"),
        ({"model.layers.1.mlp.up_proj.weight": None}, "model.layers.1.mlp.up_proj.weight|up_proj"),
    ],
)
def test_broken_heads_are_named(change: dict[str, Any], message: str, tmp_path: Path, save_gpm: Any, tiny: Any) -> None:
    def broken(tensors: dict[str, Any]) -> None:
        for name, shape in change.items():
            del tensors[name]
            if shape:
                tensors[name] = torch.ones(shape)

    tiny.edit_tensors(save_gpm(tmp_path), broken)
    with pytest.raises(RmbenchError, match=message):
        open_model(str(tmp_path), OpenOptions(adapter="gpm"))


def test_layers_with_a_gap_are_named(tmp_path: Path, save_gpm: Any, tiny: Any) -> None:
    folder = save_gpm(tmp_path, width=4, inner=(16, 16))

    def gap(tensors: dict[str, Any]) -> None:
        tensors["value_head.net.6.weight"] = tensors.pop("value_head.net.2.weight")

    tiny.edit_tensors(folder, gap)
    with pytest.raises(RmbenchError, match=r"value_head must have its layers at \.net\.0, \.net\.2"):
        open_model(str(folder))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"gate": "scale"}, "gate: expected one of released, scaled, ones; found 'scale'"),
        ({"tau": "0"}, "tau: .*greater than 0; found '0'"),
        ({"l3": "true"}, r"has no setting 'l3' \(it has gate, tau, l2, eos_overwrite\)"),
    ],
)
def test_wrong_settings_are_named(args: dict[str, str], message: str, gpm: Path) -> None:
    with pytest.raises(RmbenchError, match=message):
        open_model(str(gpm), OpenOptions(model_args=args))


def test_a_gate_needs_a_prompt_head(tmp_path: Path, save_gpm: Any) -> None:
    folder = save_gpm(tmp_path, prompt=0)
    assert open_model(str(folder)).facts.settings["gate"] == "ones"
    with pytest.raises(RmbenchError, match="gate=scaled needs a prompt_head"):
        open_model(str(folder), OpenOptions(model_args={"gate": "scaled"}))


def test_a_tokenizer_without_eos_is_named(tmp_path: Path, save_gpm: Any, tiny: Any) -> None:
    folder = save_gpm(tmp_path)
    tiny.save_tokenizer(folder, eos_token=None)
    with pytest.raises(RmbenchError, match=r"the tokenizer has none\. Pass --model-args eos_overwrite=false"):
        open_model(str(folder))
    assert open_model(str(folder), OpenOptions(model_args={"eos_overwrite": "false"}))


def test_nan_in_a_head_fails_rows_and_nothing_else(tmp_path: Path, save_gpm: Any, tiny: Any) -> None:
    from rmbench.engine.judge import judge
    from rmbench.types import Candidate, Example, Gold, Message

    folder = save_gpm(tmp_path)
    tiny.edit_tensors(folder, lambda tensors: tensors["value_head.weight"][0].fill_(float("nan")))
    row = Example("x", (Message.of("user", "Why?"),), (Candidate.of("a"), Candidate.of("b")), Gold())
    (judgment,) = judge("task", [row], open_model(str(folder))).judgments
    assert judgment.error == "candidate 0: the model's _embedding is NaN"


def test_special_tokens_in_candidates_are_read_as_the_options_say(gpm: Path) -> None:
    assert special_tokens_read(gpm, "<|start|>") == {"parsed": [1, 0], "text": [0, 0]}

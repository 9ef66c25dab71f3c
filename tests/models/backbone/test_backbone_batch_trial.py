"""Opened models whose forward depends on the whole batch: found before a run and by `check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rmbench.check import check
from rmbench.engine.judge import EngineOptions, judge
from rmbench.errors import RmbenchError
from rmbench.models.checkpoint import loading
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from tests._make import make_example
from tests.models.backbone.test_backbone_rope import config_of


@pytest.fixture
def phi(tmp_path: Path, tiny: Any) -> Path:
    import transformers

    torch.manual_seed(0)
    folder = tmp_path / "phi"
    transformers.Phi3ForSequenceClassification(config_of("longrope")).save_pretrained(folder)
    tiny.save_tokenizer(folder)
    return folder


def lines(folder: Path) -> dict[str, Any]:
    report = check(str(folder), write=False)
    return {each.name: each for each in report.checks}


def rewards_of(model: Any, *answers: str) -> list[float]:
    (one,) = judge("toy", [make_example("one", "How do I boil an egg?", *answers)], model).judgments
    return list(one.rewards)


LONG = "Put it into boiling water, then wait. " * 8


def test_probes_of_check_cross_the_switches_of_the_config(phi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = lines(phi)
    assert passed["batching"].status == passed["padding"].status == "pass"
    monkeypatch.setattr(loading, "rope_by_row", lambda model: None)
    found = lines(phi)["batching"]
    assert found.status == "fail"


def test_a_rope_of_the_library_is_computed_row_by_row(phi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = [rewards_of(open_model(str(phi), OpenOptions()), each)[0] for each in ("No.", LONG)]
    monkeypatch.setattr(loading, "rope_by_row", lambda model: None)
    model: Any = open_model(str(phi), OpenOptions())
    assert 64 in model.length_switches
    assert rewards_of(model, "No.", LONG) == pytest.approx(right, abs=1e-5)


@pytest.mark.parametrize("share", [True, False])
def test_activations_whose_scale_is_that_of_the_batch(llama: Path, share: bool) -> None:
    """Eight-bit activations of a linear layer, as dynamic quantisation computes them."""

    def quantised(layer: Any, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        scale = given[0].abs().max() / 15
        return ((given[0] / scale).round() * scale,)

    def opened() -> Any:
        model: Any = open_model(str(llama), OpenOptions())
        for layer in model.backbone.model.layers:
            layer.mlp.down_proj.register_forward_pre_hook(quantised)
        return model

    examples = [make_example(str(n), "How do I boil an egg?", "No. " * n, LONG[: 20 * n]) for n in range(1, 5)]
    judging = judge("toy", examples, opened(), options=EngineOptions(share=share))
    assert judging.facts()["sharing"] == "alone"
    for one, example in zip(judging.judgments, examples, strict=True):
        alone = judge("toy", [example], opened(), options=EngineOptions(batch_rows=1, share=False)).judgments[0]
        assert one.rewards == pytest.approx(alone.rewards, abs=1e-5)


def test_attention_that_rows_before_have_changed_is_refused(tmp_path: Path, tiny: Any) -> None:
    """BigBird's, which the library exchanges for good: a long row has another score behind a short one."""
    import transformers

    torch.manual_seed(0)
    size: dict[str, Any] = {
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_labels": 1,
    }
    size |= {"num_attention_heads": 4, "max_position_embeddings": 256, "initializer_range": 0.2, "pad_token_id": 1}
    config = transformers.BigBirdConfig(**size, block_size=4, num_random_blocks=1)
    model = transformers.BigBirdForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    tiny.save_tokenizer(tmp_path, encoder=True)
    short, long = torch.arange(8)[None] + 10, torch.arange(200)[None] + 10
    with torch.no_grad():
        first, _, again = (float(model(input_ids=ids).logits) for ids in (long, short, long))
    assert abs(first - again) > 1e-3
    with pytest.raises(RmbenchError, match=r'"attention_type" is "block_sparse".*"original_full" is read'):
        open_model(str(tmp_path), OpenOptions(device="cpu"))
    tiny.edit_json(tmp_path / "config.json", attention_type="original_full")
    assert len(rewards_of(open_model(str(tmp_path), OpenOptions(device="cpu")), "No.", LONG)) == 2

"""Which checkpoints are pairwise, and what both orders of a pair become on the way to the metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rmbench.engine.judge import judge
from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.metrics.rows.answers import outcomes, scores
from rmbench.models.checkpoint.headers import Tensor
from rmbench.models.checkpoint.read import Checkpoint, read_checkpoint
from rmbench.models.families.registry import decide
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.protocols import Scorer
from rmbench.types import Edge, Example, Gold, Judged
from tests._make import make_example, special_tokens_read


def made(config: dict[str, Any], *names: str, files: tuple[str, ...] = ()) -> Checkpoint:
    tensors = {name: Tensor("f", (8, 8), "F32") for name in names}
    return Checkpoint(Path("ckpt"), config, tensors, safe=True, files=frozenset(files))


def test_pairrm_is_recognised_by_class_or_prefix_tokens(
    tiny_pairrm: Path, tiny: Any, build: Any, tmp_path: Path
) -> None:
    family = decide(read_checkpoint(tiny_pairrm))
    assert (family.name, family.layout) == ("pairwise", "pairrm")
    assert family.why == (
        "config.json names DebertaV2PairRM, the checkpoint holds head_layer.1.weight [32, 64] and "
        "head_layer.4.weight [3, 32]"
    )
    folder = build.pairrm(tmp_path)
    tiny.edit_json(folder / "config.json", architectures=None)
    assert decide(read_checkpoint(folder)).layout == "pairrm"
    tiny.edit_json(folder / "config.json", source_prefix_id=None)
    with pytest.raises(RmbenchError, match=r"pass --adapter with one of .*pairrm"):
        decide(read_checkpoint(folder))
    assert decide(read_checkpoint(folder), "pairrm").why.startswith("--adapter pairrm, the checkpoint holds")


def test_a_missing_head_is_named(tmp_path: Path, tiny: Any, build: Any) -> None:
    folder = build.pairrm(tmp_path)
    tiny.edit_tensors(folder, lambda tensors: tensors.pop("head_layer.4.bias"))
    with pytest.raises(RmbenchError, match=r"lacks head_layer\.4\.bias, and loading would invent"):
        open_model(str(folder))


def test_a_head_of_another_width_is_named(tmp_path: Path, tiny: Any, build: Any) -> None:
    folder = build.pairrm(tmp_path)
    tiny.edit_tensors(
        folder, lambda tensors: tensors.update({"head_layer.4.weight": tensors["head_layer.1.weight"].clone()})
    )
    with pytest.raises(RmbenchError, match=r"head_layer\.4\.weight \[32, 64\], expected \[H, 2H\] and \[tasks, H\]"):
        open_model(str(folder))


def test_a_missing_backbone_tensor_is_named(tmp_path: Path, tiny: Any, build: Any) -> None:
    folder = build.pairrm(tmp_path)
    tiny.edit_tensors(
        folder, lambda tensors: tensors.pop("pretrained_model.encoder.layer.1.attention.self.key_proj.weight")
    )
    with pytest.raises(RmbenchError, match=r"encoder\.layer\.1\.attention\.self\.key_proj\.weight"):
        open_model(str(folder))


def test_letter_models_have_to_be_named(tmp_path: Path, build: Any) -> None:
    causal, t5 = build.causal(tmp_path / "causal"), build.t5(tmp_path / "t5")
    with pytest.raises(RmbenchError, match=r"language model without a reward head.*slic"):
        open_model(str(causal))
    with pytest.raises(RmbenchError, match=r"--adapter with one of .*steamshp"):
        open_model(str(t5))
    assert decide(read_checkpoint(causal), "pairwise").layout == "slic"
    assert decide(read_checkpoint(t5), "pairwise").layout == "steamshp"
    for folder, layout in ((causal, "steamshp"), (causal, "pairrm"), (t5, "slic")):
        with pytest.raises(RmbenchError, match=f"--adapter {layout} does not fit"):
            decide(read_checkpoint(folder), layout)


def test_a_reward_head_is_no_letter_model() -> None:
    checkpoint = made({"architectures": ["LlamaForCausalLM"]}, "model.embed_tokens.weight", "v_head.summary.weight")
    with pytest.raises(RmbenchError, match="--adapter slic does not fit"):
        decide(checkpoint, "slic")


def test_a_decision_tree_is_refused_with_the_reason() -> None:
    config = {"architectures": ["LlamaForSequenceClassification"]}
    checkpoint = made(config, "score.weight", files=("config.json", "decision_tree.pkl"))
    with pytest.raises(RmbenchError, match=r"decision_tree\.pkl.*runs whatever code.*scores:FILE"):
        decide(checkpoint)
    assert decide(checkpoint, "stock").layout == "stock"


def example(id_: str, *answers: str) -> Example:
    return make_example(id_, "Why?", *answers)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_all_ordered_pairs_become_directed_margins(count: int, tiny_pairrm: Path, tiny: Any, build: Any) -> None:
    model = open_model(str(tiny_pairrm), OpenOptions())
    assert isinstance(model, Scorer)
    answers = ["Because.", "I do not know.", "Ask somebody else, please (or do not).", "42"][:count]
    judging = judge("t", [example("one", *answers)], model)
    found = np.array(judging.judgments[0].directed)
    assert judging.statistics.requests == count * (count - 1)
    for i in range(count):
        for j in range(count):
            alone = 0.0
            if i != j:
                rows = model.encode([build.pair(["Why?"], answers[i], answers[j])])
                alone = float(model.forward(tiny.batch(rows, model.pad_id))["margin"][0, 0])
            assert found[i, j] == pytest.approx(alone, abs=1e-5)
    row = Judged.of(example("one", *answers), judging.judgments[0])
    means = [np.mean([(found[i, j] - found[j, i]) / 2 for j in range(count) if j != i]) for i in range(count)]
    assert scores(row) == pytest.approx(means, abs=1e-6)


@pytest.mark.parametrize(
    ("there", "back", "said", "consistent"),
    [(2.0, -1.0, "win", 1.0), (2.0, 1.0, "win", 0.0), (1.0, 2.0, "loss", 0.0), (-1.0, 2.0, "loss", 1.0)],
)
def test_both_orders_reach_the_metrics(there: float, back: float, said: str, consistent: float) -> None:
    """`there` is the margin with candidate 0 shown first, `back` with candidate 1; the skew half decides."""
    from rmbench.types import Judgment

    row = Judged("r", 2, Gold(relation=(Edge(0, 1),)), Judgment("r", directed=((0.0, there), (back, 0.0))))
    assert {one.outcome for one in outcomes(row, 0, 1)} == {said}
    assert credit(row, MetricSpec("agree", "order_agreement")).value == consistent
    assert credit(row, MetricSpec("both", "both_orders")).value == float(there > 0 > back)


def test_a_pair_that_fails_names_both_candidates(tmp_path: Path, tiny: Any, build: Any) -> None:
    folder = build.pairrm(tmp_path)
    tiny.edit_tensors(folder, lambda tensors: tensors["head_layer.1.bias"].fill_(float("nan")))
    judgment = judge("t", [example("one", "a", "b", "c")], open_model(str(folder))).judgments[0]
    assert (judgment.status, judgment.error) == ("failed", "candidates 0 and 1: the model's margin is NaN")


@pytest.mark.parametrize("kind", ["pairrm", "causal", "t5"])
def test_special_tokens_in_candidates_are_read_as_the_options_say(
    kind: str, tiny_pairrm: Path, tmp_path: Path, build: Any
) -> None:
    folder = tiny_pairrm if kind == "pairrm" else getattr(build, kind)(tmp_path)
    adapter = {"causal": "slic", "t5": "steamshp"}.get(kind)
    counts = special_tokens_read(folder, "<|start|>", adapter=adapter)
    assert counts == {"parsed": [1, 1], "text": [0, 0]}

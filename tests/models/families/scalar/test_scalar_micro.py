"""MiCRo's released layout: a stock classifier of several labels and a router, against a plain loop over its rules."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from rmbench.errors import RmbenchError
from rmbench.models.families.scalar.declared import DeclaredScorer
from rmbench.models.families.scalar.pooling import spot_of
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from tests._make import open_as

opened = partial(open_as, DeclaredScorer)
ANSWERS = ("This one.", "That one!", "Both of them", "x")


@pytest.fixture
def checkpoint(tmp_path: Path, tiny: Any, upstream: Any) -> tuple[Path, dict[str, torch.Tensor], Any]:
    """Ten labels and a router, as released."""
    tiny.save_tokenizer(tmp_path)
    head = {
        "score.weight": upstream.draw(10, 32),
        "router.weight": upstream.draw(10, 32, seed=2),
        "router.bias": upstream.draw(10, seed=3),
    }
    backbone = upstream.backbone()
    upstream.write(tmp_path, backbone, "LlamaForSequenceClassification", head)
    return tmp_path, head, backbone


@pytest.mark.parametrize("rule", ["mixture", "logsigmoid", "argmax"])
def test_the_three_rules(rule: str, checkpoint: Any, tiny: Any, upstream: Any) -> None:
    folder, head, backbone = checkpoint
    model = opened(folder, model_args={"rule": rule})
    assert model.facts.settings["rule"] == rule
    assert model.facts.settings["gate"] == "first token of the answer"
    assert model.answers == ({"margin"} if rule == "mixture" else {"reward"})
    rows = model.encode([tiny.request("Which?", answer) for answer in ANSWERS])
    first = next(k for k in range(99) if len({row.ids[k] for row in rows}) > 1)
    assert {spot_of(row).prompt for row in rows} == {first}
    found = model.forward(tiny.batch(rows, model.pad_id))
    objectives, weights = [], []
    for states in upstream.states(backbone, rows):
        objectives.append(head["score.weight"] @ states[-1])
        weights.append(torch.softmax(head["router.weight"] @ states[first] + head["router.bias"], 0))
    if rule == "mixture":
        margins = model.combine([{name: values[k] for name, values in found.items()} for k in range(len(rows))])
        assert margins is not None
        for a in range(len(rows)):
            for b in range(len(rows)):
                both = (weights[a] + weights[b]) / 2
                chance = float((both * torch.sigmoid(objectives[a] - objectives[b])).sum())
                assert margins[a, b] == pytest.approx(math.log(chance / (1 - chance)), abs=1e-3)
        return
    for k, (r, w) in enumerate(zip(objectives, weights, strict=True)):
        by_hand = {
            "logsigmoid": sum(float(w[m]) * math.log(1 / (1 + math.exp(-float(r[m])))) for m in range(10)),
            "argmax": float(r[max(range(10), key=lambda m: float(w[m]))]),
        }
        assert found["reward"][k, 0] == pytest.approx(by_hand[rule], abs=1e-3)
        assert found["weights"][k].tolist() == pytest.approx(w.tolist(), abs=1e-4)


def test_it_is_recognised_and_a_stock_classifier_stays_one(
    checkpoint: Any, tiny: Any, upstream: Any, tmp_path: Path
) -> None:
    facts = opened(checkpoint[0]).facts
    assert facts.family == "scalar"
    assert "score.weight [10, 32], router.weight [10, 32]" in facts.why
    plain = tmp_path / "plain"
    plain.mkdir()
    tiny.save_tokenizer(plain)
    upstream.write(plain, checkpoint[2], "LlamaForSequenceClassification", {"score.weight": upstream.draw(10, 32)})
    with pytest.raises(RmbenchError, match=r"score\.weight has 10 labels"):
        open_model(str(plain), OpenOptions())


def test_a_rule_that_there_is_not(checkpoint: Any) -> None:
    with pytest.raises(RmbenchError, match=r"rule.*mixture"):
        opened(checkpoint[0], model_args={"rule": "mean"})


@pytest.mark.parametrize("rule", ["mixture", "logsigmoid", "argmax"])
def test_a_router_that_is_one_vector(rule: str, tmp_path: Path, tiny: Any, upstream: Any) -> None:
    tiny.save_tokenizer(tmp_path)
    head = {"score.weight": upstream.draw(10, 32), "router": upstream.draw(10, seed=3)}
    backbone = upstream.backbone()
    upstream.write(tmp_path, backbone, "LlamaForSequenceClassification", head)
    model = opened(tmp_path, model_args={"rule": rule})
    assert model.facts.settings["layout"] == "micro-vector"
    rows = model.encode([tiny.request("Which?", answer) for answer in ANSWERS])
    found = model.forward(tiny.batch(rows, model.pad_id))
    weights = torch.softmax(head["router"], 0)
    objectives = [head["score.weight"] @ states[-1] for states in upstream.states(backbone, rows)]
    if rule == "mixture":
        margins = model.combine([{name: values[k] for name, values in found.items()} for k in range(len(rows))])
        assert margins is not None
        for a in range(len(rows)):
            for b in range(len(rows)):
                chance = float((weights * torch.sigmoid(objectives[a] - objectives[b])).sum())
                assert margins[a, b] == pytest.approx(math.log(chance / (1 - chance)), abs=1e-3)
        return
    for k, r in enumerate(objectives):
        by_hand = {
            "logsigmoid": float((weights * torch.nn.functional.logsigmoid(r)).sum()),
            "argmax": float(r[int(weights.argmax())]),
        }
        assert found["reward"][k, 0] == pytest.approx(by_hand[rule], abs=1e-3)

"""The layouts of this project: mixtures of heads and ideal points, on tiny checkpoints against their formulas."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from rmbench.models.families.scalar.declared import DeclaredScorer
from tests._make import open_as

opened = partial(open_as, DeclaredScorer)


def chat_header(folder: Path) -> tuple[int, ...]:
    """The ids of what the tiny template writes before an answer."""
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)("<|start|>assistant\n", add_special_tokens=False)["input_ids"]
    return tuple(ids)


def test_a_mixture_of_heads_mixes_probabilities(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    tiny.save_tokenizer(tmp_path)
    header = chat_header(tmp_path)
    mixture = {
        "heads.weight": upstream.draw(3, 32),
        "heads.bias": upstream.draw(3),
        "router.0.weight": upstream.draw(8, 32),
        "router.0.bias": upstream.draw(8),
        "router.2.weight": upstream.draw(3, 8, scale=2.0),
        "router.2.bias": upstream.draw(3),
    }
    backbone = upstream.backbone()
    upstream.write(tmp_path, backbone, "RmbenchMixtureOfHeads", mixture, prompt_pattern=list(header))
    model = opened(tmp_path)
    assert model.answers == {"margin"}
    rows = model.encode([tiny.request("Which?", answer) for answer in ("This one.", "That one!", "Both of them")])
    found = model.forward(tiny.batch(rows, model.pad_id))
    assert set(found) == {"objectives", "weights"}
    heads, weights = [], []
    for row, states in zip(rows, upstream.states(backbone, rows), strict=True):
        start = max(i for i in range(len(row.ids)) if row.ids[i : i + len(header)] == header)
        heads.append(mixture["heads.weight"] @ states[-1] + mixture["heads.bias"])
        inner = torch.clamp(mixture["router.0.weight"] @ states[start] + mixture["router.0.bias"], min=0)
        weights.append(torch.softmax(mixture["router.2.weight"] @ inner + mixture["router.2.bias"], 0))
    margins = model.combine([{name: values[row] for name, values in found.items()} for row in range(3)])
    assert margins is not None
    for a in range(3):
        for b in range(3):
            chance = float((weights[a] * torch.sigmoid(heads[a] - heads[b])).sum())
            assert margins[a, b] == pytest.approx(math.log(chance / (1 - chance)), abs=1e-4)


def test_an_ideal_point_that_depends_on_the_prompt(tmp_path: Path, tiny: Any, upstream: Any) -> None:
    tiny.save_tokenizer(tmp_path)
    header = chat_header(tmp_path)
    head = {
        "item.0.weight": upstream.draw(16, 32),
        "item.2.weight": upstream.draw(6, 16),
        "points.0.weight": upstream.draw(16, 32, seed=2),
        "points.2.weight": upstream.draw(12, 16, seed=3),
        "user": upstream.draw(2),
        "logit_scale": torch.tensor(math.log(1 / 0.07)),
    }
    backbone = upstream.backbone()
    upstream.write(tmp_path, backbone, "RmbenchIdealPointPrompted", head, prompt_pattern=list(header))
    model = opened(tmp_path)
    rows = model.encode(tiny.requests(5))
    gelu = torch.nn.functional.gelu
    wanted = []
    for row, states in zip(rows, upstream.states(backbone, rows), strict=True):
        start = max(i for i in range(len(row.ids)) if row.ids[i : i + len(header)] == header)
        item = head["item.2.weight"] @ gelu(head["item.0.weight"] @ states[-1])
        points = (head["points.2.weight"] @ gelu(head["points.0.weight"] @ states[start])).reshape(2, 6)
        ideal = torch.softmax(head["user"], 0) @ points
        wanted.append(float(item @ ideal / item.norm() / ideal.norm() / 0.07))
    assert model.forward(tiny.batch(rows, model.pad_id))["reward"][:, 0].tolist() == pytest.approx(wanted, abs=1e-4)

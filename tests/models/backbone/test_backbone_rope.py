"""Rope types that look at the longest row of a batch: each row gets the library's own score of the row alone."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.models.open import open_model
from rmbench.models.protocols import Batch, Encoded, Group

LENGTHS = (5, 40, 64, 65, 90, 120)
SIZE = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 3,
    "num_labels": 1,
}


def config_of(kind: str) -> Any:
    import transformers

    if kind == "longrope":
        scaling = {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0, 1.1, 1.2, 1.3],
            "long_factor": [4.0, 5.0, 6.0, 7.0],
        }
        lengths = {"max_position_embeddings": 256, "original_max_position_embeddings": 64}
        return transformers.Phi3Config(**SIZE, **lengths, rope_scaling=scaling)
    scaling = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    return transformers.LlamaConfig(**SIZE, head_dim=8, max_position_embeddings=64, rope_scaling=scaling)


@pytest.mark.parametrize("kind", ["longrope", "dynamic"])
def test_a_row_has_its_own_score_whatever_lies_beside_it(kind: str, tmp_path: Path, tiny: Any) -> None:
    import transformers

    config = config_of(kind)
    torch.manual_seed(0)
    name = {"longrope": "Phi3", "dynamic": "Llama"}[kind]
    getattr(transformers, f"{name}ForSequenceClassification")(config).save_pretrained(tmp_path)
    tiny.save_tokenizer(tmp_path)
    rng = np.random.default_rng(0)
    rows = [
        Encoded(str(length), length, tuple(int(token) for token in rng.integers(6, 400, length))) for length in LENGTHS
    ]
    # A fresh model for each row: the library's dynamic rope remembers the longest row so far.
    expected = {row.key: tiny.alone(tmp_path, [row])[0] for row in rows}
    model: Any = open_model(str(tmp_path))
    for members in (*itertools.permutations(rows, 2), rows, rows[::-1], *([row] for row in rows)):
        for side in ("right", "left"):
            got = model.forward(tiny.batch(list(members), model.pad_id, side))["reward"][:, 0]
            assert got == pytest.approx([expected[row.key] for row in members], abs=1e-5)
    said = model.facts.settings["rope"]
    assert kind in said
    assert "from 65" in said
    none = np.zeros((2, 0), dtype=np.int64)
    sharing = model.sharing([Batch(tuple(rows[:2]), none, none, np.zeros(2, dtype=np.int64), (Group(3, 2),))])
    assert not sharing.shares
    assert "length" in sharing.why


def test_a_rope_of_one_rule_is_left_alone(tmp_path: Path, tiny: Any) -> None:
    model: Any = open_model(str(tiny.checkpoint(tmp_path)))
    assert "rope" not in model.facts.settings

"""Shared rows against transformers' own plain forward on many architectures, and who must refuse to share."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.models.backbone import backbone as module
from rmbench.models.backbone.backbone import Backbone
from rmbench.models.backbone.switches import length_switches, windows
from rmbench.models.backbone.trial_rows import trial_rows
from rmbench.models.protocols import Batch, Encoded, Group

SIZE = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WINDOW = {"sliding_window": 48}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "decoder_sparse_step": 1}
SMALL_STATE = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "num_hidden_layers": 2}


def grouped(seed: int = 1) -> Batch:
    """Groups of rows around and beyond the window, and a row by itself."""
    draw = random.Random(seed)
    rows: list[Encoded] = []
    groups = []
    for _ in range(5):
        prefix = [draw.randrange(6, 400) for _ in range(draw.choice([30, 60, 90]))]
        count = draw.choice([2, 3, 4])
        for _ in range(count):
            ids = (*prefix, *(draw.randrange(6, 400) for _ in range(draw.randrange(1, 60))))
            rows.append(Encoded(str(ids), len(ids), ids))
        groups.append(Group(len(prefix), count))
    alone = tuple(draw.randrange(6, 400) for _ in range(70))
    rows.append(Encoded("alone", len(alone), alone))
    groups.append(Group(0, 1))
    nothing = np.zeros((len(rows), 0), dtype=np.int64)
    return Batch(tuple(rows), nothing, nothing, np.zeros(len(rows), dtype=np.int64), tuple(groups))


def made(name: str, **config: Any) -> Any:
    import transformers

    torch.manual_seed(0)
    settings = (
        {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 256, "vocab_size": 400} if name == "GPT2" else SIZE
    )
    return transformers.AutoModel.from_config(getattr(transformers, f"{name}Config")(**(settings | config))).eval()


def plain(model: Any, rows: tuple[Encoded, ...], wanted: list[list[int]]) -> torch.Tensor:
    """transformers' own forward, one row at a time."""
    with torch.inference_mode():
        return torch.cat(
            [
                model(input_ids=torch.tensor([row.ids]), use_cache=False).last_hidden_state[0, indices]
                for row, indices in zip(rows, wanted, strict=True)
            ]
        )


def some(rows: tuple[Encoded, ...]) -> list[list[int]]:
    return [sorted({0, len(row.ids) // 3, len(row.ids) - 1}) for row in rows]


ARCHITECTURES = [
    ("Llama", {}, "lean"),
    ("Mistral", {"sliding_window": None}, "lean"),
    ("Mistral", WINDOW, "lean"),
    ("Qwen2", {}, "lean"),
    ("Qwen2", WINDOW | {"use_sliding_window": True, "max_window_layers": 2}, "lean"),
    ("Qwen3", {}, "lean"),
    ("Gemma2", WINDOW, "library"),
    ("Gemma3Text", WINDOW, "library"),
    ("GPT2", {}, "library"),
    ("GPTNeoX", {}, "library"),
    ("Phi3", {}, "library"),
    ("FalconH1", SMALL_STATE, "carried"),
    ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}, "library"),
    ("Qwen2Moe", EXPERTS, "library"),
    ("Qwen3Moe", EXPERTS, "library"),
]


@pytest.mark.parametrize(("name", "config", "way"), ARCHITECTURES)
def test_shared_states_are_those_of_plain_rows(name: str, config: dict[str, Any], way: str) -> None:
    model, batch = made(name, **config), grouped()
    wanted = some(batch.rows)
    expected = plain(model, batch.rows, wanted)
    backbone = Backbone(model)
    said = backbone.sharing([batch])
    assert said.shares, said.why
    assert backbone.way == way
    with torch.inference_mode():
        found = backbone.states(batch, wanted)
        every = backbone.states(batch, [list(range(len(row.ids))) for row in batch.rows])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        every,
        plain(made(name, **config), batch.rows, [list(range(len(row.ids))) for row in batch.rows]),
        atol=1e-4,
        rtol=0,
    )


@pytest.mark.parametrize("name", ["Gemma2", "Gemma3Text", "GPT2"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_padded_rows_still_come_out_right_after_sharing(name: str, side: str, tiny: Any) -> None:
    """Padding goes through our attention function too, once it is in the model's place."""
    config = WINDOW if name != "GPT2" else {}
    model, shared = made(name, **config), grouped()
    backbone = Backbone(model)
    assert backbone.sharing([shared]).shares
    rows = shared.rows[:5]
    padded = tiny.batch(rows, 0, side, extra=3)
    with torch.inference_mode():
        found = backbone.states(padded, some(rows))
    torch.testing.assert_close(found, plain(made(name, **config), rows, some(rows)), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "config"),
    [("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}), ("Qwen2Moe", EXPERTS)],
)
@pytest.mark.parametrize("side", ["right", "left"])
def test_padded_rows_of_a_mixture_of_experts(name: str, config: dict[str, Any], side: str, tiny: Any) -> None:
    rows = grouped().rows[:6]
    with torch.inference_mode():
        found = Backbone(made(name, **config)).states(tiny.batch(rows, 0, side, extra=3), some(rows))
    expected = plain(made(name, **config), rows, some(rows))
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


def test_windows_and_other_switches_are_those_of_the_configuration() -> None:
    both = made("Gemma2", **WINDOW)
    assert (windows(both.config), length_switches(both.config)) == ((48,), (48, 256))
    rope = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "rope_theta": 1e4}
    phi = made("Phi3", rope_scaling=rope, original_max_position_embeddings=64, sliding_window=100)
    assert (windows(phi.config), length_switches(phi.config)) == ((100,), (64, 100, 256))


@pytest.mark.parametrize("name", ["Bert", "ModernBert"])
def test_encoders_refuse(name: str) -> None:
    backbone = Backbone(made(name, cls_token_id=3, sep_token_id=4) if name == "ModernBert" else made(name))
    said = backbone.sharing([grouped()])
    assert not said.shares
    assert "differ by" in said.why
    assert backbone.way is None
    with pytest.raises(RuntimeError, match="does not share"):
        backbone.states(grouped(), some(grouped().rows))


def test_two_way_decoders_refuse() -> None:
    model = made("Llama")
    model.config.is_causal = False
    said = Backbone(model).sharing([grouped()])
    assert (said.shares, said.why) == (False, "its attention cannot be told what to see")


def test_a_silently_wrong_way_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that the shared path forgets shows only on rows longer than it, so such rows are tried."""
    from rmbench.models.backbone import lean

    monkeypatch.setattr(lean, "_window", lambda model, layer: None)
    monkeypatch.setattr(module, "pack_attention", lambda model: False)
    said = Backbone(made("Mistral", **WINDOW)).sharing([grouped()])
    assert not said.shares
    assert "differ" in said.why


def test_rows_beyond_the_window_are_tried_when_they_first_come(monkeypatch: pytest.MonkeyPatch) -> None:
    from rmbench.models.backbone import lean

    monkeypatch.setattr(lean, "_window", lambda model, layer: None)
    monkeypatch.setattr(module, "pack_attention", lambda model: False)
    whole = grouped()
    short = tuple(Encoded(row.key, 20, row.ids[:20]) for row in whole.rows[-2:])
    nothing = np.zeros((2, 0), dtype=np.int64)
    first = Batch(short, nothing, nothing, np.zeros(2, dtype=np.int64), (Group(0, 1), Group(0, 1)))
    backbone = Backbone(made("Mistral", **WINDOW))
    assert backbone.sharing([first]).shares
    assert not backbone.sharing([whole]).shares


def test_trials_are_small_and_real() -> None:
    batch = grouped()
    trials = trial_rows([batch], [48])
    whole = [" ".join(map(str, row.ids)) for row in batch.rows]
    for trial in trials:
        start = 0
        for group in trial.groups:
            members = trial.rows[start : start + group.rows]
            assert len({row.ids[: group.prefix] for row in members}) == 1
            assert all(len(row.ids) > group.prefix for row in members)
            start += group.rows
        assert all(any(" ".join(map(str, row.ids)) in text for text in whole) for row in trial.rows)
    assert max(len(row.ids) for row in trials[0].rows) <= 192 + 64
    assert any(len(row.ids) > 48 for row in trials[1].rows)
    assert trial_rows([], [48]) == []
    assert len(trial_rows([batch], [])) == 1


def test_long_rows_are_cut_for_the_trial() -> None:
    beginning = tuple(range(6, 400)) * 10
    rows = tuple(Encoded(str(n), 4040, (*beginning, *([n] * 100))) for n in (7, 8))
    nothing = np.zeros((2, 0), dtype=np.int64)
    long = Batch(rows, nothing, nothing, np.zeros(2, dtype=np.int64), (Group(len(beginning), 2),))
    (trial,) = trial_rows([long], [])
    assert [len(row.ids) for row in trial.rows] == [160, 160]
    assert trial.groups == (Group(128, 2),)
    windowed = trial_rows([long], [1000])[1]
    assert min(len(row.ids) for row in windowed.rows) > 1000

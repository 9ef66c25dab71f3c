"""The formulas of general preference models against figures computed by hand, and against a loop over pairs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.models.families.gpm.heads import Head, gate_of, unit
from rmbench.models.families.gpm.margins import margins

V = np.array([[math.sin(i + 1) for i in range(4)], [math.cos(i + 1) for i in range(4)]])
V = np.vstack([V, [math.sin(11 + i) for i in range(4)]])
PROMPT_STATE = torch.tensor([[math.cos(i + 1) for i in range(8)]], dtype=torch.float64)
PROMPT_HEAD = torch.tensor([[math.sin(100 + 8 * a + b) for b in range(8)] for a in range(2)], dtype=torch.float64)
RELEASED, SCALED = (0.01299348, 0.98700652), (0.35570448, 1.64429552)


def gate(variant: Any) -> np.ndarray:
    outputs = Head(((PROMPT_HEAD, None),))(PROMPT_STATE)
    return gate_of(outputs, variant, hidden=8).numpy()


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def by_definition(v: np.ndarray, gates: np.ndarray) -> np.ndarray:
    """v_a R^T v_b pair by pair, R written out block by block."""
    size, width = v.shape
    found = np.zeros((size, size))
    for a in range(size):
        for b in range(size):
            r = np.zeros((width, width))
            for block in range(width // 2):
                weight = math.sqrt(gates[a, block] * gates[b, block])
                r[2 * block, 2 * block + 1], r[2 * block + 1, 2 * block] = -weight, weight
            found[a, b] = v[a] @ r.T @ v[b]
    return found


def test_margins_without_a_gate() -> None:
    s = margins(V, np.ones((3, 2)))
    assert [s[0, 1], s[0, 2], s[1, 2]] == pytest.approx([-1.68294197, 0.91555596, -1.41210869], abs=1e-7)


@pytest.mark.parametrize(("variant", "expected"), [("released", RELEASED), ("scaled", SCALED), ("ones", (1.0, 1.0))])
def test_gates(variant: Any, expected: tuple[float, float]) -> None:
    assert gate(variant)[0] == pytest.approx(expected, abs=1e-7)


def test_gates_of_logits_a_factor_three_apart() -> None:
    logits = torch.tensor([[0.0, math.log(3)]], dtype=torch.float64)
    assert gate_of(logits, "released", 16).numpy()[0] == pytest.approx([0.25, 0.75])
    assert gate_of(logits, "scaled", 16).numpy()[0] == pytest.approx([0.863530, 1.136470], abs=1e-6)


def test_unit_length_and_the_released_gate() -> None:
    embeddings = unit(torch.from_numpy(V)).numpy()
    s = margins(embeddings, np.repeat(gate("released"), 3, axis=0))
    assert [s[0, 1], s[0, 2], s[1, 2]] == pytest.approx([-0.42159387, 0.20068243, -0.32993589], abs=1e-7)
    assert [sigmoid(s[0, 1] / 0.1), sigmoid(s[0, 1])] == pytest.approx([0.0145438177, 0.396135415], abs=1e-7)


def test_four_dimensions_by_hand() -> None:
    pair = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    assert margins(pair, np.ones((2, 2)))[0, 1] == (1 * 6 - 2 * 5) + (3 * 8 - 4 * 7) == -8
    assert margins(pair, np.tile([0.25, 0.75], (2, 1)))[0, 1] == pytest.approx(-4)
    assert margins(unit(torch.from_numpy(pair)).numpy(), np.ones((2, 2)))[0, 1] == pytest.approx(-0.110727, abs=1e-6)


def test_bradley_terry_is_a_special_case() -> None:
    """v = (r, c) gives c (r_i - r_j): the sign convention of the paper's equation 4.1."""
    assert margins([[2.0, 1.0], [0.5, 1.0]], np.ones((2, 1)))[0, 1] == 1.5


@pytest.mark.parametrize(("size", "margin"), [(3, math.sqrt(3) / 2), (4, 1.0)])
def test_unit_vectors_around_a_circle_beat_the_next_one(size: int, margin: float) -> None:
    turns = [2 * math.pi * k / size for k in range(size)]
    s = margins([[math.cos(turn), math.sin(turn)] for turn in turns], np.ones((size, 1)))
    assert [s[k, (k + 1) % size] for k in range(size)] == pytest.approx([margin] * size, abs=1e-7)
    if size == 3:
        assert s[0, 1] == pytest.approx(0.8660254038, abs=1e-9)
        assert sigmoid(s[0, 1] / 0.1) == pytest.approx(0.999827, abs=1e-6)
    else:
        assert [s[0, 2], s[1, 3]] == pytest.approx([0.0, 0.0], abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.booleans(), st.integers(0, 2**32 - 1))
def test_all_pairs_are_those_of_a_double_loop(size: int, blocks: int, shared: bool, seed: int) -> None:
    draw = np.random.default_rng(seed)
    v, gates = draw.normal(size=(size, 2 * blocks)), draw.dirichlet(np.ones(blocks), size=size)
    gates = np.repeat(gates[:1], size, axis=0) if shared else gates
    s = margins(v, gates)
    assert s == pytest.approx(by_definition(v, gates), abs=1e-12)
    assert (s == -s.T).all()  # exactly, the diagonal too
    assert (np.diag(s) == 0).all()


def test_layers_of_a_nonlinear_head() -> None:
    """Two layers by hand: 2 (1 + 1) + 1 = 5 and 0, cut at 0 by the ReLU between them alone."""
    first = (torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.tensor([0.0, 0.0]))
    second = (torch.tensor([[2.0, 7.0], [-3.0, 7.0]]), torch.tensor([1.0, 0.0]))
    head = Head((first, second))
    assert head.width == 2
    assert head(torch.tensor([[1.0, 1.0]])).tolist() == [[5.0, -6.0]]

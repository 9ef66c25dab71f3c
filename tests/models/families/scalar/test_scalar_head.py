"""The head's arithmetic against figures that were computed independently, in float64 and float32.

All use H = 8, the state h = sin(1..8), the prompt's state p = cos(1..8), weights M(r, c, s)[a, b] = sin(s + a c + b)
and biases v(n, s)[a] = 0.1 cos(s + a).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rmbench.models.families.scalar.heads.forward import Gating, Normaliser, WeighedHead
from rmbench.models.families.scalar.heads.ideal import IdealPointHead
from rmbench.models.families.scalar.heads.mixture import mixed_margins
from rmbench.models.families.scalar.heads.network import BatchNorm, Linear, Network

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-5}


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def dtype(request: Any) -> torch.dtype:
    found: torch.dtype = request.param
    return found


def matrix(rows: int, columns: int, start: float, dtype: torch.dtype) -> Tensor:
    values = [[math.sin(start + a * columns + b) for b in range(columns)] for a in range(rows)]
    return torch.tensor(values, dtype=dtype)


def vector(count: int, start: float, dtype: torch.dtype) -> Tensor:
    return torch.tensor([0.1 * math.cos(start + a) for a in range(count)], dtype=dtype)


def state(dtype: torch.dtype) -> Tensor:
    return torch.tensor([[math.sin(i + 1) for i in range(8)]], dtype=dtype)


def prompt(dtype: torch.dtype) -> Tensor:
    return torch.tensor([[math.cos(i + 1) for i in range(8)]], dtype=dtype)


def linear(rows: int, start: float, dtype: torch.dtype) -> Network:
    return Network((Linear(matrix(rows, 8, start, dtype)),))


def gate(dtype: torch.dtype) -> Gating:
    sizes = ((4, 8, 70), (4, 4, 77), (3, 4, 84))
    layers = tuple(
        Linear(matrix(rows, columns, start, dtype), vector(rows, start, dtype)) for rows, columns, start in sizes
    )
    return Gating(Network(layers, "relu"), on_prompt=True, temperature=10.0, scale=torch.ones(1, dtype=dtype))


def transform(dtype: torch.dtype) -> Tensor:
    moved = torch.eye(3, dtype=dtype)
    moved[2, 0], moved[2, 1] = -0.3, 0.2
    return moved


def near(expected: Any, dtype: torch.dtype) -> Any:
    return pytest.approx(expected, abs=TOLERANCE[dtype])


def numbers(values: Tensor) -> list[float]:
    return [float(value) for value in values.flatten()]


def test_linear_heads(dtype: torch.dtype) -> None:
    plain = linear(1, 10, dtype)
    assert numbers(WeighedHead(plain)(state(dtype))["reward"]) == near([-4.0327042365], dtype)
    biased = Network((Linear(plain.layers[0].weight, torch.tensor([0.1 * math.cos(3)], dtype=dtype)),))
    assert numbers(WeighedHead(biased)(state(dtype))["reward"]) == near([-4.1317034862], dtype)


@pytest.mark.parametrize(
    ("mean", "std", "eps", "sign", "expected"),
    [
        (0.5, 2.0, 0.0, 1, -2.2663521183),
        (0.5, 2.0, 1e-8, 1, -2.2663521071),
        (0.0, 2.0, 1e-8, -1, 2.0163521082),
    ],
    ids=["openrlhf", "beaver reward", "beaver cost"],
)
def test_normalised_heads(mean: float, std: float, eps: float, sign: int, expected: float, dtype: torch.dtype) -> None:
    statistics = Normaliser(torch.tensor([mean], dtype=dtype), torch.tensor([std], dtype=dtype), eps)
    head = WeighedHead(linear(1, 10, dtype), normaliser=statistics, sign=sign)
    assert numbers(head(state(dtype))["reward"]) == near([expected], dtype)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (((4, 8, 20, 1), (1, 4, 30, 2)), -2.3108938488),
        (((8, 8, 40, 3), (1, 8, 50, 4)), 1.6902196282),
    ],
    ids=["grm", "inf-orm"],
)
def test_two_layers_with_relu(sizes: Any, expected: float, dtype: torch.dtype) -> None:
    layers = tuple(Linear(matrix(r, c, s, dtype), vector(r, b, dtype)) for r, c, s, b in sizes)
    assert numbers(WeighedHead(Network(layers, "relu"))(state(dtype))["reward"]) == near([expected], dtype)


def test_a_gate_over_objectives(dtype: torch.dtype) -> None:
    """ArmoRM."""
    head = WeighedHead(linear(3, 60, dtype), transform=transform(dtype), gate=gate(dtype))
    found = head(state(dtype), prompt(dtype))
    assert numbers(found["objectives"]) == near([-3.34306964, -2.55568236, 4.08677338], dtype)
    gated = gate(dtype)(prompt(dtype))
    assert numbers(gated) == near([0.29205368, 0.37862699, 0.32931933], dtype)
    assert numbers(found["reward"]) == near([-0.64674723], dtype)
    assert numbers(found["weights"]) == near(numbers(transform(dtype) @ gated[0]), dtype)
    assert numbers((found["objectives"] * found["weights"]).sum(-1)) == near([-0.64674723], dtype)


def test_quantiles_of_objectives(dtype: torch.dtype) -> None:
    """QRM."""
    head = WeighedHead(linear(12, 80, dtype), read="quantiles", each=4, transform=transform(dtype), gate=gate(dtype))
    found = head(state(dtype), prompt(dtype))
    assert numbers(found["objectives"]) == near([-0.42649009, -0.39363278, -0.23026524], dtype)
    assert numbers(found["reward"]) == near([-0.3466907724], dtype)
    assert numbers(found["quantiles"]) == near([-2.15459035, 3.68253553, 1.08297226, -3.99768053], dtype)
    assert float(found["quantiles"].mean()) == near(float(found["reward"]), dtype)


def test_distributions_of_objectives(dtype: torch.dtype) -> None:
    """LDL, with gate outputs 0.4 and 0.7 that no softmax makes sum to 1."""
    fixed = Network((Linear(torch.zeros(2, 8, dtype=dtype), torch.tensor([0.4, 0.7], dtype=dtype)),))
    head = WeighedHead(
        linear(20, 90, dtype), read="distribution", each=10, gate=Gating(fixed, on_prompt=False, softmax=False)
    )
    found = head(state(dtype))
    assert numbers(found["reward"]) == near([0.5351545425], dtype)
    assert float(found["distribution"].sum()) == near(1.1, dtype)
    bins = sum(float(share) * b / 9 for b, share in enumerate(found["distribution"][0]))
    assert bins == near(0.5351545425, dtype)


def test_fixed_weights_and_one_picked_output(dtype: torch.dtype) -> None:
    """Nemotron's attributes, and ODIN's second output."""
    attributes = torch.tensor([3.9, 3.8, 3.7, 1.2, 1.5], dtype=dtype)
    made = Network((Linear(torch.zeros(9, 8, dtype=dtype), torch.cat([torch.full((4,), 7.0), attributes]).to(dtype)),))
    weights = torch.tensor([0.3, 0.74, 0.46, 0.47, -0.33], dtype=dtype)
    found = WeighedHead(made, rows=(4, 5, 6, 7, 8), weights=weights)(state(dtype))
    assert numbers(found["reward"]) == near([5.753], dtype)
    assert numbers(found["objectives"]) == near(numbers(attributes), dtype)
    assert "weights" not in found  # they are the same for every row
    two = linear(2, 10, dtype)
    picked = WeighedHead(two, weights=torch.tensor([0.0, 1.0], dtype=dtype))(state(dtype))
    assert numbers(picked["reward"]) == near([sum(math.sin(i + 1) * math.sin(18 + i) for i in range(8))], dtype)


def test_batch_norm_uses_the_statistics_of_training(dtype: torch.dtype) -> None:
    """Linear, ReLU, BatchNorm, Linear, by hand."""
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=dtype)
    norm = BatchNorm(
        *(torch.tensor(values, dtype=dtype) for values in ([1.0, 0.5], [4.0, 9.0], [2.0, 3.0], [0.1, 0.2]))
    )
    last = Linear(torch.tensor([[1.0, 1.0]], dtype=dtype))
    network = Network((Linear(first), last), "relu", (norm,))
    expected = (3 - 1) / math.sqrt(4 + 1e-5) * 2 + 0.1 + (0 - 0.5) / math.sqrt(9 + 1e-5) * 3 + 0.2
    assert numbers(network(torch.tensor([[3.0, -5.0]], dtype=dtype))) == near([expected], dtype)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("none", 1.0),
        ("relu", 2.0),
        ("leaky_relu", 1.99),
        ("tanh", math.tanh(2) - math.tanh(1)),
        ("gelu", (2 * (1 + math.erf(2 / math.sqrt(2))) - (1 + math.erf(-1 / math.sqrt(2)))) / 2),
    ],
)
def test_activations(activation: str, expected: float, dtype: torch.dtype) -> None:
    both = Linear(torch.eye(2, dtype=dtype))
    network = Network((both, Linear(torch.ones(1, 2, dtype=dtype))), activation)
    assert numbers(network(torch.tensor([[2.0, -1.0]], dtype=dtype))) == near([expected], dtype)


class TestIdealPoints:
    def test_distance(self, dtype: torch.dtype) -> None:
        """Points (0, 0) and (6, 8) mixed by softmax(log 1, log 3): (4.5, 6); the embedding is (1.5, 2)."""
        head = IdealPointHead(
            score=Network((Linear(torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=dtype)),)),
            user=torch.tensor([0.0, math.log(3)], dtype=dtype),
            points=torch.tensor([[0.0, 0.0], [6.0, 8.0]], dtype=dtype),
        )
        found = head(torch.tensor([[1.5, 2.0], [4.5, 6.0]], dtype=dtype))
        assert numbers(found["reward"]) == near([-5.0, 0.0], dtype)

    def test_cosine_with_points_that_depend_on_the_prompt(self, dtype: torch.dtype) -> None:
        head = IdealPointHead(
            score=Network((Linear(torch.eye(2, dtype=dtype)),)),
            user=torch.zeros(2, dtype=dtype),
            network=Network((Linear(torch.eye(4, dtype=dtype)),)),
            log_scale=torch.tensor([math.log(7)], dtype=dtype),
        )
        # points (1, 0) and (0, 1): ideal (1/2, 1/2), 45 degrees from (1, 0); the second prompt's ideal is (1, 0)
        given = torch.tensor([[1.0, 0, 0, 1], [2.0, 0, 0, 0]], dtype=dtype)
        found = head(torch.tensor([[1.0, 0], [5.0, 0]], dtype=dtype), given)
        assert numbers(found["reward"]) == near([7 * math.sqrt(0.5), 7.0], dtype)
        steep = IdealPointHead(head.score, head.user, None, head.network, torch.tensor([50.0], dtype=dtype))
        assert numbers(steep(torch.tensor([[3.0, 0], [0, 1.0]], dtype=dtype), given[[1, 1]])["reward"]) == near(
            [100.0, 0.0], dtype
        )


class TestMixtures:
    def test_probabilities_are_mixed_not_rewards(self) -> None:
        """Two heads of equal weight that disagree, one by far: mixed rewards would say 4, mixed probabilities say
        log(P / (1 - P)) with P = (sigmoid(10) + sigmoid(-2)) / 2."""
        margins = mixed_margins([*np.array([[10.0, 0.0], [0.0, 2.0]])], [*np.full((2, 2), 0.5)])
        chance = (1 / (1 + math.exp(-10)) + 1 / (1 + math.exp(2))) / 2
        assert margins[0, 1] == pytest.approx(math.log(chance / (1 - chance)), abs=1e-6)
        assert margins[1, 0] == -margins[0, 1]
        assert margins[0, 0] == 0

    def test_one_head_is_its_difference_and_far_ones_do_not_overflow(self) -> None:
        margins = mixed_margins([*np.array([[400.0, 1.0], [-400.0, 0.0]])], [*np.array([[1.0, 0.0], [1.0, 0.0]])])
        assert margins[0, 1] == pytest.approx(800, abs=1e-3)

    def test_weights_of_any_sum_give_the_same_margins(self) -> None:
        rewards = [*np.array([[1.0, -2.0], [0.5, 3.0], [0.0, 0.0]])]
        weights = np.array([[0.2, 0.8]] * 3)
        once, fivefold = (mixed_margins(rewards, [*(times * weights)]) for times in (1, 5))
        assert once == pytest.approx(fivefold, abs=1e-6)


def test_a_gate_without_its_state_is_an_error() -> None:
    head = WeighedHead(linear(3, 60, torch.float64), gate=gate(torch.float64))
    with pytest.raises(ValueError, match="prompt's state"):
        head(state(torch.float64))

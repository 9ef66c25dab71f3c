"""Probes against torch's own optimiser, Newton's method and hand calculations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rmbench.errors import RmbenchError
from rmbench.metrics.probing.linear import Logistic, Probe, Upstream, fit_probe


def made(n: int, hidden: int, classes: int, scale: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """States whose first coordinate carries the class, unevenly often."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, size=n, p=[0.6] + [0.4 / (classes - 1)] * (classes - 1))
    states = rng.normal(size=(n, hidden))
    states[:, 0] += 2.0 * labels
    return (states * scale + 0.1).astype(np.float32), labels.astype(np.int64)


def torch_head(states, labels, classes, seed, dtype):
    """MRMBench's epoch as two GPUs that share a seed run it: 128 rows an update, which are 64 rows twice."""
    torch = pytest.importorskip("torch")
    n, hidden = states.shape
    rng = np.random.default_rng(seed)
    outputs = 1 if classes == 2 else classes
    start = rng.uniform(-1 / math.sqrt(hidden), 1 / math.sqrt(hidden), size=(outputs, hidden))
    order = rng.permutation(n)
    head = torch.nn.Linear(hidden, outputs, bias=False, dtype=dtype)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(start))
    optimizer = torch.optim.AdamW(head.parameters(), lr=5e-5, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=math.ceil(n / 64))
    norms = []
    for step in range(n // 64):
        rows = np.repeat(order[step * 64 : step * 64 + 64], 2)
        logits = head(torch.from_numpy(states[rows]).to(dtype))
        gold = torch.from_numpy(labels[rows])
        if outputs == 1:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], gold.to(dtype))
        else:
            loss = torch.nn.functional.cross_entropy(logits, gold)
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)))
        optimizer.step()
        schedule.step()
    return start, head.weight.detach().double().numpy(), norms


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("scale", [0.05, 30.0])
def test_upstream_equals_torch(classes: int, scale: float) -> None:
    torch = pytest.importorskip("torch")
    states, labels = made(64 * 12 + 20, 24, classes, scale)
    probe = fit_probe(states, labels, kind="upstream", classes=classes, seed=42)
    start, weights, norms = torch_head(states, labels, classes, 42, torch.float64)
    # Both sides of the clipping are walked, and the head moved further than the comparison is fine.
    assert (max(norms) > 1) == (scale > 1)
    assert np.abs(weights - start).max() > 1e-4
    np.testing.assert_allclose(probe.weights, weights, rtol=0, atol=1e-12)
    _, single, _ = torch_head(states, labels, classes, 42, torch.float32)
    np.testing.assert_allclose(probe.weights, single, rtol=0, atol=1e-5)
    assert probe.settings["updates"] == 12
    assert probe.settings["batch_rows"] == 64
    assert not probe.intercept.any()
    assert probe.standard is None


def test_upstream_leaves_the_incomplete_group_out() -> None:
    states, labels = made(100, 8, 2)
    rng = np.random.default_rng(7)
    rng.uniform(size=(1, 8))
    unused = rng.permutation(100)[64:]
    flipped = labels.copy()
    flipped[unused] = 1 - flipped[unused]
    one = fit_probe(states, labels, kind="upstream", classes=2, seed=7)
    other = fit_probe(states, flipped, kind="upstream", classes=2, seed=7)
    assert one.settings["updates"] == 1
    np.testing.assert_array_equal(one.weights, other.weights)
    whole = fit_probe(states, flipped, kind="upstream", classes=2, seed=7, upstream=Upstream(batch_rows=100))
    assert (whole.weights != one.weights).any()


def test_upstream_makes_one_update_of_few_rows() -> None:
    states, labels = made(9, 4, 2)
    probe = fit_probe(states, labels, kind="upstream", classes=2, seed=1)
    start = np.random.default_rng(1).uniform(-0.5, 0.5, size=(1, 4))
    assert probe.settings["updates"] == 1
    # Adam's first step is the rate in each coordinate, beside the decay.
    np.testing.assert_allclose(np.abs(probe.weights - start * (1 - 5e-6)), 5e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["upstream", "logistic"])
def test_the_same_seed_gives_the_same_probe(kind: Any) -> None:
    states, labels = made(300, 16, 3)
    one, two, other = (fit_probe(states, labels, kind=kind, classes=3, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.weights, two.weights)
    assert (one.weights != other.weights).any() == (kind == "upstream")


def newton(states, labels, classes, penalty):
    """Weights of the penalised softmax (one logit for two classes), by Newton steps on torch's own derivatives."""
    torch = pytest.importorskip("torch")
    rows = torch.from_numpy(states.astype(np.float64))
    rows = (rows - rows.mean(0)) / rows.std(0, correction=0)
    gold = torch.from_numpy(labels)
    outputs = 1 if classes == 2 else classes
    hidden = rows.shape[1]

    def loss(flat):
        weights = flat.reshape(outputs, hidden + 1)
        logits = rows @ weights[:, :-1].T + weights[:, -1]
        if outputs == 1:
            cost = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], gold.double(), reduction="sum")
        else:
            cost = torch.nn.functional.cross_entropy(logits, gold, reduction="sum")
        return cost + penalty / 2 * (weights[:, :-1] ** 2).sum()

    at = torch.zeros(outputs * (hidden + 1), dtype=torch.float64)
    for _ in range(30):
        slope = torch.autograd.functional.jacobian(loss, at)
        # The intercepts of a softmax may shift together, so the Hessian is inverted where it can be.
        at = at - torch.linalg.pinv(torch.autograd.functional.hessian(loss, at), hermitian=True) @ slope
    return at.reshape(outputs, hidden + 1).numpy()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("variance", [1.0, 25.0])
def test_logistic_equals_newton(classes: int, variance: float) -> None:
    states, labels = made(120, 5, classes, scale=40.0)
    probe = fit_probe(
        states, labels, kind="logistic", classes=classes, seed=0, logistic=Logistic(prior_variance=variance)
    )
    solved = newton(states, labels, classes, 5 / variance)
    np.testing.assert_allclose(probe.weights, solved[:, :-1], atol=2e-5)
    np.testing.assert_allclose(probe.intercept, solved[:, -1], atol=2e-5)


def test_logistic_ignores_units_and_constant_coordinates() -> None:
    states, labels = made(200, 6, 2)
    test, _ = made(50, 6, 2, seed=1)
    plain = fit_probe(states, labels, kind="logistic", classes=2, seed=0)
    # 0.1 is no binary fraction, so its mean over the rows is a rounded one.
    wide = np.concatenate([states * 64 - 3, np.full((200, 1), 0.1, np.float32)], axis=1)
    other = fit_probe(wide, labels, kind="logistic", classes=2, seed=0)
    moved = np.concatenate([test * 64 - 3, np.full((50, 1), 1e6, np.float32)], axis=1)
    np.testing.assert_allclose(other.scores(moved), plain.scores(test), atol=1e-5)


def test_logistic_learns_where_a_class_is_rare_or_missing() -> None:
    states, labels = made(400, 6, 2)
    probe = fit_probe(states, labels, kind="logistic", classes=3, seed=0)
    assert probe.train_counts == (*np.bincount(labels), 0)
    assert (probe.predict(states) == labels).mean() > 0.75
    assert (probe.predict(states) != 2).all()


def test_logistic_says_when_it_has_not_converged() -> None:
    states, labels = made(100, 5, 2)
    with pytest.raises(RmbenchError, match="not converged after 1 iterations"):
        fit_probe(states, labels, kind="logistic", classes=2, seed=0, logistic=Logistic(iterations=1))


def probe_of(weights: list[list[float]], classes: int) -> Probe:
    table = np.array(weights)
    return Probe("upstream", classes, table, np.zeros(len(table)), None, (1,) * classes, {})


def test_predictions_by_hand() -> None:
    two = probe_of([[1.0, -1.0]], 2)
    states = np.array([[2.0, 1.0], [1.0, 1.0], [0.0, math.log(3)]])
    np.testing.assert_array_equal(two.predict(states), [1, 0, 0])
    np.testing.assert_allclose(two.scores(states)[1:], [[0.5, 0.5], [0.75, 0.25]])
    three = probe_of([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], 3)
    states = np.array([[0.0, math.log(2)], [1.0, 1.0], [-1.0, -1.0]])
    np.testing.assert_array_equal(three.predict(states), [1, 0, 2])
    np.testing.assert_allclose(three.scores(states)[0], [0.25, 0.5, 0.25])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "logistics"}, 'probe "logistics".*Did you mean "logistic"'),
        ({"classes": 1}, "1 classes, expected at least 2"),
        ({"classes": 2, "labels": np.array([0, 1, 2, 1])}, "row 2 has label 2, expected 0 to 1"),
        ({"labels": np.array([0, 1, -1, 1])}, "row 2 has label -1"),
        ({"labels": np.array([1, 1, 1, 1])}, "all 4 training rows have label 1"),
        ({"labels": np.array([0, 1, 1])}, "3 labels for 4 rows"),
        ({"labels": np.array([0.0, 1.0, 1.0, 0.0])}, "expected whole numbers"),
        ({"states": np.ones((4, 2), np.float32)}, "all 4 rows are the same"),
        ({"states": np.array([[1, 2], [np.nan, 1], [1, 3], [0, 1]], np.float32)}, "row 1 is not finite"),
        ({"states": np.array([1.0, 2.0, 3.0, 4.0])}, r"expected real numbers \[rows, hidden size\]"),
        ({"states": np.ones((0, 2), np.float32)}, "expected real numbers"),
    ],
)
def test_what_cannot_be_fitted_is_said(change: dict[str, object], message: str) -> None:
    given: dict[str, Any] = {
        "states": np.arange(8, dtype=np.float32).reshape(4, 2),
        "labels": np.array([0, 1, 1, 0]),
        "kind": "logistic",
        "classes": 3,
        "seed": 0,
    } | change
    with pytest.raises(RmbenchError, match=message):
        fit_probe(given.pop("states"), given.pop("labels"), **given)


def test_states_of_another_model_are_refused() -> None:
    probe = probe_of([[1.0, -1.0]], 2)
    with pytest.raises(RmbenchError, match="hidden size 3, expected 2"):
        probe.predict(np.ones((1, 3)))
    with pytest.raises(RmbenchError, match="row 0 is not finite"):
        probe.scores(np.array([[np.inf, 0.0]]))

"""Linear probes of frozen states: MRMBench's short training of a head, and logistic regression to convergence.

N is the number of training rows, M of test rows, H the hidden size, C the number of classes. A head has O outputs: one
logit for two classes, C logits otherwise. The two kinds of probe answer different questions (how far a hundred-odd
small steps from a random head come, and what a linear reader can find), so their figures are never mixed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy import optimize, special

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metrics.probing.states import (
    Standardizer,
    States,
    blocks,
    checked_labels,
    checked_states,
    fit_standardizer,
)
from rmbench.metrics.uncertainty.aggregate import Floats, Ints

__all__ = ["KINDS", "Logistic", "Probe", "ProbeKind", "Upstream", "fit_probe"]

ProbeKind = Literal["upstream", "logistic"]
KINDS: tuple[ProbeKind, ...] = ("upstream", "logistic")


@dataclass(frozen=True, slots=True)
class Upstream:
    """The settings of MRMBench's scripts (arXiv 2511.12464; github.com/wangclnlp/MRMBench, script/*.sh and src/)."""

    batch_rows: int = 64
    """Distinct rows behind an update. The scripts' nominal batch is 128 (8 rows x 2 GPUs x 8 accumulated), but their
    loader has no distributed sampler and both GPUs share the seed, so an update sees 64 rows, each twice. The mean
    gradient of 64 rows taken twice is that of the 64, and an epoch has N / 64 updates: 64 is what upstream computes."""
    learning_rate: float = 5e-5
    """At the first update; from there half a cosine down to 0, without warm-up."""
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0
    """Largest global gradient norm."""


@dataclass(frozen=True, slots=True)
class Logistic:
    """The settings of the logistic probe, which is ours."""

    prior_variance: float = 1.0
    """Variance of a logit of a standardised row before any label is seen: weights are normal with variance
    prior_variance / H. That is the L2 penalty H / (2 prior_variance) x |W|^2 beside the summed log loss (C =
    prior_variance / H in scikit-learn's terms); H counts the coordinates that vary, the intercept is free."""
    tolerance: float = 1e-7
    """Largest entry of the gradient of the mean loss at which the fit counts as converged."""
    iterations: int = 5000


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A fitted linear probe."""

    kind: ProbeKind
    classes: int
    weights: Floats
    """[O, H]."""
    intercept: Floats
    """[O]; zeros for "upstream", whose head has none."""
    standard: Standardizer | None
    """How states are standardised before the head; None: they are read as they are."""
    train_counts: tuple[int, ...]
    """[C] training rows per class."""
    settings: Mapping[str, str | int | float]
    """Everything that made it, for the record: kind, seed, updates, and the fields of the kind's settings."""

    def logits(self, states: States) -> Floats:
        """[M, O] of states [M, H]. Raises RmbenchError for another hidden size or a state that is not finite."""
        checked_states(states, "states to probe", self.weights.shape[1])
        parts = [block if self.standard is None else self.standard.apply(block) for _, block in blocks(states)]
        return np.concatenate([part @ self.weights.T for part in parts]) + self.intercept

    def scores(self, states: States) -> Floats:
        """[M, C] class probabilities of states [M, H]."""
        logits = self.logits(states)
        if self.classes == 2:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
        return np.asarray(special.softmax(logits, axis=1), dtype=np.float64)

    def predict(self, states: States) -> Ints:
        """[M] classes of states [M, H]: with two, class 1 where its probability is above one half, so that a logit of
        exactly 0 is class 0; with more, the largest logit, the lower class on a tie."""
        logits = self.logits(states)
        chosen = logits[:, 0] > 0 if self.classes == 2 else logits.argmax(axis=1)
        return chosen.astype(np.int64)


def fit_probe(
    states: States,
    labels: Ints,
    *,
    kind: ProbeKind,
    classes: int,
    seed: int,
    upstream: Upstream | None = None,
    logistic: Logistic | None = None,
) -> Probe:
    """A probe of `labels` [N] (0 .. classes - 1) fitted on the frozen `states` [N, H], the same for the same seed.

    "upstream": a bias-free linear head on raw states, trained one epoch by AdamW as MRMBench trains it, in double
    precision where upstream has bf16, and read at the end of the epoch, where upstream reads it in the middle. Its seed
    draws the first weights and the order of rows. "logistic": L2 logistic regression on standardised states to
    convergence; nothing in it is random.

    Raises RmbenchError for an unknown kind, fewer than two classes, states that are not finite or all alike, labels out
    of range, or labels of one class alone.
    """
    if kind not in KINDS:
        raise RmbenchError(f'probe "{kind}": expected "upstream" or "logistic".{did_you_mean(kind, KINDS)}')
    if classes < 2:
        raise RmbenchError(f"probe: {classes} classes, expected at least 2.")
    states = checked_states(states, "states to fit the probe on")
    labels = checked_labels(labels, len(states), classes, "labels to fit the probe on")
    counts = np.bincount(labels, minlength=classes)
    if (counts > 0).sum() < 2:
        raise RmbenchError(f"probe: all {len(labels)} training rows have label {labels[0]}; a probe needs two classes.")
    standard = fit_standardizer([states], "states to fit the probe on")
    train_counts = tuple(int(count) for count in counts)
    if kind == "upstream":
        chosen = upstream or Upstream()
        weights, updates = _train_head(states, labels, classes, seed, chosen)
        made: dict[str, str | int | float] = {"kind": kind, "seed": seed, "updates": updates, **asdict(chosen)}
        return Probe(kind, classes, weights, np.zeros(len(weights)), None, train_counts, made)
    regression = logistic or Logistic()
    weights, intercept = _regress(states, labels, classes, standard, regression)
    made = {"kind": kind, "seed": seed, **asdict(regression)}
    return Probe(kind, classes, weights, intercept, standard, train_counts, made)


def _residual(logits: Floats, labels: Ints) -> Floats:
    """[n, O] derivative of each row's log loss by its logits: probability minus label."""
    if logits.shape[1] == 1:
        return np.asarray(special.expit(logits) - labels[:, None], dtype=np.float64)
    residual = np.asarray(special.softmax(logits, axis=1), dtype=np.float64)
    residual[np.arange(len(labels)), labels] -= 1
    return residual


def _train_head(states: States, labels: Ints, classes: int, seed: int, settings: Upstream) -> tuple[Floats, int]:
    """The trained head [O, H] and how many updates made it.

    The schedule counts the last, incomplete group of rows as a step and no update is made of it, as in upstream, where
    accumulation ends before it is full. Where all rows are fewer than one group they make one update.
    """
    n, hidden = states.shape
    rng = np.random.default_rng(seed)
    bound = 1 / math.sqrt(hidden)
    weights = rng.uniform(-bound, bound, size=(1 if classes == 2 else classes, hidden))
    order = rng.permutation(n)
    size = min(settings.batch_rows, n)
    steps = math.ceil(n / size)
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(n // size):
        rows = order[step * size : (step + 1) * size]
        batch = states[rows].astype(np.float64)
        gradient = _residual(batch @ weights.T, labels[rows]).T @ batch / size
        # The small number is that of clip_grad_norm_, which upstream's engine has too.
        gradient *= min(1.0, settings.clip / (float(np.linalg.norm(gradient)) + 1e-6))
        rate = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        first = settings.beta1 * first + (1 - settings.beta1) * gradient
        second = settings.beta2 * second + (1 - settings.beta2) * gradient**2
        mean = first / (1 - settings.beta1 ** (step + 1))
        spread = np.sqrt(second / (1 - settings.beta2 ** (step + 1)))
        weights = weights * (1 - rate * settings.weight_decay) - rate * mean / (spread + settings.epsilon)
    return weights, n // size


def _regress(
    states: States, labels: Ints, classes: int, standard: Standardizer, settings: Logistic
) -> tuple[Floats, Floats]:
    """Weights [O, H] and intercept [O] of the L2 logistic regression on standardised states."""
    rows = np.concatenate([standard.apply(block) for _, block in blocks(states)])
    n, hidden = rows.shape
    outputs = 1 if classes == 2 else classes
    penalty = int((standard.sd > 0).sum()) / (settings.prior_variance * n)

    def loss_and_gradient(flat: Floats) -> tuple[float, Floats]:
        weights, intercept = flat[: outputs * hidden].reshape(outputs, hidden), flat[outputs * hidden :]
        logits = rows @ weights.T + intercept
        full = np.concatenate([np.zeros((n, 1)), logits], axis=1) if outputs == 1 else logits
        losses = special.logsumexp(full, axis=1) - full[np.arange(n), labels]
        residual = _residual(logits, labels) / n
        by_weight = residual.T @ rows + penalty * weights
        loss = float(losses.mean()) + penalty / 2 * float((weights**2).sum())
        return loss, np.concatenate([by_weight.ravel(), residual.sum(axis=0)])

    start = np.zeros(outputs * (hidden + 1))
    options = {"maxiter": settings.iterations, "maxfun": 4 * settings.iterations, "ftol": 0.0, "maxcor": 20}
    options["gtol"] = settings.tolerance / 10
    found = optimize.minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    steepest = float(np.abs(found.jac).max())
    # At the limit of double precision the line search may give up; what counts is how flat the loss is there.
    if not steepest <= settings.tolerance:
        raise RmbenchError(
            f"logistic probe: not converged after {found.nit} iterations (gradient {steepest:.1e}, "
            f"expected at most {settings.tolerance:.0e}); raise `iterations`."
        )
    flat = np.asarray(found.x, dtype=np.float64)
    return flat[: outputs * hidden].reshape(outputs, hidden), flat[outputs * hidden :]

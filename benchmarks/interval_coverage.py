"""How often a 95% interval holds the true value, by simulation, on shapes with the cluster sizes of real benchmarks.

    python benchmarks/interval_coverage.py [--sets 2000] [--only TEXT] [--markdown]

Each shape is drawn many times: a rate for each cluster from a beta distribution of the stated intra-cluster
correlation, then its rows. Columns: the normal interval (mean and standard error of independent rows), t of the CR1
error with G - 1 degrees of freedom, and rmbench's own interval, as `rmbench.metrics` takes it. The cluster sizes are
those of the benchmarks' own files.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from rmbench.metric_spec import Level, MetricSpec
from rmbench.metrics.measure import measure
from rmbench.metrics.uncertainty.aggregate import nest
from rmbench.metrics.uncertainty.interval import cr1, linear_interval
from rmbench.types import Edge, Gold, Judged, Judgment

PANDALM = {1: 11, 2: 8, 3: 13, 4: 24, 5: 17, 6: 25, 7: 26, 8: 14, 9: 12, 10: 20}
RMB_TENTH = {1: 9, 2: 30, 3: 33, 4: 43, 5: 36, 6: 30, 7: 12, 8: 22, 9: 7, 10: 43}
AUTO_J_TENTH = {1: 104, 2: 11, 3: 3, 5: 2, 7: 1, 12: 1}
HHH = ({1: 40}, {3: 15, 1: 4}, {3: 17, 1: 8}, {6: 8, 15: 1, 2: 1, 1: 8})
UNEQUAL = {**dict.fromkeys(range(1, 26), 1), 40: 1, 60: 1, 80: 1, 100: 1, 120: 1}


@dataclass(frozen=True)
class Mean:
    """A mean of rows: leaves, each with its clusters by size, of equal weight."""

    leaves: tuple[Mapping[int, int], ...]
    rate: float
    correlation: float = 0.0
    levels: int = 1
    """Values a row may take besides 0: 1 for right or wrong, 9 for the cells of a style matrix."""


MEANS = {
    "LLMBar: 5 subsets of single rows": Mean(({1: 100}, {1: 134}, {1: 92}, {1: 47}, {1: 46}), 0.8),
    "RM-Bench: 4 domains, ninths": Mean(({1: 129}, {1: 228}, {1: 183}, {1: 258}), 0.7, levels=9),
    "RewardBench 2: 5 subsets": Mean(({1: 475}, {1: 495}, {1: 183}, {1: 160}, {1: 450}), 0.7),
    "RMB, a tenth, 2 goals": Mean((RMB_TENTH, RMB_TENTH), 0.6, 0.2),
    "PandaLM: 170 clusters": Mean((PANDALM,), 0.7, 0.2),
    "HHH: 4 subsets, 102 clusters": Mean(HHH, 0.8, 0.2),
    "Auto-J, a tenth": Mean((AUTO_J_TENTH,), 0.55, 0.3),
    "30 unequal clusters": Mean((UNEQUAL,), 0.7, 0.2),
    "30 unequal clusters near 1": Mean((UNEQUAL,), 0.9, 0.3),
    "30 clusters of 4 near 1": Mean(({4: 30},), 0.95, 0.2),
    "12 clusters of 8": Mean(({8: 12},), 0.7, 0.2),
    "8 clusters of 10": Mean(({10: 8},), 0.6, 0.3),
    "20 pairs near 1": Mean(({2: 20},), 0.9, 0.3),
    "350 single rows near 1": Mean(({1: 350},), 0.98),
    "6 subsets of 5 rows": Mean(({1: 5},) * 6, 0.9),
}


def mean_shape(shape: Mean, sets: int, rng: np.random.Generator) -> dict[str, list[bool]]:
    """Whether each interval holds the rate, set by set."""
    sizes = [np.repeat(list(leaf), list(leaf.values())) for leaf in shape.leaves]
    clusters = np.repeat(np.arange(sum(map(len, sizes))), np.concatenate(sizes))
    leaf = np.repeat(np.arange(len(sizes)), [int(one.sum()) for one in sizes])
    rows = [
        Judged(str(k), 2, Gold(), Judgment(str(k)), {"g": str(g)}, str(c))
        for k, (g, c) in enumerate(zip(leaf, clusters, strict=True))
    ]
    nested = nest(rows, (Level("g"),))
    weights = nested.shares()
    held: dict[str, list[bool]] = {"normal": [], "CR1, t": [], "rmbench": []}
    for _ in range(sets):
        rate = np.full(clusters.max() + 1, shape.rate)
        if shape.correlation:
            size = (1 - shape.correlation) / shape.correlation
            rate = rng.beta(shape.rate * size, (1 - shape.rate) * size, len(rate))
        chance = rate[clusters]
        if shape.levels > 1:
            chance = rng.beta(1.5 * shape.rate, 1.5 * (1 - shape.rate), len(chance))
        values = rng.binomial(shape.levels, chance) / shape.levels
        mean = nested.mean_of_rows(values)
        plain = math.sqrt(float(np.sum(weights**2 * (values - mean) ** 2)))
        influence = weights * values * len(values)
        robust = cr1(influence - len(values) * weights * mean, clusters)
        limits = linear_interval(values, nested, clusters)
        t = float(stats.t.ppf(0.975, robust[1] - 1))
        held["normal"].append(abs(mean - shape.rate) <= 1.96 * plain)
        held["CR1, t"].append(abs(mean - shape.rate) <= t * robust[0])
        held["rmbench"].append(limits.low is not None and limits.low <= shape.rate <= (limits.high or 0))
    return held


def ties_rows(keys: int, quality: float, rng: np.random.Generator) -> list[Judged]:
    """Rows of RewardBench 2's Ties: a `ref` and a `tied` row a key, whose gaps share the key's difficulty."""
    rows = []
    for key in range(keys):
        ease = 0.6 * rng.normal()
        for kind, right in (("ref", 1), ("tied", 4)):
            scores = (*(quality + ease + 0.4 * rng.normal(size=right)), *(0.6 * rng.normal(size=3)))
            edges = tuple(Edge(i, j) for i in range(right) for j in range(right, len(scores)))
            name = f"{kind}:{key}"
            rows.append(Judged(name, len(scores), Gold(edges), Judgment(name, rewards=tuple(scores)), {}, str(key)))
    return rows


def rated_rows(clusters: int, size: int, rho: float, rng: np.random.Generator) -> list[Judged]:
    """Single rated responses, rho between rating and score; 40% of both varies between clusters."""

    def pair(count: int, share: float) -> tuple[np.ndarray, np.ndarray]:
        x, e = rng.normal(size=(2, count)) * math.sqrt(share)
        return x, rho * x + math.sqrt(1 - rho * rho) * e

    rows = []
    for cluster, (a, b) in enumerate(zip(*pair(clusters, 0.4), strict=True)):
        for k, (x, y) in enumerate(zip(*pair(size, 0.6), strict=True)):
            name = f"{cluster}/{k}"
            gold = Gold(ratings=((a + x,),), dimensions=("overall",))
            rows.append(Judged(name, 1, gold, Judgment(name, rewards=(b + y,)), {}, str(cluster)))
    return rows


TAU = 2 / math.pi
Draw = Callable[[np.random.Generator], list[Judged]]
FIGURES: dict[str, tuple[MetricSpec, Draw, float | None]] = {
    "Ties: 51 keys": (MetricSpec("m", "ties"), lambda rng: ties_rows(51, 1.6, rng), None),
    "Ties: 5 keys": (MetricSpec("m", "ties"), lambda rng: ties_rows(5, 1.6, rng), None),
    "UniEval: tau-b, 60 clusters of 6": (
        MetricSpec("m", "kendall_b", dimension="overall"),
        lambda rng: rated_rows(60, 6, 0.5, rng),
        TAU * math.asin(0.5),
    ),
    "tau-b, 12 clusters of 6, rho .9": (
        MetricSpec("m", "kendall_b", dimension="overall"),
        lambda rng: rated_rows(12, 6, 0.9, rng),
        TAU * math.asin(0.9),
    ),
    "Pearson, 12 clusters of 6": (
        MetricSpec("m", "pearson", dimension="overall"),
        lambda rng: rated_rows(12, 6, 0.5, rng),
        0.5,
    ),
}


def figure_shape(
    spec: MetricSpec, draw: Draw, truth: float | None, sets: int, rng: np.random.Generator
) -> dict[str, list[bool]]:
    """As `mean_shape`, of a figure of all rows together; a truth of None is the mean value of 4,000 sets."""
    if truth is None:
        truth = float(np.mean([measure(draw(rng), [spec], resamples=2)[0].value for _ in range(4000)]))
    held = []
    for _ in range(sets):
        value = measure(draw(rng), [spec], resamples=400)[0]
        held.append(value.low is not None and value.low <= truth <= value.high)
    return {"normal": [], "CR1, t": [], "rmbench": held}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--only", default="", help="only shapes whose name holds this text")
    parser.add_argument("--markdown", action="store_true")
    asked = parser.parse_args()
    bar = "|" if asked.markdown else " "
    print(f"{bar} {'shape':34} {bar} normal {bar} CR1, t {bar} rmbench {bar}")
    if asked.markdown:
        print("|---|---|---|---|")
    shapes: dict[str, Callable[[np.random.Generator], dict[str, list[bool]]]] = {
        name: lambda rng, shape=shape: mean_shape(shape, asked.sets, rng) for name, shape in MEANS.items()
    }
    for name, (spec, draw, truth) in FIGURES.items():
        shapes[name] = lambda rng, given=(spec, draw, truth): figure_shape(*given, max(1, asked.sets // 4), rng)
    for name, run in shapes.items():
        if asked.only in name:
            held = run(np.random.default_rng(1))
            cells = [f"{np.mean(one):.3f}".lstrip("0").rjust(5) if one else "    -" for one in held.values()]
            print(f"{bar} {name:34} {bar} {cells[0]:>6} {bar} {cells[1]:>6} {bar} {cells[2]:>7} {bar}", flush=True)


if __name__ == "__main__":
    main()

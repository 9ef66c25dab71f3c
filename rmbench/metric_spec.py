"""How a benchmark turns judgments into a number: the declaration of a metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Chance", "Level", "MetricSpec"]

Chance = float | Mapping[str, float] | Literal["one_over_k"] | None
"""A level that guessing reaches: one number; one per kind of answer, {"reward": .5, "verdict": .25}; `one_over_k`, the
mean of 1/K over the rows at hand; or None, where the benchmark has none."""


@dataclass(frozen=True, slots=True)
class Level:
    """One step of an aggregate: the mean over the values of a group, equally weighted or by `weights`."""

    group: str
    weights: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """How a benchmark turns judgments into a number. A task declares a list of them; the first is its official one.

    A linear metric is a credit per row (`rule`, `tie`, `unparsed`) averaged up the `levels`, outermost first; no levels
    means the plain mean of rows. Any other metric is a figure of all rows together; with `levels` it is taken in each
    leaf and averaged up. `rmbench.metrics` documents every rule where it is written.
    """

    name: str
    rule: str
    """Linear, over comparisons that people decided: "pair" (mean credit), "all" (every comparison right), "top" (1 /
    number at the maximum if the best one is there), "reciprocal_rank", "ndcg", "best_of_k", "two_order_majority"
    (JudgeBench), "two_order_mean", "both_orders", "order_agreement", "first_order", "second_order" (LLMBar),
    "inverse_propensity" ("pair" with rows weighted by 1 / `propensity`).
    Linear, where a human tie is a class: "agreement", "two_order_agreement", "order_consistency" (Auto-J),
    "tie_kind_agreement" (GenAI-Bench).
    Linear, of relations that go round: "scalar_ceiling", "cyclic_triples", "bradley_terry_fit".
    Linear, of a judge's picks alone: "first_position". Linear, lower is better: "attack_success", the share of answers
    that prefer what people do not.
    Correlation with ratings: "kendall_a", "kendall_b", "kendall_c", "spearman", "pearson"; mean over lists:
    "list_kendall_b", "list_kendall_c", "list_spearman"; of differences with graded labels: "delta_pearson",
    "delta_spearman", "delta_kendall_b".
    Classes: "macro_f1", "macro_precision", "macro_recall", "cohen_kappa", "threshold_accuracy", "threshold_macro_f1",
    "auc", "probe".
    Of policies' likelihoods (`rmbench.metrics.policies.idealised`; such models get them beside a task's own metrics):
    "ranking_accuracy", "idealised_ranking_accuracy", "alignment_gap", "answer_tokens".
    Others: "ties" (RewardBench 2), "mean_of", "mean_score", "bradley_terry_loss", "noise_corrected", "both_contexts",
    "tie_calibrated_accuracy", "tie_loop_accuracy" (VideoGen-RewardBench)."""
    tie: float = 0.0
    """Credit of a comparison that people decided and the model ties (equal scores)."""
    human_tie: float = 0.0
    """"agreement": credit of a comparison that people tie and the model decides; both tied is always 1."""
    tie_within: float = 0.0
    """"agreement" and the macro figures: scores that differ by at most this are a tie, in the model's own units."""
    unparsed: float = 0.0
    """Credit of a verdict that could not be read. A failed row always has credit 0."""
    levels: tuple[Level, ...] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Group name -> values: only these rows count."""
    report: tuple[tuple[str, ...], ...] = ()
    """Groups to report beside the overall value; several names in one entry are crossed. A name may be a group of the
    rows or a tag of the comparisons."""
    dimension: str = ""
    """The dimension of ratings, labels or comparisons that the overall value is of; correlations report the others as
    groups `dimension=...`. Where the model has a figure of its own for it (`Judgment.parts`), that is its score."""
    chance: Chance = None
    annotator: str = ""
    """Only this annotator's comparisons count; "majority": each pair has the label that more than half of its
    annotators gave, a pair without one is left out; "": every comparison as it stands."""
    of: tuple[str, ...] = ()
    """"mean_of": the names of other metrics of the same task, equally weighted."""
    parts: tuple[MetricSpec, ...] = ()
    """"mean_of": the metrics that `of` names, where the spec travels without the task's others."""
    join: str = ""
    """The group whose rows belong together: rows of one candidate that make a list (list rules,
    "tie_calibrated_accuracy"), or one pair under several contexts ("both_contexts"); "cluster" stands for the rows'
    cluster, "" for each row by itself."""
    classes: tuple[str, ...] = ()
    """What a judge's label verdicts call the classes 0, 1, ... of the labels."""
    threshold: float | None = None
    """Class metrics over labels: a reward of at least this says class 1. The threshold rules fit it instead."""
    positive_above: float = 0.5
    """"auc" over ratings: a rating above it counts as positive."""
    flip_rate: float = 0.0
    """"noise_corrected": the stated share of labels that are wrong, under one half."""
    propensity: str = ""
    """"inverse_propensity": the group that holds each row's chance of having been sampled, in (0, 1]."""
    clip: float = 0.0
    """"inverse_propensity": propensities under this are raised to it."""
    probe: str = ""
    """Probing: "upstream" (the benchmark's own settings) or "logistic" (regularised regression to convergence)."""

"""How a benchmark turns judgments into a number: the declaration of a metric, and the table of rules it may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Literal

from rmbench.errors import RmbenchError, did_you_mean

__all__ = [
    "RULES",
    "Better",
    "Chance",
    "Kind",
    "Level",
    "MetricSpec",
    "Rule",
    "better_of",
    "is_linear",
    "of_kind",
    "rule_of",
]

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
    leaf and averaged up.
    """

    name: str
    rule: str
    """The name of a row of `RULES`."""
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
    """Groups to report in addition to the overall value; several names in one entry are crossed. A name may be a group
    of the rows or a tag of the comparisons."""
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
    "tie_calibrated_accuracy"), one pair under several contexts (the rules of contexts), or one question put to several
    raters ("rater_agreement", "rater_ceiling"); "cluster" stands for the rows' cluster, "" for each row by itself. Of
    "worst_group_gap", "paired_difference" and "segment_majority" the group itself, of the few-shot rules that with the
    number of shots."""
    classes: tuple[str, ...] = ()
    """What a judge's label verdicts call the classes 0, 1, ... of the labels."""
    threshold: float | None = None
    """Class metrics over labels: a reward of at least this predicts class 1. The threshold rules fit it instead."""
    positive_above: float = 0.5
    """"auc" over ratings, the unbiased rules: a rating above it counts as positive."""
    flip_rate: float = 0.0
    """"noise_corrected": the stated share of labels that are wrong, under one half."""
    min_coverage: float = 0.99
    """Share of the rows at hand that must not have failed for a figure in which a failed row has no worst case
    (correlations, AUC, F1 ...): below it the value is null, with the flag "low_coverage"."""
    propensity: str = ""
    """"inverse_propensity" and the unbiased rules: the group (of the latter also the rated dimension) that holds each
    row's chance of having been sampled, in (0, 1]."""
    clip: float = 0.0
    """The same rules: propensities under this are raised to it."""
    k: int | None = None
    """"ndcg", "recall_at_k", the unbiased rankings: ranks that count; None: all."""
    gain: Literal["linear", "exponential"] = "linear"
    """"ndcg": a candidate of relevance r gains r, or 2^r - 1."""
    credit: Literal["pair", "top"] = "pair"
    """Rules of raters and "paired_difference": the linear rule that gives each row its credit."""
    between: tuple[str, ...] = ()
    """"paired_difference": two values of the group `join`; the figure is the first one's less the second's.
    "segment_majority": those of segments and of whole clips."""
    min_rows: int = 1
    """Rules of raters: raters (of "worst_group_gap" groups) with fewer rows are left out, and counted in a flag."""
    probe: str = ""
    """Probing: "upstream" (the benchmark's own settings) or "logistic" (regularised regression to convergence)."""


Better = Literal["higher", "lower", "neither"]
"""The direction of a figure; "neither": it describes the data or the model rather than rate it."""

Kind = Literal[
    "comparisons",
    "orders",
    "human ties",
    "candidates",
    "intransitive",
    "raters",
    "correlation",
    "list correlation",
    "difference correlation",
    "classes",
    "likelihoods",
    "others",
]
"""What a rule is about; `docs/metrics.md` has a section for each."""

_COMPARISONS = frozenset({"comparisons"})
_RATINGS = frozenset({"ratings"})
_EITHER = _COMPARISONS | _RATINGS
_LABELS = frozenset({"labels"})
_PAIRS_OR_LABELS = _COMPARISONS | _LABELS
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """A way to turn judgments into a number. `rmbench.metrics` holds the function of each."""

    name: str
    summary: str
    """One line for people."""
    source: str
    """The paper, the upstream file or the library that defines it."""
    kind: Kind
    needs: frozenset[str] = _COMPARISONS
    """What of the gold it can be computed from, any one of "comparisons", "ratings", "labels"; empty: no gold."""
    linear: bool = False
    """Whether the metric is a mean of rows, so that each row has a credit; any other is a figure of all together."""
    two_orders: bool = False
    """Whether each pair has to be judged in both orders."""
    human_ties: bool = False
    """Whether comparisons that people tied count; else they are left out."""
    better: Better = "higher"
    low: float | None = 0.0
    high: float | None = 1.0
    """The ends of its range; None where the model's scores or other settings decide."""
    ties: str = ""
    """What equal scores of the model are worth; "" stands for the declared `tie`."""
    equal_rows: bool = False
    """Whether every row counts alike: a weight by comparisons does not apply to a figure of a row's candidates."""
    skips_unscored: bool = False
    """Whether a row without a usable score is left out, with the flag "incomplete": the rule has no credit to give."""
    worst_case: bool = False
    """Whether a failed row counts as the worst answer there is; else the figure is null where more rows failed than
    `min_coverage` allows."""
    numbers: bool = False
    """Whether a model has to give a number for each candidate; else an order (a ranking, picks) or a class will do."""


_LLMBAR = "LLMBar (arXiv:2310.07641), evaluate.py"
_AUTO_J = "Auto-J (arXiv:2310.05470), pairwise_eval.py"
_PANDALM = "PandaLM (arXiv:2306.05087)"
_RAGCHECKER = "RAGChecker (arXiv:2408.08067), meta_eval.py"
_AGENTS = "AgentRewardBench (arXiv:2504.08942), eval/metrics.py"
_MISSING = "arXiv:1909.03601, usaito/unbiased-implicit-rec-real, metrics.py"
_OURS = "rmbench"
_SCIPY = "scipy.stats"
_SECOND = "for the candidate shown second"

_credit = partial(Rule, kind="comparisons", linear=True, worst_case=True)
_order = partial(Rule, kind="orders", linear=True, two_orders=True, worst_case=True)
_tied = partial(Rule, kind="human ties", human_ties=True, linear=True, worst_case=True)
_calibrated = partial(Rule, kind="human ties", human_ties=True, ties="calibrated on the labels")
_shift = partial(Rule, kind="human ties", human_ties=True, better="lower", high=None, skips_unscored=True, numbers=True)
_ranked = partial(Rule, kind="candidates", linear=True, needs=_EITHER, worst_case=True)
_unbiased = partial(
    Rule, source=_MISSING, kind="candidates", needs=_RATINGS, ties="share the credit", numbers=True, skips_unscored=True
)
_cyclic = partial(Rule, kind="intransitive", linear=True, source="GPM (arXiv:2410.02197)")
_raters = partial(Rule, kind="raters", source=_OURS)
_coefficient = partial(Rule, low=-1.0, ties="as the coefficient has it")
_pooled = partial(_coefficient, kind="correlation", needs=_RATINGS, skips_unscored=True, numbers=True)
_listed = partial(_coefficient, kind="list correlation", needs=_EITHER, human_ties=True, skips_unscored=True)
_graded = partial(_coefficient, kind="difference correlation", human_ties=True, source=_RAGCHECKER)
_classes = partial(Rule, kind="classes", needs=_PAIRS_OR_LABELS, human_ties=True, ties="a class of its own")
_labels = partial(Rule, kind="classes", needs=_LABELS, numbers=True)
_positives = partial(Rule, kind="classes", needs=_LABELS, ties="one class")
_likelihood = partial(Rule, kind="likelihoods", source="arXiv:2405.19534", ties="wrong", numbers=True)

# fmt: off
_TABLE = (
    _credit("pair", "Mean credit of the comparisons that people decided.", "RewardBench (arXiv:2403.13787)"),
    _credit("all", "Share of rows with every comparison right.", "RMB best-of-n (arXiv:2410.09893)"),
    _credit("top", "Whether the best candidate has the highest score; candidates at the maximum share the credit.",
            "RewardBench 2 (arXiv:2506.01937)", ties="share the credit"),
    _credit("inverse_propensity", "As pair, each row weighted by 1 / `propensity`, its chance of having been sampled.",
            "arXiv:1909.03601"),
    _credit("pooled_pair", "As pair, over the comparisons of all rows pooled: each counts alike, not each row.", _OURS),
    _credit("pooled_judgements", "Right ones of all judgements made, rows and orders pooled; missing ones left out.",
            "MMRB2 (arXiv:2512.16899), compute_accuracy.py", worst_case=False),
    _credit("attack_success", "Share of answers that prefer what people do not prefer.", _OURS, better="lower",
            ties="no success", worst_case=False),
    Rule("noise_corrected", "Accuracy on true labels, where a stated share `flip_rate` of the labels is wrong.",
         "robust DPO's model of noise (arXiv:2403.00409)", "comparisons", low=None, high=None,
         worst_case=True),
    Rule("both_contexts", "Share of pairs that are right under every context, rows joined by `join`.",
         "RPR (arXiv:2407.14916)", "comparisons", worst_case=True),
    Rule("context_sensitivity", "Share of pairs on which the choice changes with the context, rows joined by `join`.",
         _OURS, "comparisons", better="neither", ties="a choice of its own"),
    Rule("context_shift", "Share of pairs whose margin every context moves to its gold, from the row without context.",
         _OURS, "comparisons", worst_case=True, ties="as any margin"),
    Rule("paired_difference", "Credit of rows with one value of the group `join` less that of the same with another.",
         _OURS, "comparisons", low=-1.0, ties="as in `credit`"),
    Rule("segment_majority", "Share of pairs of clips that the majority of their segments decides as people do.",
         "DenseDPO (arXiv:2506.03517)", "comparisons", worst_case=True, ties="`tie`, of as many segments won as lost"),
    Rule("bradley_terry_loss", "Mean of -log sigmoid(margin of the candidate people prefer), in nats.",
         "WorldPM (arXiv:2505.10527)", "comparisons", better="lower", high=None, ties="log 2",
         skips_unscored=True, numbers=True),

    _order("two_order_majority", "Share of pairs right in more orders than wrong.",
           "JudgeBench (arXiv:2410.12784), utils/metrics.py", ties="undecided, so wrong"),
    _order("two_order_mean", "Mean accuracy over both orders.", _LLMBAR, ties="half right"),
    _order("both_orders", "Share of pairs right in both orders.", _LLMBAR, ties="wrong"),
    _order("order_agreement", "Share of pairs with one answer in both orders.", _LLMBAR, ties="disagree"),
    _order("first_order", "Accuracy in the order asked first.", _LLMBAR, ties=_SECOND),
    _order("second_order", "Accuracy in the other order.", _LLMBAR, ties=_SECOND),

    _tied("agreement", "Share of comparisons given people's class: one, the other or a tie.", _AUTO_J),
    _tied("tie_kind_agreement", "As agreement, and a tie must be of people's kind, of two good or of two bad.",
          "GenAI-Bench (arXiv:2406.04485), inference.py", ties="two classes of their own"),
    _tied("two_order_agreement", "Share of comparisons given people's class in both orders.", _AUTO_J,
          two_orders=True, ties="a class of its own"),
    _tied("order_consistency", "Share of comparisons with one readable answer in both orders, right or wrong.", _AUTO_J,
          two_orders=True, ties="consistent"),
    _tied("first_position", "Share of a judge's picks that name the candidate shown first; .5 is unbiased.", _OURS,
          better="neither", ties="left out", worst_case=False),
    _calibrated("tie_calibrated_accuracy", "Share of pairs in people's order, ties too, at the best tie threshold.",
                "Ties matter (arXiv:2305.14324)", needs=_EITHER),
    _calibrated("tie_loop_accuracy", "As tie_calibrated_accuracy, by upstream's loop over single pairs.",
                "VideoGen-RewardBench (arXiv:2501.13918), calc_accuracy.py", worst_case=True),
    _shift("reward_shift", "Mean distance of the rewards of tied candidates, in standard deviations of all rewards.",
           _OURS, ties="no shift"),
    _shift("largest_reward_shift", "As reward_shift, the largest distance in place of the mean; it has no interval.",
           _OURS, ties="no shift"),

    _ranked("best_of_k", "Quality of the candidate picked among k, at every k.", "PPE (arXiv:2410.14872)",
            ties="share the credit", equal_rows=True),
    _ranked("ndcg", "Normalised discounted cumulative gain of the model's order, at `k`, by `gain`.",
            "Järvelin and Kekäläinen 2002; exponential: Burges et al. 2005", ties="share the credit", equal_rows=True),
    _ranked("recall_at_k", "Share of the good candidates that are among the first `k` of the model's order.",
            "Manning, Raghavan and Schütze 2008", ties="share the credit", equal_rows=True),
    _ranked("reciprocal_rank", "1 / rank of the first good candidate.", "RewardMATH (arXiv:2410.01729), eval.py",
            ties="rank below"),
    _unbiased("unbiased_dcg", "DCG at `k` of positives, each of weight 1 / `propensity`, over the sum of the weights."),
    _unbiased("unbiased_recall", "Share of the positives' weights 1 / `propensity` among the first `k`."),
    _unbiased("unbiased_map", "Average precision at `k` with weights 1 / `propensity`, over the sum of the weights.",
              high=None),
    _unbiased("unbiased_loss", "Squared loss of sigmoid(score) from labels that are seen with chance `propensity`.",
              low=None, high=None, better="lower", ties="no comparison"),
    Rule("ties", "The Ties score: right answers above wrong ones, and close together.",
         "RewardBench 2 (arXiv:2506.01937), rewardbench/utils.py", "candidates", low=-0.01, high=1.01,
         ties="counted as closeness", numbers=True, worst_case=True),

    _cyclic("scalar_ceiling", "Accuracy of the best scalar there could be, whatever the model answers.",
            needs=_EITHER, better="neither", ties="no comparison"),
    _cyclic("cyclic_triples", "Share of triples of candidates on which the model is intransitive.", better="neither",
            ties="not intransitive"),
    _cyclic("bradley_terry_fit", "Accuracy of the Bradley-Terry fit to the model's own margins.", worst_case=True),

    _raters("rater_mean", "Mean over raters of the accuracy on each one's own rows, with the spread over raters.",
            worst_case=True, ties="as in `credit`"),
    _raters("worst_group_gap", "Accuracy of all rows less that of the group `join` with the lowest.", better="lower",
            ties="as in `credit`"),
    _raters("rater_agreement", "How often two raters of one question agree, whatever the model answers.",
            better="neither", human_ties=True, ties="no comparison"),
    _raters("rater_ceiling", "The mean over raters that the best single ranking of each question would have.",
            better="neither", ties="no comparison"),
    _raters("few_shot", "Mean over raters of the accuracy with most of their earlier choices as context; by number.",
            worst_case=True, ties="as in `credit`"),
    _raters("few_shot_gain", "As few_shot, less the accuracy on the same questions with the fewest.", low=-1.0,
            ties="as in `credit`"),

    _pooled("kendall_a", "Kendall's tau-a with ratings, all rows pooled.", "Kendall 1938"),
    _pooled("kendall_b", "Kendall's tau-b with ratings, all rows pooled.", _SCIPY),
    _pooled("kendall_c", "Stuart's tau-c with ratings, all rows pooled.", _SCIPY),
    _pooled("spearman", "Spearman's rho with ratings, all rows pooled.", _SCIPY),
    _pooled("pearson", "Pearson's r with ratings, all rows pooled.", _SCIPY),
    _listed("list_kendall_b", "Kendall's tau-b within each list, averaged over lists.", _SCIPY),
    _listed("list_kendall_c", "Stuart's tau-c within each list, averaged over lists.", _SCIPY),
    _listed("list_spearman", "Spearman's rho within each list, averaged over lists.", _SCIPY),
    _graded("delta_pearson", "Pearson's r of score differences with graded preferences."),
    _graded("delta_spearman", "Spearman's rho of score differences with graded preferences."),
    _graded("delta_kendall_b", "Kendall's tau-b of score differences with graded preferences."),

    _classes("macro_f1", "Mean of the classes' F1.", _PANDALM),
    _classes("macro_precision", "Mean of the classes' precision.", _PANDALM),
    _classes("macro_recall", "Mean of the classes' recall.", _PANDALM),
    _classes("cohen_kappa", "Agreement of classes beyond chance.", "Cohen 1960", low=-1.0),
    _positives("precision", "Of the rows that the model calls class 1, the share that people do.", _AGENTS),
    _positives("recall", "Of the rows that people call class 1, the share that the model does.", _AGENTS),
    _positives("f1", "Harmonic mean of precision and recall of class 1.", _AGENTS),
    _labels("threshold_accuracy", "Accuracy of rewards cut at the threshold that is best on the fit split.", _OURS,
            ties="one class", worst_case=True),
    _labels("threshold_macro_f1", "Macro F1 of rewards cut at the threshold that is best on the fit split.",
            "AttributionBench (arXiv:2402.15089)", ties="one class", worst_case=True),
    _labels("auc", "How often a good item is above a bad one, all items pooled.", "Mann and Whitney 1947",
            needs=_PAIRS_OR_LABELS | _RATINGS, ties="half right", skips_unscored=True),
    _labels("probe", "Accuracy of a linear probe of hidden states that is fitted on the fit split.",
            "MRMBench (arXiv:2511.12464)", ties="no comparison", equal_rows=True, worst_case=True),

    _likelihood("ranking_accuracy", "Share of pairs whose preferred answer is more likely under the policy."),
    _likelihood("idealised_ranking_accuracy", "Ranking accuracy of the policy that solves the DPO objective exactly."),
    _likelihood("alignment_gap", "Idealised less actual ranking accuracy.", better="lower", low=-1.0),
    _likelihood("answer_tokens", "Mean number of tokens of the compared answers.", better="neither", high=None,
                ties="no comparison"),

    Rule("mean_of", "Plain mean of the metrics that `of` names.", _OURS, "others", _NOTHING, low=None, high=None,
         ties="as in its metrics", worst_case=True),
    Rule("mean_score", "Mean of the model's own scores.", "HPSv2 (arXiv:2306.09341), evaluation.py", "others", _NOTHING,
         low=None, high=None, ties="no comparison", skips_unscored=True, numbers=True),
    Rule("chunk_deviation", "Deviation of the mean scores of `k` equal runs of the rows in their order; no interval.",
         "HPSv2 (arXiv:2306.09341), evaluation.py", "others", _NOTHING, low=0.0, high=None, better="neither",
         ties="no comparison", skips_unscored=True, numbers=True),
)
# fmt: on
RULES: Mapping[str, Rule] = MappingProxyType({rule.name: rule for rule in _TABLE})
"""Every rule by name."""


def of_kind(kind: Kind) -> tuple[str, ...]:
    """The names of the rules of one kind."""
    return tuple(rule.name for rule in _TABLE if rule.kind == kind)


def rule_of(spec: MetricSpec) -> Rule:
    """The rule of a metric. Raises RmbenchError where there is none of its name."""
    if spec.rule not in RULES:
        raise RmbenchError(f'metric "{spec.name}": unknown rule "{spec.rule}".{did_you_mean(spec.rule, RULES)}')
    return RULES[spec.rule]


def is_linear(spec: MetricSpec) -> bool:
    """Whether the metric is a mean of rows, so that each row has a credit; any other is a figure of all together."""
    return rule_of(spec).linear


def better_of(spec: MetricSpec) -> Better:
    """The direction of the metric; a mean of metrics has that of its parts, which it carries."""
    of = {rule_of(part).better for part in spec.parts or (spec,)}
    return of.pop() if len(of) == 1 else "higher"

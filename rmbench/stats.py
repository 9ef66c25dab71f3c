"""Statistics of paired evaluations, as rmbench itself uses them: `docs/statistics.md` says when, by which formula and
after whom.

    >>> import rmbench
    >>> exact, midp = rmbench.stats.mcnemar(25, 10)
    >>> round(midp, 4)
    0.0113
"""

from __future__ import annotations

from rmbench.metrics.classes.confusion import cohen_kappa, confusion_matrix
from rmbench.metrics.correlation.coefficients import (
    PairCounts,
    bootstrap_correlation,
    correlation,
    gamma,
    kendall_a,
    pair_counts,
    pairwise_accuracy,
    somers_d,
)
from rmbench.metrics.credit.listwise import best_of_n, ndcg, recall_at
from rmbench.metrics.noise import inverse_propensity_mean, noise_corrected, unbiased_implicit_loss
from rmbench.metrics.paired.comparison import Comparison, ComparisonContext, compare_rows
from rmbench.metrics.paired.non_inferiority import NonInferiority, non_inferiority
from rmbench.metrics.unbiased import unbiased_dcg, unbiased_map, unbiased_recall
from rmbench.metrics.uncertainty.discordance import (
    holm,
    mcnemar,
    mcnemar_worse,
    minimum_detectable_effect,
    n_for_non_inferiority,
    newcombe_limits,
    tango_limits,
    tango_z,
)
from rmbench.metrics.uncertainty.interval import cr1, wilson
from rmbench.metrics.uncertainty.sign_flip import sign_flip
from rmbench.models.judges.captions import CaptionFacts, DCScore, caption_f1, dc_score

__all__ = [
    "CaptionFacts",
    "Comparison",
    "ComparisonContext",
    "DCScore",
    "NonInferiority",
    "PairCounts",
    "best_of_n",
    "bootstrap_correlation",
    "caption_f1",
    "cohen_kappa",
    "compare_rows",
    "confusion_matrix",
    "correlation",
    "cr1",
    "dc_score",
    "gamma",
    "holm",
    "inverse_propensity_mean",
    "kendall_a",
    "mcnemar",
    "mcnemar_worse",
    "minimum_detectable_effect",
    "n_for_non_inferiority",
    "ndcg",
    "newcombe_limits",
    "noise_corrected",
    "non_inferiority",
    "pair_counts",
    "pairwise_accuracy",
    "recall_at",
    "sign_flip",
    "somers_d",
    "tango_limits",
    "tango_z",
    "unbiased_dcg",
    "unbiased_implicit_loss",
    "unbiased_map",
    "unbiased_recall",
    "wilson",
]

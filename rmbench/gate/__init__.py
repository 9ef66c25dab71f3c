"""Baseline against candidate: `compare` reports the differences of two models, `gate` decides pass, regression,
inconclusive or broken.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rmbench.gate.comparison import Compared
    from rmbench.gate.outcomes import GateResult

__all__ = ["compare", "gate"]


def compare(a: Path | str, b: Path | str, *, seed: int = 0) -> Compared:
    """Compare two models' records: for every task the headline metric, B minus A, on the same rows.

    Args:
        a: a model's folder of records, or one task's.
        b: the same for the other model.
        seed: of resampled intervals and tests.

    Returns:
        One entry per task on either side, with `.render()`, `.to_dict()` and `.to_markdown()`. Records that answer
        different questions (another task version, other data, another metric) are refused by name in their entry.

    Raises:
        RmbenchError: no records in a folder, records of several models, or no task on both sides.
    """
    from rmbench.gate.comparison import compare as compare_folders

    return compare_folders(a, b, seed=seed)


def gate(
    baseline: Path | str,
    candidate: Path | str,
    *,
    margin_points: float = 1.0,
    alpha: float = 0.05,
    min_discordant_clusters: int = 8,
    min_coverage: float = 1.0,
    inconclusive: Literal["fail", "pass"] = "fail",
    seed: int = 0,
) -> GateResult:
    """Decide for every task of the baseline whether the candidate got worse.

    Args:
        baseline: a model's folder of records, or one task's.
        candidate: the same for the new model or checkpoint.
        margin_points: the loss that is tolerated, in percentage points.
        alpha: one-sided error rate.
        min_discordant_clusters: clusters with a row on which the models differ, under which no regression is declared;
            see `decide`.
        min_coverage: rows not failed / rows judged, under which a task is broken.
        inconclusive: whether an inconclusive gate ends with exit code 2 ("fail") or 0 ("pass").
        seed: of resampled intervals.

    Returns:
        An outcome per task of the baseline, with `.verdict` (the worst outcome), `.exit_code` (0 pass, 1 regression,
        2 inconclusive, 3 broken), `.render()`, `.to_dict()` and `.to_markdown()`. A task that the candidate lacks, or
        whose records must not be compared, is broken. Regressions are corrected over the tasks by Holm.

    Raises:
        GateError: bad settings, no records in a folder, or records of several models in one; its exit code is 3.
    """
    from rmbench.gate.outcomes import gate_folders
    from rmbench.gate.policy import Policy

    policy = Policy(margin_points, alpha, min_discordant_clusters, min_coverage, inconclusive, seed)
    return gate_folders(Path(baseline), Path(candidate), policy)

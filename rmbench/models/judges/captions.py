"""DCScore: a detailed caption by its facts, each judged to be true or not and matched to those of people (DeCapBench,
arXiv:2503.07906, `eval/compute_results.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["CaptionFacts", "DCScore", "caption_f1", "dc_score"]

_EPSILON = 1e-8
"""Upstream's, in the denominator of F1."""


@dataclass(frozen=True, slots=True)
class CaptionFacts:
    """A caption split into facts, as a judge found them."""

    verified: Sequence[bool]
    """Of each fact, whether the image shows it."""
    matched: Sequence[int | None]
    """Of each fact, the oracle fact that it says, or None."""
    relevant: Sequence[bool]
    """Of each fact, whether it is about what the image shows."""
    oracle: int
    """How many facts people named."""

    def __post_init__(self) -> None:
        """Raises ValueError where the three differ in length, or an oracle fact is none."""
        if not len(self.verified) == len(self.matched) == len(self.relevant):
            sizes = f"{len(self.verified)}, {len(self.matched)} and {len(self.relevant)}"
            raise ValueError(f"verified, matched and relevant have {sizes} facts, expected as many of each")
        if self.oracle < 1:
            raise ValueError(f"oracle: expected 1 or more facts, not {self.oracle}")
        for fact in self.matched:
            if fact is not None and not 0 <= fact < self.oracle:
                raise ValueError(f"matched: expected oracle facts from 0 to {self.oracle - 1}, or None, not {fact}")


@dataclass(frozen=True, slots=True)
class DCScore:
    """The score of a set of captions."""

    score: float | None
    """100 x the mean over valid captions of (F1 + F1 of relevant facts) / 2; None where no caption is valid."""
    valid: int
    invalid: int
    """Captions without a relevant fact, which are left out, as upstream does."""


def caption_f1(facts: CaptionFacts, *, relevant: bool = False) -> tuple[float, float, float]:
    """(precision, recall, F1) of one caption's facts, or of its relevant ones.

    Precision is the share of verified facts. In recall, facts that say one oracle fact share it: a verified fact counts
    1 / (facts matched to the same oracle fact), all facts among them, relevant or not, as upstream has it; a verified
    fact that no oracle fact says counts 1, and widens the whole by 1.

    Raises:
        ValueError: there is no such fact.
    """
    chosen = [place for place, counts in enumerate(facts.relevant) if counts or not relevant]
    if not chosen:
        raise ValueError("the caption has no relevant fact" if relevant else "the caption has no fact")
    sharing = Counter(facts.matched)
    true = [place for place in chosen if facts.verified[place]]
    beyond = sum(facts.matched[place] is None for place in true)
    found = beyond + sum(1 / sharing[facts.matched[place]] for place in true if facts.matched[place] is not None)
    precision, recall = len(true) / len(chosen), found / (facts.oracle + beyond)
    return precision, recall, 2 * precision * recall / (precision + recall + _EPSILON)


def dc_score(captions: Iterable[CaptionFacts]) -> DCScore:
    """DCScore of captions; one without a relevant fact is invalid.

    >>> facts = CaptionFacts([1, 1, 0, 1, 1], [0, 0, 2, None, 1], [1, 1, 1, 0, 1], oracle=4)
    >>> round(dc_score([facts]).score, 5)
    64.28571
    """
    worth, invalid = [], 0
    for facts in captions:
        if any(facts.relevant):
            worth.append((caption_f1(facts)[2] + caption_f1(facts, relevant=True)[2]) / 2)
        else:
            invalid += 1
    return DCScore(100 * sum(worth) / len(worth) if worth else None, len(worth), invalid)

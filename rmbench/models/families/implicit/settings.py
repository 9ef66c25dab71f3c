"""The settings of an implicit reward."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rmbench.errors import RmbenchError
from rmbench.models.families.implicit.formulas import FREE, RATIOS, WITH_REFERENCE, Divergence, Fusion, Rule, Score

__all__ = ["ImplicitSettings"]

Scope = Literal["answer", "joint"]
_SUMS = (*RATIOS, "logp", "cpo")
"""Scores that are a sum over tokens, so that each token can have a weight."""


class ImplicitSettings(BaseModel):
    """Settings of `--adapter implicit`, by a card's [settings] or --model-args."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: Score | None = None
    """The formula, see `formulas`. None: "dpo" with a reference, "avg" without one, as RewardBench's script has it."""
    beta: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """None: 2.0 for "simpo", 0.1 for all others."""
    gamma: float = Field(default=0.0, allow_inf_nan=False)
    """Target margin in training. It is kept in the record and moves no reward: it shifts every margin alike."""
    divergence: Divergence = "reverse_kl"
    """f-divergence of "dpo"."""
    alpha: float = Field(default=0.5, allow_inf_nan=False)
    """Of divergence "alpha"; 1 would be "reverse_kl"."""
    average: bool = False
    """Divide the log-ratio by the number of tokens (length-normalised DPO; TRL's IPO)."""
    eos: bool = True
    """Whether the token that closes the answer counts, where the template writes one."""
    scope: Scope = "answer"
    """"joint": the prompt's tokens count as well as the answer's, so that answers to different prompts can be compared
    (DOVE, arXiv 2404.00530)."""
    kl: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """KL of "kto_value" in nats."""
    delta: float = Field(default=0.0, allow_inf_nan=False)
    """Shift of "bco_value"."""
    token_mask: str | None = None
    """A JSONL file of token weights, see `masks`."""
    ref_model: str | None = None
    """A card's reference, as `--ref-model` takes it; the user's word goes before it."""
    fusion: Fusion = "mean"
    """How several references become one."""
    ref_weights: tuple[float, ...] | None = None
    """One weight per reference, for fusion "mean": a list, or numbers joined by ":"."""

    @field_validator("ref_weights", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return value.split(":") if isinstance(value, str) else value

    def rule(self, referenced: bool) -> Rule:
        """The formula, checked; `referenced` says whether there is a reference.

        Raises:
            RmbenchError: settings that contradict one another, or a score without the reference it needs.
        """
        score: Score = self.score or ("dpo" if referenced else "avg")
        if score in WITH_REFERENCE and not referenced:
            raise RmbenchError(
                f"score={score} needs a reference: pass --ref-model. Scores without one: {', '.join(FREE)}."
            )
        self._check_form(score)
        beta = self.beta or (2.0 if score == "simpo" else 0.1)
        return Rule(score, beta, self.average, self.divergence, self.alpha, self.kl, self.delta)

    def _check_form(self, score: Score) -> None:
        if self.average and (score not in RATIOS or self.divergence != "reverse_kl"):
            raise RmbenchError(
                f"average=true goes with score={'|'.join(RATIOS)} and divergence=reverse_kl, not with score={score} "
                f"and divergence={self.divergence}. Averages without a reference: avg, simpo."
            )
        if self.divergence != "reverse_kl" and score != "dpo":
            raise RmbenchError(f"divergence={self.divergence} goes with score=dpo, not with score={score}.")
        if self.divergence == "alpha" and self.alpha == 1:
            raise RmbenchError("divergence=alpha with alpha=1 is divergence=reverse_kl; pass that, or another alpha.")
        if self.token_mask and self.scope == "joint":
            raise RmbenchError(
                "token_mask has a weight for each token of the answer, and scope=joint counts others too."
            )
        if self.token_mask and (score not in _SUMS or self.average or self.divergence != "reverse_kl"):
            raise RmbenchError(
                f"token_mask weights the terms of a sum: it goes with score={'|'.join(_SUMS)} without average and with "
                f"divergence=reverse_kl, not with score={score}."
            )

    def check_references(self, count: int) -> None:
        """Raise RmbenchError where the weights are not those of `count` references."""
        weights = self.ref_weights
        if weights is None:
            return
        if self.fusion == "max":
            raise RmbenchError("ref_weights goes with fusion=mean; fusion=max takes one reference per answer.")
        if len(weights) != count or min(weights) < 0 or not sum(weights) > 0:
            raise RmbenchError(
                f"ref_weights={':'.join(map(str, weights))} must be {count} numbers of at least 0, one per reference, "
                "that do not sum to 0."
            )

    def facts(self, rule: Rule, references: int) -> dict[str, str | float | bool | None]:
        """What the record keeps of them: only what the formula reads, and gamma where it is not 0."""
        found: dict[str, str | float | bool | None] = {"score": rule.score}
        if rule.score in (*WITH_REFERENCE, "simpo", "cpo"):
            found["beta"] = rule.beta
        if rule.score in RATIOS:
            found["average"] = rule.average
        if rule.score == "dpo":
            found["divergence"] = rule.divergence
        own = {"kto_value": {"kl": rule.kl}, "bco_value": {"delta": rule.delta}}
        found |= own.get(rule.score, {})
        found |= {"alpha": rule.alpha} if rule.divergence == "alpha" else {}
        found |= {"gamma": self.gamma} if self.gamma else {}
        if references > 1:
            found["fusion"] = self.fusion
            weights = self.ref_weights or (1.0,) * references
            found |= {"ref_weights": ":".join(map(str, weights))} if self.fusion == "mean" else {}
        found |= {"scope": self.scope} if self.scope != "answer" else {}
        return found | {"eos": self.eos}

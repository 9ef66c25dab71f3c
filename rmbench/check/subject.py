"""The model under check, with what several checks share: its judgments of the probes, and the tolerance."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rmbench.engine.compute import reason
from rmbench.engine.judge import EngineOptions, judge
from rmbench.engine.requests import requests_of
from rmbench.errors import RmbenchError, panics_as_errors
from rmbench.models.introspect import modules_of, text_of, tokenizer_of
from rmbench.models.protocols import Encoded, ModelFacts, Request, Responder, Scorer
from rmbench.models.text.tokens import TextEncoder
from rmbench.types import Example, Judgment

__all__ = ["RAISED", "Subject", "largest_change", "numbers"]

RAISED = "raised"
"""Remark of a row whose encoding raised an exception; a row that is refused with a reason has none."""

Numbers = npt.NDArray[np.float64]

_TOGETHER = 1 << 13
"""Tokens of a batch: nearly all probes of most models at once, so that a batch mixes short and long rows."""

_ROUNDING = {"bfloat16": (0.1, 2**-7), "float16": (0.02, 2**-10)}
"""dtype -> shares of the typical difference between two scores, and of the largest score, that rounding explains."""
_FLOAT32 = (1e-3, 1e-6)


@dataclass
class Subject:
    """An opened model and its probes."""

    model: Scorer | Responder
    examples: Sequence[Example]
    reopen: Callable[[str], Scorer | Responder] | None = None
    """Opens the checkpoint again on the CPU in a dtype; None: the model was passed as an object, or has no weights."""
    published: Sequence[dict[str, Any]] = ()
    """Rows of published scores, of whatever models."""
    published_from: Path | None = None
    """The file they were read from."""
    names: frozenset[str] = frozenset()
    """Other names of the model, such as the hub id of its card."""
    printed: int = 0
    """Scores that its card states."""

    @property
    def facts(self) -> ModelFacts:
        """The model's own."""
        return self.model.facts

    @property
    def scorer(self) -> Scorer | None:
        """The model where the engine forms its batches; None where it answers whole rows."""
        return self.model if isinstance(self.model, Scorer) else None

    @cached_property
    def text(self) -> TextEncoder | None:
        """The model's text encoder, if it can be found."""
        return text_of(self.model)

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, if it can be found."""
        return tokenizer_of(self.model)

    @property
    def limit(self) -> int | None:
        """The most tokens of a row, as the model declares."""
        declared = self.facts.settings.get("max_length")
        return declared if isinstance(declared, int) else None

    @cached_property
    def modules(self) -> list[Any]:
        """The model's torch modules."""
        return modules_of(self.model)

    @cached_property
    def judgments(self) -> tuple[Judgment, ...]:
        """The judgments of the probes, all rows in one batch."""
        return self.ask(self.examples)

    @cached_property
    def requests(self) -> list[Request]:
        """The requests for the probes, in their order; K per example, or K(K - 1) for a model that reads pairs."""
        in_pairs = self.scorer is not None and "pair" in self.scorer.answers
        return requests_of(self.examples, "chat", in_pairs=in_pairs)[0]

    @cached_property
    def encoded(self) -> list[Encoded]:
        """The encoded probes; none for a model that answers whole rows."""
        if self.scorer is None:
            return []
        try:
            with panics_as_errors():
                return list(self.scorer.encode(self.requests))
        except RmbenchError:
            raise
        except Exception:  # a row that cannot be read must not take the others with it
            return [_read(self.scorer, request) for request in self.requests]

    @cached_property
    def rows(self) -> list[tuple[Example, Judgment, list[Encoded]]]:
        """Every probe with its judgment and its rows."""
        encoded = iter(self.encoded)
        in_pairs = self.scorer is not None and "pair" in self.scorer.answers
        rows = []
        for example, judgment in zip(self.examples, self.judgments, strict=True):
            k = len(example.candidates)
            rows.append((example, judgment, list(itertools.islice(encoded, k * (k - 1) if in_pairs else k))))
        return rows

    def ask(
        self, examples: Sequence[Example], model: Scorer | Responder | None = None, **engine: Any
    ) -> tuple[Judgment, ...]:
        """Judgments of examples, computed anew from padded rows, which a model that depends on the rows beside them is
        not spared; `engine` are fields of EngineOptions."""
        options = EngineOptions(**{"batch_tokens": _TOGETHER, "share": False, "try_batches": False, **engine})
        return tuple(map(_by_margins, judge("check", examples, model or self.model, options=options).judgments))

    def scores(self, judgments: Sequence[Judgment] | None = None) -> Numbers:
        """All numbers of the scored probes, concatenated: rewards, or margins of different candidates."""
        parts = [numbers(one) for one in (self.judgments if judgments is None else judgments)]
        return np.concatenate(parts) if parts else np.zeros(0)

    @cached_property
    def tolerance(self) -> float:
        """The difference allowed between two computations of one score, in the model's own units."""
        share, of_largest = _ROUNDING.get(str(self.facts.settings.get("dtype")), _FLOAT32)
        scores = self.scores()
        scores = scores[np.isfinite(scores)]
        if not len(scores):
            return 0.0
        typical = float(np.median([abs(a - b) for a, b in itertools.combinations(scores.tolist(), 2)] or [0.0]))
        return max(share * typical, of_largest * float(np.abs(scores).max()))


def _by_margins(judgment: Judgment) -> Judgment:
    """A judge's verdicts of option probabilities as the margins that they come from, which show small differences."""
    margins = judgment.parts.get("margins")
    if margins is None:
        return judgment
    return replace(judgment, directed=margins, parts={}, verdicts=(), status="ok", error="")


def _read(scorer: Scorer, request: Request) -> Encoded:
    try:
        with panics_as_errors():
            return scorer.encode([request])[0]
    except Exception as error:
        return Encoded(key="", size=0, error=reason(error), remarks=(RAISED,))


def numbers(judgment: Judgment) -> Numbers:
    """[N] rewards, or the margins [K(K - 1)] of different candidates; empty where the row failed or has neither."""
    if judgment.status != "ok":
        return np.zeros(0)
    if judgment.rewards is not None:
        return np.asarray(judgment.rewards, dtype=np.float64)
    if judgment.directed is not None:
        margins = np.asarray(judgment.directed, dtype=np.float64)
        return margins[~np.eye(len(margins), dtype=bool)]
    return np.zeros(0)


def largest_change(first: Sequence[Judgment], second: Sequence[Judgment]) -> tuple[float, str]:
    """The largest difference between two rounds of judgments and its probe; infinite where a probe is scored in only
    one of the two."""
    worst, where = 0.0, ""
    for a, b in zip(first, second, strict=True):
        before, after = numbers(a), numbers(b)
        if before.shape != after.shape:
            return float("inf"), a.id
        change = float(np.abs(before - after).max()) if len(before) else 0.0
        if change > worst:
            worst, where = change, a.id
    return worst, where

"""The tiny checkpoints of tests/models, and adapters around an opened model that do one thing wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.check import check
from rmbench.check.report import CheckReport, CheckResult
from rmbench.models.open import open_model
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request
from tests.models.conftest import _one_thread, llama, tiny
from tests.models.families.gpm.conftest import save_gpm
from tests.models.families.implicit.conftest import policy

__all__ = ["_one_thread", "llama", "policy", "save_gpm", "tiny"]

Forward = Callable[[Any, Batch], Mapping[str, FloatArray]]


@dataclass(frozen=True)
class Adapter:
    """An opened stock decoder behind a forward and an encode of the test's own."""

    inner: Any
    forwards: Forward
    encodes: Callable[[Sequence[Encoded]], Sequence[Encoded]] = list
    pad_id: int = 1
    answers: frozenset[Answer] = frozenset({"reward"})

    @property
    def facts(self) -> ModelFacts:
        return replace(self.inner.facts, fingerprint="")

    def encode(self, requests: Sequence[Request]) -> list[Encoded]:
        return list(self.encodes(self.inner.encode(requests)))

    def forward(self, batch: Batch) -> Mapping[str, FloatArray]:
        with torch.inference_mode():
            return self.forwards(self.inner, batch)

    def combine(self, outputs: Sequence[Mapping[str, FloatArray]]) -> Any:
        return None


def states(inner: Any, batch: Batch, mask: Any = None) -> torch.Tensor:
    """[B, T, H] of the backbone, by the library's own position ids where the padding is on the right."""
    attended = torch.from_numpy(batch.mask) if mask is None else mask
    hidden: torch.Tensor = inner.model.model(
        input_ids=torch.from_numpy(batch.ids), attention_mask=attended, use_cache=False
    ).last_hidden_state
    return hidden


def scored(inner: Any, hidden: torch.Tensor, columns: Any) -> dict[str, FloatArray]:
    """The head at one column of each row."""
    at = hidden[torch.arange(len(hidden)), torch.as_tensor(columns)]
    return {"reward": np.asarray(inner.model.score(at).float())}


@pytest.fixture(scope="session")
def opened(llama: Path) -> Any:
    """The stock decoder that the adapters stand around."""
    return open_model(str(llama))


@pytest.fixture(scope="session")
def checked() -> Callable[..., CheckReport]:
    """A report that is written nowhere."""
    return lambda model, **options: check(model, write=False, **options)


def by_name(report: CheckReport) -> dict[str, CheckResult]:
    """Check -> its result."""
    return {one.name: one for one in report.checks}


@pytest.fixture(scope="session")
def lines() -> Callable[[CheckReport], dict[str, CheckResult]]:
    """See `by_name`."""
    return by_name


@pytest.fixture(scope="session")
def build() -> Any:
    """What broken adapters are made of."""
    return SimpleNamespace(Adapter=Adapter, states=states, scored=scored)

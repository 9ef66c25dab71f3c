"""The tiny checkpoints of tests/models, and adapters around an opened model that do one thing wrong."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rmbench.check import check
from rmbench.check.report import CheckReport, CheckResult
from rmbench.models.open import open_model
from rmbench.models.protocols import Answer, Batch, Encoded, FloatArray, ModelFacts, Request

MODELS = Path(__file__).resolve().parents[1] / "models"


@cache
def module(file: str) -> ModuleType:
    """A file of tests/models, whose fixtures and builders are those of its own tests."""
    name = "built_for_check_" + file.replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, MODELS / f"{file}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found  # dataclasses look their module up
    spec.loader.exec_module(found)
    return found


tiny = module("conftest").tiny
llama = module("conftest").llama
_one_thread = module("conftest")._one_thread
save_gpm = module("families/gpm/conftest").save_gpm
policy = module("families/implicit/conftest").policy

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
def builders() -> Callable[[str], ModuleType]:
    """See `module`."""
    return module


@pytest.fixture(scope="session")
def build() -> Any:
    """What broken adapters are made of."""
    return SimpleNamespace(Adapter=Adapter, states=states, scored=scored)

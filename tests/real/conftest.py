"""Real models: the folder that RMBENCH_REAL names, and two reward models that TRL trains from one of them."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators

declare_missing_operators()
NEEDS_MODELS = "need real models: RMBENCH_REAL names the folder that examples/make_real_models.py makes"
STEPS = 3 if "RMBENCH_REAL_ROWS" in os.environ else 12
"""Of two pairs each; twelve take about a minute on two cores."""


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder with smollm2, smollm2.gguf and minilm."""
    folder = os.environ.get("RMBENCH_REAL")
    if not folder:
        pytest.skip(NEEDS_MODELS)
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def reward_model(real: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A reward model by TRL, saved by TRL: "full" as a folder of all weights, "lora" as an adapter. Each is trained
    once, as in examples/train_real_models.py, on pairs of a task that no test here judges."""
    made: dict[str, Path] = {}

    def folder_of(kind: str) -> Path:
        if kind not in made:
            out = tmp_path_factory.mktemp("trl") / f"smollm2-rm-{kind}"
            made[kind] = trainer().train(real / "smollm2", data, out, kind, steps=STEPS, pairs=2)
        return made[kind]

    return folder_of


def trainer() -> Any:
    """The example, a script beside the package."""
    path = Path(__file__).resolve().parents[2] / "examples/train_real_models.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

"""A model that is open in workers alone: the same answers and errors, and none of its weights here."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rmbench.engine.apart import pickled_apart
from rmbench.engine.fleet_processes import ProcessFleet
from rmbench.engine.judge import EngineOptions, judge
from rmbench.engine.pool import Pool
from rmbench.evaluation.workers import apart
from rmbench.models.abilities import LengthSwitching
from rmbench.models.locate import locate
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import EncodingScorer, SharingScorer
from tests._make import make_example


@pytest.fixture(scope="module")
def whole() -> Any:
    return open_model("tiny-bt")


def test_it_is_the_model_without_its_weights(whole: Any) -> None:
    packed = pickled_apart(whole)
    assert packed is not None
    model: Any = pickle.loads(packed)
    hidden = model.with_hidden().answers
    assert isinstance(model, EncodingScorer)
    assert isinstance(model, SharingScorer)
    assert isinstance(model, LengthSwitching)
    for name in ("facts", "answers", "pad_id", "threads", "chunk_tokens", "length_switches"):
        assert getattr(model, name) == getattr(whole, name)
    assert hidden == whole.with_hidden().answers
    assert not any(type(value).__module__.startswith("torch") for value in vars(model).values())


def test_models_that_need_more_of_theirs_are_not_apart(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pickled_apart(open_model("fake:oracle")) is None
    assert pickled_apart(open_model("baseline:length")) is None
    monkeypatch.setattr(type(whole), "encoder", property(lambda self: lambda: None))
    assert pickled_apart(whole) is None  # an encoder that cannot be sent


def test_trials_are_those_of_a_worker(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from rmbench.models.backbone.backbone import Backbone

    rows = [
        make_example(f"e{n}", f"a question {n // 3}, the same beginning", f"{n} answer", "other") for n in range(30)
    ]
    # A worker computes its batches one after another, each with all of its cores; in how many threads a product is
    # computed changes its last bit on some processors.
    monkeypatch.setattr(Backbone, "threads", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    alone = judge("t", rows, whole)
    torch.set_num_threads(threads)
    opener = partial(open_model, "tiny-bt")
    with Pool(ProcessFleet(opener, 1), 1, note=print) as pool:
        model = apart(pool)
        assert model is not None
        judging = judge("t", rows, model, executor=pool)
        padded = judge("t", rows, model, executor=pool, options=EngineOptions(share=False))
        sharing = model.sharing(())
    assert judging.judgments == alone.judgments
    assert judging.sharing == alone.sharing == "shared"
    assert padded.sharing == "padded"
    assert sharing.shares
    assert sharing.why.startswith("lean: shared and plain states agree")


PROGRAM = """
import json, pathlib, re, sys
from functools import partial
from rmbench.engine.fleet_processes import ProcessFleet
from rmbench.engine.pool import Pool
from rmbench.evaluation.workers import apart
from rmbench.models.open import open_model
def peak():
    return int(re.search("VmHWM: *([0-9]+)", pathlib.Path("/proc/self/status").read_text().expandtabs(1))[1]) / 1024
open_model("tiny-bt")
peaks = [peak()]
with Pool(ProcessFleet(partial(open_model, sys.argv[1]), 1), 1, note=print) as pool:
    assert apart(pool).facts.parameters > 10_000_000
peaks.append(peak())
open_model(sys.argv[1])
print(json.dumps([*peaks, peak()]))
"""
"""Peak memory in MiB: once all is imported, with the model in a worker, and with the model here."""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from /proc")
def test_this_process_stays_smaller_than_the_model(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForSequenceClassification

    found = locate("tiny-bt", OpenOptions())
    assert found is not None
    folder = tmp_path / "model"
    shutil.copytree(found.folder, folder)
    config = LlamaConfig.from_pretrained(
        folder, hidden_size=1024, intermediate_size=4096, num_hidden_layers=1, head_dim=64
    )
    config.save_pretrained(folder)
    with torch.device("meta"):
        model = LlamaForSequenceClassification(config)
    weights = {name: torch.full(each.shape, 0.01) for name, each in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    size = sum(each.numel() * 4 for each in weights.values()) / 2**20
    assert size > 60
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, apart, whole = json.loads(done.stdout.splitlines()[-1])
    assert apart - before < size / 4, (before, apart, whole)
    assert whole - before > 0.75 * size, (before, apart, whole)

"""Options of workers: what each gets, and what the record says."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rmbench
from rmbench.engine.fleet import Opened
from rmbench.engine.fleet_processes import ProcessFleet
from rmbench.errors import RmbenchError
from rmbench.evaluation.options import RunOptions
from rmbench.evaluation.workers import gpus_of_workers, open_workers, visible_gpus, worker_facts
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import ModelFacts


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_gpus_are_whole_and_shared_only_where_there_are_too_few(present: int, workers: int, each: int) -> None:
    names = [f"GPU-{n}" for n in range(present)]
    if each > present:
        with pytest.raises(RmbenchError, match=f"--gpus-per-worker {each}: this machine has {present} GPUs"):
            gpus_of_workers(names, workers, each)
        return
    given = [one.split(",") for one in gpus_of_workers(names, workers, each)]
    assert [len(set(one)) for one in given] == [each] * workers
    used = [name for one in given for name in one]
    assert set(used) <= set(names)
    if workers * each <= present:
        assert len(set(used)) == len(used)
    assert max(map(used.count, used)) - min(map(used.count, used)) <= 1


def test_gpus_are_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5,MIG-1")
    assert visible_gpus() == ["2", "5", "MIG-1"]
    assert gpus_of_workers(visible_gpus(), 4, 1) == ["2", "5", "MIG-1", "2"]


class ReportGpus:
    """Opens nothing; says what its process sees, as a fingerprint."""

    def __call__(self) -> Any:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
        return SimpleNamespace(facts=ModelFacts("toy", "0", "scalar", fingerprint=seen))


@pytest.mark.parametrize(
    ("device", "on", "options", "expected"),
    [
        ("auto", "cuda (NVIDIA H200)", {}, {"4", "6"}),
        ("auto", "cuda (NVIDIA H200)", {"gpus_per_worker": 0}, {"4,6"}),
        ("cuda:1", "cuda (NVIDIA H200)", {}, {"4,6"}),
        ("auto", "cpu", {}, {"4,6"}),
    ],
)
def test_each_process_sees_its_own_gpu(
    monkeypatch: pytest.MonkeyPatch, device: str, on: str, options: dict[str, int], expected: set[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    facts = ModelFacts("toy", "0", "scalar", settings={"device": on})
    settings = RunOptions(device=device, workers=2, **options)  # type: ignore[arg-type]
    with open_workers(settings, ReportGpus(), facts, print) as pool:
        fleet: Any = pool._fleet
        assert isinstance(fleet, ProcessFleet)
        events: list[Any] = []
        while len(events) < 2:
            events += [event for _, event in fleet.wait(10) if isinstance(event, Opened)]
    assert {event.fingerprint for event in events} == expected


def test_too_few_gpus_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    facts, notes = ModelFacts("toy", "0", "scalar", settings={"device": "cuda"}), list[str]()
    open_workers(RunOptions(workers=3), ReportGpus(), facts, notes.append)
    assert notes == ["3 workers of 1 GPUs each share the 2 GPUs of this machine"]


def test_the_record_says_how_the_work_was_spread(tmp_path: Path) -> None:
    assert worker_facts(RunOptions()) == {}
    given = RunOptions(workers=4, executor="ray", gpus_per_worker=2)
    assert worker_facts(given) == {"executor": "ray", "workers": 4, "gpus_per_worker": 2}
    (record,) = rmbench.run("tiny-bt", "llmbar", source="sample", out=tmp_path, workers=2).records
    assert record.run.engine["executor"] == "processes"
    assert record.run.engine["workers"] == 2
    (alone,) = rmbench.run("tiny-bt", "llmbar", source="sample", out=tmp_path / "a").records
    assert record.model == alone.model
    assert record.judgments.sha256 == alone.judgments.sha256
    assert record.run.engine == {**alone.run.engine, "executor": "processes", "workers": 2}


def test_one_process_over_several_gpus_is_in_the_record_too() -> None:
    assert worker_facts(RunOptions(gpus_per_worker=4)) == {"gpus_per_worker": 4}
    assert worker_facts(RunOptions(gpus_per_worker=1)) == {}


def test_a_model_is_spread_over_the_gpus_of_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from rmbench.models.checkpoint.placement import Placement, spread_over

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (100 + number, 200))
    gpu, cpu = (Placement(torch.device(name), torch.bfloat16, None) for name in ("cuda", "cpu"))
    assert spread_over(gpu, OpenOptions()) == spread_over(gpu, OpenOptions(gpus_per_worker=1)) == {}
    assert spread_over(cpu, OpenOptions()) == spread_over(cpu, OpenOptions(gpus_per_worker=0)) == {}
    for gpus in (1, 2):
        with pytest.raises(RmbenchError, match=f"--gpus-per-worker {gpus}: the model is on the device cpu, not on a"):
            spread_over(cpu, OpenOptions(gpus_per_worker=gpus))
    wanted = {"device_map": "auto", "max_memory": {0: 85, 1: 85, 2: 86}}
    assert spread_over(gpu, OpenOptions(gpus_per_worker=3)) == wanted
    with pytest.raises(RmbenchError, match="--gpus-per-worker 5: there are 4 GPUs"):
        spread_over(gpu, OpenOptions(gpus_per_worker=5))
    monkeypatch.setattr("rmbench.models.checkpoint.placement.find_spec", lambda name: None)
    with pytest.raises(RmbenchError, match="--gpus-per-worker 2 needs accelerate: pip install accelerate"):
        spread_over(gpu, OpenOptions(gpus_per_worker=2))

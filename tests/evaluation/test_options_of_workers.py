"""Options of workers with models that have nothing for them to compute: refused by name, before any process starts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import rmbench
from rmbench.cli import main
from rmbench.errors import RmbenchError
from rmbench.evaluation.options import RunOptions
from rmbench.evaluation.workers import check_computes, check_workers
from rmbench.models.baselines.surface import BASELINES
from rmbench.models.fakes import FAKES
from rmbench.models.protocols import ModelFacts

WORKERS: dict[str, dict[str, Any]] = {
    "--workers": {"workers": 4},
    "--tensor-parallel": {"tensor_parallel": 2},
    "--executor ray": {"executor": "ray"},
}
WEIGHTLESS = [
    *(f"baseline:{kind}" for kind in BASELINES),
    *(f"fake:{kind}" for kind in FAKES),
    "scores:FILE",
    "baseline:type_token",
]
ELSEWHERE = ["openai:org/judge", "vllm:org/judge", "served:org/name", "judge-file:x.jsonl", "judge_file:x.jsonl"]


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **options: Any) -> None:
        raise AssertionError(f"a process was started: {given}")

    monkeypatch.setattr(subprocess, "Popen", refuse)


@pytest.mark.parametrize("option", WORKERS)
@pytest.mark.parametrize("model", WEIGHTLESS)
def test_workers_of_a_model_without_weights(model: str, option: str) -> None:
    with pytest.raises(RmbenchError, match=f"^{option}: {model} has no weights, so workers would have nothing to"):
        check_workers(RunOptions(**WORKERS[option]), model)


@pytest.mark.parametrize("option", WORKERS)
@pytest.mark.parametrize("model", ELSEWHERE)
def test_workers_of_a_model_that_is_elsewhere(model: str, option: str) -> None:
    with pytest.raises(RmbenchError, match=f"^{option}: {model} is computed elsewhere; judges take --window"):
        check_workers(RunOptions(**WORKERS[option]), model)


@pytest.mark.parametrize("option", WORKERS)
def test_workers_of_an_ensemble_and_of_a_function(option: str) -> None:
    with pytest.raises(RmbenchError, match=f"^{option}: the members of an ensemble.* ensemble:FOLDER,FOLDER"):
        check_workers(RunOptions(**WORKERS[option]), "ensemble:tiny-bt,baseline:length")
    with pytest.raises(RmbenchError, match=f"^{option}: each worker opens the model itself"):
        check_workers(RunOptions(**WORKERS[option]), len)


@pytest.mark.parametrize("option", WORKERS)
def test_workers_of_a_checkpoint_that_answers_rows_itself(option: str) -> None:
    class Denoiser:
        facts = ModelFacts("sd", "1", "diffusion")

        def judge(self, task: str, example: Any) -> Any: ...

    with pytest.raises(RmbenchError, match=f"^{option}: sd \\(diffusion\\) answers rows one by one"):
        check_computes(RunOptions(**WORKERS[option]), Denoiser())
    check_computes(RunOptions(), Denoiser())


@pytest.mark.parametrize("model", [*WEIGHTLESS, *ELSEWHERE, "ensemble:baseline:length,fake:coin"])
@pytest.mark.parametrize("gpus", [0, 2])
def test_gpus_of_a_model_without_weights(tmp_path: Path, model: str, gpus: int) -> None:
    with pytest.raises(RmbenchError, match=r"^--gpus-per-worker: .* has no weights that are placed on GPUs here"):
        rmbench.run(model, "llmbar", source="sample", out=tmp_path, gpus_per_worker=gpus)
    assert not list(tmp_path.iterdir())


def test_gpus_of_a_function_and_of_a_machine_that_has_none(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=r"^--gpus-per-worker: a model that was opened already has no weights"):
        rmbench.run(lambda rows: [0.0] * len(rows), "llmbar", source="sample", out=tmp_path, gpus_per_worker=1)
    with pytest.raises(RmbenchError, match=r"--gpus-per-worker 1: the model is on the device cpu, not on a GPU"):
        rmbench.run("tiny-bt", "llmbar", source="sample", out=tmp_path, device="cpu", gpus_per_worker=1)
    assert not list(tmp_path.rglob("record.json"))


def test_an_ensemble_gives_gpus_to_the_members_that_have_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    from rmbench.evaluation import ensemble

    given: dict[str, int | None] = {}

    def opened(spec: str, options: Any) -> Any:
        given[spec] = options.gpus_per_worker
        facts = ModelFacts(spec, "1", "scalar")
        return SimpleNamespace(facts=facts)

    monkeypatch.setattr(ensemble, "open_model", opened)
    ensemble.open_ensemble("ensemble:tiny-bt,baseline:length", RunOptions(gpus_per_worker=2))
    assert given == {"tiny-bt": 2, "baseline:length": None}


def test_cores_of_workers_that_there_are_not(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=r"^--cpus-per-worker goes with --workers, --tensor-parallel or --executor"):
        rmbench.run("tiny-bt", "llmbar", source="sample", out=tmp_path, cpus_per_worker=2)


def test_options_that_say_what_is_so_anyway() -> None:
    for model in [*WEIGHTLESS, *ELSEWHERE, "ensemble:a,b", len, "tiny-bt"]:
        check_workers(RunOptions(workers=1, tensor_parallel=1, executor="processes"), model)
    for options in WORKERS.values():
        check_workers(RunOptions(**options), "tiny-bt")


def test_every_command_that_has_the_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A refusal is one line, exit code 2, and nothing is written."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"}) + "\n")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(b"")
    (tmp_path / "prompts.txt").write_text("a cat\n")
    before = sorted(tmp_path.rglob("*"))
    out = ["--out", str(tmp_path / "out")]
    scored = ["score", "--data", str(rows), "--out", str(tmp_path / "out.jsonl")]
    ranked = [
        "generators",
        f"{tmp_path}/{{generator}}/{{prompt}}.png",
        "--prompts",
        str(tmp_path / "prompts.txt"),
        *out,
    ]
    one = ["score", "-p", "p", "-r", "a", "-r", "b"]
    cases = [
        (["run", "--tasks", "llmbar", "--source", "sample", *out], "--workers 4"),
        (["run", "--tasks", "llmbar", "--source", "sample", *out], "--gpus-per-worker 1"),
        (scored, "--workers 4"),
        (scored, "--executor ray"),
        (scored, "--gpus-per-worker 1"),
        (one, "--gpus-per-worker 1"),
        (["check", *out], "--gpus-per-worker 1"),
        (["probe", "--tasks", "llmbar", "--source", "sample", *out], "--gpus-per-worker 1"),
        (ranked, "--workers 4"),
        (ranked, "--tensor-parallel 2"),
        (ranked, "--gpus-per-worker 1"),
    ]
    for command, option in cases:
        named = [command[0], "baseline:length"] if command[0] == "check" else [command[0], "--model", "baseline:length"]
        with pytest.raises(SystemExit) as ended:
            main([*named, *command[1:], *option.split()])
        said = capsys.readouterr()
        assert (ended.value.code, said.out) == (2, ""), (command, option, said)
        assert len(said.err.splitlines()) == 1, said.err
        assert option.split()[0] in said.err
        assert "baseline:length has no weights" in said.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("options", [*WORKERS.values(), {"cpus_per_worker": 2}, {"ray_address": "auto"}])
def test_calls_that_compute_in_this_process(tmp_path: Path, options: dict[str, Any]) -> None:
    from rmbench.evaluation.probe import probe
    from rmbench.evaluation.retrieval import retrieve

    (name,) = options
    with pytest.raises(RmbenchError, match=rf"^probe\(\) has no option '{name}': it computes in this process"):
        probe("tiny-bt", "llmbar", source="sample", out=tmp_path, **options)
    with pytest.raises(RmbenchError, match=rf"^retrieve\(\) has no option '{name}'"):
        retrieve("tiny-bt", "llmbar", source="sample", **options)

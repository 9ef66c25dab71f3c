"""Run real models on real rows, check them, and put the records into `results/`.

The models are those of `make_real_models.py`, and the two that `train_real_models.py` trains from one of them, which is
done first where it was not done yet. The reports of the checks (`check.json`) name local files and are left out of the
repository.

python examples/run_real_models.py MODELS --data FOLDER [--out results] [--only NAME ...]

MODELS is the folder that the first script made, FOLDER holds upstream's own files of the benchmarks. What is in results
already is kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import train_real_models

import rmbench
from rmbench.records.record import Record
from rmbench.records.store import folder_of, read, read_credits, read_rows, write

__all__ = ["RUNS", "main"]

BOTH = ("hhh-alignment", "llmbar")

RUNS = (
    ("baseline:relevance", {"model_args": {"embedder": "minilm"}}, BOTH),
    ("smollm2", {"adapter": "implicit", "max_length": 1024}, ("hhh-alignment",)),
    ("smollm2", {"adapter": "judge", "model_args": {"min_option_mass": "0"}}, BOTH),
    ("smollm2-rm-full", {}, ("hhh-alignment",)),
    ("smollm2-rm-lora", {}, ("hhh-alignment",)),
)
"""Model, options and tasks of each run."""


def main(models: Path, data: Path, out: Path, only: Sequence[str] = ()) -> None:
    """Run and check each of them, or those of some models; a record is marked by the check."""
    for model, options, tasks in RUNS:
        if only and model not in only:
            continue
        given = {**options}
        if model.startswith("smollm2-rm"):
            train_real_models.main(models, data)
        if ":" in model:
            spec, given["model_args"] = model, {"embedder": str(models / "minilm")}
        else:
            spec = str(models / model)
        results = rmbench.run(spec, tasks, source=str(data), out=out, command=command(model, options, tasks), **given)
        report = rmbench.check(spec, out=out, **given)
        if model.startswith("smollm2-rm"):
            for record in results.records:
                name_training_data(out, record)
        values = ", ".join(f"{task} {results.headline(task).value:.3f}" for task in tasks)
        print(f"{model}: {values}; check {'passed' if report.passed else f'failed: {report.failed}'}", flush=True)


def name_training_data(out: Path, record: Record) -> None:
    """Enter what the model was trained on, which its folder does not say, into a record that was written."""
    folder = folder_of(out, record)
    rows, credits_ = read_rows(folder), read_credits(folder)
    known = {"license": "apache-2.0", "trained_on": [train_real_models.TASK]}
    marked = read(folder)
    write(out, marked.model_copy(update={"model": marked.model.model_copy(update=known)}), rows, credits_)


def command(model: str, options: dict[str, object], tasks: tuple[str, ...]) -> str:
    """The same run as a command line, from a folder with the models in .real and the benchmarks in .data."""
    spec = model if ":" in model else f".real/{model}"
    words = ["rmbench run --model", spec]
    for name, value in options.items():
        if isinstance(value, dict):
            given = ",".join(f"{key}={'.real/minilm' if key == 'embedder' else one}" for key, one in value.items())
            words.append(f"--model-args {given}")
        else:
            words.append(f"--{name.replace('_', '-')} {value}")
    return " ".join([*words, f"--tasks {','.join(tasks)} --source .data"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME")
    given = parser.parse_args()
    main(given.models, given.data, given.out, given.only)

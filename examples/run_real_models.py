"""Run the models of `examples/make_real_models.py` on real rows, check them, and put the records into `results/`.

The reports of the checks (`check.json`) name local files and are left out of the repository.

python examples/run_real_models.py MODELS --data FOLDER [--out results]

MODELS is the folder that the other script made, FOLDER holds upstream's own files of the benchmarks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import rmbench

__all__ = ["RUNS", "main"]

RUNS = (
    ("baseline:relevance", {"model_args": {"embedder": "minilm"}}, ("hhh-alignment", "llmbar")),
    ("smollm2", {"adapter": "implicit", "max_length": 1024}, ("hhh-alignment",)),
    ("smollm2", {"adapter": "judge", "max_length": 1024, "model_args": {"min_option_mass": "0"}}, ("hhh-alignment",)),
)
"""Model, options and tasks of each run."""


def main(models: Path, data: Path, out: Path) -> None:
    """Run and check each of them; its record is marked by the check."""
    for model, options, tasks in RUNS:
        given = {**options}
        if ":" in model:
            spec, given["model_args"] = model, {"embedder": str(models / "minilm")}
        else:
            spec = str(models / model)
        results = rmbench.run(spec, tasks, source=str(data), out=out, command=command(model, options, tasks), **given)
        report = rmbench.check(spec, out=out, **given)
        values = ", ".join(f"{task} {results.headline(task).value:.3f}" for task in tasks)
        print(f"{model}: {values}; check {'passed' if report.passed else f'failed: {report.failed}'}", flush=True)


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
    given = parser.parse_args()
    main(given.models, given.data, given.out)

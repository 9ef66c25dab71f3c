"""The scripts for schedulers and clusters: they are shell that runs, on a scheduler that is two lines here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rmbench

ROOT = Path(__file__).resolve().parents[2]
SLURM, RAY = ROOT / "examples" / "slurm", ROOT / "examples" / "ray"
SCRIPTS = sorted([*SLURM.iterdir(), *RAY.iterdir()])

SBATCH = """#!/bin/bash
# A scheduler that runs each job at once, in the foreground, and prints its number.
set -euo pipefail
indices=0; dependency=
while [[ "$1" == --* ]]; do
    case "$1" in
        --array=1-*) indices=$(seq 1 "${1#--array=1-}") ;;
        --array=*) indices=${1#--array=} ;;
        --dependency=*) dependency=${1#--dependency=} ;;
    esac
    shift
done
[ -z "$dependency" ] || [ "$dependency" = afterok:4711 ]
for index in $indices; do
    SLURM_ARRAY_TASK_ID=$index bash "$@" >&2
done
echo "4711;cluster"
"""


def tools(folder: Path, **scripts: str) -> Path:
    """A folder with `rmbench` of this Python and programs of these names."""
    folder.mkdir()
    of_ours = f'#!/bin/bash\nexec "{sys.executable}" -m rmbench "$@"\n'
    for name, text in {"rmbench": of_ours, **scripts}.items():
        (folder / name).write_text(text, "utf-8")
        (folder / name).chmod(0o755)
    return folder


def run(script: Path, *arguments: str, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}", **variables}
    return subprocess.run(
        ["bash", str(script), *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_parses_and_says_what_it_lacks(script: Path, tmp_path: Path) -> None:
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    ended = run(script, path=tools(tmp_path / "bin"), RMBENCH_CACHE="off")
    assert ended.returncode == 1
    assert any(name in ended.stderr for name in ("SHARDS:", "MODEL:", "OUT:", "ADDRESS:", "HEAD:"))


def test_an_array_of_shards_becomes_the_record_of_one_run(tmp_path: Path) -> None:
    path, out = tools(tmp_path / "bin", sbatch=SBATCH), tmp_path / "out"
    told = {
        "SHARDS": "2",
        "MODEL": "baseline:length",
        "TASKS": "rm-bench,llmbar",
        "OUT": str(out),
        "TMPDIR": str(tmp_path),
    }
    ended = run(SLURM / "submit.sh", "--source", "sample", path=path, **told)
    assert ended.returncode == 0, ended.stderr
    whole = rmbench.run("baseline:length", "rm-bench,llmbar", source="sample", out=tmp_path / "whole", progress=False)
    merged = [rmbench.read_record(folder) for folder in rmbench.find_records(out / "records")]
    assert {record.task.id: record.results for record in merged} == {
        record.task.id: record.results for record in whole.records
    }
    again = run(SLURM / "shard.sbatch", "--source", "sample", path=path, SLURM_ARRAY_TASK_ID="2", **told)
    assert again.returncode == 0, again.stderr
    assert run(SLURM / "merge.sbatch", path=path, OUT=str(out)).returncode == 0


def test_a_shard_that_cannot_run_stops_the_merge(tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", sbatch=SBATCH)
    told = {"SHARDS": "2", "MODEL": "no-such-model", "TASKS": "rm-bench", "OUT": str(tmp_path / "out")}
    ended = run(SLURM / "submit.sh", path=path, **told)
    assert ended.returncode != 0
    assert not (tmp_path / "out" / "records").exists()


def test_a_run_names_the_cluster(tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", rmbench='#!/bin/bash\necho "$@"\n')
    told = {"MODEL": "org/name", "TASKS": "all", "OUT": "results", "WORKERS": "8"}
    wanted = "--executor ray --ray-address auto --workers 8 --gpus-per-worker 1 --limit 10\n"
    assert run(RAY / "run.sh", "--limit", "10", path=path, **told).stdout == (
        f"run --model org/name --tasks all --out results {wanted}"
    )


@pytest.mark.parametrize(
    "script, told, wanted",
    [
        (
            "head.sh",
            {"ADDRESS": "10.0.0.1"},
            "start --head --node-ip-address 10.0.0.1 --port 6379 --include-dashboard=false",
        ),
        ("join.sh", {"HEAD": "10.0.0.1", "PORT": "7000"}, "start --address 10.0.0.1:7000"),
    ],
)
def test_a_cluster_is_started_with_a_token(tmp_path: Path, script: str, told: dict[str, str], wanted: str) -> None:
    path = tools(tmp_path / "bin", ray='#!/bin/bash\necho "$RAY_AUTH_MODE" "$RAY_USAGE_STATS_ENABLED" "$@"\n')
    assert run(RAY / script, path=path, **told).stdout == f"token 0 {wanted}\n"

"""The built wheel, installed into a new environment and run from an empty folder."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def build(kind: str, source: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return next(out.glob("*.whl" if kind == "wheel" else "*.tar.gz"))


def names_in(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("dist"))


def test_declarations_samples_boards_and_the_model_travel(wheel: Path) -> None:
    names = names_in(wheel)
    for folder, place in (("tasks", ROOT / "tasks"), ("leaderboards", ROOT / "leaderboards")):
        here = {f"rmbench/_declared/{folder}/{path.relative_to(place)}" for path in place.rglob("*") if path.is_file()}
        assert here
        assert here <= names
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "rmbench").rglob("*") if path.is_file()}
    assert {name for name in package if "__pycache__" not in name} <= names
    assert "rmbench/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "tasks/"))]


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", ROOT, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert names_in(build("wheel", source, tmp_path)) == names_in(wheel)


def test_the_wheel_runs_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    # The dependencies are borrowed from this environment: what is tested is what the wheel itself holds. A path file
    # that adds a folder does not run the path files inside it, so an editable install here stays out of sight.
    packages = next((environment / "lib").glob("python*")) / "site-packages"
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()))
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    command = [str(environment / "bin" / "rmbench"), "run", "--model", "tiny-bt", "--tasks", "rm-bench,llmbar"]
    clean = {key: value for key, value in os.environ.items() if key not in ("RMBENCH_DATA", "PYTHONPATH")}
    done = subprocess.run(
        [*command, "--source", "sample", "--json"], cwd=empty, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {row["task"] for row in json.loads(done.stdout)["results"]} == {"rm-bench", "llmbar"}
    where = subprocess.run(
        [str(python), "-c", "import rmbench; print(rmbench.__file__)"],
        cwd=empty,
        env=clean,
        capture_output=True,
        text=True,
    )
    assert str(environment) in where.stdout

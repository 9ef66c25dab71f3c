"""The README's commands and its Python, run as they stand there, in an empty folder and without files or a hub."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def outside(tmp_path: Path) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if key != "RMBENCH_DATA"}
    return {**clean, "HF_HUB_OFFLINE": "1", "PWD": str(tmp_path)}


def test_commands_do_what_the_readme_says(tmp_path: Path, outside: dict[str, str]) -> None:
    printed = []
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("rmbench ")]
    assert len(commands) >= 8
    for command in commands:
        line = command.replace("rmbench", f"{sys.executable} -m rmbench", 1)
        done = subprocess.run(line, shell=True, cwd=tmp_path, env=outside, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert done.stdout.strip(), command
        printed.append(done.stdout)
    assert (tmp_path / "site" / "demo" / "index.html").exists()
    lines = [line.rstrip() for line in printed[0].splitlines()]
    assert all(any(line.startswith(shown) for line in lines) for shown in map(_whole, table()))
    # What it leaves out is counted: benchmarks between the head and the marks.
    first, last = (next(k for k, line in enumerate(lines) if line.startswith(word)) for word in ("task ", "All of"))
    shown = sum(line.rstrip() in lines[first + 1 : last] for line in table())
    left_out = re.findall(r"^\(and a line for each of (\d+) more", README, flags=re.MULTILINE)
    assert list(map(int, left_out)) == [last - first - 1 - shown]


def _whole(line: str) -> str:
    """A line of the table as it begins at 80 columns: of a list that goes on, its count and its reason."""
    return line.rsplit(": ", 1)[0] if line.endswith(", ...") else line.rstrip()


def table() -> list[str]:
    """The lines of the demonstration's table, and those below it that need no other folder."""
    (shown,) = re.findall(r"^```\n(tiny-bt on sample\n.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    return [line for line in shown.splitlines() if not line.startswith(("records:", "(and a line"))]


def test_python_runs(tmp_path: Path, outside: dict[str, str]) -> None:
    (code,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=outside, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.match(r"\d\.\d+", done.stdout)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {line.split()[1] for block in blocks("sh") for line in block.splitlines() if line.startswith("make ")}
    assert {"demo", "test"} <= named <= targets


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target

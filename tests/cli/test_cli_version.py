"""One version: of the package, the command, the changelog and the citation."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

import rmbench
from rmbench.cli import cli

ROOT = Path(__file__).resolve().parents[2]


def test_the_changelogs_newest_release_is_the_packages_version() -> None:
    released = re.findall(r"^## (\d+\.\d+\.\d+)\b", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert released[0] == rmbench.__version__
    assert released == sorted(released, key=lambda version: [int(part) for part in version.split(".")], reverse=True)


def test_the_command_prints_the_packages_version() -> None:
    shown = CliRunner().invoke(cli, ["--version"])
    assert (shown.exit_code, shown.output) == (0, f"rmbench {rmbench.__version__}\n")


def test_the_citation_names_the_packages_version() -> None:
    assert f"\nversion: {rmbench.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")

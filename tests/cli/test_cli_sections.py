"""Help in sections: every option and command once, as docs/running.md has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rmbench.cli import cli
from rmbench.cli.sections import COMMANDS, OPTIONS

DOCS = Path(__file__).resolve().parents[2] / "docs" / "running.md"


def shown(*words: str) -> str:
    return CliRunner().invoke(cli, [*words, "--help"], terminal_width=80).output


def flags(command: click.Command, names: tuple[str, ...]) -> list[str]:
    """How options are spelled, the longest first spelling of each."""
    of = {each.name: each.opts for each in command.params}
    return [next(flag for flag in of[name] if flag.startswith("--")) for name in names if name in of]


def test_every_command_has_a_section_and_a_line() -> None:
    listed = [name for names in COMMANDS.values() for name in names]
    assert sorted(listed) == sorted(name for name, each in cli.commands.items() if not each.hidden)
    text = shown()
    for heading, names in COMMANDS.items():
        below = text.partition(f"{heading}:\n")[2].partition("\n\n")[0].splitlines()
        assert [line.split()[0] for line in below] == list(names)
        assert all(line.endswith(".") and not line.endswith("...") for line in below)


def test_every_option_of_a_run_has_one_section() -> None:
    run = cli.commands["run"]
    listed = [name for names in OPTIONS.values() for name in names]
    assert len(set(listed)) == len(listed)
    assert {each.name for each in run.params} == set(listed) - {"help"}


@pytest.mark.parametrize(
    "command", ["run", "score", "check", "probe", "retrieval", "generators", "show-prompt", "verify"]
)
def test_help_has_every_option_once(command: str) -> None:
    text = shown(command)
    for each in cli.commands[command].params:
        if isinstance(each, click.Option):
            flag = next(flag for flag in (*each.secondary_opts, *each.opts) if flag.startswith("--"))
            assert len(re.findall(rf"^  (?:-\w, )?{flag}(?![\w-])", text, re.MULTILINE)) == 1, flag
    assert text.count("--help") == 1 + text.count("`rmbench run --help`")


def tables(text: str) -> Iterator[tuple[str, list[str]]]:
    """Heading and options of each table below "Options"."""
    for table in text.partition("\n## Options\n")[2].partition("\n## ")[0].split("\n\n"):
        lines = table.strip().splitlines()
        if lines and lines[0].startswith("| "):
            yield lines[0].split("|")[1].strip(), re.findall(r"^\| `(--[\w-]+)`", table, re.MULTILINE)


def test_the_page_has_the_same_sections() -> None:
    found = dict(tables(DOCS.read_text("utf-8")))
    assert list(found) == [heading[0].lower() + heading[1:] for heading in OPTIONS]
    run = cli.commands["run"]
    for heading, names in OPTIONS.items():
        assert found[heading[0].lower() + heading[1:]] == flags(run, tuple(names)), heading

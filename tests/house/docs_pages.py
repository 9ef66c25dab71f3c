"""The blocks of code in the documentation, and how a page's commands and Python are run."""

from __future__ import annotations

import contextlib
import io
import math
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rmbench.cli import main

__all__ = ["DOCS", "Block", "blocks", "commands", "differences", "run_python", "run_shell"]

DOCS = Path(__file__).resolve().parents[2] / "docs"
_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*) -->\n+)?^```(?P<language>\w*)\n(?P<code>.*?)^```$"
    r"(?:\n\n```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
_NUMBER = re.compile(r"-?\d*\.\d+(?:e-?\d+)?")


@dataclass(frozen=True)
class Block:
    """A block of code, the comment before it (`not run: REASON`, `exit code 2`) and the output shown below it."""

    code: str
    note: str = ""
    output: str | None = None

    @property
    def not_run(self) -> str | None:
        """Why the block cannot be run here: `hub`, `server`, `gpu`, `files` ..."""
        return self.note.removeprefix("not run: ") if self.note.startswith("not run: ") else None

    @property
    def exit_code(self) -> int:
        return int(self.note.removeprefix("exit code ")) if self.note.startswith("exit code ") else 0


def blocks(page: Path, language: str) -> list[Block]:
    """A page's blocks in one language, in order."""
    found = _BLOCK.finditer(page.read_text("utf-8"))
    return [Block(one["code"], one["note"] or "", one["output"]) for one in found if one["language"] == language]


def commands(code: str) -> list[list[str]]:
    """The words of each command of a block."""
    lines = re.sub(r"\\\n\s*", " ", code).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def matches(word: str) -> list[str]:
    """The paths that a pattern stands for, as a shell fills it in; any other word as it is."""
    return (sorted(map(str, Path().glob(word))) if "*" in word else []) or [word]


def run_shell(block: Block, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """The exit code of the last command, and what all of them print on stdout and stderr."""
    code, printed = 0, io.StringIO()
    for _, *words in commands(block.code):
        arguments = [name for word in words for name in matches(word)]
        monkeypatch.setattr(sys, "argv", ["rmbench", *arguments])
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            pytest.raises(SystemExit) as end,
        ):
            main(arguments)
        code = int(end.value.code or 0)
    return code, printed.getvalue()


def run_python(block: Block, names: dict[str, Any]) -> str:
    """What a block prints; its names are kept for the page's next one."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(block.code, names)
    return printed.getvalue()


def differences(shown: str, printed: str) -> list[str]:
    """What of the shown output was not printed, and what was printed and is not shown.

    A shown line `...` stands for any number of lines, ` ...` at the end of a line for the rest of it. Spaces at the end
    of a line do not count, and numbers with a fraction may differ by .002.
    """
    lines, wrong, skipping = [line.rstrip() for line in printed.strip().splitlines()], [], False
    for line in map(str.rstrip, shown.strip().splitlines()):
        if line == "...":
            skipping = True
            continue
        while skipping and lines and not _alike(line, lines[0]):
            del lines[0]
        if not (lines and _alike(line, lines.pop(0))):
            wrong.append(line)
        skipping = False
    return wrong + ([] if skipping else [f"not shown: {line}" for line in lines])


def _alike(a: str, b: str) -> bool:
    """Whether a shown line is a printed one."""
    if a.endswith(" ..."):
        a, b = a.removesuffix("..."), b[: len(a) - 3]
    numbers = list(zip(_NUMBER.findall(a), _NUMBER.findall(b), strict=False))
    return _NUMBER.sub("#", a) == _NUMBER.sub("#", b) and all(
        math.isclose(float(x), float(y), abs_tol=0.002) for x, y in numbers
    )

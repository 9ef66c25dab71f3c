"""How commands end: the documented exit codes, Ctrl-C, closed pipes, and errors that nobody foresaw."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from rmbench.cli import cli
from tests._make import exit_code


class PanicException(BaseException):
    """As pyo3 makes one of a panic of Rust code: no Exception."""


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch, command: str = "models") -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli.commands[command], "callback", fail)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("two\nlines \x1b[31mred"),
        RecursionError(),
        OSError(28, "No space left on device"),
        PanicException("a panic"),
        SystemExit(1),
        GeneratorExit(),
        UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed"),
    ],
)
def test_what_nobody_foresaw_is_one_line_and_a_file(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(error, monkeypatch)
    assert exit_code("models", "tiny-bt") == 70
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith(f"rmbench: unexpected {type(error).__name__}")
    assert "\x1b" not in line
    (file,) = tmp_path.glob("rmbench-error-*.txt")
    assert str(file) in line
    assert file.stat().st_mode & 0o077 == 0
    text = file.read_text("utf-8")
    assert text.startswith("rmbench models tiny-bt\n")
    assert "in fail\n" in text


def test_no_traceback_file_can_be_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    fail_with(ValueError("x"), monkeypatch)
    assert exit_code("models") == 70
    assert "ValueError: x; the traceback could not be written" in capsys.readouterr().err


@pytest.mark.parametrize("command", [name for name in cli.commands if name not in ("board", "cache", "task")])
def test_every_command_ends_so(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(TypeError("x"), monkeypatch, command)
    monkeypatch.setattr(cli.commands[command], "params", [])
    assert exit_code(command) == 70


def test_code_1_is_for_failed_checks_and_regressions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (SystemExit(1), click.ClickException("x"), click.exceptions.Abort(), BrokenPipeError()):
        fail_with(error, monkeypatch)
        assert exit_code("models") != 1
    fail_with(click.exceptions.Abort(), monkeypatch)
    assert exit_code("models") == 130


def test_a_model_that_does_not_fit_was_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(import_module("rmbench.check.memory_dtype"), "available", lambda: 1)
    assert exit_code("check", "tiny-bt", "--out", str(tmp_path)) == 3
    assert "was not opened" in capsys.readouterr().out


def test_bad_input_of_a_command_is_2_and_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("models", "--family", "sclaar") == 2
    assert capsys.readouterr().err.startswith("rmbench: --family sclaar: no card is of it")


SLOW = """
import signal
import time
import rmbench.cli as cli

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run in the background, where it is ignored

@cli.cli.command()
def slow():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("closing", flush=True)
        time.sleep({pause})

cli.main(["slow"])
"""


@pytest.fixture
def slow() -> SimpleNamespace:
    def start(pause: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SLOW.format(pause=pause)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "closing\n"
        return process

    return SimpleNamespace(start=start)


def test_one_interrupt_closes_and_ends_with_130(slow: SimpleNamespace) -> None:
    process = slow.start(0)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip() == "Stopped. The same command resumes the run."


def test_a_second_interrupt_ends_at_once(slow: SimpleNamespace) -> None:
    process = slow.start(50)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == ""


def test_a_closed_pipe_ends_in_silence() -> None:
    command = f"{sys.executable} -m rmbench tasks | {sys.executable} -c 'import sys; sys.stdin.close()'"
    done = subprocess.run(
        f"set -o pipefail; {command}", shell=True, executable="/bin/bash", capture_output=True, text=True
    )
    assert done.returncode in (0, 141)
    assert done.stderr == ""


def test_the_page_lists_every_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "running.md").read_text("utf-8")
    table = page.partition("## Exit codes")[2].partition("##")[0]
    assert set(map(int, re.findall(r"^\| (\d+) \|", table, re.MULTILINE))) == {0, 1, 2, 3, 70, 130, 141}

"""Words of the command line and of the environment that are no Unicode, for every option and argument there is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from rmbench.cli import cli
from tests._make import exit_code

WRONG = os.fsdecode(b"caf\xe9")


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that name it."""
    yield words, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*words, name))


OPTIONS = [
    (words, max(option.opts, key=len))
    for words, command in commands(cli)
    for option in command.params
    if isinstance(option, click.Option) and not option.is_flag
]
ARGUMENTS = [
    (words, argument.make_metavar(click.Context(command)))
    for words, command in commands(cli)
    for argument in command.params
    if isinstance(argument, click.Argument)
]


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert exit_code(*words) == (3 if words[0] == "gate" else 2)
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line


@pytest.mark.parametrize(("words", "option"), OPTIONS)
def test_the_option_is_named(words: tuple[str, ...], option: str, capsys: pytest.CaptureFixture[str]) -> None:
    expected = rf"rmbench: {option} is not UTF-8: 'caf\xe9', at character 4."
    assert refusal(capsys, *words, option, WRONG) == expected
    assert refusal(capsys, *words, f"{option}={WRONG}") == expected


@pytest.mark.parametrize(("words", "argument"), ARGUMENTS)
def test_the_argument_is_named(words: tuple[str, ...], argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    if argument == "B":
        words = (*words, "A")
    assert refusal(capsys, *words, WRONG) == rf"rmbench: {argument} is not UTF-8: 'caf\xe9', at character 4."


def test_there_are_options_and_arguments_of_most_commands() -> None:
    assert len(OPTIONS) > 80
    assert len(ARGUMENTS) >= 8


@pytest.mark.parametrize(
    "words", [("rnu", WRONG), (f"--{WRONG}",), (WRONG,), ("run", "--nosuch", WRONG), ("-m", WRONG)]
)
def test_words_that_belong_to_nothing(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not UTF-8" in refusal(capsys, *words)


def test_a_long_text_is_cut_around_the_byte(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "score", "-m", "tiny-bt", "-r", "a", "-r", "b", "-p", "x" * 10_000 + WRONG + "y" * 10_000)
    assert line.startswith("rmbench: --prompt is not UTF-8: 'xxx")
    assert line.endswith("yyy', at character 10004.")
    assert len(line) < 200


def test_variables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RMBENCH_DATA", WRONG)
    assert refusal(capsys, "tasks") == r"rmbench: RMBENCH_DATA is not UTF-8: 'caf\xe9', at character 4."


def test_bytes_of_a_shell() -> None:
    command = [os.fsencode(sys.executable), b"-m", b"rmbench", b"score", b"-m", b"tiny-bt", b"--prompt", b"caf\xe9"]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 2
    assert done.stderr == b"rmbench: --prompt is not UTF-8: 'caf\\xe9', at character 4.\n"


def test_unicode_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("score", "-m", "baseline:length", "-p", "café", "-r", "日本", "-r", "🙂") == 0
    assert "margin" in capsys.readouterr().out

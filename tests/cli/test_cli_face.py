"""The command's face: help, spellings, exit codes."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from rmbench.cli import cli
from rmbench.cli.options import _parse_pairs
from rmbench.cli.words import normalize_option
from tests._make import exit_code

COMMANDS = ["run", "fetch", "tasks", "models", "show", "validate", "score", "probe", "board", "compare", "gate"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(cli, [command, "--help"])
    assert shown.exit_code == 0
    assert "Usage:" in shown.output
    assert max(len(line) for line in shown.output.splitlines()) <= 100


def test_help_lists_every_command() -> None:
    shown = CliRunner().invoke(cli, ["--help"])
    assert all(f"  {command} " in shown.output for command in COMMANDS)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("--batch_tokens", "--batch-tokens"),
        ("--model_args=a_b=c_d", "--model-args=a_b=c_d"),
        ("rm_bench", "rm_bench"),
        ("-m", "-m"),
    ],
)
def test_underscores_in_option_names_read_as_hyphens(given: str, read: str) -> None:
    assert normalize_option(given) == read


def test_bad_arguments_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("run", "--model", "fake:oracle") == 2
    assert "--tasks" in capsys.readouterr().err


def test_bad_arguments_of_the_gate_end_with_3() -> None:
    assert exit_code("gate", "--baseline", "nowhere") == 3


def test_an_unknown_task_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("run", "--model", "fake:oracle", "--tasks", "rm-bnech", "--source", "sample") == 2
    error = capsys.readouterr().err
    assert "rm-bnech" in error
    assert '"rm-bench"' in error
    assert "Traceback" not in error


def test_an_unknown_fake_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("run", "--model", "fake:oracel", "--tasks", "rm-bench", "--source", "sample") == 2
    assert "oracle" in capsys.readouterr().err


def test_model_args_may_hold_json() -> None:
    """Commas inside a JSON value part no settings, and what follows a dot in a key stays as it is."""
    items = ['a-b=1,extra_body.x-y={"a": [1, 2], "b": 3},c=[4, 5]', "d=[unclosed", "e=6"]
    context, option = click.Context(cli), click.Option(["--model-args"])
    assert _parse_pairs(context, option, items) == {
        "a_b": "1", "extra_body.x-y": '{"a": [1, 2], "b": 3}', "c": "[4, 5]", "d": "[unclosed", "e": "6",
    }  # fmt: skip


def test_model_args_must_be_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    code = exit_code("run", "--model", "fake:oracle", "--tasks", "all", "--model-args", "beta")
    assert code == 2
    assert "key=value" in capsys.readouterr().err

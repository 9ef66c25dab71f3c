"""What a newcomer types first: other tools' names of options and commands, and values that are nearly right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from rmbench.cli import cli
from rmbench.cli.words import _COMMAND_HINTS, _OPTION_HINTS, _SYNONYMS, normalize_option
from tests._make import exit_code


def all_options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        yield from parameter.opts if isinstance(parameter, click.Option) else ()
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        yield from all_options(inner)


def test_names_of_other_tools_are_no_options_or_commands_here() -> None:
    known = set(all_options(cli))
    assert not known & set(_SYNONYMS)
    assert set(_SYNONYMS.values()) <= known
    assert {option for option, _ in _OPTION_HINTS.values()} <= known
    assert not set(_COMMAND_HINTS) & set(cli.commands)


def test_options_of_other_tools_are_read() -> None:
    assert normalize_option("--output_dir=a_b") == "--out=a_b"
    assert normalize_option("--torch-dtype") == "--dtype"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["run", "--batch-size", "4"],
            "No such option '--batch-size': batches are filled by tokens: --batch-tokens N.",
        ),
        (["run", "--dataset", "x"], "--tasks names benchmarks, --data rows of your own."),
        (["score", "--chosen", "x"], "give each response by --response."),
        (["list"], "No such command 'list'. `rmbench tasks` lists benchmarks"),
        (["board", "list"], "`rmbench board show` boards."),
        (["eval"], "Did you mean `rmbench run`?"),
        (["rnu"], "Did you mean 'run'?"),
        (["models", "skywrok-reward-v2-qwen3-8b"], 'Did you mean "skywork-reward-v2-qwen3-8b"'),
        (["run", "--model", "gpt-4o", "--tasks", "llmbar", "--source", "sample"], "nor openai:NAME"),
    ],
)
def test_what_is_nearly_right_is_named(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*words) == 2
    assert said in capsys.readouterr().err


def test_a_hint_names_only_options_that_the_command_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("compare", "--batch-size", "4") == 2
    assert "--batch-tokens" not in capsys.readouterr().err


def test_help_as_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("help", "run") == 0
    by_word = capsys.readouterr().out
    assert exit_code("run", "--help") == 0
    assert by_word == capsys.readouterr().out
    assert exit_code("help") == 0


def test_models_by_a_glob(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("models", "skywork-reward-v2-*8b") == 0
    out = capsys.readouterr().out
    assert "skywork-reward-v2-qwen3-8b" in out
    assert "qwen3-4b" not in out


def test_a_file_of_rows_named_as_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    assert exit_code("run", "--model", "tiny-bt", "--tasks", str(rows)) == 2
    assert f"rows of your own are named by --data {rows}." in capsys.readouterr().err


def test_a_wrong_source_is_refused_before_the_model_is_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("rmbench.evaluation.run.opened_model", opened)
    assert exit_code("run", "--model", "tiny-bt", "--tasks", "rm-bench", "--source", "smaple") == 2
    assert 'Did you mean "sample"?' in capsys.readouterr().err

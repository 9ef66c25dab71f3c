"""The words of a command line and of the environment: spelling of options, and text that is no Unicode."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from rmbench.errors import RmbenchError

__all__ = ["normalize_option", "refuse_undecodable", "usage_hint"]

_OF_RMBENCH = ("RMBENCH_", "HF_")
"""Beginnings of the names of variables that rmbench or the hub's client reads."""
_AROUND = 30
"""Characters shown on each side of a wrong byte."""


_SYNONYMS = {
    "--attn-implementation": "--attn",
    "--chat-template": "--template",
    "--model-name": "--model",
    "--model-name-or-path": "--model",
    "--output": "--out",
    "--output-dir": "--out",
    "--torch-dtype": "--dtype",
}
"""What other tools of the field call an option of the same meaning. No command may have one of these itself."""
_OPTION_HINTS = {
    "--batch-size": ("--batch-tokens", "batches are filled by tokens: --batch-tokens N."),
    "--per-device-eval-batch-size": ("--batch-tokens", "batches are filled by tokens: --batch-tokens N."),
    "--task": ("--tasks", "Did you mean --tasks?"),
    "--benchmark": ("--tasks", "Did you mean --tasks?"),
    "--benchmarks": ("--tasks", "Did you mean --tasks?"),
    "--dataset": ("--tasks", "--tasks names benchmarks, --data rows of your own."),
    "--datasets": ("--tasks", "--tasks names benchmarks, --data rows of your own."),
    "--num-samples": ("--limit", "Did you mean --limit?"),
    "--max-samples": ("--limit", "Did you mean --limit?"),
    "--chosen": ("--response", "give each response by --response."),
    "--rejected": ("--response", "give each response by --response."),
}
"""Option that a user may type first -> the one that does it, and a sentence on it."""
_COMMAND_HINTS = {
    "list": "`rmbench tasks` lists benchmarks, `rmbench models` models, `rmbench board show` boards.",
    "ls": "`rmbench tasks` lists benchmarks, `rmbench models` models, `rmbench board show` boards.",
    "eval": "Did you mean `rmbench run`?",
    "evaluate": "Did you mean `rmbench run`?",
    "benchmark": "Did you mean `rmbench run`?",
    "leaderboard": "Did you mean `rmbench board`?",
    "diff": "Did you mean `rmbench compare`?",
    "download": "Did you mean `rmbench fetch`?",
    "version": "Did you mean `rmbench --version`?",
}


def normalize_option(argument: str) -> str:
    """An option with hyphens for underscores in its name, by the name it has here; values stay as they are."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    name = name.replace("_", "-")
    return _SYNONYMS.get(name, name) + equals + value


def usage_hint(error: click.ClickException) -> str:
    """The message of an error of usage; of an option or a command that has another name here, with that name."""
    if isinstance(error, click.NoSuchOption) and error.ctx is not None and error.option_name in _OPTION_HINTS:
        option, hint = _OPTION_HINTS[error.option_name]
        if any(option in parameter.opts for parameter in error.ctx.command.params):
            return f"No such option '{error.option_name}': {hint}"
    if isinstance(error, click.UsageError) and error.ctx is not None and error.ctx.command.name in ("cli", "board"):
        word = error.message.partition("No such command '")[2].partition("'")[0]
        if word in _COMMAND_HINTS:
            return f"No such command '{word}'. {_COMMAND_HINTS[word]}"
    return error.format_message()


def refuse_undecodable(root: click.Command, words: Sequence[str]) -> None:
    """Refuse words and environment variables that are not UTF-8: neither records nor JSON can hold them.

    Python reads their bytes as lone surrogates.

    Args:
        root: the command with its subcommands.
        words: of the command line.

    Raises:
        RmbenchError: one of them is not UTF-8; the message names the option, the argument or the variable.
    """
    for name, value in os.environ.items():
        if name.startswith(_OF_RMBENCH):
            _check(name, value)
    if any(map(_wrong_byte, words)):
        for name, value in _named(root, words):
            _check(name, value)
        for word in words:
            _check("a word of the command", word)


def _named(command: click.Command, words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(option or argument, value) of a command line, of subcommands too, as far as it can be parsed."""
    context: click.Context | None = None
    rest = list(words)
    while True:
        context = click.Context(command, parent=context, info_name=command.name)
        try:
            values, left, _ = command.make_parser(context).parse_args(rest)
        except click.UsageError:
            return
        for parameter in command.get_params(context):
            name = parameter.make_metavar(context) if isinstance(parameter, click.Argument) else _longest(parameter)
            for value in _texts(values.get(parameter.name or "")):
                yield name, value
        if not isinstance(command, click.Group) or not left:
            return
        inner = command.get_command(context, left[0])
        if inner is None:
            return
        command, rest = inner, left[1:]


def _longest(parameter: click.Parameter) -> str:
    return max(parameter.opts, key=len)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        return [value]
    return [text for each in value for text in _texts(each)] if isinstance(value, list | tuple) else []


def _wrong_byte(text: str) -> int | None:
    """The place of the first lone surrogate, counted from 1; None without any."""
    return next((place for place, char in enumerate(text, 1) if "\ud800" <= char <= "\udfff"), None)


def _check(name: str, text: str) -> None:
    place = _wrong_byte(text)
    if place is None:
        return
    shown = text[max(0, place - 1 - _AROUND) : place + _AROUND]
    raise RmbenchError(f"{name} is not UTF-8: {_quoted(shown)}, at character {place}.")


def _quoted(text: str) -> str:
    r"""Python's spelling, a byte that is not UTF-8 as `\xe9`."""
    return repr(text).replace("\\udc", "\\x")

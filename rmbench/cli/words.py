"""The words of a command line and of the environment: spelling of options, and text that is no Unicode."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from rmbench.errors import RmbenchError

__all__ = ["normalize_option", "refuse_undecodable"]

_OF_RMBENCH = ("RMBENCH_", "HF_")
"""Beginnings of the names of variables that rmbench or the hub's client reads."""
_AROUND = 30
"""Characters shown on each side of a wrong byte."""


def normalize_option(argument: str) -> str:
    """An option with hyphens for underscores in its name; values stay as they are."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


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

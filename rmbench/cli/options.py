"""Options of the command line, made from the fields of `RunOptions`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from rmbench.evaluation.options import RunOptions
from rmbench.models.options import OpenOptions, kind_of, options_of

__all__ = ["add_options", "command_line", "json_option", "model_option", "tasks_option"]

Command = Callable[..., Any]

model_option = click.option(
    "--model", "-m", required=True, metavar="MODEL", help="The model; kinds as in `rmbench run --help`."
)
tasks_option = click.option(
    "--tasks",
    "-t",
    multiple=True,
    callback=lambda _context, _parameter, given: list(given) or None,
    metavar="SEL",
    help="`all`, ids, suites, globs, family=..., modality=..., a TOML; repeat or join by commas.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, everything else on stderr.")


def command_line() -> str:
    """The command as it was typed, for the record."""
    return shlex.join(["rmbench", *sys.argv[1:]])


def add_options(command: str, *, required: str = "", without: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Add the options that `command` takes, those of the model last; the option `required` must be given, those in
    `without` are left out."""

    def add(function: Command) -> Command:
        known, of_model = options_of(RunOptions), options_of(OpenOptions)
        for name in reversed([name for name in known if name not in of_model] + list(of_model)):
            if command in known[name].commands and name not in without:
                function = _click_option(name, required=name == required)(function)
        return function

    return add


def _click_option(name: str, *, required: bool) -> Callable[[Command], Command]:
    facts, kind = options_of(RunOptions)[name], kind_of(RunOptions, name)
    flags, default = facts.flags or (f"--{name.replace('_', '-')}",), RunOptions.__dataclass_fields__[name].default
    more: dict[str, Any] = {"help": facts.help, "metavar": facts.metavar, "required": required}
    if kind is bool:
        more |= {"flag_value": not default, "default": default}
        flags = (f"--no-{name}",) if default else flags
    elif facts.choices and facts.parse is None:
        more |= {"type": click.Choice(facts.choices)}
    elif facts.choices:  # which can be spelled otherwise
        more |= {"metavar": f"[{'|'.join(facts.choices)}]"}
    elif kind is int:
        more |= {"type": int if facts.minimum is None else click.IntRange(min=facts.minimum), "metavar": "N"}
    elif kind is float:
        more |= {"type": click.FloatRange(min=facts.minimum)}
    elif kind is Path:
        more |= {"type": click.Path(path_type=Path, exists=facts.exists, dir_okay=not facts.exists)}
    elif facts.parse is None and kind in (tuple, Mapping):
        more |= {"multiple": True, "callback": _parse_pairs if kind is Mapping else None}
    if isinstance(default, str | Path) or type(default) is int:
        more |= {"default": default, "show_default": True}
    return click.option(*flags, name, **more)


def _parse_pairs(context: click.Context, parameter: click.Parameter, items: Iterable[str]) -> dict[str, str]:
    """`k=v` settings, repeated or joined by commas, as a mapping. What follows a dot in a key stays as it is."""
    pairs: dict[str, str] = {}
    for item in _settings_in(",".join(items).split(",")):
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{item!r} is not of the form key=value.", context, parameter)
        first, dot, inner = key.strip().partition(".")
        pairs[first.replace("-", "_") + dot + inner] = value.strip()
    return pairs


def _settings_in(pieces: Sequence[str]) -> Iterator[str]:
    """The settings of a text that was split at its commas, those inside a JSON list or object put back."""
    at = 0
    while at < len(pieces):
        end = next((end for end in range(at + 1, len(pieces) + 1) if _is_json(",".join(pieces[at:end]))), at + 1)
        if item := ",".join(pieces[at:end]).strip():
            yield item
        at = end


def _is_json(item: str) -> bool:
    """Whether a setting's value is a whole JSON list or object; true of values that begin as none."""
    value = item.partition("=")[2].strip()
    if not value.startswith(("[", "{")):
        return True
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True

"""How functions of the Python API that take a model show their options, and what they take as a model."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from rmbench.models.options import OpenOptions, Option, options_of

__all__ = ["spec_of", "with_named_options"]

Function = TypeVar("Function", bound=Callable[..., Any])


def with_named_options(schema: type[Any], *, without: Collection[str] = ()) -> Callable[[Function], Function]:
    """Show the options of `schema` but those of `without` as keyword parameters of a function that takes them as
    `**options`.

    Notebooks complete what `inspect.signature` gives, and `help` prints the docstring: both name every option with its
    type and default. Editors, which do not run the code, read the same from `options: Unpack[OpenArguments]`.
    """

    def show(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        known, of_model = options_of(schema), options_of(OpenOptions)
        order = [*(name for name in known if name not in of_model), *of_model]
        named = {name: known[name] for name in order if name not in {each.name for each in own} | {*without}}
        defaults, hints = schema(), get_type_hints(schema)
        shown = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=getattr(defaults, name), annotation=hints[name]
            )
            for name in named
        ]
        function.__signature__ = signature.replace(parameters=[*own, *shown])  # type: ignore[attr-defined]
        if function.__doc__:  # absent under python -OO
            lines = [f"        {name}: {_help_in_python(facts, name, schema)}" for name, facts in named.items()]
            function.__doc__ = (
                inspect.cleandoc(function.__doc__) + "\n\nOptions:\n" + "\n".join(line[4:] for line in lines)
            )
        return function

    return show


def _help_in_python(facts: Option, name: str, schema: type[Any]) -> str:
    """An option's help, of which the command line's own spellings are those of Python."""
    text = re.sub(r"; repeat [^.]*", "", facts.help)
    text = re.sub(r"--([a-z][a-z-]*)", lambda found: found[1].replace("-", "_"), text)
    if getattr(schema, name, None) is True:  # its flag is --no-NAME, and its help says what that does
        text = f"False: {text[0].lower()}{text[1:]}"
    choices = f" One of {', '.join(facts.choices)}." if facts.choices else ""
    return text + choices


def spec_of(model: Any) -> Any:
    """What the Python API takes as a model, paths as text; it is the same whichever of the two a folder is given as."""
    return os.fspath(model) if isinstance(model, Path) else model

"""Further fields of a judge's requests, as users name them: `chat_template_kwargs.enable_thinking=false`,
`extra_body.provider.order=["a"]`, and fields that many servers know by one name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.types import Setting

__all__ = ["NESTED", "is_nested", "nested_fields", "recorded_fields"]

NESTED = ("chat_template_kwargs", "extra_body")
"""Settings that hold others, named behind a dot: of the chat template, and of the request's body itself."""

_OWN = {
    "model": "served_name", "max_tokens": "max_tokens", "max_completion_tokens": "max_tokens",
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "min_p": "min_p", "seed": "seed",
    "reasoning_effort": "reasoning_effort", "chat_template_kwargs": "chat_template_kwargs.NAME",
    "messages": "prompt", "prompt": "prompt", "n": "votes",
    "response_format": "constrain", "structured_outputs": "constrain",
}  # fmt: skip
"""Fields of the body that settings of their own give."""
_FIXED = ("stream", "logprobs", "top_logprobs", "stop", "tools")
"""Fields that a verdict could not be read under, or that the protocol gives."""


def is_nested(key: str) -> bool:
    """Whether a setting's key is one of NESTED, or lies in one."""
    return key.partition(".")[0] in NESTED


def nested_fields(args: Mapping[str, str], name: str) -> dict[str, Any]:
    """The object that settings such as `NAME.a.b=1` make; a value is JSON where it can be, else text.

    Raises:
        RmbenchError: a key is given twice in two ways, or a field is one that another setting gives.
    """
    made: dict[str, Any] = {}
    for key, text in args.items():
        first, *path = key.split(".")
        if first != name:
            continue
        if not all(path):
            raise RmbenchError(f"--model-args {key}: expected a name behind each dot.")
        _put(made, path, _value(text), key)
    for field in made if name == "extra_body" else ():
        if field in _OWN:
            raise RmbenchError(f"--model-args extra_body.{field}: this field is given by {_OWN[field]}=...")
        if field in _FIXED:
            raise RmbenchError(f"--model-args extra_body.{field}: judges set this field themselves.")
    return made


def recorded_fields(fields: Mapping[str, Any]) -> dict[str, Setting]:
    """The fields for the record: each by its dotted key, lists as JSON."""
    recorded: dict[str, Setting] = {}
    for key, value in fields.items():
        if isinstance(value, Mapping) and value:
            recorded |= {f"{key}.{inner}": each for inner, each in recorded_fields(value).items()}
        else:
            recorded[key] = value if isinstance(value, str | int | float | bool) else json.dumps(value, sort_keys=True)
    return recorded


def _put(made: dict[str, Any], path: list[str], value: Any, key: str) -> None:
    if not path:
        if not isinstance(value, dict):
            raise RmbenchError(f"--model-args {key}: expected a JSON object, or {key}.NAME=VALUE.")
        for name, each in value.items():
            _put(made, [name], each, f"{key}.{name}")
        return
    for name in path[:-1]:
        inner = made.setdefault(name, {})
        if not isinstance(inner, dict):
            raise RmbenchError(f"--model-args {key}: {name} is given as a value too.")
        made = inner
    if path[-1] in made:
        raise RmbenchError(f"--model-args {key}: given twice.")
    made[path[-1]] = value


def _value(text: str) -> Any:
    """JSON, with the booleans of Python too; a text that is no JSON as it is."""
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except (ValueError, RecursionError):
        return text

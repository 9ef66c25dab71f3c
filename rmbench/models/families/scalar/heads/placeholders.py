"""`{key}`, `{key=default}` and `{key!example}` in a head's declaration: values from the checkpoint's config.json."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rmbench.errors import RmbenchError, did_you_mean

__all__ = ["filled", "sample"]

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)(?:([=!])([^{}]*))?\}")


def filled(value: Any, config: Mapping[str, Any]) -> Any:
    """A declaration (tables, lists, texts) with every placeholder replaced by what config.json has under its key, or
    by its default where it has one. A text that is one placeholder becomes the value itself: a number, a flag, a list.
    `{}`, which stands for the number of a layer, stays.

    Raises:
        RmbenchError: config.json lacks a key that has no default.
    """
    return _each(value, lambda found: _value(found, config))


def sample(value: Any) -> Any:
    """The declaration with defaults and examples alone, which is enough to check its form without a checkpoint; a key
    without either stands for itself."""
    return _each(value, lambda found: found[1] if found[2] is None else _read(found[3]))


def _each(value: Any, replaced: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _each(one, replaced) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_each(one, replaced) for one in value]
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    return replaced(whole) if whole else _PLACEHOLDER.sub(lambda found: str(replaced(found)), value)


def _value(found: re.Match[str], config: Mapping[str, Any]) -> Any:
    key, kind, text = found.groups()
    if config.get(key) is not None:
        return config[key]
    if kind != "=":
        near = did_you_mean(key, config)
        raise RmbenchError(f"config.json lacks {key!r}, which the model's head is declared with.{near}")
    return _read(text)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text

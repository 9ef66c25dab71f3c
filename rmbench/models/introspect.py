"""Parts of an opened model that are reachable from its attributes: text encoder, tokenizer, torch modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from rmbench.models.protocols import Responder, Scorer
from rmbench.models.text.tokens import TextEncoder

__all__ = ["decoder_of", "modules_of", "text_of", "tokenizer_of"]

_DEPTH = 3
_FOREIGN = ("torch", "transformers", "tokenizers", "open_clip", "numpy", "builtins", "pathlib")


def text_of(model: Scorer | Responder) -> TextEncoder | None:
    """The first text encoder among the model's attributes and theirs, or None."""
    return next((value for value in _values(model, _DEPTH) if isinstance(value, TextEncoder)), None)


def tokenizer_of(model: Scorer | Responder) -> Any:
    """The tokenizer of a model's text encoder, else the first among its attributes, or None."""
    text = text_of(model)
    if text is not None:
        return text.tokenizer
    return next((value for value in _values(model, _DEPTH) if _is_tokenizer(value)), None)


def decoder_of(model: Scorer | Responder) -> Any:
    """The model's tokenizer, or whatever it has instead (open_clip's own) that can decode tokens; else None."""
    tokenizer = tokenizer_of(model)
    if tokenizer is not None:
        return tokenizer
    found = (
        value for value in _values(model, _DEPTH) if hasattr(value, "decode") and hasattr(value, "all_special_ids")
    )
    return next(found, None)


def modules_of(model: Scorer | Responder) -> list[Any]:
    """The torch modules among the model's attributes and theirs, each once, without parts of others."""
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    modules = [value for value in _values(model, _DEPTH) if isinstance(value, torch.nn.Module)]
    parts = {id(part) for module in modules for part in module.modules() if part is not module}
    return list({id(module): module for module in modules if id(module) not in parts}.values())


def _is_tokenizer(value: Any) -> bool:
    """Whether a library's object, of whatever class, reads as a tokenizer."""
    return all(hasattr(value, name) for name in ("decode", "bos_token_id", "all_special_tokens"))


def _values(owner: Any, depth: int) -> Iterator[Any]:
    """Attributes, and those of attributes whose classes are not a library's."""
    for value in _attributes(owner):
        items = value if isinstance(value, (tuple, list)) else value.values() if isinstance(value, dict) else ()
        nearby = (value, *list(items)[:64])
        yield from nearby
        for each in nearby:
            if depth > 1 and type(each).__module__.partition(".")[0] not in _FOREIGN:
                yield from _values(each, depth - 1)


def _attributes(owner: Any) -> list[Any]:
    """The values of an object's slots and `__dict__`; adapters of users are of any class."""
    slots = [name for kind in type(owner).__mro__ for name in getattr(kind, "__slots__", ()) if isinstance(name, str)]
    named = {name: getattr(owner, name) for name in slots if hasattr(owner, name)}
    return list({**named, **getattr(owner, "__dict__", {})}.values())

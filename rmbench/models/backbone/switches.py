"""The numbers of tokens at which a model changes the way in which it computes, as its configuration names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rmbench.errors import RmbenchError

__all__ = ["length_switches", "refuse_sticky", "windows"]

_WINDOWS = ("sliding_window", "attention_chunk_size", "local_attention", "attention_window")
_LENGTHS = ("original_max_position_embeddings", "max_position_embeddings", "n_positions")


def windows(config: Any) -> tuple[int, ...]:
    """The stretches beyond which a token does not see all before it, the shortest first."""
    return tuple(sorted({length for name in _WINDOWS for length in _lengths(getattr(config, name, None))}))


def length_switches(config: Any) -> tuple[int, ...]:
    """All of them: windows, and the lengths that rotary frequencies are changed at. The shortest first."""
    ropes = [getattr(config, name, None) for name in ("rope_parameters", "rope_scaling")]
    named = [value for rope in ropes if isinstance(rope, Mapping) for value in _nested(rope)]
    named += [length for name in _LENGTHS for length in _lengths(getattr(config, name, None))]
    return tuple(sorted({*windows(config), *named}))


def refuse_sticky(model: Any, where: object) -> None:
    """Raise RmbenchError for attention that the class exchanges for good when the first short row comes (BigBird), so
    that a row's score depends on those before it; `where` is the folder."""
    sparse = getattr(model.config, "attention_type", None) == "block_sparse"
    if sparse and any(hasattr(module, "set_attention_type") for module in model.modules()):
        raise RmbenchError(
            f'{where}: config.json: key "attention_type" is "block_sparse", which {type(model).__name__} gives up for '
            'good after its first short row, so that scores depend on the order of rows; "original_full" is read.'
        )


def _nested(rope: Mapping[str, Any]) -> Iterator[int]:
    for key, value in rope.items():
        if isinstance(value, Mapping):  # a rope for each type of layer
            yield from _nested(value)
        elif key == "original_max_position_embeddings":
            yield from _lengths(value)


def _lengths(value: Any) -> list[int]:
    """A number, or one for each layer."""
    values = value if isinstance(value, list | tuple) else [value]
    return [int(each) for each in values if isinstance(each, int | float) and not isinstance(each, bool) and each > 0]

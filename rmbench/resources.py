"""The folder of the cache, and those of the package's data: tasks, boards, model cards, bundled models, schemas."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["bundled_models", "cache_folder", "leaderboards", "schemas", "tasks"]

_PACKAGE = Path(__file__).resolve().parent
_OFF = frozenset({"", "0", "off", "no", "none"})
"""What RMBENCH_CACHE says where nothing is to be cached."""


def _top_level(name: str) -> Path:
    """A top-level folder of the repository: inside the package in a wheel, beside it in a checkout."""
    packed = _PACKAGE / "_declared" / name
    return packed if packed.is_dir() else _PACKAGE.parent / name


def tasks() -> Path:
    """The folder of task declarations, one TOML each, and of their samples."""
    return _top_level("tasks")


def leaderboards() -> Path:
    """The folder of board declarations; its folder `models` holds the model cards."""
    return _top_level("leaderboards")


def bundled_models() -> Path:
    """The folder of bundled models, each in the layout of Hugging Face."""
    return _PACKAGE / "bundled"


def schemas() -> Path:
    """The folder of the JSON schemas of `--json` output."""
    return _PACKAGE / "schemas"


def cache_folder() -> Path | None:
    """The folder in RMBENCH_CACHE, else the user's cache folder; None where the cache is turned off."""
    named = os.environ.get("RMBENCH_CACHE")
    if named is not None and named.strip().lower() in _OFF:
        return None
    if named:
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("rmbench")

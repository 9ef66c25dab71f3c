"""Folders of the data that is part of the package: tasks, boards, model cards, bundled models, schemas."""

from __future__ import annotations

from pathlib import Path

__all__ = ["bundled_models", "leaderboards", "schemas", "tasks"]

_PACKAGE = Path(__file__).resolve().parent


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

"""Builders of judged rows, and the published figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.types import Judged
from tests._make import make_row


@pytest.fixture(scope="session")
def make() -> Callable[..., Judged]:
    """Builds one judged row; by default a pair whose candidate 0 people prefer."""
    return make_row


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Any]:
    """Reads a table of published figures from tests/golden."""
    folder = Path(__file__).resolve().parent.parent / "golden"
    return lambda name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))

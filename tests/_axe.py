"""What axe-core, the usual checker of accessibility, finds in a page that is open in a browser."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

_PACKAGE = find_spec("axe_playwright_python")
needs_axe = pytest.mark.skipif(_PACKAGE is None, reason="need axe-core: the package axe-playwright-python")


def violations(page: Any) -> list[tuple[str, str]]:
    """The rule and the first element of each violation."""
    assert _PACKAGE is not None
    assert _PACKAGE.origin is not None
    page.evaluate(Path(_PACKAGE.origin).with_name("axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
    return [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]

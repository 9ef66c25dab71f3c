"""The documentation: every page has its place on the site, and every public name stands in the reference."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

import rmbench

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
API = (DOCS / "api.md").read_text("utf-8")


def leaves(nav: Any) -> list[str]:
    """The targets of the navigation, in order."""
    if isinstance(nav, str):
        return [nav]
    return [leaf for entry in (nav.values() if isinstance(nav, dict) else nav) for leaf in leaves(entry)]


def test_every_page_is_in_the_navigation() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    pages = [target for target in leaves(config["nav"]) if not target.startswith("https://")]
    assert len(pages) == len(set(pages))
    assert set(pages) == {path.name for path in DOCS.glob("*.md")}


def test_the_reference_holds_every_public_name() -> None:
    """`rmbench.NAME`, or where a folder has that name too, the function in it."""
    entries = dict(re.findall(r"^::: (\S+)\n +options: \{ heading: rmbench\.(\w+),", API, re.MULTILINE))
    documented = {name: path for path, name in entries.items()}
    assert set(documented) == set(rmbench.__all__) - {"__version__"}
    for name, path in documented.items():
        if path != f"rmbench.{name}":
            home, _, function = path.rpartition(".")
            assert getattr(import_module(home), function) is getattr(rmbench, name)

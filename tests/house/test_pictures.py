"""The README's pictures show what rmbench prints and what the committed records say."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "docs" / "assets"
OLD = "is older than what it shows: run `make pictures` and look at it"


@pytest.fixture(scope="module")
def maker() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "examples"))
    yield import_module("make_pictures")
    sys.path.remove(str(ROOT / "examples"))


@pytest.fixture(scope="module")
def made_from() -> dict[str, str]:
    found: dict[str, str] = json.loads((ASSETS / "pictures.json").read_text("utf-8"))
    return found


def test_the_terminal_is_of_today(maker: ModuleType, made_from: dict[str, str]) -> None:
    text = maker.terminal_text(maker.console_of_80())
    assert maker.text_digest(text) == made_from["terminal"], f"docs/assets/terminal-*.svg {OLD}"


def test_the_board_is_of_todays_records(maker: ModuleType, made_from: dict[str, str]) -> None:
    assert maker.board_digest() == made_from["board"], f"docs/assets/board-*.png {OLD}"


@pytest.mark.parametrize("name", ["light", "dark"])
def test_a_picture_asks_nobody_for_a_font(name: str) -> None:
    drawn = (ASSETS / f"terminal-{name}.svg").read_text("utf-8")
    assert "@font-face" not in drawn
    assert set(re.findall(r"https?://[^\s\"<)]+", drawn)) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}


def test_the_readme_shows_them_by_the_readers_scheme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = re.findall(r'(?:srcset|src)="(docs/assets/[^"]+)"', readme)
    assert sorted(shown) == [
        *("docs/assets/board-dark.png", "docs/assets/board-light.png"),
        *("docs/assets/terminal-dark.svg", "docs/assets/terminal-light.svg"),
    ]
    assert all((ROOT / path).is_file() for path in shown)
    assert readme.count("alt=") == 2


def test_the_social_preview_is_named_in_the_heads_of_the_docs() -> None:
    head = (ROOT / "docs" / "theme" / "main.html").read_text("utf-8")
    width, height = (int(re.findall(rf'og:image:{side}" content="(\d+)"', head)[0]) for side in ("width", "height"))
    assert "assets/social.png" in head
    with Image.open(ASSETS / "social.png") as drawn:
        assert drawn.size == (width, height)

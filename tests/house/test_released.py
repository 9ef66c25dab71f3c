"""tests/golden/released: small, without texts, with the source of every folder, and cut by its script."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
RELEASED = GOLDEN / "released"
FILES = sorted(path.relative_to(RELEASED).as_posix() for path in RELEASED.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def cutter() -> Iterator[ModuleType]:
    sys.path.insert(0, str(GOLDEN))
    yield import_module("cut_released")
    sys.path.remove(str(GOLDEN))


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def test_every_file_is_cut_by_the_script(cutter: ModuleType) -> None:
    assert set(cutter.CUTS) == set(FILES)
    assert sum((RELEASED / name).stat().st_size for name in FILES) < 900_000


def test_every_folder_has_its_source_and_licence() -> None:
    readme = (GOLDEN / "README.md").read_text("utf-8")
    for folder in {name.partition("/")[0] for name in FILES}:
        (line,) = [line for line in readme.splitlines() if line.startswith(f"| `{folder}` |")]
        assert "MIT" in line or "Apache-2.0" in line
        assert " @" in line


@pytest.mark.parametrize("name", FILES)
def test_no_texts(name: str) -> None:
    text = (RELEASED / name).read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()] if name.endswith(".jsonl") else json.loads(text)
    # verdicts of a whole subset are one string of digits
    assert max((len(one) for one in strings(rows) if set(one) - set("12-")), default=0) <= 64


@pytest.mark.parametrize("name", FILES)
def test_files_are_upstreams_cut(name: str, cutter: ModuleType, data: Path) -> None:
    assert (RELEASED / name).read_text("utf-8") == cutter.cut(data, name)

"""No module of the package imports itself by way of others, whatever hides the import: a function, TYPE_CHECKING, or
the name of a module in a string."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from rmbench.models.families import registry

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def house() -> ModuleType:
    """benchmarks/rooms.py, which prints the same for people."""
    spec = importlib.util.spec_from_file_location("rooms", ROOT / "benchmarks" / "rooms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_module_imports_itself_by_way_of_others(house: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    imported = house.imports(ROOT, "rmbench")
    imported[registry.__name__] |= {place.partition(":")[0] for place in registry._BUILT_IN.values()}
    assert len(imported) > 300
    circles = list(house.circles(imported))
    assert not circles, "\n".join(" -> ".join(circle) for circle in circles)


def test_a_circle_is_found_and_named(house: ModuleType) -> None:
    assert list(house.circles({"a": ["b"], "b": ["c", "d"], "c": ["b"], "d": []})) == [["b", "c", "b"]]
    assert list(house.circles({"a": ["b"], "b": ["c"], "c": ["a", "b"]})) == [["b", "c", "b"]]
    assert not list(house.circles({"a": ["b", "c"], "b": ["c"], "c": []}))


def test_rooms_and_floors(house: ModuleType) -> None:
    arrows = house.rooms({"p": ["p.a.x"], "p.a.x": ["p.a.y", "p.b"], "p.a.y": ["p.c.z"], "p.b": ["p.c"], "p.c.z": []})
    assert arrows == {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert house.floors(arrows) == [["c"], ["b"], ["a"]]
    assert house.floors({"a": {"b"}, "b": {"a", "c"}, "c": set()}) == [["c"], ["a", "b"]]

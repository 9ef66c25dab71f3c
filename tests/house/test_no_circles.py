"""No module of the package imports itself by way of others, whatever hides the import: a function, TYPE_CHECKING, or
the name of a module in a string."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import grimp

from rmbench.models.families import registry


def imports() -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports."""
    graph = grimp.build_graph("rmbench", exclude_type_checking_imports=False, cache_dir=None)
    found = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    found[registry.__name__] |= {place.partition(":")[0] for place in registry._BUILT_IN.values()}
    return found


def circles(imported: Mapping[str, Collection[str]]) -> Iterator[list[str]]:
    """A shortest circle through every module that is on one, but for modules that stand in a circle already given."""
    seen: set[str] = set()
    for module in sorted(imported):
        circle = None if module in seen else shortest_circle(imported, module)
        if circle:
            seen |= set(circle)
            yield circle


def shortest_circle(imported: Mapping[str, Collection[str]], start: str) -> list[str] | None:
    """The shortest way from a module back to itself, both ends included."""
    ways, reached = [[start]], set()
    for way in ways:
        for module in sorted(imported[way[-1]]):
            if module == start:
                return [*way, start]
            if module not in reached:
                reached.add(module)
                ways.append([*way, module])
    return None


def test_no_module_imports_itself_by_way_of_others() -> None:
    found = list(circles(imports()))
    assert not found, "\n".join(" -> ".join(circle) for circle in found)


def test_a_circle_is_found_and_named() -> None:
    assert list(circles({"a": ["b"], "b": ["c", "d"], "c": ["b"], "d": []})) == [["b", "c", "b"]]
    assert not list(circles({"a": ["b", "c"], "b": ["c"], "c": []}))

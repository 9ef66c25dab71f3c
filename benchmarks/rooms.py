"""The house in numbers: rooms, floors, arrows between rooms, circles of imports, lines.

    python benchmarks/rooms.py [--package-root DIR]

A room is a folder with modules, or a loose module, directly below the package. An arrow leads from a room to another
that it imports, wherever the import is: at the top of a module, in a function, or for type checking only. Floors are
the rooms of the longest chain of arrows; rooms that import each other share a floor. A circle is a chain of imports
from a module back to itself; of modules that import each other the shortest is shown. Modules named in strings are not
seen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import grimp

Graph = Mapping[str, Collection[str]]
"""Node -> the nodes that it imports."""


def imports(root: Path, package: str) -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports, in the checkout at `root`."""
    sys.path.insert(0, str(root))
    graph = grimp.build_graph(package, exclude_type_checking_imports=False, cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def rooms(imported: Graph) -> dict[str, set[str]]:
    """Room -> the other rooms that it imports. The package's own `__init__` is the face of all and no room."""
    arrows: dict[str, set[str]] = {}
    for module, targets in imported.items():
        arrows.setdefault(_room(module), set()).update(map(_room, targets))
    return {room: targets - {room, ""} for room, targets in arrows.items() if room}


def _room(module: str) -> str:
    return ".".join(module.split(".")[1:2])


def circles(imported: Graph) -> Iterator[list[str]]:
    """The shortest circle of every group of modules that import each other, directly or through others."""
    seen: set[str] = set()
    for module in sorted(imported):
        group = set() if module in seen else _peers(imported, module)
        seen |= group
        found = [circle for member in sorted(group) if (circle := _shortest_circle(imported, member))]
        if found:
            yield min(found, key=len)


def _peers(arrows: Graph, start: str) -> set[str]:
    """A node, and those that it reaches and that reach it."""
    return {start} | {other for other in _reachable(arrows, start) if start in _reachable(arrows, other)}


def _shortest_circle(imported: Graph, start: str) -> list[str] | None:
    """The shortest chain from a module back to itself, both ends included."""
    chains, reached = [[start]], set()
    for chain in chains:
        for module in sorted(imported[chain[-1]]):
            if module == start:
                return [*chain, start]
            if module not in reached:
                reached.add(module)
                chains.append([*chain, module])
    return None


def floors(arrows: Graph) -> list[list[str]]:
    """The rooms by floor, the lowest first: a room is above everything that it imports."""
    height: dict[str, int] = {}

    def place(room: str) -> int:
        if room not in height:
            peers = _peers(arrows, room)
            lower = {other for peer in peers for other in arrows[peer]} - peers
            height.update(dict.fromkeys(peers, 1 + max(map(place, sorted(lower)), default=-1)))
        return height[room]

    top = max(map(place, sorted(arrows)), default=-1)
    return [sorted(room for room in arrows if height[room] == floor) for floor in range(top + 1)]


def _reachable(arrows: Graph, start: str) -> set[str]:
    reached: set[str] = set()
    ahead = [start]
    while ahead:
        new = set(arrows[ahead.pop()]) - reached
        reached |= new
        ahead += new
    return reached


def lines(folder: Path) -> tuple[int, int]:
    """(files, lines) of the Python below a folder."""
    files = sorted(folder.rglob("*.py"))
    return len(files), sum(len(file.read_text("utf-8").splitlines()) for file in files)


def main() -> None:
    """Print the numbers of one checkout."""
    parser = argparse.ArgumentParser(description="Rooms, floors, arrows, circles of imports and lines of a checkout.")
    parser.add_argument("--package-root", type=Path, default=Path(__file__).resolve().parents[1], metavar="DIR")
    parser.add_argument("--package", default="rmbench", metavar="NAME")
    options = parser.parse_args()
    root = options.package_root.resolve()

    imported = imports(root, options.package)
    arrows = rooms(imported)
    by_floor, circled = floors(arrows), list(circles(imported))
    print(
        f"{len(arrows)} rooms on {len(by_floor)} floors, {sum(map(len, arrows.values()))} arrows, "
        f"{len(circled)} circles of modules"
    )
    for number, floor in reversed(list(enumerate(by_floor, 1))):
        print(f"\nfloor {number}")
        for room in floor:
            print(f"  {room:<14} -> {', '.join(sorted(arrows[room])) or '-'}")
    if circled:
        print("\ncircles")
    for circle in circled:
        print("  " + " -> ".join(circle))
    print()
    for name in (options.package, "tests"):
        files, count = lines(root / name)
        print(f"{name:<8} {count:>7,} lines in {files} files")


if __name__ == "__main__":
    main()

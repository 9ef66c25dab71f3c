"""The loops of a chat template's syntax tree: how often their bodies are run, as powers of a conversation's size."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from jinja2 import nodes

__all__ = ["Loop", "all_nodes", "loops", "targets"]

_NEVER_GIVEN = frozenset(("tools", "documents", "custom_tools", "builtin_tools", "None"))
"""Names that are never defined, or where there are tools alone (then every loop counts), and what stands for None."""
_LISTS = frozenset("list reverse sort selectattr rejectattr select reject unique".split())
"""Filters that leave messages whole."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop with those around it.

    Loops over parts of what another loop is at are not independent of it: a conversation has n characters in all,
    however it is divided.
    """

    messages: int
    """How many independent ones are over messages."""
    others: int
    """How many are over anything else, which may be the characters of a text."""
    keys: frozenset[str]
    """Keys of what they are over. A loop over a key that no message has is not run."""


def all_nodes(tree: nodes.Node) -> Iterator[nodes.Node]:
    """A node and all below it."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.iter_child_nodes())


def targets(target: nodes.Node) -> set[str]:
    """The names that an assignment or a loop sets."""
    return {node.name for node in all_nodes(target) if isinstance(node, (nodes.Name, nodes.NSRef))}


@dataclass(frozen=True, slots=True)
class _Names:
    """What a template's names are, whatever their order."""

    roots: Mapping[str, frozenset[str]]
    """Assigned name -> the names whose parts it is assigned."""
    lists: frozenset[str]
    """The names that hold messages, one or several of them left out."""

    @classmethod
    def of(cls, tree: nodes.Node) -> _Names:
        values: dict[str, list[nodes.Node]] = {}
        for assign in tree.find_all(nodes.Assign):
            for name in targets(assign.target):
                values.setdefault(name, []).append(assign.node)
        roots = {name: frozenset(map(_base, all_of)) for name, all_of in values.items()}
        lists = {"messages", *values} - {name for loop in tree.find_all(nodes.For) for name in targets(loop.target)}
        while wrong := {name for name in lists for value in values.get(name, ()) if not _is_list(value, lists)}:
            lists -= wrong
        return cls(roots, frozenset(lists))

    def sources(self, name: str) -> set[str]:
        """The names that are not assigned which a name is, or is made of parts of."""
        seen: set[str] = set()
        waiting = {name}
        while waiting:
            seen |= waiting
            waiting = {root for one in waiting for root in self.roots.get(one, ())} - seen
        return {one for one in seen if one not in self.roots} or {name}


def _base(value: nodes.Node) -> str:
    """The name that a value is a part of; "" where it is made of more."""
    while isinstance(value, (nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Call)) and value.node is not None:
        value = value.node
    if isinstance(value, nodes.Const) and value.value is None:
        return "None"
    return value.name if isinstance(value, nodes.Name) else ""


def _is_list(value: nodes.Node, lists: Collection[str]) -> bool:
    """Whether a value holds whole messages of one of these lists."""
    if isinstance(value, nodes.Name):
        return value.name in lists
    if isinstance(value, nodes.Getitem):
        return isinstance(value.arg, nodes.Slice) and _is_list(value.node, lists)
    if isinstance(value, nodes.Filter) and value.node is not None:
        return value.name in _LISTS and _is_list(value.node, lists)
    return False


def _key(value: nodes.Node) -> str:
    """The key under which a message has what a loop is over; "" where that is not known."""
    while isinstance(value, nodes.Filter) and value.node is not None:
        value = value.node
    if isinstance(value, nodes.Call) and isinstance(value.node, nodes.Getattr):
        value = value.node.node
    if isinstance(value, nodes.Getattr):
        return value.attr
    if isinstance(value, nodes.Getitem) and isinstance(value.arg, nodes.Const) and isinstance(value.arg.value, str):
        return value.arg.value
    return ""


@dataclass(frozen=True, slots=True)
class _Around:
    """The loops around a place."""

    groups: tuple[tuple[frozenset[str], bool], ...] = ()
    """Of every loop and those over its parts: the variables of the innermost, and whether it is over messages alone."""
    keys: frozenset[str] = frozenset()

    def within(self, loop: nodes.For, names: _Names) -> _Around:
        inner, sources = frozenset(targets(loop.target)), names.sources(_base(loop.iter))
        key = "tools" if sources <= _NEVER_GIVEN else _key(loop.iter)
        keys = self.keys | ({key} if key else set())
        outer = next((group for group in self.groups if sources <= group[0]), None)
        if outer is not None:
            return _Around((*(group for group in self.groups if group is not outer), (inner, False)), keys)
        return _Around((*self.groups, (inner, _is_list(loop.iter, names.lists))), keys)


def loops(tree: nodes.Node) -> Iterator[Loop]:
    """Every loop, from the outer to the inner ones."""
    return _within(tree, _Names.of(tree), _Around())


def _within(node: nodes.Node, names: _Names, around: _Around) -> Iterator[Loop]:
    for child in node.iter_child_nodes():
        inside = around
        if isinstance(child, nodes.For):
            inside = around.within(child, names)
            messages = sum(alone for _, alone in inside.groups)
            yield Loop(messages, len(inside.groups) - messages, inside.keys)
        yield from _within(child, names, inside)

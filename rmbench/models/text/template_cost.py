"""How much a chat template can make of a conversation, seen from its syntax tree without rendering it.

Nearly all templates loop over messages, look at keys and write texts one after another; for these the result's size is
bounded by that of the conversation. Whatever could make much of little (a text multiplied, doubled in a loop, padded to
a width, a macro, which can call itself) is of unknown cost, and so is rendered in a process of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from rmbench.models.text.template_loops import Loop, all_nodes, loops, targets

__all__ = ["Cost", "cost_of"]

_CHARACTERS = 2**29
"""What a template may write by the bound, which is far above what it does write, in the process of the run."""
_LONGEST_TEMPLATE = 2**17
_GROWTH = 2**12

_PLAIN = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.NSRef, nodes.Getattr),
    *(nodes.Getitem, nodes.Slice, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.CondExpr),
    *(nodes.Test, nodes.If, nodes.For, nodes.Assign, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword),
    *(nodes.Call, nodes.Filter, nodes.Add, nodes.Sub, nodes.Neg, nodes.Concat, nodes.Mod, nodes.Break, nodes.Continue),
)
_FILTERS = frozenset(
    "abs attr bool capitalize count d default dictsort e escape first float groupby int items last length list lower "
    "map max min reject rejectattr reverse safe select selectattr sort string striptags sum title tojson trim unique "
    "upper wordcount replace join".split()
)
"""Filters whose result is not much longer than what they are given; the last two are looked at more closely."""
_METHODS = frozenset(
    "capitalize count endswith find get index isalnum isalpha isdigit islower isspace isupper items keys lower lstrip "
    "partition removeprefix removesuffix rfind rpartition rsplit rstrip split splitlines startswith strip title upper "
    "values replace join".split()
)
_FUNCTIONS = frozenset(("raise_exception", "strftime_now", "namespace"))
_NUMBERS = frozenset(("length", "count", "int", "float", "wordcount", "abs"))


@dataclass(frozen=True, slots=True)
class Cost:
    """The bound on what a template writes of a conversation of m messages and n characters."""

    literal: int
    """Characters of the template."""
    growth: int
    """How many times as long its variables may be as what they are made of."""
    wider: int
    """How many times as long what it writes may be as these."""
    loops: tuple[Loop, ...]

    def fits(self, turns: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None) -> bool:
        """Whether these turns, and the tools that the template is given, are rendered in bounds for sure."""
        m, n = len(turns), 0 if tools is None else len(repr(tools))
        keys: set[str] | None = set() if tools is None else None
        for turn in turns:
            for key, value in turn.items():
                n += len(value) if isinstance(value, str) else len(repr(value))
                if keys is not None:
                    keys = None if isinstance(value, (list, dict)) else keys | {key}
        run = [loop for loop in self.loops if keys is None or loop.keys <= keys]
        rounds = max((m**loop.messages * (self.growth * n) ** loop.others for loop in run), default=1)
        return self.growth * self.wider * rounds * (n + self.literal) <= _CHARACTERS


@lru_cache(maxsize=64)
def cost_of(template: str) -> Cost | None:
    """The bound for a template; None where none is known, which a template with a syntax error has not either."""
    if len(template) > _LONGEST_TEMPLATE:
        return None
    try:
        tree = Environment(extensions=[_Generation, loopcontrols], autoescape=False).parse(template)  # noqa: S701
        if not all(_is_plain(node) for node in all_nodes(tree)):
            return None
        stored = {name for target, _ in _steps(tree) for name in targets(target)}
        if stored & _FUNCTIONS:
            return None
        written = [each for output in tree.find_all(nodes.Output) for each in output.nodes]
        wider = max(map(_wider, (*written, *(one.test for one in tree.find_all(nodes.If)))), default=1)
        growth = _growth(tree)
        if growth is None or any(_wider(loop.iter) > 1 for loop in tree.find_all(nodes.For)):
            return None
        return Cost(len(template), growth, wider, tuple(loops(tree)))
    except (TemplateError, RecursionError):
        return None


class _Generation(Extension):
    """The tags by which templates mark answers for training; rendering leaves them out."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _is_plain(node: nodes.Node) -> bool:
    """Whether a node makes nothing much longer than its parts, or how much longer is counted by `_widening`."""
    if not isinstance(node, _PLAIN):
        return False
    if isinstance(node, nodes.Mod):  # of texts it formats, to any width
        return _is_number(node.left) and _is_number(node.right)
    if isinstance(node, (nodes.Filter, nodes.Call)) and (node.dyn_args or node.dyn_kwargs):
        return False
    if isinstance(node, nodes.Filter):
        if node.name == "map":  # by another filter
            return not node.args
        return node.name in _FILTERS and (node.name != "tojson" or not node.args)
    if isinstance(node, nodes.Call):
        called = node.node
        if isinstance(called, nodes.Getattr):
            return called.attr in _METHODS
        return isinstance(called, nodes.Name) and called.name in _FUNCTIONS
    return not (isinstance(node, nodes.For) and node.recursive)


def _is_number(node: nodes.Node | None) -> bool:
    if isinstance(node, nodes.Const):
        return isinstance(node.value, int)
    if isinstance(node, nodes.Getattr):
        return isinstance(node.node, nodes.Name) and node.node.name == "loop"
    if isinstance(node, nodes.Filter):
        return node.name in _NUMBERS
    return isinstance(node, (nodes.Add, nodes.Sub)) and _is_number(node.left) and _is_number(node.right)


def _wider(tree: nodes.Node) -> int:
    """How many times as long as its parts a value may be."""
    return math.prod(map(_widening, all_nodes(tree)))


def _widening(node: nodes.Node) -> int:
    """How many times as long a replacement or a join makes its text."""
    if isinstance(node, nodes.Filter) and node.name in ("replace", "join"):
        name, arguments, base = node.name, node.args, None
    elif (
        isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.node.attr in ("replace", "join")
    ):
        name, arguments, base = node.node.attr, node.args, node.node.node
    elif isinstance(node, nodes.Filter) and node.name == "tojson":
        widths = [each.value.value if isinstance(each.value, nodes.Const) else _CHARACTERS for each in node.kwargs]
        return 6 * max((1 + int(width) for width in widths if isinstance(width, int)), default=1)  # 6: \\u0001
    else:
        return 1
    by = [base] if base is not None and name == "join" else arguments[:2]
    texts = [each.value for each in by if isinstance(each, nodes.Const) and isinstance(each.value, str)]
    if len(texts) < len(by) or (name == "replace" and len(texts) < 2):
        return _CHARACTERS  # by a text that is not known
    if name == "join":
        return 1 + len(texts[0]) if texts else 1
    old, new = texts
    return -(-len(new) // len(old)) if old and new else 1 + len(new)


def _growth(tree: nodes.Node) -> int | None:
    """How many times as long as the conversation a variable may be; None where a loop lets one grow by itself."""
    assigned = _made_of(tree, lambda assign: True)
    carried = _made_of(tree, _makes_namespace)  # what outlives one round of a loop
    growth = 1
    for assign in tree.find_all(nodes.Assign):
        growth *= _wider(assign.node) * max(1, _mentions(assign.node, assigned))
        if growth > _GROWTH:
            return None
    for loop in tree.find_all(nodes.For):
        for assign in loop.find_all(nodes.Assign):
            mentions = _mentions(assign.node, carried)
            if mentions > 1 or (mentions and _wider(assign.node) > 1):
                return None
    return growth


def _made_of(tree: nodes.Node, is_source: Callable[[nodes.Assign], bool]) -> frozenset[str]:
    """Names that some assignments set, and those made of these by other assignments or by loops over them."""
    assigns = list(tree.find_all(nodes.Assign))
    names = {name for assign in assigns if is_source(assign) for name in targets(assign.target)}
    steps = _steps(tree)
    while True:
        more = {name for target, value in steps if _mentions(value, names) for name in targets(target)}
        if more <= names:
            return frozenset(names)
        names |= more


def _steps(tree: nodes.Node) -> list[tuple[nodes.Node, nodes.Node]]:
    """Every target of an assignment or a loop, and what it is made of."""
    steps: list[tuple[nodes.Node, nodes.Node]] = [(each.target, each.node) for each in tree.find_all(nodes.Assign)]
    return steps + [(each.target, each.iter) for each in tree.find_all(nodes.For)]


def _makes_namespace(assign: nodes.Assign) -> bool:
    made = assign.node
    return isinstance(made, nodes.Call) and isinstance(made.node, nodes.Name) and made.node.name == "namespace"


def _mentions(value: nodes.Node, names: Collection[str]) -> int:
    """How often a value may hold the texts of these names; comparisons, tests and numbers hold none."""
    if isinstance(value, nodes.Name):
        return int(value.name in names)
    if isinstance(value, (nodes.Compare, nodes.Test, nodes.Not)) or _is_number(value):
        return 0
    if isinstance(value, nodes.CondExpr):
        return max(_mentions(value.expr1, names), _mentions(value.expr2, names) if value.expr2 else 0)
    if isinstance(value, nodes.Getitem):
        return _mentions(value.node, names)
    return sum(_mentions(part, names) for part in value.iter_child_nodes())

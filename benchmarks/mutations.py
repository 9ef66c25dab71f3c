"""The mutations that `mutants.py` draws from: a file -> every change of it at a single point.

A mutation is one of: a comparison at its boundary or reversed, `and` for `or`, `any` for `all`, `min` for `max`, an
operand, a `not`, a sign, a keyword or a filter dropped, arithmetic changed, a constant one more or less, arguments
swapped, a branch always or never taken, `break` for `continue`. Texts, annotations, decorators and what a `raise`
prints are left as they are.
"""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
CALLS = {"any": "all", "all": "any", "min": "max", "max": "min"}
_LOOSE = (ast.BoolOp, ast.IfExp, ast.Compare, ast.BinOp, ast.UnaryOp)
"""Expressions that need parentheses where they take the place of another kind."""
FORM_ONLY = {"strict", "slots", "frozen"}
"""Keywords that change no result."""


@dataclass(frozen=True)
class Mutant:
    """One change of a file."""

    path: str
    line: int
    before: str
    after: str
    """The changed lines as one, without indents."""
    source: str
    """The file's whole text with the change."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What stays the same while other lines of the file change."""
        return self.path, self.before, self.after


def changed(node: Any) -> Iterator[ast.AST]:  # noqa: C901 - flat: a case for each kind of node
    """The node's mutations, one change each."""

    def having(**fields: Any) -> ast.AST:
        new = copy.copy(node)
        for name, value in fields.items():
            setattr(new, name, value)
        return new

    def without(items: list[Any], at: int) -> list[Any]:
        return [item for k, item in enumerate(items) if k != at]

    match node:
        case ast.Compare(ops=ops):
            for k, op in enumerate(ops):
                yield having(ops=[*ops[:k], OPERATORS[type(op)](), *ops[k + 1 :]])
        case ast.BoolOp(op=op, values=values):
            yield having(op=OPERATORS[type(op)]())
            for k in range(len(values)):
                rest = without(values, k)
                yield having(values=rest) if len(rest) > 1 else rest[0]
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.BinOp(op=op, left=left) if type(op) in OPERATORS:
            yield having(op=OPERATORS[type(op)]())
            yield left
        case ast.AugAssign(op=op) if type(op) in OPERATORS:
            yield having(op=OPERATORS[type(op)]())
            yield ast.Pass()
        case ast.IfExp(body=body, orelse=orelse):
            yield from (body, orelse)
        case ast.If():
            yield from (having(test=ast.Constant(value)) for value in (True, False))
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.comprehension(ifs=ifs):
            yield from (having(ifs=without(ifs, k)) for k in range(len(ifs)))
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Call(func=func, args=args, keywords=keywords):
            if isinstance(func, ast.Name) and func.id in CALLS:
                yield having(func=ast.Name(CALLS[func.id]))
            plain = len(args) > 1 and not any(isinstance(each, ast.Starred) for each in args[:2])
            if plain and ast.dump(args[0]) != ast.dump(args[1]) and ast.unparse(func) not in ("isinstance", "replace"):
                yield having(args=[args[1], args[0], *args[2:]])
            for k, keyword in enumerate(keywords):
                if keyword.arg not in FORM_ONLY:
                    yield having(keywords=without(keywords, k))


def _points(node: ast.AST, outer: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """(node to mutate, node with a place in the text) of everything that can change a result."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert):
        return
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    place = node if hasattr(node, "lineno") else outer
    yield node, place
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "op", "ops", "ctx"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _points(child, place)


def mutants_of(path: Path, root: Path) -> Iterator[Mutant]:
    """Every mutant of a file below `root`."""
    text, name = path.read_text("utf-8"), path.relative_to(root).as_posix()
    lines = text.split("\n")
    starts = [0, *itertools.accumulate(len(line.encode()) + 1 for line in lines)]
    for node, place in _points(ast.parse(text), ast.parse("")):
        for new in changed(node):
            # A test of `if` has a place of its own, a filter of a comprehension only as part of the comprehension.
            old: Any = node.test if isinstance(node, ast.If) else place
            if isinstance(new, ast.If):
                new = new.test
            elif isinstance(new, ast.comprehension):
                filtered, new = new, copy.copy(old)
                new.generators = [filtered if each is node else each for each in old.generators]
            piece = ast.unparse(new)
            if isinstance(new, _LOOSE) and type(new) is not type(old):
                piece = f"({piece})"
            start = starts[old.lineno - 1] + old.col_offset
            end = starts[old.end_lineno - 1] + old.end_col_offset
            mutated = (text.encode()[:start] + piece.encode() + text.encode()[end:]).decode()
            first, last = old.lineno - 1, old.end_lineno
            after = mutated.split("\n")[first : last + mutated.count("\n") + 1 - len(lines)]
            pieces = (" ".join(map(str.strip, each)) for each in (lines[first:last], after))
            yield Mutant(name, old.lineno, *pieces, mutated)

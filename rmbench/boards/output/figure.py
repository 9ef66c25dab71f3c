"""A board as a figure: every model's value as a point with its 95% interval, the best at the top."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from rmbench.boards.table import BoardTable, Row
from rmbench.errors import RmbenchError
from rmbench.text import printable

__all__ = ["figure_of"]

_COLOURS = {"measured": "#1a5fb4", "recomputed": "#1a7f4b", "published": "#b3410f"}
_SHAPES = {"measured": "circle", "recomputed": "square", "published": "diamond"}
_NAMES = {"measured": "measured here", "recomputed": "from released scores", "published": "as printed"}
_PANELS = 6
"""Columns side by side, where the board has no aggregate."""


def figure_of(table: BoardTable, rows: Sequence[Row], to: Literal["svg", "png", "pdf"]) -> bytes:
    """The bytes of a figure.

    Raises:
        RmbenchError: nothing to draw; altair or vl-convert is not installed, or what they cannot draw.
    """
    try:
        import altair
        import vl_convert
    except ImportError as error:
        raise RmbenchError("Figures need altair and vl-convert: pip install 'rmbench[board]'.") from error
    panels = _panels(table, rows)
    if not panels:
        raise RmbenchError(f"board {table.board.id}: there is no value to draw.")
    order = list(_labels(rows).values())
    charts = [_panel(altair, title, values, order, first=not k) for k, (title, values) in enumerate(panels)]
    chart = altair.hconcat(*charts).properties(title=printable(table.board.title))
    spec = chart.configure(font="sans-serif", background="white").to_dict()
    try:
        if to == "svg":
            return str(vl_convert.vegalite_to_svg(spec)).encode()
        return bytes(vl_convert.vegalite_to_png(spec, scale=2) if to == "png" else vl_convert.vegalite_to_pdf(spec))
    except ValueError as error:
        raise RmbenchError(f"The figure cannot be drawn: {printable(str(error))}") from error


Values = list[dict[str, Any]]


def _panels(table: BoardTable, rows: Sequence[Row]) -> list[tuple[str, Values]]:
    """(title, values) of the aggregate, or where there is none of the first columns that have values."""
    labels = _labels(rows)
    if any(row.aggregate is not None for row in rows):
        name = "win share" if table.board.aggregate == "win_share" else "mean"
        only = next((one for one in table.columns if one.weight > 0), None)
        title = only.metric if table.single and only is not None else name
        values = [_point(labels[id(row)], row.kind, row.aggregate, row.low, row.high) for row in rows]
        return [(title, [value for value in values if value["value"] is not None])]
    columns = [k for k, one in enumerate(table.columns) if not one.part_of and one not in table.empty][:_PANELS]
    cells = {k: [(row, cell) for row in rows if (cell := row.cells[k]) and cell.value is not None] for k in columns}
    return [
        (
            table.columns[k].name,
            [_point(labels[id(row)], cell.kind, cell.value, cell.low, cell.high) for row, cell in cells[k]],
        )
        for k in columns
    ]


def _point(label: str, kind: str, value: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    return {"model": label, "value": value, "low": low, "high": high, "kind": _NAMES[kind]}


def _labels(rows: Sequence[Row]) -> dict[int, str]:
    """By `id` of a row its name, with the revision where several have it."""
    names = Counter(row.name for row in rows)
    return {
        id(row): printable(f"{row.name}@{row.revision}" if names[row.name] > 1 and row.revision else row.name)
        for row in rows
    }


def _panel(altair: Any, title: str, values: Values, order: Sequence[str], *, first: bool) -> Any:
    shown = {value["model"] for value in values}
    names = [name for name in order if name in shown] if first else list(order)
    scale = altair.Scale(zero=False, nice=True)
    axis = altair.Axis(title=None, labelLimit=340) if first else altair.Axis(title=None, labels=False, ticks=False)
    base = altair.Chart(altair.Data(values=values)).encode(y=altair.Y("model:N", sort=names, axis=axis))
    kinds = list(_NAMES.values())
    colours = altair.Scale(domain=kinds, range=list(_COLOURS.values()))
    shapes = altair.Scale(domain=kinds, range=list(_SHAPES.values()))
    legend = altair.Legend(title=None, orient="bottom") if len({value["kind"] for value in values}) > 1 else None
    rules = base.mark_rule(strokeWidth=3, opacity=0.4).encode(
        x=altair.X("low:Q", scale=scale, title=printable(title), axis=altair.Axis(titleFontWeight="normal")),
        x2="high:Q",
        color=altair.Color("kind:N", scale=colours, legend=None),
    )
    points = base.mark_point(filled=True, size=30, opacity=1).encode(
        x=altair.X("value:Q", scale=scale),
        color=altair.Color("kind:N", scale=colours, legend=legend),
        shape=altair.Shape("kind:N", scale=shapes, legend=legend),
    )
    return altair.layer(rules, points).properties(width=380 if first else 200, height=altair.Step(16))

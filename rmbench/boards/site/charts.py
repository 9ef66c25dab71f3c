"""Figures of a board: values against size, best of N, agreement between models, and which models differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from rmbench.boards.agreement import agreement, clustered
from rmbench.boards.figures import parameters, signed
from rmbench.boards.ranks import ALPHA
from rmbench.boards.scaling import Series, series_of
from rmbench.boards.site.best_of import best_of_chart, curves
from rmbench.boards.table import BoardTable, Row
from rmbench.html.charts import SERIES, svg
from rmbench.text import figure, printable

__all__ = ["Figure", "figures_of"]

_MATRIX = 60
"""Models in a matrix at most, the first of the board."""
_CELL = 11
_NO_MODELS = frozenset({"baseline", "fake", "demo"})


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its heading and what it says."""

    id: str
    title: str
    caption: str
    drawing: Markup
    points: tuple[str, ...] = ()
    """Further sentences, each by itself."""


def figures_of(table: BoardTable) -> list[Figure]:
    """The figures that the board's records allow."""
    made = [_scaling(table), _best_of(table), _differences(table), _agreement(table)]
    return [each for each in made if each is not None]


def _scaling(table: BoardTable) -> Figure | None:
    rows = [
        (row, row.aggregate)
        for row in (*table.rows, *table.printed)
        if row.aggregate is not None and row.parameters and not _NO_MODELS & set(row.flags)
    ]
    if len({row.parameters for row, _ in rows}) < 3:
        return None
    lines = series_of(rows)[: len(SERIES)]
    in_series = {(size, value): one.name for one in lines for size, value in one.points}
    points = [_point(row, value, in_series.get((row.parameters or 0, value), "")) for row, value in rows]
    said = tuple(map(_slope, lines))
    chart = _scaling_chart(points, lines, _measure(table))
    drawn = svg(chart, prefix="size", title="Value against size", description=" ".join(said) or "A point per model.")
    caption = "Each point is a model with its 95% interval, on a logarithmic axis of parameters."
    if lines:
        caption += (
            " Lines join models whose names differ in size only, by least squares; with ten times the parameters:"
        )
    return Figure("size", "Value against size", caption, drawn, said)


def _best_of(table: BoardTable) -> Figure | None:
    found = curves(table)
    if not found:
        return None
    task = printable(found[0][0])
    caption = f"{task}: how good the answer is that a model picks among N, each with its 95% interval."
    drawn = svg(best_of_chart(found), prefix="best", title="Best of N", description=caption)
    said = tuple(
        f"{printable(row.name.rpartition('/')[2])}: {figure(values[0].value)} at 1, {figure(values[-1].value)} at "
        f"{len(values)}."
        for _, row, values in found
    )
    return Figure("best", "Best of N", caption, drawn, said)


def _measure(table: BoardTable) -> str:
    """What the aggregate is of: the metric of the one column there is, or the mean."""
    wholes = [column for column in table.columns if not column.part_of]
    if table.board.aggregate == "win_share":
        return "win share"
    return wholes[0].metric if len(wholes) == 1 else "mean"


def _slope(one: Series) -> str:
    """What a line says, in words."""
    limits = f"[{signed(one.low)}, {signed(one.high)}]"
    return f"{_short(one.name)}: {signed(one.slope)} {limits}, {len(one.points)} sizes."


def _short(name: str) -> str:
    return printable(name.rpartition("/")[2])


def _point(row: Row, value: float, series: str) -> dict[str, Any]:
    return {
        "size": row.parameters,
        "value": value,
        "low": row.low if row.low is not None else value,
        "high": row.high if row.high is not None else value,
        "series": _short(series),
        "label": f"{printable(row.name)}: {figure(value)}, {parameters(row.parameters)}",
    }


def _scaling_chart(points: Sequence[dict[str, Any]], lines: Sequence[Series], measure: str) -> dict[str, Any]:
    x = {
        "field": "size",
        "type": "quantitative",
        "title": "parameters",
        "scale": {"type": "log", "nice": False, "padding": 20},
    }
    x["axis"] = {"format": "~s", "tickCount": 6, "labelExpr": "replace(datum.label, 'G', 'B')", "grid": False}
    y = {
        "field": "value",
        "type": "quantitative",
        "title": measure,
        "scale": {"zero": False},
        "axis": {"format": ".2f"},
    }
    domain = [_short(one.name) for one in lines]
    colour: dict[str, Any] = {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": domain, "range": list(SERIES)},
        "title": None,
    }
    colour["legend"] = {"orient": "top", "columns": 3, "symbolType": "circle", "labelLimit": 220, "columnPadding": 36}
    fit = [
        {"size": size, "value": one.at(size), "series": _short(one.name)}
        for one in lines
        for size in (one.points[0][0], one.points[-1][0])
    ]
    own = (
        {"condition": {"test": "datum.series == ''", "value": "var(--soft,#666)"}, **colour}
        if lines
        else {"value": SERIES[0]}
    )
    faint = {"condition": {"test": "datum.series == ''", "value": 0.35}, "value": 0.9} if lines else {"value": 0.8}
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": list(points)},
            "mark": {"type": "rule", "strokeWidth": 1.2},
            "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": own, "opacity": faint},
        },
        {
            "data": {"values": list(points)},
            "mark": {"type": "point", "filled": True, "size": 42},
            "encoding": {"x": x, "y": y, "color": own, "opacity": faint, "description": {"field": "label"}},
        },
    ]
    if lines:
        line = {"mark": {"type": "line", "strokeWidth": 1.5}, "encoding": {"x": x, "y": y, "color": colour}}
        layers.append({"data": {"values": fit}, **line})
    return {"width": 640, "height": 340, "layer": layers}


def _complete(table: BoardTable) -> list[tuple[int, Row]]:
    """(place in the table, row) of the first models that the pairs are about."""
    named = {k for pair in table.pairs for k in (pair.i, pair.j)}
    return [(k, row) for k, row in enumerate(table.rows) if k in named][:_MATRIX]


def _differences(table: BoardTable) -> Figure | None:
    rows = _complete(table)
    if len(rows) < 3:
        return None
    names = _labels([row for _, row in rows])
    kept = {k: names[place] for place, (k, _) in enumerate(rows)}
    values = [
        {
            "x": kept[pair.i],
            "y": kept[pair.j],
            "told": "told apart" if pair.corrected < ALPHA else "not told apart",
            "label": f"{kept[pair.i]} less {kept[pair.j]}: {signed(-pair.difference)}, p {pair.corrected:.2g}",
        }
        for pair in table.pairs
        if pair.i in kept and pair.j in kept
    ]
    told = sum(pair.corrected < ALPHA for pair in table.pairs)
    caption = (
        f"{told:,} of {len(table.pairs):,} pairs of models differ significantly (paired tests, two-sided .05, Holm's "
        "correction over all pairs). Filled: told apart. Light: not."
    )
    chart = _matrix(values, names, {
        "field": "told", "type": "nominal", "title": None,
        "scale": {"domain": ["told apart", "not told apart"], "range": [0.85, 0.15]},
        "legend": {"orient": "top", "symbolType": "square", "symbolFillColor": SERIES[0]},
    })  # fmt: skip
    drawn = svg(chart, prefix="told", title="Which models differ", description=caption)
    return Figure("told", "Which models differ", caption, drawn)


def _agreement(table: BoardTable) -> Figure | None:
    rows = _complete(table)
    folders = [_folders(table, row) for _, row in rows]
    alike = agreement(folders) if len(rows) >= 3 and all(folders) else None
    if alike is None:
        return None
    order = clustered(alike)
    labels = _labels([row for _, row in rows])
    names = [labels[place] for place in order]
    values = [
        {"x": names[a], "y": names[b], "alike": float(alike[order[a], order[b]]),
         "label": f"{names[a]} and {names[b]}: {alike[order[a], order[b]]:.1%}"}
        for a in range(len(order)) for b in range(a + 1, len(order))
    ]  # fmt: skip
    shares = sorted(float(alike[order[a], order[b]]) for a in range(len(order)) for b in range(a + 1, len(order)))
    caption = (
        f"Share of rows on which two models are both right or both wrong, from {shares[0]:.0%} to {shares[-1]:.0%}; "
        "the darker, the more alike. Models that agree stand together (average linkage)."
    )
    chart = _matrix(values, names, {
        "field": "alike", "type": "quantitative", "title": "agreement",
        "scale": {"domain": [shares[0], shares[-1]], "range": [0.05, 1]},
        "legend": {"orient": "top", "format": ".0%", "gradientLength": 160, "type": "symbol", "symbolType": "square",
                   "symbolFillColor": SERIES[0]},
    })  # fmt: skip
    drawn = svg(chart, prefix="alike", title="Agreement between models", description=caption)
    return Figure("alike", "Agreement between models", caption, drawn)


def _folders(table: BoardTable, row: Row) -> list[Path]:
    """The records of the columns that the aggregate is of; empty where one is missing."""
    cells = [row.cells[k] for k, column in enumerate(table.columns) if column.weight > 0 and not column.tasks]
    folders = [cell.folder for cell in cells if cell is not None and cell.folder is not None]
    return folders if len(folders) == len(cells) else []


def _labels(rows: Sequence[Row]) -> list[str]:
    """Names without the organisation where that tells them apart, else whole, else with the revision."""
    for made in (
        lambda row: row.name.rpartition("/")[2],
        lambda row: row.name,
        lambda row: f"{row.name}@{row.revision}",
    ):
        names = [printable(made(row)) for row in rows]
        if len(set(names)) == len(names):
            return names
    return [f"{k}. {name}" for k, name in enumerate(names, 1)]


def _matrix(values: Sequence[dict[str, Any]], names: Sequence[str], opacity: dict[str, Any]) -> dict[str, Any]:
    """The lower triangle of a square of models."""
    axis = {
        "grid": False,
        "domain": False,
        "ticks": False,
        "labelFontSize": 9,
        "labelLimit": 190,
        "labelOverlap": False,
    }
    side = max(_CELL * len(names), 200)
    return {
        "width": side,
        "height": side,
        "padding": {"left": 24, "right": 24, "top": 5, "bottom": 24},
        "data": {"values": list(values)},
        "mark": {"type": "rect", "color": SERIES[0]},
        "encoding": {
            "x": {"field": "x", "type": "nominal", "sort": None, "scale": {"domain": list(names), "padding": 0.08},
                  "title": None, "axis": {**axis, "labelAngle": -90, "orient": "bottom"}},
            "y": {"field": "y", "type": "nominal", "sort": None, "scale": {"domain": list(names), "padding": 0.08},
                  "title": None, "axis": axis},
            "opacity": opacity,
            "description": {"field": "label"},
        },
    }  # fmt: skip

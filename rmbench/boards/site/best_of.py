"""Best-of-N curves of a board: how good the answer is that each model picks among more and more of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rmbench.boards.table import BoardTable, Row
from rmbench.html.charts import SERIES
from rmbench.records.record import ValueRecord
from rmbench.records.store import read
from rmbench.text import printable

__all__ = ["best_of_chart", "curves"]

_RULE = "best_of_k"
_K = "k="


def curves(table: BoardTable) -> list[tuple[str, Row, list[ValueRecord]]]:
    """(task and metric, row, its values at k = 1 ... K) of the models whose records hold such values: those whose pick
    among all is best, as many as there are colours; of the first metric alone that any model has."""
    found = list(_all(table))
    same = [one for one in found if one[0] == found[0][0]]
    return sorted(same, key=lambda one: -(one[2][-1].value or 0.0))[: len(SERIES)]


def _all(table: BoardTable) -> Iterator[tuple[str, Row, list[ValueRecord]]]:
    having: dict[int, bool] = {}  # of a column, by its first record: a task's records declare the same metrics
    for row in table.rows:
        seen = set[Path]()
        for column, cell in enumerate(row.cells):
            if cell is None or cell.folder is None or cell.folder in seen or not having.get(column, True):
                continue
            seen.add(cell.folder)
            record = read(cell.folder)
            metrics = [metric for metric in record.task.metrics if metric["rule"] == _RULE]
            having.setdefault(column, bool(metrics))
            for metric in metrics:
                values = [one for one in record.results if one.metric == metric["name"] and _place(one) is not None]
                if len(values) > 1:
                    values.sort(key=lambda one: _place(one) or 0)
                    yield f"{record.task.title} ({metric['name']})", row, values


def _place(value: ValueRecord) -> int | None:
    group = value.group or ""
    return int(group[len(_K) :]) if group.startswith(_K) and group[len(_K) :].isdecimal() else None


def best_of_chart(found: Sequence[tuple[str, Row, list[ValueRecord]]]) -> dict[str, Any]:
    """A line per model with its 95% band, for `rmbench.html.charts.svg`."""
    names = [printable(row.name.rpartition("/")[2]) for _, row, _ in found]
    points = [
        {"n": _place(value), "value": value.value, "low": value.low, "high": value.high, "model": name}
        for name, (_, _, values) in zip(names, found, strict=True)
        for value in values
    ]
    x = {"field": "n", "type": "quantitative", "title": "answers to pick from", "scale": {"nice": False}}
    y = {"field": "value", "type": "quantitative", "title": "quality of the pick", "scale": {"zero": False}}
    colour = {
        "field": "model",
        "type": "nominal",
        "title": None,
        "sort": None,
        "scale": {"domain": names, "range": list(SERIES)},
        "legend": {"orient": "top", "columns": 2, "symbolType": "stroke", "symbolOpacity": 1, "labelLimit": 260},
    }
    band = {
        "mark": {"type": "area", "opacity": 0.15},
        "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour},
    }
    line = {"mark": {"type": "line", "strokeWidth": 1.8}, "encoding": {"x": x, "y": y, "color": colour}}
    return {"width": 640, "height": 300, "data": {"values": points}, "layer": [band, line]}

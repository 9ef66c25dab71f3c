"""The charts of a report: confidence against accuracy, and the margins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from rmbench.html.charts import SERIES, svg
from rmbench.reports.report import Calibration, Margins
from rmbench.reports.words import limits, number, reliability_note
from rmbench.text import figure

__all__ = ["margin_chart", "reliability_chart"]

_WIDTH, _HEIGHT = 420, 300
_WRONG, _RIGHT = SERIES[1], SERIES[0]


def reliability_chart(part: Calibration, prefix: str) -> Markup:
    """Accuracy with its interval over confidence; the diagonal is a model that keeps what it promises."""
    points = [
        {
            "confidence": one.confidence,
            "accuracy": one.accuracy.value,
            "low": one.accuracy.low,
            "high": one.accuracy.high,
            "label": f"confidence {figure(one.confidence)}: accuracy {figure(one.accuracy.value)} "
            f"{limits(one.accuracy)}, {one.pairs:,.0f} pairs",
        }
        for one in part.bins
    ]
    least = math.floor(10 * min([0.5, *(one.accuracy.low or one.accuracy.value or 0.0 for one in part.bins)])) / 10
    x = _axis("confidence", "confidence, sigmoid(|margin|)", [0.5, 1.0])
    y = _axis("accuracy", "accuracy", [least, 1.0])
    label = {"field": "label", "type": "nominal"}
    intervals = {
        "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.55, "color": _RIGHT},
        "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
    }
    line = {"mark": {"type": "line", "strokeWidth": 1.5}, "encoding": {"x": x, "y": y}}
    dots = {"mark": {"type": "point", "size": 45, "opacity": 1}, "encoding": {"x": x, "y": y, "description": label}}
    diagonal = {
        "data": {"values": [{"confidence": 0.5, "accuracy": 0.5}, {"confidence": 1.0, "accuracy": 1.0}]},
        "mark": {"type": "line", "strokeDash": [4, 3], "strokeWidth": 1, "color": "currentColor"},
        "encoding": {"x": x, "y": y},
    }
    chart = {"data": {"values": points}, "layer": [diagonal, intervals, line, dots], **_size()}
    first, last = part.bins[0], part.bins[-1]
    told = (
        f"{len(part.bins)} bins of confidence, from {figure(first.confidence)} with accuracy "
        f"{figure(first.accuracy.value)} to {figure(last.confidence)} with accuracy {figure(last.accuracy.value)}. "
        f"{reliability_note(part)}"
    )
    return svg(chart, prefix=f"{prefix}-reliability", title="Accuracy against confidence", description=told)


def margin_chart(part: Margins, prefix: str) -> Markup:
    """How many pairs have which margin, wrong ones left of 0."""
    bars = [
        {
            "low": one.low,
            "high": one.high,
            "pairs": one.pairs,
            "side": "wrong" if one.high <= 0 else "right",
            "label": f"{number(one.low)} to {number(one.high)}: {one.pairs:,} {'wrong' if one.high <= 0 else 'right'}",
        }
        for one in part.bins
    ]
    ends = [part.bins[0].low, part.bins[-1].high]
    chart = {
        "data": {"values": bars},
        "mark": {"type": "bar", "binSpacing": 1},
        "encoding": {
            "x": {**_axis("low", "margin", ends), "bin": {"binned": True}},
            "x2": {"field": "high"},
            "y": {"field": "pairs", "type": "quantitative", "title": "pairs"},
            "color": {
                "field": "side",
                "type": "nominal",
                "scale": {"domain": ["wrong", "right"], "range": [_WRONG, _RIGHT]},
                "legend": {"title": None, "orient": "top"},
            },
            "description": {"field": "label", "type": "nominal"},
        },
        **_size(),
    }
    wrong = sum(one.pairs for one in part.bins if one.high <= 0)
    right = sum(one.pairs for one in part.bins) - wrong
    middle = number(part.quantiles[2])
    told = f"{wrong:,} pairs left of 0 are wrong, {right:,} right of it are right; the median is {middle}."
    return svg(chart, prefix=f"{prefix}-margins", title="Margins", description=told)


def _axis(field: str, title: str, domain: list[float]) -> dict[str, Any]:
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"domain": domain, "zero": False, "nice": False},
        "axis": {"tickCount": 6},
    }


def _size() -> Mapping[str, int]:
    return {"width": _WIDTH, "height": _HEIGHT}

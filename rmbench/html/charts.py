"""Charts as SVG inside a page: altair describes them, vl-convert draws them when the page is built.

A chart takes its colours from the page's tokens, so it is right in light and in dark, holds no style, script or link,
and is one image to a screen reader, with a title and a description.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, register_namespace, tostring

from markupsafe import Markup

from rmbench.errors import RmbenchError
from rmbench.text import printable

__all__ = ["SERIES", "svg"]

SERIES = tuple(f"var(--s{k},currentColor)" for k in range(1, 9))
"""Colours of series, in their order; tell series apart by shape or label as well."""
_SVG = "{http://www.w3.org/2000/svg}"
_LINE, _SOFT = "var(--line,#ccc)", "var(--soft,#666)"
_CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "currentColor",
        "titleColor": _SOFT,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "domainColor": _SOFT,
        "tickColor": _SOFT,
        "gridColor": _LINE,
        "labelFontSize": 11,
        "titleFontSize": 12,
        "labelLimit": 260,
    },
    "legend": {
        "labelColor": "currentColor",
        "titleColor": _SOFT,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 12,
        "labelLimit": 200,
    },
    "header": {"labelColor": "currentColor", "titleColor": _SOFT, "labelFontSize": 11, "titleFontSize": 12},
    "title": {"color": "currentColor", "anchor": "start", "fontWeight": "normal"},
    "text": {"color": "currentColor"},
    "rule": {"color": "currentColor"},
    "line": {"color": SERIES[0]},
    "point": {"color": SERIES[0], "filled": True},
    "circle": {"color": SERIES[0]},
    "bar": {"color": SERIES[0]},
    "rect": {"color": SERIES[0]},
    "area": {"color": SERIES[0]},
    "tick": {"color": SERIES[0]},
    "range": {"category": list(SERIES)},
}
_KEPT = {
    *("d", "transform", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "width", "height", "viewBox"),
    *("fill", "stroke", "opacity", "fill-opacity", "stroke-opacity", "stroke-width", "stroke-dasharray"),
    *("stroke-linecap", "stroke-linejoin", "stroke-miterlimit", "text-anchor", "font-size", "font-weight"),
    *("font-style", "clip-path", "id", "offset", "stop-color", "gradientUnits", "dx", "dy"),
}
"""Attributes that draw. Links, styles, roles and handlers are not among them, nor are images among the elements."""
_INITIAL = {("opacity", "1"), ("stroke-width", "1")}
"""What is so by itself."""
_DRAWN = {
    *("svg", "g", "a", "path", "line", "rect", "circle", "ellipse", "polygon", "polyline", "text", "tspan", "defs"),
    *("clipPath", "linearGradient", "radialGradient", "stop"),
}


def svg(chart: Any, *, prefix: str, title: str, description: str) -> Markup:
    """A chart as inline SVG.

    A mark's encoding `description` is its tool tip. Charts are laid out 1:1 and shrink to the page's width.

    Args:
        chart: an altair chart, or a Vega-Lite specification.
        prefix: begins every id of the drawing, and is unique in its page.
        title: what the chart shows.
        description: what one can see in it, for those who cannot.

    Raises:
        RmbenchError: altair or vl-convert is not installed, or the specification cannot be drawn.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise RmbenchError("Charts need altair and vl-convert: pip install 'rmbench[board]'.") from error
    spec: dict[str, Any] = dict(chart) if isinstance(chart, Mapping) else chart.to_dict()
    spec["config"] = _merged(_CONFIG, spec.get("config", {}))
    try:
        drawn = vl_convert.vegalite_to_svg(spec)
    except ValueError as error:
        raise RmbenchError(f"The chart {title!r} cannot be drawn: {printable(str(error))}") from error
    # Markup of the library that was just called, in which every text of ours is escaped: it holds no entities.
    root = fromstring(drawn)  # noqa: S314
    whole = _cleaned(root, prefix)
    whole.set("class", "chart")
    whole.set("role", "img")
    whole.set("aria-labelledby", f"{prefix}-title {prefix}-description")
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        child = Element(_SVG + tag, {"id": f"{prefix}-{'description' if place else 'title'}"})
        child.text = printable(text, 2_000)
        whole.insert(place, child)
    register_namespace("", _SVG[1:-1])
    return Markup(tostring(whole, encoding="unicode"))  # noqa: S704


def _merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """`theirs` over `ours`, in depth."""
    made = {**ours, **theirs}
    for key in ours.keys() & theirs.keys():
        if isinstance(ours[key], dict) and isinstance(theirs[key], Mapping):
            made[key] = _merged(ours[key], theirs[key])
    return made


def _cleaned(element: Element, prefix: str) -> Element:
    """What draws, with ids of the page's own, and each mark's label as its tool tip."""
    made = Element(element.tag if element.tag != f"{_SVG}a" else f"{_SVG}g")
    for name, value in element.attrib.items():
        if name in _KEPT and (name, value) not in _INITIAL:
            made.set(name, _named(name, value, prefix))
    made.text = element.text if element.text and element.text.strip() else None
    label = element.get("aria-label")
    if label and element.get("role") == "graphics-symbol" and element.tag != f"{_SVG}g":
        SubElement(made, f"{_SVG}title").text = printable(label)
    for child in element:
        if child.tag.removeprefix(_SVG) in _DRAWN and not _unseen(child):
            made.append(_cleaned(child, prefix))
    return made


def _named(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    return re.sub(r"url\(#", f"url(#{prefix}-", value)


def _unseen(element: Element) -> bool:
    """Nothing would be drawn; Vega lays a path without colour under and over every group."""
    empty = element.get("class") in ("background", "foreground") and not {"fill", "stroke"} & set(element.attrib)
    return empty or element.get("opacity") == "0" or element.get("display") == "none" or element.get("d") == ""

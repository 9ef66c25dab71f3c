"""Templates of the site's pages, and what each page is given besides its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from rmbench.boards.figures import interval, p_value, parameters, rank_range, signed
from rmbench.boards.site.paths import model_page, safe_link, task_page
from rmbench.html import bar, environment, fitted_scale
from rmbench.html.shell import document
from rmbench.text import share
from rmbench.untrusted.masking import looked_up_once

__all__ = ["BOARD_SCRIPTS", "FLAGS", "render"]

_HERE = Path(__file__).parent
STYLE = _HERE / "board.css"
BOARD_SCRIPTS = ("datatables.js", "board.js")
FLAGS: Mapping[str, str] = {
    "baseline": "a baseline that every reward model should beat",
    "check failed": "the newest check of the model did not pass",
    "contaminated": "the model saw this task, or what it was made from, in training",
    "demo": "the bundled demonstration model",
    "failed_rows": "the model failed on some rows, which count as wrong",
    "fake": "no model, but a fixed rule for tests",
    "limited": "a part of the rows, drawn at random",
    "low_coverage": "too many rows failed for a figure",
    "partial": "files or groups of the task were missing",
    "published": "a figure as others printed it",
    "released": "computed from the scores that others released",
    "sample": "the few rows that are bundled with rmbench, not the task",
    "unverified": "the task's declaration was not yet held against published figures",
}
"""What a mark on a number means."""
_WARNED = frozenset({"check failed", "contaminated", "failed_rows", "low_coverage", "partial", "unverified"})


def render(
    template: str,
    title: str,
    *,
    root: str,
    crumbs: tuple[tuple[str, str], ...] = (),
    scripts: tuple[str, ...] = (),
    data: Any = None,
    wide: bool = False,
    **values: Any,
) -> str:
    """A page of the site from one of its templates; `root` is the way to the site's root."""
    above = [("rmbench", f"{root}index.html"), *((label, f"{root}{page}") for label, page in crumbs)]
    with looked_up_once():
        body = _environment().get_template(f"{template}.html").render(root=root, **values)
        return document(
            title,
            Markup(body),  # noqa: S704
            root=root,
            crumbs=above,
            scripts=[_HERE / name for name in scripts],
            styles=[STYLE],
            data=data,
            wide=wide,
        )


@cache
def _environment() -> Environment:
    made = environment()
    made.loader = FileSystemLoader(_HERE)
    made.filters.update(
        bar=lambda value, scale: bar(scale, value.value, value.low, value.high, getattr(value, "chance", None)),
        interval=lambda value: interval(value.low, value.high),
        link=safe_link,
        model_page=model_page,
        p_value=p_value,
        parameters=parameters,
        rank=rank_range,
        share=share,
        signed=signed,
        fit=fitted_scale,
        task_of=lambda task: task_page(task.id, task.version),
        task_page=lambda column: task_page(column.task, column.version),
    )
    made.globals.update(warned=_WARNED, flags_mean={**FLAGS})
    return made

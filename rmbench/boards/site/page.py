"""One self-contained page per board: markup, style and script in one file, without network requests.

Every name is escaped by the template engine, which is the first line of defence; the second is the page's content
security policy, which runs no script but ours, by its hash. The same records give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment
from markupsafe import Markup

from rmbench.boards.admission import grouped
from rmbench.boards.figures import interval, marks, parameters, rank_range
from rmbench.boards.table import BoardTable, Cell
from rmbench.errors import RmbenchError
from rmbench.html import Scale, environment, scale_of
from rmbench.records.slug import model_slug, task_slug
from rmbench.records.store import RECORD_NAME
from rmbench.text import figure, letters_of, printable

__all__ = ["render", "safe_link", "write"]

_HERE = Path(__file__).parent
_ARXIV = re.compile(r"arXiv:[0-9]{4}\.[0-9]{4,5}")


def write(table: BoardTable, out: Path) -> Path:
    """Write `<out>/<board>/index.html` and a copy of every record that a number links to.

    Raises:
        RmbenchError: the folder cannot be written.
    """
    folder = out / table.board.id
    try:
        for link, record in _linked(table):
            target = folder / link
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(record / RECORD_NAME, target)
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / "index.html"
        # Bytes, so that no platform changes the line endings that the hashes cover.
        page.write_bytes(render(table).encode("utf-8"))
    except OSError as error:
        raise RmbenchError(f"{folder}: cannot write the page ({error.strerror or error}).") from error
    return page


def _linked(table: BoardTable) -> Iterator[tuple[str, Path]]:
    """(link, record's folder) of every number on the page."""
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell is not None and cell.folder is not None:
                yield _link(row.name, row.revision, column.task, column.version or 0), cell.folder
    for model in table.published.rows:
        for (task, version), cells in zip(table.published.tasks, model.cells, strict=True):
            yield from ((_link(model.name, one.source, task, version), one.folder) for one in cells)


def render(table: BoardTable) -> str:
    """The page's text."""
    style, script = (_HERE / "page.css").read_text("utf-8"), (_HERE / "page.js").read_text("utf-8")
    common, letters = marks(cell.flags for row in table.rows for cell in row.cells if cell is not None)
    template = _environment().from_string((_HERE / "page.html").read_text("utf-8"))
    return template.render(
        table=table,
        board=table.board,
        facts=[fact for fact in table.board.facts if fact != "revision"],
        scales=[scale_of([row.cells[k] for row in table.rows]) for k in range(len(table.columns))],
        unit=Scale(0.0, 1.0),
        refused=grouped(table.refused),
        common=common,
        letters=letters,
        sources=letters_of(source for source, _ in table.published.sources),
        policy=_policy(style, script),
        # Files of this package, and the only text that is not escaped.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
    )


def safe_link(link: str | None) -> str | None:
    r"""`link` where it is http or https with a host, an arXiv id's page, else None: nothing else is clickable.

    >>> safe_link("https://arxiv.org/abs/2410.16184"), safe_link("javascript:alert(1)"), safe_link("java\tscript:x")
    ('https://arxiv.org/abs/2410.16184', None, None)
    """
    if link and _ARXIV.fullmatch(link):
        return f"https://arxiv.org/abs/{link[len('arXiv:') :]}"
    if not link or printable(link) != link or " " in link:
        return None
    try:
        parts = urlsplit(link)
    except ValueError:
        return None
    return link if parts.scheme in ("http", "https") and parts.netloc else None


def _environment() -> Environment:
    made = environment()
    made.filters.update(
        interval=lambda cell: interval(cell.low, cell.high),
        rank=rank_range,
        parameters=parameters,
        link=safe_link,
        signs=_signs,
        exact=lambda value: "" if value is None else repr(value),
    )
    made.globals["record_link"] = _link
    made.globals["levels"] = _levels
    return made


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    """The hash a browser computes over the text between the tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def _link(name: str, revision: str, task: str, version: int) -> str:
    """The relative path of a record's copy; both parts are safe file names and safe in a URL."""
    return f"records/{model_slug(name, revision)}/{task_slug(task, version)}.json"


def _signs(cell: Cell, letters: Mapping[str, str]) -> list[tuple[str, str]]:
    """(letter, flag) of the marks of a cell."""
    return [(letters[flag], printable(flag)) for flag in cell.flags if flag in letters]


def _levels(table: BoardTable, k: int) -> str:
    """The chance levels of a column, as text."""
    cells = [row.cells[k] for row in table.rows]
    return " or ".join(figure(v) for v in sorted({c.chance for c in cells if c is not None and c.chance is not None}))

"""A whole page around a body: head, strict content security policy, the way back, and the choice of light or dark.

A page of a site refers to shared files, which `assets.write_assets` writes; a page for itself holds them, each allowed
by its hash. Neither makes a request to anywhere else, and both open from a disk.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Template
from markupsafe import Markup

from rmbench.html import environment
from rmbench.html.assets import SCRIPT, STYLE
from rmbench.untrusted.masking import masked

__all__ = ["document", "json_block"]

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M2 8h12' stroke='%231a5fb4' stroke-width='3' stroke-opacity='.5'/%3E"
    "%3Ccircle cx='9' cy='8' r='3' fill='%231a5fb4'/%3E%3C/svg%3E"
)


@dataclass(frozen=True, slots=True)
class _File:
    """A script or style of ours: the only text of a page that is not escaped."""

    path: Path

    @property
    def name(self) -> str:
        """What the file is called among the site's."""
        return self.path.name

    @property
    def text(self) -> Markup:
        """What a page for itself holds."""
        return _text(self.path)

    @property
    def hash(self) -> str:
        """As a browser computes it over the text between the tags."""
        digest = hashlib.sha256(self.text.encode("utf-8")).digest()
        return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def document(
    title: str,
    body: Markup,
    *,
    root: str = "",
    crumbs: Sequence[tuple[str, str]] = (),
    scripts: Sequence[Path] = (),
    styles: Sequence[Path] = (),
    single: bool = False,
    data: Any = None,
    wide: bool = False,
) -> str:
    """The text of a page. Write it with `write_bytes(text.encode())`: other line endings would break the hashes.

    Args:
        title: the page's title; the heading is part of the body.
        body: what stands in the main landmark, escaped.
        root: the relative way to the site's root: "" or "../".
        crumbs: label and link of the pages above, the site's own first.
        scripts: classic scripts of ours, run after the body in this order; of a page of a site only their names count.
        styles: style sheets of ours, after the common one.
        single: everything in the page, for a page that is a file by itself.
        data: plain data for the scripts, as JSON in the element `data`.
        wide: the body may be wider than text is.
    """
    style_files, theme, script_files = [_File(STYLE), *map(_File, styles)], _File(SCRIPT), list(map(_File, scripts))
    return _template().render(
        title=title,
        body=body,
        root=root,
        crumbs=crumbs,
        styles=style_files,
        theme=theme,
        scripts=script_files,
        single=single,
        data=None if data is None else json_block(data),
        wide=wide,
        icon=Markup(_ICON),  # noqa: S704
        policy=_policy(style_files, [theme, *script_files], single=single),
    )


def json_block(data: Any) -> Markup:
    r"""Plain data as JSON that may stand in a script element: nothing in it ends the element or begins another.

    >>> print(json_block(["</script>", "a&b"]))
    ["\u003c/script\u003e","a\u0026b"]
    """
    text = json.dumps(masked(data), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704


def _policy(styles: Iterable[_File], scripts: Iterable[_File], *, single: bool) -> Markup:
    """Hashes for what the page holds; files of a site by their origin, because hashes of files ask for a server."""
    style, script = ("'self'", "'self'")
    if single:
        style, script = (" ".join(sorted({file.hash for file in files})) for files in (styles, scripts))
    image = "data:" if single else "'self' data:"
    return Markup(  # noqa: S704
        f"default-src 'none'; script-src {script}; style-src {style}; img-src {image}; base-uri 'none'; "
        "form-action 'none'"
    )


@cache
def _text(path: Path) -> Markup:
    return Markup(path.read_text("utf-8"))  # noqa: S704


@cache
def _template() -> Template:
    return environment().from_string(Path(__file__).with_name("shell.html").read_text("utf-8"))

"""Where the pages of a site lie, relative to its root: safe file names, whatever models and tasks are called."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

from rmbench.records.identity import Identity
from rmbench.records.record import Record
from rmbench.records.slug import model_slug, task_slug
from rmbench.text import printable

__all__ = ["model_page", "pair_page", "record_page", "safe_link", "task_page"]

_ARXIV = re.compile(r"arXiv:[0-9]{4}\.[0-9]{4,5}")
_LONGEST = 100


def model_page(name: str) -> str:
    """The page of all that is known of a model, whatever its revision."""
    return f"models/{model_slug(name, '0').removesuffix('@0')}.html"


def task_page(task: str, version: int) -> str:
    """The page of a task version."""
    return f"tasks/{task_slug(task, version)}.html"


def pair_page(a: tuple[str, str], b: tuple[str, str]) -> str:
    """The page of two models, each (name, revision), the same for both orders."""
    first, second = sorted(_short(model_slug(*model)) for model in (a, b))
    return f"compare/{first}--{second}.html"


def _short(slug: str) -> str:
    """Two of them fit into one file name."""
    if len(slug) <= _LONGEST:
        return slug
    return f"{slug[: _LONGEST - 9]}-{hashlib.sha256(slug.encode()).hexdigest()[:8]}"


def record_page(record: Record) -> str:
    """The page of a record; its copy lies beside it, ending in `.json`."""
    folder = Identity.of(record).folder(Path())
    return f"records/{folder.as_posix()}.html"


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

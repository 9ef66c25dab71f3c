"""Safe folder names from untrusted names of models and tasks."""

from __future__ import annotations

import hashlib
import re

__all__ = ["model_slug", "name_slug", "task_slug"]

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_UNSAFE_IN_VARIANT = re.compile(r"[^A-Za-z0-9._=,+-]+")
_LONGEST = 100


def model_slug(name: str, revision: str) -> str:
    """`<org>__<model>@<revision>`: letters, digits, `.`, `_`, `-`, one `@`, and `+dtype=float16` and the like where the
    revision names settings.

    A name that needs more changes than the slash gets 8 hex digits of its sha256 appended, so that no two names share a
    folder and none leads out of it.
    """
    org, slash, rest = name.partition("/")
    slug = f"{org}__{rest}" if org and slash and rest else name
    # "a/b" becomes "a__b", so a model named "a__b" must not keep that spelling itself.
    first = _marked(slug, name) if "__" in name else _safe(slug, name)
    plain, plus, variant = revision.partition("+")
    return f"{first}@{_safe(plain, plain)}{plus and '+' + _safe(variant, variant, _UNSAFE_IN_VARIANT)}"


def name_slug(name: str) -> str:
    """One safe name of a file or folder: the name itself where it is one, else its safe part with a digest.

    >>> name_slug("Llama-3.1-8B"), name_slug("../x")
    ('Llama-3.1-8B', 'x-60f1a4de')
    """
    return _safe(name, name)


def task_slug(task: str, version: int, variant: str = "") -> str:
    """`<task>@<version><variant>`, e.g. `rm-bench@1+limit=10`; the variant is as in `rmbench.records.identity`."""
    return f"{_safe(task, task)}@{version}{variant and '+' + _safe(variant[1:], variant, _UNSAFE_IN_VARIANT)}"


def _safe(slug: str, name: str, unsafe: re.Pattern[str] = _UNSAFE) -> str:
    """The slug where it is safe, else its safe part with a digest of the name."""
    safe = slug and len(slug) <= _LONGEST and not unsafe.search(slug)
    return slug if safe and slug[0] not in ".-" and slug[-1] != "." else _marked(slug, name, unsafe)


def _marked(slug: str, name: str, unsafe: re.Pattern[str] = _UNSAFE) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    readable = unsafe.sub("-", slug)[:_LONGEST].strip("._-")
    return f"{readable or 'unnamed'}-{digest}"

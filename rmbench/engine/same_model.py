"""Whether two processes have opened the same model, and compute with it alike."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rmbench.engine.fleet import Opened
from rmbench.errors import RmbenchError
from rmbench.types import Setting

__all__ = ["check_same"]


def check_same(opened: Opened, fingerprint: str, settings: Mapping[str, Setting], where: str) -> None:
    """Raise RmbenchError where a worker's model is another one, or does not compute as the one that `where` names."""
    different = _first_difference(opened.settings, settings)
    if opened.fingerprint == fingerprint and not different:
        return
    there = f"the worker on {opened.node}" if opened.node else "a worker"
    why = different or "Were its files changed meanwhile?"
    raise RmbenchError(
        f"{there} opened another model than {where} (fingerprints {opened.fingerprint[:8]} and {fingerprint[:8]}). "
        f"{why}"
    )


def _first_difference(theirs: Mapping[str, Setting], ours: Mapping[str, Setting]) -> str:
    """The first setting that differs, as a sentence, or ""; of a device its kind counts, not its number and name."""
    for name in sorted(theirs.keys() | ours.keys()):
        there, this = (str(settings.get(name, "not set")) for settings in (theirs, ours))
        if name == "device":
            there, this = (re.split("[ :]", device)[0] for device in (there, this))
        if there != this:
            advice = f" Say --{name} where they should agree." if name in ("device", "dtype", "attn") else ""
            return f"{name} is {there} there and {this} here.{advice}"
    return ""

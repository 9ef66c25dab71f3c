"""The texts of a record's rows for commands that can do without them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rmbench.types import Example

__all__ = ["texts_of"]


def texts_of(folder: Path, source: Mapping[str, Any]) -> Mapping[str, Example]:
    """The record's rows with their texts, or a note on stderr that says why there are none; `source` holds the options
    of where they are."""
    from rmbench.cli.output import echo_error
    from rmbench.records.store import read
    from rmbench.reports.texts import Source, examples_of

    own = {name: [str(each) for each in source[name] or ()] for name in ("data", "include_path")}
    place = Source(
        str(source["source"]), own["data"], source["columns"], own["include_path"], source["allow_changed_data"]
    )
    examples, note = examples_of(folder, read(folder), place)
    if note:
        echo_error(note)
    return examples

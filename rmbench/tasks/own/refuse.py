"""What must not pass in silence: labels that were not understood, media that are not shown, lists spelled as Python."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.tasks.own.kinds import Table
from rmbench.tasks.own.labels import is_label
from rmbench.tasks.own.readings import Reading
from rmbench.tasks.own.words import LABELS, MEDIA, named, plain
from rmbench.tasks.rows.fields import kind_of
from rmbench.untrusted.kind import is_medium

__all__ = ["refuse_media", "refuse_spelled_lists", "refuse_unread_labels", "refuse_unread_words"]

_SPELLED = re.compile(r"\s*\[?\s*\{\s*'(?:role|content|from|value|text|type)'\s*:")
"""How `str` of Python begins a list of messages, which is what pandas writes to a CSV."""


def refuse_unread_labels(reading: Reading, table: Table) -> None:
    """Rows that seem to have labels must not pass for rows without any because these were not understood."""
    if reading.shape != "scored":
        return
    names = [name for name in table.names if name not in reading.spec.values()]
    unread = [name for name in names if LABELS & {plain(name), *plain(name).split("_")}]
    if unread:
        name = unread[0]
        raise RmbenchError(
            f'{table.name}: column "{name}" seems to say which answer is better, but {_why(table, name, reading)}. '
            f"Say what it means by --columns: {_advice(name, reading)}; or leave the column out."
        )


def _advice(name: str, reading: Reading) -> str:
    """What `--columns` could say of the column, beside the answers that were found."""
    if "response" in reading.spec:
        return f"rating={name} for a number, or for true and false"
    if "responses" in reading.spec:
        return (
            f"scores={name}, ranks={name} or right={name} for a list with a number, or true or false, for each answer, "
            f"best={name} for the whole number of the best one's place"
        )
    return (
        f"winner={name},first=LABEL,second=LABEL,tie=LABEL for labels, winner={name},positive=first for numbers with a "
        "sign"
    )


def _why(table: Table, name: str, reading: Reading) -> str:
    """Why a column of labels is not understood: the first value that is not, with its row."""
    values = table.values(name)
    if table.kind(name) == "other":
        return f"holds {table.described(name)}"
    if table.kind(name) == "text":
        numbers = [row for row, value in enumerate(values) if value is not None and not _is_number(value)]
        if not numbers:
            return f"its numbers are texts ({kind_of(next(value for value in values if value is not None))} ...)"
        answers = reading.answers if len(reading.answers) == 2 else ("", "")
        odd = [row for row, value in enumerate(values) if value is not None and not is_label(value, answers)]
        row = odd[0] if len(odd) < len(values) and odd else numbers[0] if len(numbers) < len(values) else None
        if row is not None:
            return f"row {row} has {kind_of(values[row])}, which was not understood"
    if table.kind(name) == "number" and any(map(_is_no_number, values)):
        row = next(row for row, value in enumerate(values) if _is_no_number(value))
        return f"row {row} has {kind_of(values[row])}"
    shown = list(dict.fromkeys(repr(value)[:30] for value in values))
    return f"its values ({', '.join(shown[:4])}{', ...' if len(shown) > 4 else ''}) were not understood"


def _is_no_number(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def refuse_unread_words(reading: Reading, table: Table) -> None:
    """System messages and tools must not be left out because a few rows hold something else."""
    for role in ("system", "tools"):
        for name in named(role, table.names):
            if name not in reading.spec.values() and table.kind(name) == "other" and table.described(name) != "nothing":
                raise RmbenchError(
                    f'{table.name}: column "{name}" holds {table.described(name)}, where one kind in all rows, or '
                    f"null, is expected of {role}; mend these rows, or leave the column out."
                )


def refuse_media(table: Table) -> None:
    """What is shown with a prompt must not be left out in silence."""
    for name in table.names:
        values = table.values(name)
        if any(map(_shows, values)) or (plain(name) in MEDIA and any(each not in (None, "", []) for each in values)):
            raise RmbenchError(
                f'{table.name}: column "{name}" holds media, which --data does not read. `rmbench task init` writes a '
                "declaration, to which `prompt_media` under [columns] adds it; or leave the column out."
            )


def _shows(value: Any) -> bool:
    """Whether a value is an image or a video as data sets embed it: bytes, {bytes, path}, or a list of these."""
    if isinstance(value, list | tuple):
        return any(map(_shows, value))
    if isinstance(value, Mapping):
        return value.keys() == {"bytes", "path"}
    return isinstance(value, bytes) and is_medium(value)


def refuse_spelled_lists(reading: Reading, table: Table) -> None:
    """Messages that someone's export wrote as Python spells lists must not be read as one text."""
    for name in {**reading.spec, **{each: each for each in reading.answers}}.values():
        for row, value in enumerate(table.values(name) if name in table.names else ()):
            if isinstance(value, str) and _SPELLED.match(value):
                raise RmbenchError(
                    f'{table.name}, row {row}: column "{name}" holds messages as Python spells a list, as pandas does '
                    "in a CSV. Write the rows as JSON Lines or Parquet, or the column by json.dumps."
                )

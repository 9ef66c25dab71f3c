"""The rows of a record to look at: texts, gold, scores and verdicts side by side, in a page, a terminal or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmbench.view.selection import View

__all__ = ["view"]


def view(
    record: Path | str,
    *,
    wrong: bool = False,
    flipped: Path | str | None = None,
    group: str | None = None,
    worst: int | None = None,
    ids: Sequence[str] = (),
    source: Path | str = "auto",
    data: Path | str | Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    include_path: Path | str | Sequence[str] = (),
    allow_changed_data: bool = False,
) -> View:
    """Rows of a record with their texts, which are read from the task's source; records hold none.

    Prints as text in a terminal; `to_html`, `to_csv` and `to_jsonl` give the other forms. Of several selections, rows
    that are in all of them are shown, `worst` of these.

    Args:
        record: the folder of a record.
        wrong: only rows without full credit: wrong, partly right, tied, unparsed or failed.
        flipped: another model's record of the same rows, or a folder that holds it: only rows whose credit differs,
            with both models' scores.
        group: only rows of the groups that this name or glob means, such as "domain=*" or "level=hard".
        worst: only so many rows, those on which the model is furthest from what people say.
        ids: only these rows.
        source: where the texts are, as in `rmbench.run`. Where they are not to be had, rows are shown without.
        data: the user's own rows, where the record is of them; with `columns` as in `rmbench.run`.
        columns: see `data`.
        include_path: folders of the user's own tasks.
        allow_changed_data: read files that differ from what the task declares.

    Raises:
        RmbenchError: no such record, or one without rows; the source holds other rows than the record, or OTHER is of
            other rows; no such group or row.
    """
    from rmbench.reports.texts import Source
    from rmbench.view.selection import selected

    return selected(
        Path(record),
        Source.of(source, data, columns, include_path, allow_changed_data=allow_changed_data),
        wrong=wrong,
        flipped=None if flipped is None else Path(flipped),
        group=group,
        worst=worst,
        ids=tuple(ids),
    )

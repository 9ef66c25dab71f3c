"""Records in the formats of others, tables of papers held against records, and records made ready to be entered.

`export` writes records for other tools, `verify_table` checks the numbers of a table, `submit` prepares a pull request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmbench.exchange.claims.verdict import Checked
    from rmbench.exchange.submission import Submission
    from rmbench.exchange.writing import Exported

__all__ = ["export", "submit", "verify_table"]


def export(
    records: Path | str | Sequence[Path | str],
    to: str,
    out: Path | str,
    *,
    samples: bool = False,
    source: Path | str = "auto",
    data: Path | str | Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    include_path: Path | str | Sequence[str] = (),
    allow_changed_data: bool = False,
) -> Exported:
    """Write records in another tool's format.

    Args:
        records: folders of records, or folders that hold such folders.
        to: "every-eval-ever", "model-index", "eval-results", "rewardbench", "rewardbench-items" or "scores".
        out: the folder to write into.
        samples: every-eval-ever alone: write rows too, with their texts. What follows says where these are, as in
            `rmbench.view`.
        source: see `samples`.
        data: see `samples`.
        columns: see `samples`.
        include_path: see `samples`.
        allow_changed_data: see `samples`.

    Raises:
        RmbenchError: an unknown format, or one without a place for rows; no record; one that does not hold, or is of
            other rows than the source; nothing that the format can say.
    """
    from rmbench.exchange.writing import export_records
    from rmbench.reports.texts import Source

    texts = Source.of(source, data, columns, include_path, allow_changed_data=allow_changed_data)
    paths = [records] if isinstance(records, Path | str) else records
    return export_records([Path(path) for path in paths], to, Path(out), texts if samples else None)


def verify_table(
    table: Path | str,
    results: Path | str = "results",
    *,
    headings: Mapping[str, str] | None = None,
    models: Mapping[str, str] | None = None,
    task: str | None = None,
) -> Checked:
    """Check every number of a table against records.

    Args:
        table: a CSV, TSV, Markdown or LaTeX file.
        results: the folder of records.
        headings: what a heading means where it does not say so itself: heading -> `task`, `task:metric`, `task:group`,
            several joined by + for their mean, or `-` for a column that is not checked.
        models: name in the table -> the model's name in the records.
        task: the benchmark whose groups and metrics the headings name.

    Raises:
        RmbenchError: the file holds no table, or none of its headings or none of its rows is known.
    """
    from rmbench.exchange.claims.check import check_file

    return check_file(Path(table), Path(results), headings=headings or {}, models=models or {}, task=task)


def submit(
    results: Path | str,
    out: Path | str | None = None,
    *,
    new_to: Path | str | None = None,
    with_rationale: bool = False,
) -> Submission:
    """Prepare records for a pull request, and say what they lack.

    Args:
        results: folder of records.
        out: where to write the folder for the pull request; None: only say what is missing.
        new_to: another folder of records; those that it holds unchanged are left alone.
        with_rationale: keep what a judge wrote.

    Raises:
        RmbenchError: no record, or `out` cannot be written.
    """
    from rmbench.exchange.submission import prepare

    return prepare(
        Path(results),
        None if out is None else Path(out),
        new_to=None if new_to is None else Path(new_to),
        with_rationale=with_rationale,
    )

"""Reading what `rmbench fetch` brought from the hub: the hub's own files, through `datasets`, without the hub."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.tasks.declaration.schema import SourceRule
from rmbench.tasks.fetch.manifest import FILE_NAME, FetchedFile, FetchedPart, is_whole, place_below
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.rows.hub import requests_of, rows_of_part, without_bars
from rmbench.tasks.task import DataFileFacts

__all__ = ["read_fetched"]


def read_fetched(
    source: SourceRule, parts: Sequence[FetchedPart], files: Sequence[FetchedFile], folder: Path, *, allow_changed: bool
) -> tuple[list[RawRow], list[DataFileFacts]]:
    """The rows that the hub gives for the same request, and the same facts of them.

    Args:
        source: what the task declares.
        parts: what the manifest says of each of its parts.
        files: the files of the task, as they were fetched.
        folder: the data folder.
        allow_changed: read a file although it has changed since.

    Raises:
        RmbenchError: a file is gone or changed; the task asks for something else by now; `datasets` cannot read it.
    """
    import datasets

    requests = requests_of(source)
    again = "`rmbench fetch` brings what is missing."
    if [str(request) for request in requests] != [part.request for part in parts]:
        raise RmbenchError(f"{folder}: what was fetched is not what the task asks for: {requests[0]}. {again}")
    facts_of = {file.path: file for file in files}
    rows: list[RawRow] = []
    facts: list[DataFileFacts] = []
    for request, part in zip(requests, parts, strict=True):
        for path in part.paths:
            if path not in facts_of or not (allow_changed or is_whole(folder, facts_of[path])):
                raise RmbenchError(f"{folder / path}: is not there as it was fetched. {again}")
        wrong = part.settings.keys() & inspect.signature(datasets.load_dataset).parameters
        if wrong:
            raise RmbenchError(
                f"{folder / FILE_NAME}: {request}: {sorted(wrong)[0]} is no setting of a reader. {again}"
            )
        data_files = {part.split: [str(place_below(folder, path)) for path in part.paths]}
        features = None if part.features is None else datasets.Features.from_dict(part.features)
        try:
            with without_bars():
                loaded = datasets.load_dataset(
                    part.module, data_files=data_files, split=part.split, features=features, **part.settings
                )
                part_rows, fact = rows_of_part(request, loaded, folder / source.folder)
        except Exception as error:  # whatever goes wrong in `datasets`, the user needs to know in which files
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RmbenchError(f"{folder}: {request} cannot be read from {', '.join(part.paths)}: {why}") from error
        rows += part_rows
        facts.append(fact)
    return rows, facts

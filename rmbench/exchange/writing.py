"""Records -> files of another tool's format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.exchange.formats import FORMATS
from rmbench.exchange.formats.written import Stored, Texts
from rmbench.records.files import write_file
from rmbench.records.store import find, no_record_in, read
from rmbench.reports.audit import problems
from rmbench.reports.texts import Source

__all__ = ["Exported", "export_records"]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    format: str
    files: tuple[Path, ...]
    """In the order of the records."""
    notes: tuple[str, ...]
    """What the format cannot say, and which records it has no place for; a sentence each."""


def export_records(paths: Sequence[Path], to: str, out: Path, source: Source | None = None) -> Exported:
    """See `rmbench.exchange.export`."""
    if to not in FORMATS:
        raise RmbenchError(f'"{to}" is no format. Known: {", ".join(FORMATS)}.{did_you_mean(to, FORMATS)}')
    kind = FORMATS[to]
    if source is not None and not kind.has_samples:
        able = ", ".join(name for name, each in FORMATS.items() if each.has_samples)
        raise RmbenchError(f"{to} has no place for rows with their texts: --samples is for {able}.")
    files, notes = kind.write([_sound(folder, source) for folder in _folders(paths)])
    if not files:
        raise RmbenchError(" ".join([f"nothing to write as {to}.", *notes]))
    notes += [] if source is not None or not kind.has_samples else ["Without rows and their texts: --samples."]
    return Exported(to, tuple(_write(out, files)), (*notes, *kind.cannot_say))


def _folders(paths: Sequence[Path]) -> list[Path]:
    folders: dict[Path, Path] = {}
    for path in paths:
        below = find(path.parent if path.name == "record.json" else path)
        if not below:
            raise no_record_in(path)
        for folder in below:
            folders.setdefault(folder.resolve(), folder)
    return list(folders.values())


def _sound(folder: Path, source: Source | None) -> Stored:
    """A record whose numbers follow from its rows; RmbenchError for any other, which must not be passed on."""
    record = read(folder)
    if wrong := problems(folder):
        raise RmbenchError("\n".join(wrong[:3]))
    return Stored(folder, record, source)


def _write(out: Path, files: Texts) -> list[Path]:
    """Write each file, over what an earlier export of the same record left."""
    for name, text in files.items():
        if text is not None:
            write_file(out / name, text)
        else:
            try:
                (out / name).unlink(missing_ok=True)
            except OSError as error:
                raise RmbenchError(f"{out / name}: cannot be removed ({error.strerror or error}).") from error
    return [out / name for name, text in files.items() if text is not None]

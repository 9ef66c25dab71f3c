"""The record that lies where a run will write: another result is not replaced, and what it holds is not judged again
where its failed rows alone are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rmbench.errors import RmbenchError

if TYPE_CHECKING:
    from rmbench.evaluation.session import Session
    from rmbench.models.protocols import ModelFacts
    from rmbench.records.identity import Identity
    from rmbench.records.record import Record
    from rmbench.types import Judged, Judgment

__all__ = ["known_judgments", "other_result"]


def other_result(identity: Identity, out: Path) -> str:
    """Why the run would replace another result than its own, or "" where it would not."""
    from rmbench.records.identity import Identity

    folder = identity.folder(out)
    try:
        record = _record_in(folder)
        if record is None:
            return ""
        what = "figures that others published" if record.kind == "published" else ""
        what = what or Identity.of(record).difference(identity)
    except RmbenchError as error:
        what = f"it cannot be read: {error}"
    if not what:
        return ""
    return f"{folder} holds another result: {what}. --overwrite replaces it, another --out keeps both."


def known_judgments(identity: Identity, facts: ModelFacts, session: Session) -> dict[str, Judgment]:
    """Example id -> its recorded judgment, of the rows that need not be judged again: of a judge all that did not fail,
    since its answers were paid for; of another model those too where --retry-failed is given.

    Empty where there is no such record, none of its rows failed and nobody asked for the failed ones, or it was made by
    another model than the one at hand.
    """
    settings, folder = session.settings, identity.folder(session.settings.out)
    record = None if settings.overwrite else _record_in(folder)
    if record is None:
        return {}
    wanted = settings.retry_failed or (facts.family == "judge" and record.counts.failed > 0)
    if not wanted or not facts.fingerprint or record.model.fingerprint != facts.fingerprint:
        return {}
    known = {row.id: row.judgment for row in _rows_in(folder) if row.judgment.status != "failed"}
    session.progress.note(
        f"{identity.task}: {len(known):,} rows are those of {folder}; rows judged again, since they failed: "
        f"{record.counts.failed:,}"
    )
    return known


def _record_in(folder: Path) -> Record | None:
    """The record in a folder, that of a shard too; None where there is none."""
    from rmbench.records.shards import SHARD_NAME, read_shard
    from rmbench.records.store import RECORD_NAME, read

    if (folder / SHARD_NAME).exists():
        return read_shard(folder).record
    return read(folder) if (folder / RECORD_NAME).exists() else None


def _rows_in(folder: Path) -> Sequence[Judged]:
    from rmbench.records.shards import SHARD_NAME, read_placed, read_shard
    from rmbench.records.store import read_rows

    return read_placed(folder, read_shard(folder))[0].rows if (folder / SHARD_NAME).exists() else read_rows(folder)

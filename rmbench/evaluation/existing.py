"""The record that lies where a run will write: another result is not replaced, and what it holds is not judged again
where its failed rows alone are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rmbench.errors import RmbenchError

if TYPE_CHECKING:
    from rmbench.evaluation.session import Session
    from rmbench.models.protocols import ModelFacts
    from rmbench.records.identity import Identity
    from rmbench.types import Judgment

__all__ = ["known_judgments", "other_result"]


def other_result(identity: Identity, out: Path) -> str:
    """Why the run would replace another result than its own, or "" where it would not."""
    from rmbench.records.identity import Identity
    from rmbench.records.store import RECORD_NAME, read

    folder = identity.folder(out)
    if not (folder / RECORD_NAME).exists():
        return ""
    try:
        record = read(folder)
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
    from rmbench.records.store import RECORD_NAME, read, read_rows

    settings, folder = session.settings, identity.folder(session.settings.out)
    if settings.overwrite or not (folder / RECORD_NAME).exists():
        return {}
    record = read(folder)
    wanted = settings.retry_failed or (facts.family == "judge" and record.counts.failed > 0)
    if not wanted or not facts.fingerprint or record.model.fingerprint != facts.fingerprint:
        return {}
    known = {row.id: row.judgment for row in read_rows(folder) if row.judgment.status != "failed"}
    session.progress.note(
        f"{identity.task}: {len(known):,} rows are those of {folder}; rows judged again, since they failed: "
        f"{record.counts.failed:,}"
    )
    return known

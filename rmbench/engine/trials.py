"""What is tried on real rows before anything counts: whether rows may share prefixes, and a batch with others."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from rmbench.engine.batch_trial import batch_dependence
from rmbench.engine.interfaces import Progress
from rmbench.engine.prepare import Planned, Scoring, budget_of
from rmbench.models.protocols import Batch, Encoded, PackingScorer, Sharing, SharingScorer

__all__ = ["beside_others", "note_padded", "packing", "shares_prefixes"]


def shares_prefixes(scoring: Scoring, batches: Sequence[Batch]) -> bool:
    """Whether shared prefixes agree with plain rows; the user is told where they do not."""
    scorer = scoring.scorer
    if not isinstance(scorer, SharingScorer):
        return True
    sharing = scorer.sharing(batches)
    note_padded(scoring, sharing)
    if sharing.shares and sharing.refused:
        why = "; ".join(sharing.refused)
        _note_once(scoring.progress, f"{scorer.facts.name}: prefixes are shared in a slower way, since {why}")
    return sharing.shares


def packing(scoring: Scoring) -> Sharing:
    """Whether the model computes once what rows share, without groups from here."""
    scorer = scoring.scorer
    return scorer.packing() if isinstance(scorer, PackingScorer) else Sharing(False, "")


def note_padded(scoring: Scoring, sharing: Sharing) -> None:
    """Tell the user why rows are padded, where there is a reason."""
    if sharing.why and not sharing.shares:
        name = scoring.scorer.facts.name
        _note_once(scoring.progress, f"{name}: rows are padded and share no prefix, since {sharing.why}")


def beside_others(scoring: Scoring, rows: Sequence[Encoded], by: Planned) -> tuple[bool, bool]:
    """Whether rows share prefixes, and whether each is computed alone, since its results depend on the rows beside it;
    the user is told of the latter."""
    scorer, side = scoring.scorer, scoring.options.padding_side
    change = batch_dependence(scorer, rows, by.budget, side, packed=by.share)
    if change is None:
        return by.share, False
    if by.share:
        change = batch_dependence(scorer, rows, budget_of(scoring, share=False), side, packed=False)
        if change is None:
            return False, False
    _note_once(
        scoring.progress,
        f"{scorer.facts.name}: every row is computed alone, since its results depend on the rows beside it (in a "
        f"trial they changed by {change:.2g})",
    )
    return False, True


_noted: WeakKeyDictionary[Progress, set[str]] = WeakKeyDictionary()


def _note_once(progress: Progress, text: str) -> None:
    """Note a line once a run, not once a task."""
    noted = _noted.setdefault(progress, set())
    if text not in noted:
        noted.add(text)
        progress.note(text)

"""How a conversation over the limit is truncated, and whether the truncation is counted."""

from __future__ import annotations

from collections.abc import Sequence

from rmbench.check.probes import probe
from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.check.subject import Subject
from rmbench.check.tokens import decode, pairs_of_probes, squeezed, why_no_text
from rmbench.engine.requests import requests_of
from rmbench.models.protocols import Encoded
from rmbench.types import Conversation, Example

__all__ = ["truncation"]

_LARGEST_LIMIT = 300_000
"""Tokens; building a longer conversation takes more time than all other checks."""
_OPENING, _CLOSING = "The first words are violet.", "The last words are amber."
_ENDS = {"beginning": _OPENING, "end": _CLOSING}
_LOST = {"left": "end", "right": "beginning"}
"""The truncated side -> the end that must remain."""


def truncation(subject: Subject) -> CheckResult:
    """A conversation over the limit is truncated to it on the declared side, and counted; a short one is not. Two are
    tried, one with a long question and one with a long response, since a model may refuse either."""
    name = "truncation"
    why = why_no_text(subject)
    if why or subject.scorer is None:
        return _of_images(subject) if "text" not in subject.facts.modalities else not_run(name, why)
    limit = subject.limit
    if limit is None or limit > _LARGEST_LIMIT:
        return not_run(
            name,
            "no limit is declared, so nothing is truncated"
            if limit is None
            else f"its limit of {limit:,} tokens is too large to try",
        )
    side = str(subject.facts.settings.get("truncation_side") or "not declared")
    clauses, lengths, refusals = [], [0], []
    for what, example in _over(limit):
        row = subject.scorer.encode(requests_of([example], "chat", in_pairs="pair" in subject.scorer.answers)[0])[0]
        if row.error:
            refusals.append(f"a long {what} is refused: {row.error}")
            continue
        ends = [end for end, mark in _ENDS.items() if squeezed(mark) in squeezed(decode(subject.tokenizer, row))]
        clauses.append(f"a long {what} keeps its {' and '.join(ends) or 'middle'}")
        lengths.append(len(row.ids))
        fault = _fault(row, limit, ends, side, subject)
        if fault:
            return failed(name, f"{fault}; {clauses[-1]}", {"side": side, "max_length": limit, "length": len(row.ids)})
    if not clauses:
        return not_run(name, "; ".join(refusals))
    line = f"{'; '.join((*clauses, *refusals))} (side {side}, limit {limit:,}); truncated rows are counted"
    return passed(name, line, {"side": side, "max_length": limit, "length": max(lengths)})


def _over(limit: int) -> list[tuple[str, Example]]:
    """(the long part, a probe in which it is over the limit, whatever the length of a token)."""
    filler = "stone river cloud " * (limit // 3 + 8)
    return [
        ("response", probe("over", [f"{_OPENING} Go on."], f"{filler} {_CLOSING}", f"{filler} Yes. {_CLOSING}")),
        ("question", probe("over", [f"{_OPENING} {filler}"], f"Stop. {_CLOSING}", f"Halt. {_CLOSING}")),
    ]


def _fault(row: Encoded, limit: int, ends: Sequence[str], side: str, subject: Subject) -> str:
    """The fault in the truncation of a long row, or ""."""
    if len(row.ids) > limit:
        return f"a row of {len(row.ids):,} tokens is over the limit of {limit:,}"
    if not row.truncated:
        return "a truncated row is not marked as truncated"
    marked = sum(short.truncated for _, _, short in pairs_of_probes(subject, ("short",)) if len(short.ids) < limit)
    if marked:
        return f"{marked} short rows are marked as truncated"
    lost = _LOST.get(side)
    return f"truncated on the side {side}, yet the {lost} is lost" if lost and lost not in ends else ""


def _of_images(subject: Subject) -> CheckResult:
    """Prompts of image models have a limit too, and the longest probe must be counted."""
    if subject.scorer is None:
        cut = [any(judgment.truncated) for example, judgment, _ in subject.rows if _is_wordy(example.prompt)]
        if not any(cut):
            return not_run("truncation", "no prompt of the probes is over a limit of the model")
        return passed("truncation", "a prompt of 280 words is truncated, and the row is counted", {"rows": len(cut)})
    long = [
        row for row, request in zip(subject.encoded, subject.requests, strict=True) if _is_wordy(request.conversation)
    ]
    if not any(row.truncated for row in long):
        return not_run("truncation", "no prompt of the probes is over a limit of the model")
    return passed("truncation", "a prompt of 280 words is truncated, and the row is counted", {"rows": len(long)})


def _is_wordy(conversation: Conversation) -> bool:
    return len(conversation[0].text) > 1_000

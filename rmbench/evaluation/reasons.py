"""Why rows have no verdict: the commonest reason of those that failed, and of those that could not be parsed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rmbench.models.servers.option_probs import OPTIONS_AS_TEXT
from rmbench.types import Judged

__all__ = ["kind_of_reason", "reasons_of"]

_NUMBER = re.compile(r"\b\d[\d.,]*\b")


def reasons_of(rows: Sequence[Judged], remarks: Mapping[str, int] = MappingProxyType({})) -> str:
    """One line such as "3 of 10 rows failed: status 403: flagged; 2 of 10 rows unparsed: the reply is empty"; "" where
    every row has a verdict of the kind that was asked for. Where a status has several reasons the commonest is given,
    with how many rows have it.

    Args:
        rows: the judged rows.
        remarks: what was counted of their judge's replies, as in `Judging`.
    """
    parts = []
    if as_text := remarks.get(OPTIONS_AS_TEXT, 0):
        parts.append(f"{as_text:,} verdicts were read from text: the server gives no probabilities of the options")
    for status in ("failed", "unparsed"):
        kinds: defaultdict[str, list[Judged]] = defaultdict(list)
        for row in rows:
            if row.judgment.status == status:
                kinds[kind_of_reason(row)].append(row)
        if not kinds:
            continue
        count = sum(map(len, kinds.values()))
        commonest = max(kinds.values(), key=len)
        shared = f" (in {len(commonest):,} of them)" if len(kinds) > 1 else ""
        why = commonest[0].judgment.error or "no reason given"
        parts.append(f"{count:,} of {len(rows):,} rows {status}: {why}{shared}")
    return "; ".join(parts)


def kind_of_reason(row: Judged) -> str:
    """The reason without what differs between rows that failed for the same one: their id, bytes asked for, seconds."""
    return _NUMBER.sub("", row.judgment.error.replace(row.id, ""))

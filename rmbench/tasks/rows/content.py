"""What rows are told apart by: the digest of their content; and which are drawn where not all are judged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from rmbench.types import Conversation, Example

__all__ = ["digest_of", "drawn"]

_canonical = json.JSONEncoder(sort_keys=True).encode


def drawn(ids: Sequence[str], limit: int | None, seed: int) -> list[int]:
    """Places of a simple random sample of rows, in their order; of all rows without a limit.

    Rows are drawn in the order of sha256("<seed>/<id>"), so that every file and group has its fair share, the sample
    of a smaller limit is part of that of a larger one, and whether a row is drawn depends on no other row.
    """
    if limit is None:
        return list(range(len(ids)))
    order = sorted(range(len(ids)), key=lambda place: hashlib.sha256(f"{seed}/{ids[place]}".encode()).digest())
    return sorted(order[:limit])


def digest_of(examples: Sequence[Example], *, texts: bool = True) -> str:
    """sha256 over the content of the examples: ids, gold, groups, clusters, weights, texts, names of media, context.
    Without texts: over the first four, in the order of the ids, since files without texts may have another order."""
    digest = hashlib.sha256()
    for each in examples if texts else sorted(examples, key=lambda each: each.id):
        gold = each.gold
        content = (
            [each.id, each.cluster, each.weight, each.rater, dict(each.groups), dict(each.context) if texts else {}],
            _plain((*each.shots, *each.prompt)) if texts else [],
            [[_plain(c.messages), None if c.prompt is None else _plain(c.prompt)] for c in each.candidates]
            if texts
            else len(each.candidates),
            [[e.i, e.j, e.strength, e.dimension, e.annotator, e.tags] for e in gold.relation],
            [gold.ratings, gold.dimensions, dict(gold.labels)],
        )
        digest.update(_canonical(content).encode() + b"\n")
    return digest.hexdigest()


def _plain(conversation: Conversation) -> list[list[object]]:
    return [[m.role, [[part.kind, part.text, part.label] for part in m.parts], *m.extra] for m in conversation]

"""Rows of token ids -> one batch, padded or in groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from rmbench.models.protocols import Batch, Encoded, Group

__all__ = ["collate", "in_groups"]


def collate(rows: Sequence[Encoded], pad_id: int, side: Literal["right", "left"] = "right") -> Batch:
    """Rows padded to the longest of them.

    Args:
        rows: B rows, at least one. Either all have token ids or none has.
        pad_id: put on padded places. It may equal a real token: `mask` and `last` come from lengths, never from ids.
        side: where the padding goes.

    Returns:
        ids and mask [B, T], last [B]; T is 0 and last all 0 for rows without tokens.

    Raises:
        ValueError: no rows, or rows without tokens among rows with tokens.
    """
    lengths = np.array([len(row.ids) for row in rows], dtype=np.int64)  # [B]
    if not len(lengths):
        raise ValueError("a batch needs at least one row")
    width = int(lengths.max())
    if width and not lengths.min():
        raise ValueError("a row without tokens cannot share a batch with rows of tokens")
    columns = np.arange(width)[None, :]  # [1, T]
    start = np.zeros_like(lengths) if side == "right" else width - lengths  # [B]
    real = (columns >= start[:, None]) & (columns < (start + lengths)[:, None])  # [B, T]
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    ids[real] = np.fromiter((token for row in rows for token in row.ids), dtype=np.int64, count=int(lengths.sum()))
    last = np.maximum(start + lengths - 1, 0)
    return Batch(rows=tuple(rows), ids=ids, mask=real.astype(np.int64), last=last)


def in_groups(rows: Sequence[Encoded], groups: Sequence[Group]) -> Batch:
    """Rows in prefix groups; nothing is padded, and ids and mask are [B, 0]."""
    empty = np.zeros((len(rows), 0), dtype=np.int64)
    return Batch(tuple(rows), empty, empty, np.zeros(len(rows), dtype=np.int64), tuple(groups))

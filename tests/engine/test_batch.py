"""Padding: the mask and the last column come from lengths, whatever the ids are."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.engine.batch import collate, in_groups
from rmbench.models.protocols import Encoded, Group

PAD = 2
sides: st.SearchStrategy[Literal["right", "left"]] = st.sampled_from(["right", "left"])


def encoded(ids: list[int]) -> Encoded:
    return Encoded(key=repr(ids), size=len(ids), ids=tuple(ids))


@settings(deadline=None, max_examples=120)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=9), min_size=1, max_size=8), sides)
def test_rows_come_back_out(rows: list[list[int]], side: Literal["right", "left"]) -> None:
    batch = collate([encoded(row) for row in rows], PAD, side)
    assert batch.ids.shape == batch.mask.shape == (len(rows), max(map(len, rows)))
    for number, row in enumerate(rows):
        real = batch.mask[number] == 1
        assert batch.ids[number][real].tolist() == row
        assert (batch.ids[number][~real] == PAD).all()
        assert batch.last[number] == (len(row) - 1 if side == "right" else batch.ids.shape[1] - 1)
        edge = batch.mask[number][0 if side == "right" else -1]
        assert edge == 1


def test_by_hand() -> None:
    rows = [encoded([5, PAD]), encoded([6, 7, 8])]  # the first row ends in the pad id itself
    right, left = collate(rows, PAD, "right"), collate(rows, PAD, "left")
    assert right.ids.tolist() == [[5, PAD, PAD], [6, 7, 8]]
    assert right.mask.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert right.last.tolist() == [1, 2]
    assert left.ids.tolist() == [[PAD, 5, PAD], [6, 7, 8]]
    assert left.mask.tolist() == [[0, 1, 1], [1, 1, 1]]
    assert left.last.tolist() == [2, 2]


def test_models_without_tokens() -> None:
    batch = collate([Encoded("a", 10, payload="text"), Encoded("b", 4, payload="more")], 0)
    assert batch.ids.shape == batch.mask.shape == (2, 0)
    assert batch.last.tolist() == [0, 0]
    assert [row.payload for row in batch.rows] == ["text", "more"]


def test_rows_in_groups_are_not_padded() -> None:
    rows = [encoded([1, 2, 3]), encoded([1, 2, 4]), encoded([5])]
    batch = in_groups(rows, [Group(2, 2), Group(0, 1)])
    assert (batch.ids.shape, batch.mask.shape, batch.last.tolist()) == ((3, 0), (3, 0), [0, 0, 0])
    assert (batch.rows, batch.groups) == (tuple(rows), (Group(2, 2), Group(0, 1)))


def test_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        collate([], 0)
    with pytest.raises(ValueError, match="without tokens"):
        collate([encoded([1]), encoded([])], 0)

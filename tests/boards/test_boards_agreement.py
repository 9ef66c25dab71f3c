"""How alike models are, row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rmbench.boards.agreement import agreement, clustered
from tests.boards.sites import Put


def test_agreement_is_the_share_of_rows_with_the_same_credit(tmp_path: Path, put_record: Put) -> None:
    margins = {"a": [1, 1, 1, -1], "b": [1, 1, -1, -1], "c": [-1, -1, 1, 1]}
    folders = [[put_record(tmp_path, each, name=name)] for name, each in margins.items()]
    alike = agreement(folders)
    assert alike == pytest.approx(np.array([[1, 0.75, 0.25], [0.75, 1, 0], [0.25, 0, 1]]))


def test_several_tasks_count_by_their_rows(tmp_path: Path, put_record: Put) -> None:
    one = [put_record(tmp_path, [1, 1, 1], name="a"), put_record(tmp_path, [1], name="a", task="t")]
    two = [put_record(tmp_path, [1, 1, 1], name="b"), put_record(tmp_path, [-1], name="b", task="t")]
    assert agreement([one, two])[0, 1] == 0.75


def test_no_shared_rows_no_agreement() -> None:
    assert agreement([]) is None


def test_models_that_agree_stand_together() -> None:
    alike = np.array([[1, 0.1, 0.9, 0.2], [0.1, 1, 0.2, 0.8], [0.9, 0.2, 1, 0.1], [0.2, 0.8, 0.1, 1]])
    order = clustered(alike)
    assert sorted(order) == [0, 1, 2, 3]
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset({0, 2}), frozenset({1, 3})}

"""Several records of one task on a side are paired by what makes them other results; and small figures of reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.gate import compare
from rmbench.gate.comparison import compare_pair
from rmbench.gate.report.words import _points_up, cells
from rmbench.gate.scan import judged_alike
from rmbench.gate.sides import pair
from rmbench.gate.task import TaskComparison
from rmbench.records.store import RECORD_NAME, read, read_rows, write
from rmbench.types import Judged
from tests._make import make_row, margins

Put = Callable[..., Path]


def side(root: Path, put: Put, *limits: int | None) -> Path:
    """A model's records of one task, a whole one and some with a limit."""
    for limit in limits:
        put(root, margins(5, 8), changed={"data": {"limit": limit}})
    return root


def test_they_are_paired_by_their_variant(tmp_path: Path, put_record: Put) -> None:
    a, b = side(tmp_path / "a", put_record, None, 10), side(tmp_path / "b", put_record, None, 10, 20)
    pairings = pair(a, b)
    assert [each.task for each in pairings] == ["pairs", "pairs+limit=10", "pairs+limit=20"]
    assert pairings[2].a is None
    assert [each.task for each in compare(a, b).tasks] == ["pairs", "pairs+limit=10", "pairs+limit=20"]


def test_one_of_each_is_paired_whatever_its_variant(tmp_path: Path, put_record: Put) -> None:
    """So that it is told what differs, rather than that a side has no record."""
    a, b = side(tmp_path / "a", put_record, None), side(tmp_path / "b", put_record, 10)
    assert [(each.task, each.a is None, each.b is None) for each in pair(a, b)] == [("pairs", False, False)]


def test_the_variant_of_an_unreadable_record_is_that_of_its_folder(tmp_path: Path, put_record: Put) -> None:
    a, b = side(tmp_path / "a", put_record, None, 10), side(tmp_path / "b", put_record, None, 10)
    for file in b.rglob(RECORD_NAME):
        if "limit" in str(file):
            file.write_text("{")
    assert [each.task for each in pair(a, b)] == ["pairs", "pairs+limit=10"]


def test_two_of_one_variant_are_refused(tmp_path: Path, put_record: Put) -> None:
    for version in (1, 2):
        put_record(tmp_path / "a", margins(5, 8), version=version)
    with pytest.raises(RmbenchError, match="holds two records of pairs"):
        pair(tmp_path / "a", side(tmp_path / "b", put_record, None))


def test_prompts_that_differ_are_noted(tmp_path: Path, put_record: Put) -> None:
    """In how many of the rows of which both runs kept a digest."""
    roots = []
    for name, changed in (("a", {}), ("b", {"r0": "other", "r1": "other", "r2": ""})):
        folder = put_record(tmp_path / name, margins(5, 8))
        rows = [replace(row, prompt_sha256=changed.get(row.id, "same")) for row in read_rows(folder)]
        write(tmp_path / name, read(folder), rows, {row.id: 1.0 for row in rows})
        roots.append(tmp_path / name)
    (pairing,) = pair(*roots)
    assert "prompts: different in 2 of 7 rows" in compare_pair(pairing, seed=0)[0].notes
    (pairing,) = pair(roots[0], roots[0])
    assert not any("prompts" in note for note in compare_pair(pairing, seed=0)[0].notes)


@pytest.mark.parametrize(("margin", "text"), [(0.032, "3.2"), (0.0301, "3.1"), (0.5, "50"), (0.0099, "0.99")])
def test_a_margin_is_rounded_up_to_two_digits(margin: float, text: str) -> None:
    assert _points_up(margin) == text


@pytest.mark.parametrize(("p", "columns"), [(True, 6), (False, 5)])
def test_a_task_that_is_not_compared_has_a_hyphen_in_every_column(p: bool, columns: int) -> None:
    assert cells(TaskComparison("pairs", 1, None, "other data"), p=p) == ["-"] * columns


def test_what_is_equal_in_the_making_is_not_noted(tmp_path: Path, put_record: Put) -> None:
    model = {"settings": {"dtype": "float32", "bos": "one"}}
    for name, settings in (("a", {"bos": "one"}), ("b", {"bos": "none"})):
        changed = {"model": {"settings": {**model["settings"], **settings}}}
        put_record(tmp_path / name, margins(5, 8), changed=changed)
    (pairing,) = pair(tmp_path / "a", tmp_path / "b")
    assert compare_pair(pairing)[0].notes == ("bos: one -> none",)


@pytest.mark.parametrize("field", ["directed", "parts"])
def test_margins_and_parts_are_held_against_each_other(field: str) -> None:
    """Two models that give no rewards judge alike where these are alike, and not otherwise."""

    def row(value: float) -> Judged:
        margin = ((0.0, value), (-value, 0.0))
        given: dict[str, Any] = {field: margin if field == "directed" else {"x": margin}}
        return make_row("r", None, size=2, **given)

    assert judged_alike([row(1.0)], [row(1.0)])
    assert not judged_alike([row(1.0)], [row(2.0)])

"""Odd rows are told by row number, and kept, excluded or refused by the declared rule; excluded rows are counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import load_file
from rmbench.tasks.sources import load
from rmbench.tasks.task import Loaded

Rows = list[dict[str, Any]]
Loader = Callable[[Rows, str], Loaded]


@pytest.fixture
def loaded(declaration: str, write: Callable[..., Path], place: Callable[..., Path]) -> Loader:
    """Load rows with further keys of `[rows]`."""

    def loader(rows: Rows, keys: str) -> Loaded:
        text = declaration.replace("n = 2", f"n = {len(rows)}").replace('id = ["key"]', f'id = ["key"]\n{keys}')
        return load(load_file(write(text)), place(rows))

    return loader


@pytest.fixture
def odd(rows: Rows) -> Rows:
    """Four rows: sound, empty answer, identical answers, the texts of the first again with another gold group."""
    first = rows[0]
    return [
        first,
        {**rows[1], "bad": " "},
        {**first, "key": 3, "question": "Which?", "good": "One.", "bad": "One."},
        {**first, "key": 4, "topic": "moon"},
    ]


NOTES = (
    "rows.jsonl, row 1: an empty candidate (1 row, {})",
    "rows.jsonl, row 2: identical candidates (1 row, {})",
    "rows.jsonl, row 3: the texts of an earlier row (1 row, {})",
)


def test_odd_rows_are_kept_and_told(odd: Rows, loaded: Loader) -> None:
    found = loaded(odd, "")
    assert len(found.examples) == 4
    assert found.excluded == ()
    assert found.notes == tuple(note.format("kept") for note in NOTES)


@pytest.mark.parametrize(
    "kind, gone, why", [("empty", "2", "empty"), ("identical", "3", "identical"), ("duplicate", "4", "earlier")]
)
def test_odd_rows_are_excluded_and_counted(kind: str, gone: str, why: str, odd: Rows, loaded: Loader) -> None:
    found = loaded(odd, f'{kind} = "exclude"')
    assert gone not in {each.id for each in found.examples}
    ((dropped),) = found.excluded
    assert dropped.id == gone
    assert why in dropped.why
    assert (found.total, found.missing, len(found.examples)) == (3, (), 3)
    assert sum(note.endswith("excluded)") for note in found.notes) == 1


@pytest.mark.parametrize("kind, row", [("empty", 1), ("identical", 2), ("duplicate", 3)])
def test_odd_rows_are_refused(kind: str, row: int, odd: Rows, loaded: Loader) -> None:
    with pytest.raises(RmbenchError, match=rf"rows\.jsonl, row {row}: .*which the task refuses \(id "):
        loaded(odd, f'{kind} = "refuse"')


def test_sound_rows_have_no_note(rows: Rows, loaded: Loader) -> None:
    assert loaded(rows, "").notes == ()


def test_many_odd_rows_are_counted(rows: Rows, loaded: Loader) -> None:
    many = [{**rows[0], "key": k, "question": f"q{k}", "bad": ""} for k in range(20)]
    (note,) = loaded(many, "").notes
    assert note.startswith("rows.jsonl, rows 0, 1, 2, ")
    assert "11 and 8 more: an empty candidate (20 rows, kept)" in note


def test_a_limit_notes_the_rows_drawn_alone(
    rows: Rows, declaration: str, write: Callable[..., Path], place: Callable[..., Path]
) -> None:
    many = [{**rows[0], "key": k, "question": f"q{k}", "bad": "" if k % 2 else "Snow."} for k in range(20)]
    task, folder = load_file(write(declaration.replace("n = 2", "n = 20"))), place(many)
    for limit in (1, 5, 20):
        found = load(task, folder, limit=limit)
        drawn = [int(each.id) for each in found.examples if int(each.id) % 2]
        assert len(found.examples) == limit
        assert [f"({len(drawn)} row{'s' * (len(drawn) > 1)}, kept)" in note for note in found.notes] == [True] * bool(
            drawn
        )
        assert all(f" {k}" in found.notes[0] for k in drawn)


def test_a_partial_set_says_what_is_missing(
    rows: Rows, declaration: str, write: Callable[..., Path], place: Callable[..., Path]
) -> None:
    folder = place(rows)
    assert load(load_file(write(declaration)), folder).notes == ()
    fewer = declaration.replace("n = 2", "n = 9")
    assert load(load_file(write(fewer)), folder).notes == ("partial, without 7 of 9 rows",)
    files = fewer.replace('["rows.jsonl"]', '["rows.jsonl", "more.jsonl"]')
    assert load(load_file(write(files)), folder).notes == ("partial, without more.jsonl",)


def test_an_exclusion_has_its_reason(rows: Rows, loaded: Loader) -> None:
    rows[1]["flag"] = "bad"
    rows[0]["flag"] = "good"
    rule = '[[rows.exclude]]\ncolumn = "flag"\nvalues = ["bad"]\nwhy = "two raters refused it"\n'
    found = loaded(rows, "\n" + rule)
    assert [each.id for each in found.examples] == ["1"]
    assert [(each.id, each.why) for each in found.excluded] == [("2", "two raters refused it")]
    assert found.total == 1


def test_an_exclusion_of_what_is_missing(rows: Rows, loaded: Loader) -> None:
    rows[0]["label"] = "A"
    found = loaded(rows, '\n[[rows.exclude]]\ncolumn = "label"\nwhy = "it has no label"\n')
    assert [each.id for each in found.examples] == ["1"]


def test_excluded_rows_are_no_missing_rows(rows: Rows, loaded: Loader, declaration: str) -> None:
    rows[1]["flag"] = True
    rows[0]["flag"] = False
    found = loaded([*rows, {**rows[0], "key": 9, "question": "?"}], '\n[[rows.exclude]]\ncolumn = "flag"\nwhy = "w"\n')
    assert found.excluded == ()
    assert found.missing == ()

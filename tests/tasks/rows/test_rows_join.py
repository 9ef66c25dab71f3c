"""Second files: keys of several columns, texts taken out of a key, many files as one, and what of them is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import load_text
from rmbench.tasks.rows.paths import kept
from rmbench.tasks.sources import load
from rmbench.tasks.task import Loaded

JOIN = """
[[files.join]]
path = "answers/*/*.json"
format = "jsonl"
on = ["run", "key"]
key = ["folder", "@file"]
drop = ["-v2"]
capture = ["answers/{folder}/{name}.json"]
keep = ["good", "parts[].text"]
"""


def loaded(declaration: str, rows: list[dict[str, Any]], root: Path, join: str = JOIN) -> Loaded:
    text = declaration.replace("[columns]", f"{join}\n[columns]").replace(
        'rejected = "bad"', 'rejected = "parts[].text"'
    )
    file = root / "mine" / "rows.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load(load_text(text, root / "mine.toml"), str(root))


@pytest.fixture
def split(rows: list[dict[str, Any]], tmp_path: Path) -> list[dict[str, Any]]:
    """The rows without their answers, which lie in a file each."""
    for run, row in zip(("a", "b"), rows, strict=True):
        file = tmp_path / "mine" / "answers" / run / f"{row['key']}.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"good": row.pop("good"), "parts": [{"text": row.pop("bad"), "page": "x" * 1000}]}))
        row["run"] = f"{run}-v2"
    return rows


def test_rows_find_their_files(declaration: str, split: list[dict[str, Any]], tmp_path: Path) -> None:
    found = loaded(declaration, split, tmp_path)
    assert [[candidate.text for candidate in each.candidates] for each in found.examples] == [
        ["Dough.", "Snow."],
        ["The moon.", "The floor."],
    ]
    assert [(fact.name, fact.rows) for fact in found.files] == [("rows.jsonl", 2), ("answers/*/*.json", 2)]


def test_a_change_of_one_of_many_files_changes_their_digest(
    declaration: str, split: list[dict[str, Any]], tmp_path: Path
) -> None:
    before = loaded(declaration, split, tmp_path).files[1].sha256
    file = tmp_path / "mine" / "answers" / "b" / "2.json"
    file.write_text(file.read_text().replace("floor", "sea"))
    assert loaded(declaration, split, tmp_path).files[1].sha256 != before


@pytest.mark.parametrize(
    "change, what",
    [
        (
            lambda rows, root: rows[1].update(run="c"),
            r"rows\.jsonl, row 1: \"run\" and \"key\" 'c', '2' is no \"folder\"",
        ),
        (lambda rows, root: (root / "a" / "1.json").rename(root / "a" / "3.json"), r"'a', '1' is no \"folder\" and"),
        (lambda rows, root: rows[0].pop("run"), 'no column "run"'),
        (
            lambda rows, root: (root / "a" / "1.json").write_text('{"good": "x"}\n{"good": "y"}'),
            r"answers/a/1\.json, row 1: \"folder\" and \"@file\" 'a', '1' occurs twice",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    change: Callable[[list[dict[str, Any]], Path], object],
    what: str,
    declaration: str,
    split: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    change(split, tmp_path / "mine" / "answers")
    with pytest.raises(RmbenchError, match=what):
        loaded(declaration, split, tmp_path)


def test_a_declaration_with_keys_of_two_lengths_is_an_error(
    declaration: str, split: list[dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(RmbenchError, match=r"files\[0\]\.join\[0\]\.key: 1 columns for 2 of `on`"):
        loaded(declaration, split, tmp_path, JOIN.replace('["folder", "@file"]', '"folder"'))


def test_what_is_kept_of_a_row() -> None:
    row = {"a": {"b": 1, "c": 2}, "d": [{"e": 3, "f": 4}, {"f": 5}, 6], "g": 7}
    assert kept(row, ["a.b", "d[].f", "d[].e", "none"]) == {"a": {"b": 1}, "d": [{"f": 4, "e": 3}, {"f": 5}, 6]}
    assert kept(row, ["a", "a.b"]) == {"a": {"b": 1, "c": 2}}
    assert kept(row, ["g.h"]) == {"g": 7}

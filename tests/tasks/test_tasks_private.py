"""A private task: neither hub nor git; its files lie beside its declaration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks.registry import load_file
from rmbench.tasks.sources import load

SOURCE = '[source]\ngit = "https://example.org/mine"\nfolder = "mine"\n'


@pytest.fixture
def path(declaration: str, write: Callable[..., Path]) -> Path:
    return write(declaration.replace(SOURCE, ""))


def put(rows: list[dict[str, Any]], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("source", ["hub", "sample", "elsewhere"])
def test_its_files_are_beside_its_declaration(path: Path, rows, source: str) -> None:
    put(rows, path.parent / "rows.jsonl")
    where = path.parent / source
    where.mkdir()
    loaded = load(load_file(path), str(where) if source == "elsewhere" else source)
    assert ([each.id for each in loaded.examples], loaded.source, loaded.total) == (["1", "2"], "folder", 2)


def test_they_may_be_in_the_folder_of_the_run_instead(path: Path, rows, tmp_path: Path) -> None:
    put(rows, tmp_path / "data" / "rows.jsonl")
    assert len(load(load_file(path), tmp_path / "data").examples) == 2


def test_it_may_have_a_sample(path: Path, rows) -> None:
    put(rows, path.parent / "rows.jsonl")
    put(rows[:1], path.parent / "samples" / "mine" / "rows.jsonl")
    loaded = load(load_file(path), "sample")
    assert (len(loaded.examples), loaded.source, loaded.total) == (1, "sample", 1)


@pytest.mark.parametrize("source", ["hub", "sample"])
def test_where_its_files_were_looked_for(path: Path, source: str) -> None:
    with pytest.raises(
        RmbenchError, match=f'no file of this task was found. Expected "rows.jsonl" below {path.parent}.'
    ):
        load(load_file(path), source)


def test_more_rows_than_it_declares(path: Path, rows) -> None:
    put([*rows, {**rows[0], "key": 3}], path.parent / "rows.jsonl")
    with pytest.raises(
        RmbenchError, match=r"3 rows, but version 1 has 2\..* \(a new `version` of yours may have another\)"
    ):
        load(load_file(path))

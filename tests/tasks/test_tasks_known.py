"""What is known of all rows is kept for the next limit, which then makes the rows drawn alone."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.tasks import known, made
from rmbench.tasks.declaration.schema import Declaration
from rmbench.tasks.registry import get, load_text, select
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.rows.shapes import example
from rmbench.tasks.sources import load
from rmbench.tasks.task import Loaded, Task
from rmbench.types import Example


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what is kept, in a cache of its own."""
    monkeypatch.setenv("RMBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rows"


@pytest.fixture
def rows_made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the rows that are made into examples, as they are made."""
    ids: list[str] = []

    def counted(declaration: Declaration, row: RawRow) -> Example:
        one = example(declaration, row)
        ids.append(one.id)
        return one

    monkeypatch.setattr(made, "example", counted)
    return ids


def test_the_second_time_is_the_first_for_every_task(kept: Path, rows_made: list[str]) -> None:
    tasks = list(select("all", []))
    first = {task.id: load(task, "sample", limit=3, seed=1) for task in tasks}
    assert len(list(kept.iterdir())) >= len(tasks)
    rows_made.clear()
    for task in tasks:
        again = load(task, "sample", limit=3, seed=1)
        assert again == first[task.id]
        assert rows_made == [each.id for each in (*again.examples, *again.fit)], task.id
        rows_made.clear()
        own = {"examples": (), "fit": (), "limit": None, "notes": (), "media": None}
        assert replace(again, **own) == replace(load(task, "sample"), **own), task.id  # type: ignore[arg-type]
        rows_made.clear()


def test_another_limit_and_seed_use_the_same(kept: Path, rows_made: list[str]) -> None:
    task = get("llmbar")
    load(task, "sample", limit=1)
    rows_made.clear()
    other = load(task, "sample", limit=4, seed=9)
    assert len(rows_made) == 4
    ids = [each.id for each in other.examples]
    for file in kept.iterdir():
        file.unlink()
    assert [each.id for each in load(task, "sample", limit=4, seed=9).examples] == ids


ROWS = [
    {"key": str(i), "question": f"question {i}", "good": f"yes {i}", "bad": f"no {i}", "topic": "bread"}
    for i in range(6)
]


@pytest.fixture
def written(tmp_path: Path, declaration: str, place: Callable[..., Path]) -> Callable[..., Task]:
    """Write rows where the small task of a user's own has them, and give the task; `changed` is put for words of its
    declaration."""

    def writer(rows: Sequence[Mapping[str, str | None]] = ROWS, changed: Mapping[str, str] | None = None) -> Task:
        declared = declaration.replace("n = 2", "n = 6")
        for old, new in (changed or {}).items():
            assert old in declared
            declared = declared.replace(old, new)
        place(rows)
        return load_text(declared, tmp_path / "mine.toml")

    return writer


def drawn(task: Task, folder: Path) -> Loaded:
    return load(task, folder / "data", limit=2)


def test_a_changed_file_or_declaration_is_made_anew(
    tmp_path: Path, written: Callable[..., Task], kept: Path, rows_made: list[str]
) -> None:
    task = written()
    first = drawn(task, tmp_path)
    changed = [*ROWS[:5], {**ROWS[5], "bad": "otherwise"}]
    second = drawn(written(changed), tmp_path)
    assert len(rows_made) == 12
    assert second.digest != first.digest
    drawn(written(changed={'rejected = "bad"': 'rejected = "question"'}), tmp_path)
    assert len(rows_made) == 18
    assert drawn(written(), tmp_path) == first
    assert len(rows_made) == 20


def test_a_broken_row_is_an_error_however_often(tmp_path: Path, written: Callable[..., Task], kept: Path) -> None:
    """Nothing is kept of rows of which one is broken, whichever are drawn."""
    task = written([*ROWS[:5], {**ROWS[5], "bad": None}])
    for seed in (*range(6), 0):
        with pytest.raises(RmbenchError, match=r"rows\.jsonl, row 5"):
            load(task, tmp_path / "data", limit=1, seed=seed)
    assert not kept.exists()


@pytest.mark.parametrize("spoiled", [b"", b"no gzip", "cut", "other form", "other ids", "other places"])
def test_a_spoiled_file_is_not_used(
    spoiled: bytes | str, tmp_path: Path, written: Callable[..., Task], kept: Path, rows_made: list[str]
) -> None:
    task = written()
    first = drawn(task, tmp_path)
    (file,) = kept.iterdir()
    whole = file.read_bytes()
    data = json.loads(gzip.decompress(whole))
    if spoiled == "cut":
        spoiled = whole[:-9]
    elif spoiled == "other form":
        spoiled = gzip.compress(json.dumps({**data, "digest": 1}).encode())
    elif spoiled == "other ids":
        spoiled = gzip.compress(json.dumps({**data, "ids": [*data["ids"][1:], data["ids"][0]]}).encode())
    elif spoiled == "other places":
        spoiled = gzip.compress(json.dumps({**data, "places": [place + 9 for place in data["places"]]}).encode())
    assert isinstance(spoiled, bytes)
    file.write_bytes(spoiled)
    rows_made.clear()
    assert drawn(task, tmp_path) == first
    assert len(rows_made) >= 6
    assert file.read_bytes() == whole


def test_the_oldest_go_and_a_folder_that_cannot_be_written_costs_nothing(
    tmp_path: Path, written: Callable[..., Task], kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "_KEPT", 2)
    for task_id in ("llmbar", "rm-bench", "reward-bench"):
        load(get(task_id), "sample", limit=1)
    assert len(list(kept.iterdir())) == 2
    known.forget()
    assert not list(kept.iterdir())
    monkeypatch.setenv("RMBENCH_CACHE", str(tmp_path / "mine.txt"))
    (tmp_path / "mine.txt").write_text("a file")
    task = written()
    assert drawn(task, tmp_path) == drawn(task, tmp_path)


def test_no_cache_keeps_nothing(
    tmp_path: Path, written: Callable[..., Task], monkeypatch: pytest.MonkeyPatch, rows_made: list[str]
) -> None:
    monkeypatch.setenv("RMBENCH_CACHE", "off")
    task = written()
    drawn(task, tmp_path)
    drawn(task, tmp_path)
    assert len(rows_made) == 12

"""A check's report beside the records, read back by fingerprint, and its mark in measured records alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.records.check_mark import CHECK_NAME, mark_records, read_mark, write_check
from rmbench.records.store import folder_of, read, rewrite, verify, write_published
from tests._make import put_record

MINE, OTHER = "f" * 64, "e" * 64
REPORT = {"model": {"fingerprint": MINE}, "passed": False, "failed": ["bos"], "date": "2025-01-01", "who": "\u00e9"}


def test_a_report_is_written_readably_and_read_by_its_fingerprint(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "model"
    write_check(folder, REPORT)
    text = (folder / CHECK_NAME).read_text("utf-8")
    assert text == json.dumps(REPORT, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    assert [path.name for path in folder.iterdir()] == [CHECK_NAME]
    found = read_mark(folder, MINE)
    assert found is not None
    assert found.model_dump() == {"passed": False, "failed": ["bos"], "date": "2025-01-01"}
    assert read_mark(folder, OTHER) is None
    assert read_mark(folder, "") is None
    assert read_mark(tmp_path, MINE) is None


def test_numbers_that_are_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_check(tmp_path, {**REPORT, "memory": float("nan")})
    assert not (tmp_path / CHECK_NAME).exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RmbenchError, match=r"file: cannot write check\.json"):
        write_check(tmp_path / "file", REPORT)


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"model": {"fingerprint": "' + MINE + '"}, "passed": "so so"}'])
def test_a_file_that_is_no_report_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / CHECK_NAME).write_text(text)
    with pytest.raises(RmbenchError, match=r"check\.json: no report of `rmbench check`"):
        read_mark(tmp_path, MINE)


def test_a_mark_goes_into_the_records_of_that_fingerprint_alone(tmp_path: Path) -> None:
    first, second = put_record(tmp_path, [1.0]), put_record(tmp_path, [1.0], task="more")
    other = put_record(tmp_path, [1.0], task="other", changed={"model": {"fingerprint": OTHER}})
    values = read(first).model_copy(update={"kind": "published", "judgments": None})
    task, run = (
        values.task.model_copy(update={"id": "quoted"}),
        values.run.model_copy(update={"source_of_scores": "a page"}),
    )
    quoted = values.model_copy(update={"task": task, "run": run})
    write_published(tmp_path, quoted)
    assert mark_records(first.parent, MINE, True, [], "2025-01-01") == (2, [])
    assert read(folder_of(tmp_path, quoted)).model.check is None
    marks = [read(folder).model.check for folder in (first, second, other)]
    assert [mark is not None and mark.date for mark in marks] == ["2025-01-01", "2025-01-01", False]
    assert [verify(folder) for folder in (first, second, other)] == [[], [], []]
    assert mark_records(tmp_path / "none", MINE, True, [], "x") == (0, [])
    assert mark_records(first.parent, "", True, [], "x") == (0, [])


def test_a_record_is_not_rewritten_over_other_rows(tmp_path: Path) -> None:
    one, two = put_record(tmp_path / "a", [1.0, -1.0]), put_record(tmp_path / "b", [1.0, 1.0])
    before = (one / "record.json").read_bytes()
    with pytest.raises(RmbenchError, match="names other rows than the existing one"):
        rewrite(one, read(two))
    assert (one / "record.json").read_bytes() == before
    rewrite(one, read(one).model_copy(update={"flags": ["demo"]}))
    assert read(one).flags == ["demo"]

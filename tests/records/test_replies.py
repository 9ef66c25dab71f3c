"""Answers of judges on disk: what is kept comes back, and what is not as it was put there is never given back."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.records.replies import REPLIES_NAME, ReplyStore


def test_an_answer_outlives_its_store(tmp_path: Path) -> None:
    store = ReplyStore.open(tmp_path)
    store.put("k", "row 1", "[[A]] é")
    assert ReplyStore.close_in(tmp_path, store)
    again = ReplyStore.open(tmp_path)
    assert (again.get("k"), again.get("other")) == ("[[A]] é", None)
    again.release([""])
    assert not ReplyStore.close_in(tmp_path, again)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_was_changed_is_refused(tmp_path: Path) -> None:
    store = ReplyStore.open(tmp_path)
    store.put("k", "row 1", "[[A]]")
    assert ReplyStore.close_in(tmp_path, store)
    with sqlite3.connect(tmp_path / REPLIES_NAME) as connection:
        connection.execute("UPDATE answers SET text = '[[B]]'")
    connection.close()
    with pytest.raises(RmbenchError, match=r"replies kept here are damaged \(the reply row 1 does not match"):
        ReplyStore.open(tmp_path).get("k")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / REPLIES_NAME).write_bytes(b"no database" * 500)
    with pytest.raises(RmbenchError, match=r"\.replies\.sqlite: the replies kept here are damaged .* to ask again"):
        ReplyStore.open(tmp_path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / REPLIES_NAME) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(RmbenchError, match="made by another version of rmbench"):
        ReplyStore.open(tmp_path)


def test_answers_are_kept_from_any_thread(tmp_path: Path) -> None:
    store = ReplyStore.open(tmp_path)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(store.put, "k", "row 1", "[[A]]").result()
        assert threads.submit(store.get, "k").result() == "[[A]]"
    assert ReplyStore.close_in(tmp_path, store)

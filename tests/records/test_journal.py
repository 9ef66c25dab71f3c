"""The journal: whole batches or none, under equal settings only, one run at a time, and never silently wrong."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rmbench.errors import RmbenchError
from rmbench.records.journal import FILE_NAME, LOCK_NAME, Journal

HEADER = {"model": "abc", "seed": "0"}

WRITER = """
import sys
from pathlib import Path
from rmbench.records.journal import Journal
with Journal.open(Path(sys.argv[1]), {"model": "abc", "seed": "0"}) as journal:
    kept = journal.done("task", "plan")
    print("open", flush=True)
    for index in range(100_000):
        if index not in kept:
            journal.commit("task", "plan", index, [f"{index}:{row}:" + "x" * 300 for row in range(30)])
"""


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_committed_is_there(tmp_path: Path) -> None:
    rows = [json.dumps({"values": {"reward": [0.1 + 0.2, -0.0, 1e-310]}}), '{"error": "Unicode: \\ud800 \u6f22"}']
    with Journal.open(tmp_path / "new" / "folder", HEADER) as journal:
        assert journal.done("task", "plan") == {}
        journal.commit("task", "plan", 3, rows)
        journal.commit("task", "plan", 0, [])
        assert journal.done("task", "plan") == {0: [], 3: rows}
    with Journal.open(tmp_path / "new" / "folder", dict(reversed(HEADER.items()))) as journal:
        assert journal.done("task", "plan") == {0: [], 3: rows}


def test_a_journal_has_one_store_of_replies(tmp_path: Path) -> None:
    with Journal.open(tmp_path, HEADER) as journal:
        assert journal.replies is journal.replies


def test_other_settings_are_not_used(tmp_path: Path) -> None:
    with Journal.open(tmp_path, HEADER) as journal:
        journal.commit("task", "plan", 0, ["plain"])
        journal.scoped("task@1", "data").commit("task", "plan", 0, ["scoped"])
    with Journal.open(tmp_path, HEADER) as journal:
        assert journal.done("other", "plan") == {}
        assert journal.done("task", "other") == {}
        assert journal.scoped("task@1", "data").done("task", "plan") == {0: ["scoped"]}
        assert journal.scoped("task@2", "data").done("task", "plan") == {}
        assert journal.scoped("task@1", "other data").done("task", "plan") == {}
    with Journal.open(tmp_path, {**HEADER, "seed": "1"}) as journal:
        assert journal.done("task", "plan") == {}
        assert journal.scoped("task@1", "data").done("task", "plan") == {}


def test_a_batch_done_again_replaces_the_first(tmp_path: Path) -> None:
    with Journal.open(tmp_path, HEADER) as journal:
        journal.commit("task", "plan", 0, ["one"])
        journal.commit("task", "plan", 0, ["two"])
        assert journal.done("task", "plan") == {0: ["two"]}


def test_after_success_nothing_of_the_run_is_left(tmp_path: Path) -> None:
    with Journal.open(tmp_path, HEADER) as journal:
        journal.commit("task", "plan", 0, ["one"])
        journal.scoped("task@1", "data").commit("task", "plan", 0, ["two"])
        journal.replies.put("key", "question", "answer")
        journal.release()
    assert entries(tmp_path) == []


def test_what_another_run_left_stays_until_it_is_done(tmp_path: Path) -> None:
    """Batches of another model, seed, task or state of the data, and replies that this run did not ask for."""
    other = {**HEADER, "seed": "1"}
    with Journal.open(tmp_path, other) as journal:
        journal.scoped("task@1", "data").commit("task", "plan", 0, ["theirs"])
        journal.replies.put("their key", "their question", "their answer")
    with Journal.open(tmp_path, HEADER) as journal:
        journal.scoped("task@1", "changed data").commit("task", "plan", 0, ["killed"])
    with Journal.open(tmp_path, HEADER) as journal:
        journal.scoped("task@1", "data").commit("task", "plan", 0, ["ours"])
        journal.replies.put("our key", "our question", "our answer")
        assert journal.replies.get("their key") == "their answer"
        journal.release()
        assert journal.scoped("task@1", "data").done("task", "plan") == {}
        assert journal.replies.get("our key") is None
    with Journal.open(tmp_path, HEADER) as journal:
        assert journal.scoped("task@1", "changed data").done("task", "plan") == {0: ["killed"]}
        journal.release()
    with Journal.open(tmp_path, other) as journal:
        assert journal.scoped("task@1", "data").done("task", "plan") == {0: ["theirs"]}
        assert journal.replies.get("their key") == "their answer"
        journal.release()
    assert entries(tmp_path) == []


def fail(folder: Path, commit: bool = False) -> None:
    """A run that ends with an error of its own."""
    with contextlib.suppress(KeyError), Journal.open(folder, HEADER) as journal:
        if commit:
            journal.commit("task", "plan", 0, ["one"])
        raise KeyError


def test_after_failure_it_stays_unless_empty(tmp_path: Path) -> None:
    fail(tmp_path, commit=True)
    assert FILE_NAME in entries(tmp_path)
    empty = tmp_path / "empty"
    fail(empty)
    assert entries(empty) == []


def test_failing_before_its_records_are_written_keeps_it(tmp_path: Path) -> None:
    fail(tmp_path, commit=True)
    with Journal.open(tmp_path, HEADER) as journal:
        assert journal.done("task", "plan") == {0: ["one"]}


def test_a_second_run_stops(tmp_path: Path) -> None:
    with Journal.open(tmp_path, HEADER) as journal:
        with pytest.raises(RmbenchError, match="another run is writing here"):
            Journal.open(tmp_path, HEADER)
        other = subprocess.run(
            [sys.executable, "-c", WRITER, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert other.returncode == 1
        assert "another run is writing here" in other.stderr
        journal.commit("task", "plan", 0, ["still"])
    with Journal.open(tmp_path, HEADER) as journal:
        assert journal.done("task", "plan") == {0: ["still"]}


def test_kill_at_random_moments(tmp_path: Path) -> None:
    rng = random.Random(5)
    kept = 0
    for _ in range(12):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        time.sleep(rng.uniform(0.0, 0.08))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        with Journal.open(tmp_path, HEADER) as journal:
            done = journal.done("task", "plan")
        # Whole, in order without a gap, and nothing once committed is lost.
        assert list(done) == list(range(len(done)))
        assert len(done) >= kept
        kept = len(done)
        for index, rows in done.items():
            assert rows == [f"{index}:{row}:" + "x" * 300 for row in range(30)]
    assert kept > 12


def damage(path: Path, **change: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for column, value in change.items():
            connection.execute(f"UPDATE batches SET {column} = ?", (value,))
    connection.close()


def test_a_changed_payload_is_noticed(tmp_path: Path) -> None:
    with Journal.open(tmp_path, HEADER) as journal:
        journal.commit("task", "plan", 2, ['{"values": {"reward": [1.0]}}'])
    damage(tmp_path / FILE_NAME, payload='["{\\"values\\": {\\"reward\\": [2.0]}}"]')
    with Journal.open(tmp_path, HEADER) as journal, pytest.raises(RmbenchError, match="batch 2 of task does not match"):
        journal.done("task", "plan")


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database at all, but long enough to be looked at" * 40)
    with pytest.raises(RmbenchError, match=r"\.journal\.sqlite: the journal is damaged"):
        Journal.open(tmp_path, HEADER)
    # The lock is free again, and what the message says helps.
    (tmp_path / FILE_NAME).unlink()
    Journal.open(tmp_path, HEADER).close()


def test_flipped_bytes_never_change_an_answer(tmp_path: Path) -> None:
    rows = {index: [f"{index}:" + "y" * 500] for index in range(60)}
    with Journal.open(tmp_path, HEADER) as journal:
        for index, payload in rows.items():
            journal.commit("task", "plan", index, payload)
    whole = (tmp_path / FILE_NAME).read_bytes()
    rng, noticed = random.Random(9), 0
    for _ in range(40):
        place = rng.randrange(len(whole))
        (tmp_path / FILE_NAME).write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            with Journal.open(tmp_path, HEADER) as journal:
                done = journal.done("task", "plan")
        except RmbenchError:
            noticed += 1
        else:
            assert all(rows[index] == payload for index, payload in done.items())
        for name in (FILE_NAME + "-wal", FILE_NAME + "-shm"):
            (tmp_path / name).unlink(missing_ok=True)
    assert noticed > 10


def test_another_format_is_refused(tmp_path: Path) -> None:
    with Journal.open(tmp_path, HEADER) as journal:
        journal.commit("task", "plan", 0, ["one"])
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(RmbenchError, match="another version"):
        Journal.open(tmp_path, HEADER)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RmbenchError, match="cannot write here"):
        Journal.open(tmp_path / "file" / "below", HEADER)


def test_the_lock_of_a_killed_run_does_not_stay(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"open\n"
    writer.kill()
    writer.wait()
    writer.stdout.close()
    assert LOCK_NAME in entries(tmp_path)
    with Journal.open(tmp_path, HEADER) as journal:
        journal.done("task", "plan")
        journal.release()
    assert entries(tmp_path) == []


def test_deleting_the_file_starts_over(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"open\n"
    time.sleep(0.1)
    writer.kill()
    writer.wait()
    writer.stdout.close()
    assert FILE_NAME + "-wal" in entries(tmp_path)
    (tmp_path / FILE_NAME).unlink()  # what the message about damage says; the write-ahead log stays behind
    with Journal.open(tmp_path, HEADER) as journal:
        assert journal.done("task", "plan") == {}


def test_a_batch_that_cannot_be_written_is_one_error_by_its_file(tmp_path: Path) -> None:
    with Journal.open(tmp_path, HEADER) as journal:
        with sqlite3.connect(tmp_path / FILE_NAME) as other:
            other.execute("DROP TABLE batches")
        other.close()
        with pytest.raises(RmbenchError, match=rf"{FILE_NAME}: cannot use the journal"):
            journal.commit("task", "plan", 0, ["one"])
        with sqlite3.connect(tmp_path / FILE_NAME) as other:
            other.execute("CREATE TABLE batches (batch)")  # so that it can be closed
        other.close()

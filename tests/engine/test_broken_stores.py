"""Caches and journals that broke, or that somebody edited: the same numbers or one clear error, never a traceback."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rmbench.engine.cache import DiskCache, clear_cache, open_cache
from rmbench.engine.cache_table import checksum_of
from rmbench.engine.judge import EngineOptions, MemoryLedger, judge
from rmbench.engine.known import model_key
from rmbench.engine.serialization import RowResult, dump_result, load_result
from rmbench.errors import RmbenchError
from rmbench.records.journal import FILE_NAME, Journal
from rmbench.types import Judgment

ROUNDS = 240
SMALL = EngineOptions(batch_tokens=300)  # many batches
HOSTILE = [
    "",
    "nothing",
    "null",
    "[]",
    "7",
    "NaN",
    "[" * 100_000,
    '{"values": ' * 50_000,
    '{"values": {"reward": [NaN]}}',
    '{"values": {"reward": [Infinity]}}',
    '{"values": {"reward": [1e39]}}',
    '{"values": {"reward": [1' + "0" * 400 + "]}}",
    '{"values": {"reward": [1' + "0" * 5000 + "]}}",
    '{"values": {"reward": [1, 2]}}',
    '{"values": {"reward": []}}',
    '{"values": {"reward": 1}}',
    '{"values": {"reward": [true]}}',
    '{"values": {"reward": ["1"]}}',
    '{"values": {"reward": [[1]]}}',
    '{"values": {"reward": "AAAA"}}',
    '{"values": {"reward": "AADAfw=="}}',
    '{"values": {"reward": "not base64"}}',
    '{"values": {"reward": "AA!AAwA=="}}',
    '{"values": {"reward": null}}',
    '{"values": {"objectives": [1, 2]}}',
    '{"values": {}}',
    '{"values": []}',
    '{"values": {"reward": [1]}, "error": "both"}',
    '{"values": {"reward": [1]}, "halved": 1}',
    '{"values": {"reward": [1]}, "more": 1}',
    '{"error": 7}',
    "{}",
]


def spoil(file: Path, whole: bytes, rng: random.Random) -> None:
    """One corruption of a file's bytes: some flipped, cut off, blanked, moved or appended."""
    broken = bytearray(whole)
    place, length = rng.randrange(len(whole)), rng.choice([1, 8, 100, 4096])
    match rng.choice(["flip", "flip", "cut", "blank", "move", "append"]):
        case "flip":
            for _ in range(rng.choice([1, 1, 4, 64])):
                broken[rng.randrange(len(whole))] ^= rng.randrange(1, 256)
        case "cut":
            del broken[place:]
        case "blank":
            broken[place : place + length] = bytes(len(broken[place : place + length]))
        case "move":
            other = rng.randrange(len(whole))
            broken[place : place + length] = whole[other : other + length]
        case _:
            broken += rng.randbytes(length)
    file.write_bytes(bytes(broken))


def replace_values(file: Path, table: str, rng: random.Random) -> None:
    """One value of one row replaced, the checksum left as it was."""
    connection = sqlite3.connect(file)
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    column = rng.choice(columns)
    value = rng.choice([None, 1, -1, 3, 1e300, b"\xff\xfe", "\x00", *HOSTILE[:10], '{"values": {"reward": [3.5]}}'])
    keys = connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY random() LIMIT 3").fetchall()
    for key in keys:
        where = " AND ".join(f"{name} = ?" for name in columns)
        try:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value, *key))
        except sqlite3.IntegrityError:
            continue
    connection.commit()
    connection.close()


def alone(file: Path) -> bytes:
    """The bytes of a database that nothing uses, its log folded in."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    return file.read_bytes()


def fresh(file: Path, whole: bytes) -> None:
    for suffix in ("-wal", "-shm", "-journal"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    file.write_bytes(whole)


@pytest.fixture
def expected(scorer: Any, examples: Any) -> tuple[Judgment, ...]:
    return judge("t", examples, scorer(), options=SMALL).judgments


def test_a_corrupt_cache_never_changes_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scorer: Any, examples: Any, expected: Any
) -> None:
    monkeypatch.setenv("RMBENCH_CACHE", str(tmp_path))
    file = tmp_path / "scores.sqlite"
    with open_cache() as cache:
        judge("t", examples, scorer(), cache=cache, options=SMALL)
    whole, rng = alone(file), random.Random(11)
    hits = misses = noted = 0
    for number in range(ROUNDS):
        fresh(file, whole)
        if number % 4:
            spoil(file, whole, rng)
        else:
            replace_values(file, "scores", rng)
        notes: list[str] = []
        with open_cache(note=notes.append) as cache:
            judging = judge("t", examples, scorer(), cache=cache, options=SMALL)
        assert judging.judgments == expected
        assert len(notes) <= 1
        noted += len(notes)
        hits += judging.cached
        misses += judging.statistics.unique - judging.cached
        if number % 12 == 0:
            clear_cache(file)
            with open_cache() as cache:
                assert cache is not None
                assert cache.usage().rows == 0
                assert judge("t", examples, scorer(), cache=cache, options=SMALL).cached == 0
                assert judge("u", examples, scorer(), cache=cache, options=SMALL).cached > 0
    assert noted > ROUNDS / 10
    assert min(hits, misses) > 500  # neither all of it lost nor nothing touched


def test_a_corrupt_journal_gives_the_same_numbers_or_one_error(
    tmp_path: Path, scorer: Any, responder: Any, examples: Any, expected: Any
) -> None:
    header = {"model": "toy"}
    answers = judge("r", examples, responder(), options=SMALL).judgments

    def both(folder: Path) -> tuple[Any, Any, int]:
        with Journal.open(folder, header) as journal:
            first = judge("t", examples, scorer(), ledger=journal.scoped("t@1", "rows"), options=SMALL)
            second = judge("r", examples, responder(), ledger=journal.scoped("r@1", "rows"), options=SMALL)
        return first.judgments, second.judgments, first.resumed_rows + second.resumed_rows

    made = tmp_path / "made"
    assert both(made)[2] == 0
    assert both(made)[2] > len(examples)
    whole, rng = alone(made / FILE_NAME), random.Random(12)
    resumed, said = 0, []
    for number in range(ROUNDS):
        folder = tmp_path / "spoilt"
        folder.mkdir()
        (folder / FILE_NAME).write_bytes(whole)
        if number % 4:
            spoil(folder / FILE_NAME, whole, rng)
        else:
            replace_values(folder / FILE_NAME, "batches", rng)
        try:
            first, second, rows = both(folder)
        except RmbenchError as error:
            said.append(str(error))
        else:
            assert first == expected
            assert second == answers
            resumed += rows > 0
        shutil.rmtree(folder)
    assert min(len(said), resumed) > ROUNDS / 10
    assert all(FILE_NAME in line and ("elete it" in line or "cannot use the journal" in line) for line in said)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_row_of_the_cache_is_a_miss(
    tmp_path: Path, scorer: Any, examples: Any, expected: Any, text: str
) -> None:
    """Its checksum holds, as if another program had written it."""
    cache = DiskCache(tmp_path / "s.sqlite")
    first = judge("t", examples, scorer(), cache=cache)
    cache.put(model_key(scorer()), dict.fromkeys(keys_of(scorer, examples), text))
    judging = judge("t", examples, scorer(), cache=cache, options=SMALL)
    assert judging.cached == 0
    assert judging.judgments == first.judgments == expected
    assert judge("t", examples, scorer(), cache=cache).cached == judging.statistics.unique  # they are mended


def keys_of(scorer: Any, examples: Any) -> list[str]:
    from rmbench.engine.requests import requests_of

    return [row.key for row in scorer().encode(requests_of(examples, "chat", in_pairs=False)[0])]


def test_rows_behind_a_broken_one_are_met(tmp_path: Path, scorer: Any, examples: Any) -> None:
    cache = DiskCache(tmp_path / "s.sqlite")
    judge("t", examples, scorer(), cache=cache)
    cache.put(model_key(scorer()), {min(keys_of(scorer, examples)): "broken"})  # SQLite gives it first
    judging = judge("t", examples, scorer(), cache=cache)
    assert judging.cached == judging.statistics.unique - 1


def test_rows_of_the_cache_with_other_names_are_misses(
    tmp_path: Path, scorer: Any, examples: Any, expected: Any
) -> None:
    """A crafted row that lacks a name which the other rows have."""
    cache = DiskCache(tmp_path / "s.sqlite")
    judge("t", examples, scorer(), cache=cache)
    cache.put(model_key(scorer()), {keys_of(scorer, examples)[0]: '{"values": {"reward": [5.0]}}'})
    judging = judge("t", examples, scorer(), cache=cache, options=SMALL)
    assert judging.judgments == expected
    assert judging.cached == 0


def test_rows_of_the_cache_with_other_names_than_computed_ones_are_no_traceback(
    tmp_path: Path, scorer: Any, example: Any
) -> None:
    """All that the cache has lacks a name: which names are right is known too late, and the examples fail."""
    examples = [example("a", "p", "x", "y"), example("b", "p", "z", "w")]
    cache = DiskCache(tmp_path / "s.sqlite")
    cache.put(model_key(scorer()), {keys_of(scorer, examples)[0]: '{"values": {"reward": [5.0]}}'})
    judgments = judge("t", examples, scorer(), cache=cache).judgments
    assert [judgment.status for judgment in judgments] == ["failed", "ok"]
    assert judgments[0].error == "the model answered different names for its candidates"


def test_a_row_under_another_rows_key_is_a_miss(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    cache = DiskCache(file)
    cache.put("m", {"a": "1", "b": "2"})
    cache.put("n", {"a": "3"})
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE scores SET row = 'c' WHERE row = 'a' AND model = 'm'")
        connection.execute("UPDATE scores SET model = 'm' WHERE model = 'n'")
    assert cache.get("m", ["a", "b", "c"]) == {"b": "2"}


@pytest.mark.parametrize("used", [None, "yesterday", b"\xff", -1e300, 1e300])
def test_when_a_row_was_used_is_distrusted(tmp_path: Path, used: Any) -> None:
    """Its column has no checksum, since every reading may change it."""
    file = tmp_path / "s.sqlite"
    DiskCache(file).put("m", {"a": "1"})
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        if used is None:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'used REAL NOT NULL', 'used REAL')")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE scores SET used = ?", (used,))
    cache = DiskCache(file)
    assert cache.get("m", ["a"]) == {"a": "1"}
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT used FROM scores").fetchone()[0] == pytest.approx(time.time(), abs=600)


def test_text_that_is_no_unicode_spoils_its_own_row_alone(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    DiskCache(file).put("m", {"a": "1", "b": "2"})
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE scores SET result = CAST(X'FFFE' AS TEXT) WHERE row = 'a'")
    assert DiskCache(file).get("m", ["a", "b"]) == {"b": "2"}


JUDGMENTS: list[Callable[[dict[str, Any]], Any]] = [
    lambda fields: {**fields, "id": "another"},
    lambda fields: {**fields, "id": 7},
    lambda fields: {**fields, "rewards": [1.0]},
    lambda fields: {**fields, "rewards": "ab"},
    lambda fields: {**fields, "rewards": [10**400, 1.0]},
    lambda fields: {**fields, "rewards": [float("nan"), 1.0]},
    lambda fields: {**fields, "rewards": [None, 1.0]},
    lambda fields: {**fields, "directed": [[0.0], [0.0]]},
    lambda fields: {**fields, "parts": {"x": [[1.0]]}},
    lambda fields: {**fields, "parts": [1]},
    lambda fields: {**fields, "lengths": ["1", "2"]},
    lambda fields: {**fields, "truncated": [1, 2]},
    lambda fields: {**fields, "remarks": [[]]},
    lambda fields: {**fields, "error": 7},
    lambda fields: {**fields, "status": "fine"},
    lambda fields: {**fields, "verdicts": 1},
    lambda fields: {**fields, "verdicts": [{"shown": [0], "kind": "pick", "value": 0, "vote": "first"}]},
    lambda fields: {**fields, "verdicts": [{"shown": [5], "kind": "pick", "value": 0}]},
    lambda fields: {**fields, "unknown": 1},
    lambda fields: {key: value for key, value in fields.items() if key != "parts"},
    lambda fields: [fields],
]


@pytest.mark.parametrize("change", JUDGMENTS, ids=range(len(JUDGMENTS)))
def test_a_hostile_judgment_of_the_journal_is_one_error(responder: Any, examples: Any, change: Any) -> None:
    ledger = Kept()
    judge("t", examples, responder(), ledger=ledger)
    ledger.change = lambda text: json.dumps(change(json.loads(text)))
    with pytest.raises(RmbenchError, match="the ledger is damaged \\(batch 0 of t: "):
        judge("t", examples, responder(), ledger=ledger)


@pytest.mark.parametrize("text", [*HOSTILE, 7, None, ["{}"]], ids=range(len(HOSTILE) + 3))
def test_a_hostile_batch_of_the_journal_is_one_error(scorer: Any, responder: Any, examples: Any, text: Any) -> None:
    for model in (scorer, responder):
        ledger = Kept()
        judge("t", examples, model(), ledger=ledger, options=SMALL)
        ledger.change = lambda _: text
        with pytest.raises(RmbenchError, match=r"the ledger is damaged \(batch \d+ of t: ") as error:
            judge("t", examples, model(), ledger=ledger, options=SMALL)
        assert len(str(error.value)) < 300


class Kept(MemoryLedger):
    """A ledger whose texts are changed when they are read."""

    change: Callable[[str], Any] = staticmethod(lambda text: text)

    def done(self, task: str, plan_digest: str) -> Any:
        kept = super().done(task, plan_digest)
        return {index: [self.change(text) for text in payload] for index, payload in kept.items()}


def test_batches_that_the_plan_has_not_are_left_alone(scorer: Any, examples: Any, expected: Any) -> None:
    class Foreign(MemoryLedger):
        def done(self, task: str, plan_digest: str) -> Any:
            return {index: ["{}"] for index in (-1, count, count + 7)}

    class Counting(MemoryLedger):
        count = 0

        def commit(self, task: str, plan_digest: str, index: int, payload: Any) -> None:
            self.count += 1

    counting = Counting()
    judge("t", examples, scorer(), ledger=counting, options=SMALL)
    count = counting.count
    judging = judge("t", examples, scorer(), ledger=Foreign(), options=SMALL)
    assert judging.judgments == expected
    assert (judging.resumed_batches, judging.resumed_rows) == (0, 0)


def test_whether_a_batch_was_split_is_kept() -> None:
    for halved in (False, True):
        result = RowResult({"reward": np.ones(1, dtype=np.float32)}, halved=halved)
        assert load_result(dump_result(result)).halved is halved


def test_what_was_judged_is_read_again(responder: Any, examples: Any) -> None:
    """Whole numbers, infinite log-probabilities and half surrogates are no damage."""
    odd = "half of a pair: \ud800"

    def answer(example: Any) -> Judgment:
        return Judgment(example.id, rewards=(7, -0.0), rationale=(odd,), remarks=("odd",))

    ledger = MemoryLedger()
    first = judge("t", examples, responder(answer=answer), ledger=ledger)
    again = judge("t", examples, responder(answer=answer), ledger=ledger)
    assert again.resumed_rows == len(examples)
    assert repr(again.judgments) == repr(first.judgments)


def test_the_journal_holds_batches_by_their_number(tmp_path: Path) -> None:
    with Journal.open(tmp_path, {}) as journal:
        for index in range(3):
            journal.commit("task", "plan", index, [f"row {index}"])
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("UPDATE batches SET batch = 5 WHERE batch = 1")
    with Journal.open(tmp_path, {}) as journal, pytest.raises(RmbenchError, match="batch 5 of task does not match"):
        journal.done("task", "plan")


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A cache that another process holds."""
    file = tmp_path / "scores.sqlite"
    DiskCache(file).close()
    code = (
        "import sqlite3, sys, time; held = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "held.execute('BEGIN EXCLUSIVE'); print('held', flush=True); time.sleep(120)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    yield file
    holder.kill()
    holder.wait()
    holder.stdout.close()


def test_a_locked_cache_says_so(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmbench.engine.cache._LITTLE_PATIENCE", 0.1)
    with pytest.raises(RmbenchError, match="another process holds the score cache"):
        clear_cache(locked)
    assert locked.exists()
    notes: list[str] = []
    cache = DiskCache(locked, patience=0.1, note=notes.append)
    cache.put("m", {"a": "1"})
    assert cache.get("m", ["a"]) == {}
    assert len(notes) == 1
    assert "is not used from here on" in notes[0]
    assert "database is locked. Another process holds it" in notes[0]


@pytest.mark.parametrize("content", [b"no database at all " * 300, b"", b"SQLite format 3\0" + bytes(4000), None])
def test_clearing_mends_any_file(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "scores.sqlite"
    cache = DiskCache(file)
    cache.put("m", {str(n): "x" * 1000 for n in range(100)})
    cache.close()
    file.write_bytes(file.read_bytes()[:5000] if content is None else content)
    rows, why = clear_cache(file)
    assert rows == 0
    assert bool(why) is (content != b"")
    again = DiskCache(file)
    again.put("m", {"a": "1"})
    assert again.get("m", ["a"]) == {"a": "1"}


def test_what_cannot_be_cleared_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "scores.sqlite").mkdir()
    with pytest.raises(RmbenchError, match="cannot be deleted"):
        clear_cache(tmp_path / "scores.sqlite")


def test_a_cache_without_checksums_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "scores.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute(
            "CREATE TABLE scores (model TEXT NOT NULL, row TEXT NOT NULL, result TEXT NOT NULL, used REAL NOT NULL, "
            "PRIMARY KEY (model, row)) WITHOUT ROWID"
        )
        connection.execute("INSERT INTO scores VALUES ('m', 'a', '1', 0.0)")
    cache = DiskCache(file)
    assert cache.get("m", ["a"]) == {}
    cache.put("m", {"a": "2"})
    assert cache.get("m", ["a"]) == {"a": "2"}


def test_the_checksum_is_over_everything() -> None:
    parts = [b"", b"m", b"a", b"1", b"ma", b"a1", b"1:a", b"2:ma", b"m1:a"]
    found = {checksum_of(model)(row, result) for model in parts for row in parts for result in parts}
    assert len(found) == len(parts) ** 3
    assert checksum_of(b"m")(b"a", b"1") == checksum_of(b"m")(b"a", b"1")

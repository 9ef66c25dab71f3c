"""Answers are kept as they come: a run that was killed asks nothing twice."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from rmbench.errors import RmbenchError
from rmbench.evaluation.run import run
from rmbench.models.servers.generation import Reply
from rmbench.models.servers.reply_cache import ask_once, reply_key
from rmbench.records.replies import REPLIES_NAME, ReplyStore
from rmbench.records.store import read_rows

RUN = """
import json, os, signal, sys
from pathlib import Path
from rmbench.models.servers.generation import Reply
from rmbench.models.servers.usage import Usage
from rmbench.models.judges.build import make_judge
from rmbench.evaluation.run import run

folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])

class Backend:
    usage = Usage()
    name, settings = "org/judge", {"server": "memory"}
    asked = 0
    def ask(self, question):
        with (folder / "asked.txt").open("a") as log:
            log.write(question.name + "\\n")
        Backend.asked += 1
        if Backend.asked == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return Reply(text="[[A]]")
    def close(self):
        pass

results = run(make_judge(Backend()), "judge-spoofing", limit=100, out=folder / "out")
(folder / "value.json").write_text(json.dumps(results.records[0].results[0].value))
"""


def kept_in(folder: Path) -> set[str]:
    (file,) = folder.glob(f"out/*/{REPLIES_NAME}")
    connection = sqlite3.connect(file)
    try:
        return {name for (name,) in connection.execute("SELECT name FROM answers")}
    finally:
        connection.close()


def test_a_run_killed_with_9_asks_nothing_twice(tmp_path: Path) -> None:
    def start(kill_at: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(tmp_path), str(kill_at)], capture_output=True, check=False
        )
        return done.returncode

    def asked() -> list[str]:
        return (tmp_path / "asked.txt").read_text().split()

    assert start(150) == -signal.SIGKILL
    kept = kept_in(tmp_path)
    assert 150 - 2 * 16 < len(kept) < 150  # all but those that the window had under way
    first = asked()
    assert start(0) == 0
    again = Counter(asked()[len(first) :])
    assert not kept & set(again), "what was answered and kept was asked again"
    assert set(again.values()) == {1}
    assert len(kept) + len(again) == 200
    assert json.loads((tmp_path / "value.json").read_text()) == 0.5
    assert not list(tmp_path.glob("out/*/.replies*"))
    assert not list(tmp_path.glob("out/*/.journal.sqlite*"))


def test_a_run_keeps_what_the_judge_wrote_and_says_what_it_will_cost(tmp_path: Path, judges: SimpleNamespace) -> None:
    notes: list[str] = []
    told = SimpleNamespace(start=lambda *_: None, advance=lambda *_: None, note=notes.append, end=lambda: None)
    made = judges.judge(lambda question: "Because.\n[[B]]", votes="3", temperature="1", unparsed="0.25")
    results = run(made, "judge-spoofing", limit=30, out=tmp_path, progress=told)
    record = results.records[0]
    assert len(made.backend.asked) == 30 * 2 * 3
    assert any(note.startswith("judge-spoofing: 180 questions to the judge") for note in notes)
    rows = read_rows(next(tmp_path.rglob("record.json")).parent)
    assert {row.judgment.rationale for row in rows} == {("Because.\n[[B]]",) * 6}
    assert record.model.settings["voting"] == "majority"
    assert record.task.metrics[0]["unparsed"] == 0.25
    assert record.run.engine["answers_plain"] == 180
    values = {(value.metric, value.group): value.value for value in record.results}
    assert values["accuracy", None] == values["accuracy", "votes=1"] == values["accuracy", "votes=3"] == 0.5
    assert values["first_position_rate", None] == 0.0
    assert values["position_consistency", None] == 0.0
    assert record.orders is not None
    assert (record.orders.second, record.orders.total) == (90, 90)


def test_one_folder_per_protocol(tmp_path: Path, judges: SimpleNamespace) -> None:
    for args in ({}, {"marks": "raw"}, {"protocol": "pair-tie"}):
        run(judges.judge(lambda question: "[[A]]", **args), "judge-spoofing", limit=2, out=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.fixture
def store(tmp_path: Path) -> ReplyStore:
    return ReplyStore.open(tmp_path)


def test_answers_are_kept_and_what_went_wrong_is_not(store: ReplyStore, judges: SimpleNamespace) -> None:
    full = Reply("text \ud800 \U0001d400", "why", "length", {"A": -0.5, "B": float("-inf")}, "logprobs", 3, 4)
    for reply, times in ((full, 1), (replace(full, error="reset"), 2), (replace(full, finish="abort"), 2)):
        made = judges.judge(lambda question, reply=reply: reply)
        question = next(made.questions("t", judges.example("a", "b")))
        for _ in range(2):
            assert ask_once(made.backend, question, store, f"{reply.error}{reply.finish}") == reply
        assert len(made.backend.asked) == times


def test_another_question_or_judge_finds_nothing(judges: SimpleNamespace) -> None:
    made = judges.judge(lambda question: "")
    question = next(made.questions("t", judges.example("a", "b")))
    other = next(made.questions("t", judges.example("a", "c")))
    keys = {
        reply_key(question, "x"),
        reply_key(question, "y"),
        reply_key(other, "x"),
        reply_key(replace(question, vote=1), "x"),
    }
    assert len(keys) == 4
    assert reply_key(next(made.questions("t", judges.example("a", "b"))), "x") in keys


def test_a_damaged_answer_is_an_error(tmp_path: Path, store: ReplyStore) -> None:
    store.put("k", "t/r/0-1/0", "one")
    assert (store.get("k"), store.get("other")) == ("one", None)
    with sqlite3.connect(tmp_path / REPLIES_NAME) as connection:
        connection.execute("UPDATE answers SET text = 'two'")
    connection.close()
    with pytest.raises(RmbenchError, match="t/r/0-1/0 does not match its checksum"):
        store.get("k")
    assert ReplyStore.close_in(tmp_path, store)
    assert (tmp_path / REPLIES_NAME).is_file()
    assert ReplyStore.close_in(tmp_path, None)
    again = ReplyStore.open(tmp_path)
    again.put("k", "t/r/0-1/0", "one")
    again.release([""])
    assert not ReplyStore.close_in(tmp_path, again)
    assert not (tmp_path / REPLIES_NAME).is_file()
    (tmp_path / REPLIES_NAME).write_bytes(b"no database, but long enough to be looked at as one" * 50)
    with pytest.raises(RmbenchError, match="damaged"):
        ReplyStore.open(tmp_path)

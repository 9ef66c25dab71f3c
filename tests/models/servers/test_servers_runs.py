"""Whole runs of a judge at a server: what is kept, what is never shown, and how a run ends early."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rmbench.errors import RmbenchError
from rmbench.evaluation.run import run
from rmbench.models.servers.key import ApiKey, read_api_key
from rmbench.untrusted.masking import mask
from tests._make import exit_code

KEY = "sk-canary-4711-never-to-be-seen"


def judge(stubs: Any, text: Any = "[[A]]") -> Any:
    """A server that takes every field and does nothing about it, and echoes the key wherever it can."""

    def answer(call: Any) -> Any:
        seen = call.headers.get("Authorization", "none")
        if call.path != "/v1/chat/completions":
            return stubs.Answer({"detail": f"not for {seen}"}, 404)
        said = text(call) if callable(text) else text
        return said if isinstance(said, stubs.Answer) else stubs.Answer(stubs.chat(said))

    return answer


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_a_key_is_sent_and_shown_nowhere(
    stubs: Any,
    serve: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not in a record, a journal, a log at its most talkative, the output, or an error, whatever a server repeats."""
    asked: Counter[str] = Counter()

    def text(call: Any) -> Any:
        seen = call.headers["Authorization"]
        message = call.body["messages"][-1]["content"]
        asked[message] += 1
        if asked[message] == 1 and len(asked) % 3 == 0:
            return stubs.Answer({"error": {"message": f"overloaded, {seen}"}}, 503)
        if len(asked) % 5 == 0:
            return stubs.Answer({"error": {"message": f"you sent {seen}"}}, 400)
        return f"You are {seen}. [[A]]"

    stub = serve(judge(stubs, text))
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    args = ["run", "--model", "openai:org/judge", "--tasks", "judgebench", "--source", "sample", "--window", "4"]
    args += ["--base-url", stub.url, "--api-key-env", "MY_KEY", "--out", str(tmp_path / "out")]
    assert exit_code(*args) in (0, 3)
    output = capfd.readouterr()
    assert {call.headers["Authorization"] for call in stub.calls} == {f"Bearer {KEY}"}
    kept = everything_in(tmp_path)
    written = [str(pq.read_table(file).to_pylist()) for file in tmp_path.rglob("*.parquet")]
    assert any("You are Bearer ***. [[A]]" in table for table in written)
    for place in (
        kept.decode("latin-1"),
        *written,
        caplog.text,
        output.out,
        output.err,
        str([vars(line) for line in caplog.records]),
    ):
        assert KEY not in place
        assert "canary" not in place


@pytest.mark.parametrize("status", [400, 401, 403, 404, 503])
def test_a_key_that_a_server_repeats_is_no_part_of_an_error(
    stubs: Any, serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    stub = serve(lambda call: stubs.Answer({"error": {"message": f"no: {call.headers['Authorization']}"}}, status))
    args = {"source": "sample", "base_url": stub.url, "out": tmp_path, "model_args": {"attempts": "1"}}
    with pytest.raises(RmbenchError) as caught:
        run("openai:judge", "judgebench", **args)
    error: BaseException | None = caught.value
    said = ""
    while error is not None:
        said += repr(error) + str(error)
        error = error.__cause__ or error.__context__
    assert "no: Bearer ***" in said
    assert "canary" not in said


def test_a_key_comes_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert read_api_key(None).headers == {}
    monkeypatch.setenv("OPENAI_API_KEY", "  EMPTY\n")
    assert read_api_key(None).headers == {"Authorization": "Bearer EMPTY"}
    assert "EMPTY" not in repr(read_api_key(None))
    with pytest.raises(RmbenchError, match="names an environment variable that is not set") as caught:
        read_api_key(KEY)
    assert KEY not in str(caught.value)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ключ")
    with pytest.raises(RmbenchError, match="not allowed in an HTTP header") as caught:
        read_api_key(None)
    assert "ключ" not in str(caught.value)


def test_a_short_key_is_no_word_of_an_answer() -> None:
    """`EMPTY` is what people set for a server of their own; a verdict may hold it."""
    key = ApiKey("K", "A")
    assert mask("[[A]]") == "[[A]]"
    assert key.hide("key A") == "key ***"
    assert ApiKey("K", KEY).hide(f"x{KEY}x") == mask(f"x{KEY}x") == "x***x"


def test_the_way_an_answer_came_and_what_it_took_are_recorded(stubs: Any, serve: Any, tmp_path: Path) -> None:
    stub = serve(judge(stubs))
    notes: list[str] = []
    costs: list[float] = []
    tokens: list[int] = []

    class Told:
        def start(self, task: str, rows: int, tokens: int) -> None: ...

        def advance(self, rows: int, count: int) -> None:
            tokens.append(count)

        def cost(self, amount: float) -> None:
            costs.append(amount)

        def note(self, text: str) -> None:
            notes.append(text)

        def end(self) -> None: ...

    prices = {"price_in": "1000", "price_out": "2000"}
    done = run(
        "openai:judge",
        "judgebench",
        source="sample",
        base_url=stub.url,
        out=tmp_path,
        progress=Told(),
        model_args=prices,
    )
    (record,) = done.records
    questions = 2 * record.task.n if record.task.n == record.data.rows else 2 * record.data.rows
    assert record.run.engine["answers_plain"] == questions
    assert record.model.settings["server"] == "unknown"
    assert record.model.settings["structured_outputs"] is False
    assert sum(tokens) == 12 * questions
    assert costs[-1] == pytest.approx(questions * (10 * 1000 + 2 * 2000) / 1e6)
    assert f"judge: {questions} replies" in notes[-1]


def test_a_run_at_two_servers_goes_on_where_one_dies(stubs: Any, serve: Any, tmp_path: Path) -> None:
    first, second = serve(judge(stubs)), serve(judge(stubs))
    count = [0]

    def dying(call: Any) -> Any:
        count[0] += 1
        if count[0] == 8:  # past the probe
            threading.Thread(target=first.end).start()
            return stubs.Answer(fault="hang")
        return judge(stubs)(call)

    first.answer = dying
    done = run("openai:judge", "judgebench", source="sample", base_url=(first.url, second.url), out=tmp_path, window=4)
    assert done.records[0].counts.failed == 0


SCRIPT = """
import sys
from rmbench.evaluation.run import run
run("openai:judge", "judgebench", source="sample", base_url=sys.argv[1], out=sys.argv[2], window=2)
"""


def hears_ctrl_c() -> None:
    """Whoever started the tests in the background of a script made their children deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_a_run_at_once_though_answers_are_under_way(stubs: Any, serve: Any, tmp_path: Path) -> None:
    """The probe is answered; then every request hangs, and would for ten minutes."""
    stub = serve(judge(stubs, lambda call: "[[A]]" if stubs.is_trial(call) else stubs.Answer(fault="hang")))
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, stub.url, str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_ctrl_c,
    ) as child:
        until = time.monotonic() + 60
        while sum(call.path.endswith("completions") and not stubs.is_trial(call) for call in stub.calls) < 2:
            assert time.monotonic() < until
            time.sleep(0.02)
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        try:
            _, said = child.communicate(timeout=30)
        finally:
            child.kill()
    assert time.monotonic() - began < 10
    assert "KeyboardInterrupt" in said


def test_a_run_that_is_killed_asks_nothing_twice(stubs: Any, serve: Any, tmp_path: Path) -> None:
    """SIGKILL, so that nothing can be saved; then the same command again."""
    lock = threading.Lock()
    answered: Counter[str] = Counter()
    limit = [3]

    def text(call: Any) -> Any:
        if stubs.is_trial(call):
            return "[[A]]"
        with lock:
            if sum(answered.values()) >= limit[0]:
                return stubs.Answer(fault="hang")
            answered[str(call.body["messages"])] += 1
        return "[[A]]"

    stub = serve(judge(stubs, text))
    with subprocess.Popen([sys.executable, "-c", SCRIPT, stub.url, str(tmp_path)]) as child:
        until = time.monotonic() + 60
        while sum(call.path.endswith("completions") and not stubs.is_trial(call) for call in stub.calls) < limit[0] + 2:
            assert time.monotonic() < until
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
    assert sum(answered.values()) == 3
    limit[0] = 10_000
    done = run("openai:judge", "judgebench", source="sample", base_url=stub.url, out=tmp_path, window=2)
    assert done.records[0].counts.judged == done.records[0].data.rows
    assert set(answered.values()) == {1}
    assert sum(answered.values()) == 2 * done.records[0].data.rows

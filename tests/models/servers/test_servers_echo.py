"""A server that repeats the key in every form it can think of, wherever it answers: no file and no output holds one."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rmbench.untrusted import masking
from tests._encodings import FORMS, fragments
from tests._make import exit_code

KEY = "sk-echo/canary+7Qx9ZbV4mN2pL8wRtY3uHk"
MARK = "@@"
Echo = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def only_this_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_registered", set())
    monkeypatch.setenv("MY_KEY", KEY)


def texts_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All that the files below a folder say: their bytes, and what tables and databases hold of text."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            data = file.read_bytes()
            yield str(file), data
            if file.suffix == ".parquet":
                yield str(file), repr(pq.read_table(file).to_pylist()).encode()
            if data.startswith(b"SQLite format 3"):
                with sqlite3.connect(file) as base:
                    yield str(file), "\n".join(base.iterdump()).encode()


def filled(data: Any, spelled: str) -> bytes:
    """Data as JSON with the key's form in the place of the mark: with the escapes that it has itself, where it can be
    a part of JSON so."""
    text = json.dumps(data)
    try:
        json.loads(f'"{spelled}"')
    except ValueError:
        spelled = json.dumps(spelled)[1:-1]
    return text.replace(MARK, spelled).encode()


def answers(stubs: Any, form: str) -> Echo:
    """Good replies that hold the key; every few calls an error that does, and at last one that ends the run."""
    spelled = FORMS[form](KEY)
    in_header = spelled.replace("\r", "").replace("\n", "").replace("\u200b", " ")
    calls = 0

    def made(data: Any, status: int = 200, kind: str = "application/json") -> Any:
        headers = {"Content-Type": kind, "X-Key": in_header, "Server": in_header}
        return stubs.Answer(filled(data, spelled), status, headers)

    def answer(call: Any) -> Any:
        nonlocal calls
        if call.path.endswith("/models"):
            return made({"data": [{"id": "judge", "owned_by": MARK}, {"id": MARK}]})
        if call.path == "/version":
            return made({"version": MARK})
        if call.path != "/v1/chat/completions":
            return made({"detail": f"no route {MARK}"}, 404)
        calls += 1
        if calls < 8:  # what the server supports is tried out
            return made({**stubs.chat("word"), "model": MARK})
        errors = {
            10: lambda: made({"error": {"message": f"wrong {MARK}", "param": MARK}}, 400),
            11: lambda: made({"detail": [{"msg": MARK}]}, 422),
            12: lambda: made({**stubs.chat(f"never {MARK}", finish=MARK)}),
            13: lambda: made({MARK: MARK}, 503),
            14: lambda: made({"choices": MARK}),
            15: lambda: stubs.Answer(f"<p>{spelled}".encode(), 200, {"Content-Type": f"text/{in_header}"}),
            16: lambda: stubs.Answer(f"not JSON {spelled}".encode()),
            40: lambda: made({"error": {"message": f"no more of {MARK}"}}, 401),
        }
        if calls in errors:
            return errors[calls]()
        said = stubs.chat(f"I was sent {MARK}. [[A]]", reasoning=MARK)
        said["choices"][0]["message"]["reasoning_content"] = f"the key {MARK}"
        return made({**said, "model": MARK, "id": MARK})

    return answer


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_it_is_kept_or_printed(
    form: str,
    stubs: Any,
    serve: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    stub = serve(answers(stubs, form))
    words = ["run", "--model", "openai:judge", "--tasks", "judgebench", "--source", "sample", "--window", "1"]
    words += ["--base-url", stub.url, "--api-key-env", "MY_KEY", "--out", str(tmp_path / "out")]
    words += ["--model-args", "attempts=1"]
    codes = [exit_code(*words)]
    kept = [*texts_in(tmp_path / "out")]  # of a run that was broken off: a journal and replies
    codes.append(exit_code(*words, "--json"))
    kept += [*texts_in(tmp_path / "out")]
    codes.append(exit_code("show", str(tmp_path / "out")))
    assert set(codes) <= {0, 2, 3}
    output = capfd.readouterr()
    logged = "\n".join(str(vars(record)) for record in caplog.records)
    kept += [("stdout", output.out.encode()), ("stderr", output.err.encode()), ("log", logged.encode())]
    assert any("***" in text.decode("utf-8", "replace") for _, text in kept)
    for piece in fragments(KEY):
        for where, text in kept:
            assert piece not in text, (form, where, piece)


@pytest.mark.parametrize("form", list(FORMS)[::3])
def test_no_form_of_it_comes_out_of_a_batch(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    asked = tmp_path / "asked.jsonl"
    common = ["run", "--model", "openai:judge", "--tasks", "judgebench", "--source", "sample"]
    assert exit_code(*common, "--requests-out", str(asked)) == 0
    lines = []
    for number, line in enumerate(asked.read_text("utf-8").splitlines()):
        name = json.loads(line)["custom_id"]
        choice = {"index": 0, "message": {"content": f"{MARK} [[A]]"}, "finish_reason": MARK if number == 1 else "stop"}
        response: dict[str, Any] = {"status_code": 200, "body": {"model": MARK, "choices": [choice]}}
        error = {"message": f"wrong {MARK}"} if number == 0 else None
        lines.append(filled({"custom_id": name, "response": response, "error": error}, FORMS[form](KEY)))
    answered = tmp_path / "answered" / "answered.jsonl"
    answered.parent.mkdir()
    answered.write_bytes(b"\n".join(lines))
    assert exit_code(*common, "--responses-in", str(answered), "--out", str(tmp_path / "out")) == 3
    output = capfd.readouterr()
    kept = [*texts_in(tmp_path / "out"), ("stdout", output.out.encode()), ("stderr", output.err.encode())]
    for piece in fragments(KEY):
        for where, text in kept:
            assert piece not in text, (form, where, piece)


def test_an_error_nobody_foresaw_does_not_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", KEY)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(*_: object, **__: object) -> None:
        raise ValueError(FORMS["base64 of the header"](KEY), FORMS["JSON, all codes"](KEY))

    monkeypatch.setattr("rmbench.tasks.registry.select", fail)
    assert exit_code("tasks") == 70
    printed = capsys.readouterr()
    (file,) = tmp_path.glob("rmbench-error-*.txt")
    for piece in fragments(KEY):
        assert piece not in file.read_bytes() + printed.err.encode() + printed.out.encode()
    assert "***" in printed.err

"""One judge at several thinking budgets."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rmbench.errors import RmbenchError
from rmbench.evaluation.budgets import Budgets, run_budgets
from rmbench.records.store import find, read_rows
from tests._make import exit_code


class Thinker(BaseHTTPRequestHandler):
    """Thinks for 500 tokens, as far as its budget reaches, and then picks A."""

    seen: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).seen.append(body)
        budget = min(body["max_tokens"], body.get("thinking_budget", 10**6))
        message = {"reasoning_content": "hm", "content": "[[A]]" if budget >= 500 else None}
        choice = {"index": 0, "message": message, "finish_reason": "stop" if budget >= 500 else "length"}
        usage = {"prompt_tokens": 100, "completion_tokens": min(500, budget)}
        self.say(200, {"choices": [choice], "usage": usage})

    def do_GET(self) -> None:
        self.rfile.read(0)
        self.say(404, {"detail": "Not Found"})

    def say(self, status: int, data: Any) -> None:
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


class Voter(Thinker):
    """Picks by the request's seed."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).seen.append(body)
        message = {"content": f"So it is [[{'AB'[body.get('seed', 0) % 3 == 0]}]]"}
        self.say(200, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


@pytest.fixture(params=[Thinker])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    handler = request.param
    handler.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def options(url: str, tmp_path: Path) -> dict[str, Any]:
    prices = {"price_in": "1000000", "price_out": "1000000"}
    return {"source": "sample", "base_url": url, "out": tmp_path, "progress": False, "model_args": prices}


def test_each_budget_has_its_accuracy_tokens_and_cost(options: dict[str, Any], tmp_path: Path) -> None:
    curve = run_budgets("openai:m", "judgebench", Budgets.of("100,1000"), **options)
    (low, few), (high, many) = curve.points
    assert (low, high) == (100, 1000)
    assert (few.records[0].counts.unparsed, many.records[0].counts.judged) == (10, 10)
    assert (few.tokens, many.tokens) == (20 * 200, 20 * 600)
    assert (few.cost, many.cost) == (20 * 200, 20 * 600)
    assert few.out != many.out
    assert len({file.parent.parent for file in tmp_path.rglob("record.json")}) == 2
    shown = Console(width=120, file=io.StringIO())
    with shown.capture() as captured:
        shown.print(curve)
    text = captured.get()
    assert "max_tokens" in text.splitlines()[1]
    assert "12,000" in text
    assert "max_tokens 100, judgebench: 10 of 10 rows unparsed: max_tokens ends in the thought" in text
    assert [run["tokens"] for run in curve.to_dict()["runs"]] == [4000, 12000]


def test_a_budget_may_be_another_setting(options: dict[str, Any]) -> None:
    curve = run_budgets("openai:m", "judgebench", Budgets.of("extra_body.thinking_budget=100,1000"), **options)
    assert [results.records[0].counts.judged for _, results in curve.points] == [0, 10]
    assert [results.records[0].model.settings["thinking_budget"] for _, results in curve.points] == [100, 1000]
    assert {body.get("thinking_budget") for body in Thinker.seen} == {None, 100, 1000}


def test_a_cost_is_that_of_all_budgets_together(options: dict[str, Any]) -> None:
    with pytest.raises(RmbenchError, match=r"--max-cost 1000 is reached"):
        run_budgets("openai:m", "judgebench", Budgets.of("100,1000"), max_cost=5000, window=1, **options)


@pytest.mark.parametrize("text", ["", "a", "256,", "256,256", "0", "-5", "x=", "=5", "1.5"])
def test_budgets_are_numbers(text: str) -> None:
    with pytest.raises(RmbenchError, match="expected different numbers of tokens"):
        Budgets.of(text)


def test_what_has_no_budget_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RmbenchError, match="goes with a judge at a server"):
        run_budgets("fake:oracle", "judgebench", Budgets.of("1,2"), **options)
    given = {**options, "model_args": {"max_tokens": "5"}}
    with pytest.raises(RmbenchError, match="max_tokens is given by --model-args too"):
        run_budgets("openai:m", "judgebench", Budgets.of("1,2"), **given)


def test_the_command_prints_the_curve(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--model", "openai:m", "--tasks", "judgebench", "--source", "sample", "--base-url", url]
    assert exit_code(*words, "--out", str(tmp_path), "--budgets", "100,1000") == 0
    assert "1,000 judgebench" in capsys.readouterr().out


def test_a_number_of_frames_that_is_refused_is_a_line_with_its_reason(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--model", "openai:m", "--tasks", "videorewardbench", "--source", "sample", "--base-url", url]
    words += ["--model-args", "protocol=videorewardbench,max_images=4", "--out", str(tmp_path)]
    assert exit_code(*words, "--frames", "8,2,12", "--json") == 3
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert [run["budget"] for run in found["runs"]] == [2]
    assert [refused["budget"] for refused in found["refused"]] == [8, 12]
    assert all("frames are more than max_images=4" in refused["why"] for refused in found["refused"])
    assert "frames 12: no task could be run" in told.err or "frames 12: videorewardbench: " in told.err
    assert exit_code(*words, "--frames", "8,2,12") == 3
    table = capsys.readouterr().out
    assert [line.split()[:2] for line in table.splitlines() if line.split()[:1] in (["8"], ["2"], ["12"])] == [
        ["8", "refused"],
        ["2", "videorewardbench"],
        ["12", "refused"],
    ]
    assert "frames 8 is refused: " in table
    assert exit_code(*words, "--frames", "8,12") == 3
    assert "frames are more than max_images=4" in capsys.readouterr().err


@pytest.mark.parametrize("url", [Voter], indirect=True)
def test_videorewardbench_by_frames_and_votes(url: str, tmp_path: Path) -> None:
    """The majority of each row, counted here from the votes that the record keeps."""
    args = {"protocol": "videorewardbench", "votes": "3", "temperature": "1"}
    curve = run_budgets(
        "openai:m",
        "videorewardbench",
        Budgets.of_frames("1,4"),
        source="sample",
        base_url=url,
        out=tmp_path,
        progress=False,
        model_args=args,
    )
    for count, results in curve.points:
        (folder,) = find(str(results.out))
        rows = list(read_rows(folder))
        worth = []
        for row in rows:
            (edge,) = row.gold.relation
            sides = []
            for shown in ((0, 1), (1, 0)):
                picks = [verdict.value for verdict in row.judgment.verdicts if verdict.shown == shown]
                assert len(picks) == 3
                sides.append(float(picks.count(edge.i) > 1))
            worth.append(sum(sides) / 2)
        assert results.headline("videorewardbench").value == pytest.approx(sum(worth) / len(worth))
        assert 0 < sum(worth) < len(worth)
        asked = [body for body in Voter.seen if frames_in(body) == count]
        assert len(asked) >= len(rows) * 2 * 3


def frames_in(body: dict[str, Any]) -> int:
    parts = [part for message in body["messages"] for part in message["content"] if isinstance(part, dict)]
    return sum(part["type"] == "image_url" for part in parts)

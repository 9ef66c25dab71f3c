"""`rmbench.score_rows` and `rmbench score --data`: the rows of a file with the reward of each answer."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

import rmbench
from rmbench.cli import cli
from rmbench.engine.interfaces import SilentProgress
from rmbench.errors import RmbenchError

ROWS: list[dict[str, Any]] = [
    {"prompt": "Name a fruit.", "responses": ["Pear.", "A chair, of course.", "Fig."], "note": 1},
    {"prompt": "Is snow cold?", "responses": ["Yes.", "It is.", "It is."], "note": None},
    {"prompt": "What is 2 + 2?", "responses": ["Four"], "note": 3.5},
]


def length(conversations: list[Any]) -> list[float]:
    return [float(len(turns[-1]["content"])) for turns in conversations]


def put(rows: list[dict[str, Any]], path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in content.splitlines()]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return put(ROWS, tmp_path / "rows.jsonl")


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_rows_as_they_were_with_their_rewards(data: Path, tmp_path: Path, name: str) -> None:
    done = rmbench.score_rows(length, data, tmp_path / name)
    assert (done.rows, done.failed, done.best_of) == (3, (), None)
    rewards = [[float(len(text)) for text in row["responses"]] for row in ROWS]
    expected = [{**row, "reward": reward, "reward_error": None} for row, reward in zip(ROWS, rewards, strict=True)]
    assert lines(tmp_path / name) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "rows.jsonl"]


def test_the_best_of_each_row(data: Path, tmp_path: Path) -> None:
    done = rmbench.score_rows(length, data, tmp_path / "out.jsonl", best_of=tmp_path / "best.jsonl")
    assert done.ties == 1
    best = lines(tmp_path / "best.jsonl")
    assert best[0] == {
        "prompt": "Name a fruit.",
        "note": 1,
        "best": "A chair, of course.",
        "best_index": 1,
        "reward": 19.0,
        "reward_error": None,
    }
    told = [(row["note"], row["best"], row["best_index"], row["reward"]) for row in best[1:]]
    assert told == [(None, "It is.", 1, 6.0), (3.5, "Four", 0, 4.0)]


def test_one_answer_a_row_has_a_number(tmp_path: Path) -> None:
    data = put([{"prompt": "q", "response": text} for text in ("a", "bcd")], tmp_path / "rows.jsonl")
    rmbench.score_rows(length, data, tmp_path / "out.jsonl", name_as="length")
    assert [row["length"] for row in lines(tmp_path / "out.jsonl")] == [1.0, 3.0]


def test_labels_are_not_read(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "chosen": "abc", "rejected": "d", "label": "?"}]
    rmbench.score_rows(length, put(rows, tmp_path / "rows.jsonl"), tmp_path / "out.jsonl")
    assert lines(tmp_path / "out.jsonl") == [{**rows[0], "reward": [3.0, 1.0], "reward_error": None}]


def test_rewards_are_those_of_a_run(tmp_path: Path) -> None:
    """A bundled sample as a user's file: the same rewards as the benchmark's record."""
    examples = rmbench.load_examples(rmbench.select_tasks("rewardmath")[0], "sample").examples
    rows = [{"question": each.prompt[-1].text, "answers": [c.text for c in each.candidates]} for each in examples]
    rmbench.score_rows("tiny-bt", put(rows, tmp_path / "rows.jsonl"), tmp_path / "out.jsonl")
    folder = rmbench.run("tiny-bt", "rewardmath", source="sample", out=tmp_path / "results").folder("rewardmath")
    recorded = [list(row.judgment.rewards) for row in rmbench.read_rows(folder)]
    scored = [row["reward"] for row in lines(tmp_path / "out.jsonl")]
    assert [value for row in scored for value in row] == pytest.approx([v for row in recorded for v in row], abs=1e-5)


def test_rows_that_are_cut_are_counted(tmp_path: Path) -> None:
    rows = [{"prompt": "Is snow cold?", "responses": ["Yes.", "Well, " * size + "yes."]} for size in (1, 40, 50)]
    data = put(rows, tmp_path / "rows.jsonl")
    done = rmbench.score_rows("tiny-bt", data, tmp_path / "out.jsonl", max_length=60)
    assert done.truncated == done.to_dict()["truncated"] == 2
    words = ["score", "-m", "tiny-bt", "--data", str(data), "--out", str(tmp_path / "more.jsonl"), "--max-length", "60"]
    shown = CliRunner().invoke(cli, words)
    assert "2 rows were longer than the model reads, and cut; see --max-length" in shown.output
    assert rmbench.score_rows("tiny-bt", data, tmp_path / "whole.jsonl").truncated == 0


def test_csv_and_parquet(tmp_path: Path) -> None:
    rows = [{"prompt": 'say "hi", now', "response": "hi\nthere", "n": 1}, {"prompt": "é", "response": "ü", "n": 2}]
    data = put(rows, tmp_path / "rows.jsonl")
    rmbench.score_rows(length, data, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as stream:
        read = list(csv.DictReader(stream))
    assert [(row["prompt"], row["response"], row["reward"]) for row in read] == [
        ('say "hi", now', "hi\nthere", "8.0"),
        ("é", "ü", "1.0"),
    ]
    rmbench.score_rows(length, data, tmp_path / "out.parquet")
    assert pd.read_parquet(tmp_path / "out.parquet")["reward"].tolist() == [8.0, 1.0]
    again = rmbench.score_rows(length, tmp_path / "out.parquet", tmp_path / "more.parquet", name_as="second")
    assert again.rows == 2
    assert list(pd.read_parquet(tmp_path / "more.parquet").columns) == [
        *rows[0],
        "reward",
        "reward_error",
        "second",
        "second_error",
    ]


class StopAfter(SilentProgress):
    """Ctrl-C once so many answers are encoded or computed; all are encoded first."""

    def __init__(self, rows: int) -> None:
        self.left = rows

    def advance(self, rows: int, tokens: int) -> None:
        self.left -= rows
        if self.left <= 0:
            raise KeyboardInterrupt


def test_a_stopped_job_goes_on_where_it_was(tmp_path: Path) -> None:
    rows = [{"prompt": f"Name {k} fruits.", "responses": [f"Pear {k}.", "word " * (k % 7)]} for k in range(60)]
    data, out = put(rows, tmp_path / "rows.jsonl"), tmp_path / "out.jsonl"
    options: Any = {"batch_tokens": 200, "cache": False}
    with pytest.raises(KeyboardInterrupt):
        rmbench.score_rows("tiny-bt", data, out, progress=StopAfter(120 + 40), **options)
    assert not out.exists()
    rest = rmbench.score_rows("tiny-bt", data, out, **options)
    whole = rmbench.score_rows("tiny-bt", data, tmp_path / "other.jsonl", **options)
    assert rest.reused >= 20
    assert whole.reused == 0
    assert lines(out) == lines(tmp_path / "other.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.jsonl", "out.jsonl", "rows.jsonl"]


def test_worker_processes(data: Path, tmp_path: Path) -> None:
    alone = rmbench.score_rows("tiny-bt", data, tmp_path / "alone.jsonl", cache=False)
    two = rmbench.score_rows("tiny-bt", data, tmp_path / "two.jsonl", cache=False, workers=2)
    assert (alone.rows, two.rows, two.reused) == (3, 3, 0)
    for one, other in zip(lines(tmp_path / "alone.jsonl"), lines(tmp_path / "two.jsonl"), strict=True):
        assert one["reward"] == pytest.approx(other["reward"], abs=1e-5)


def test_a_row_that_fails_says_why(data: Path, tmp_path: Path) -> None:
    def picky(conversations: list[Any]) -> list[float]:
        if any("snow" in turns[0]["content"] for turns in conversations):
            raise ValueError("no snow")
        return length(conversations)

    done = rmbench.score_rows(picky, data, tmp_path / "out.jsonl", best_of=tmp_path / "best.jsonl")
    assert [line.partition(": ")[0] for line in done.failed] == ["rows/1"]
    row = lines(tmp_path / "out.jsonl")[1]
    assert row["reward"] is None
    assert "no snow" in row["reward_error"]
    assert lines(tmp_path / "best.jsonl")[1]["best"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "rows.jsonl"}, r"these are the rows themselves; write to another file"),
        ({"out": "old.jsonl"}, r"old\.jsonl: is there already; --overwrite replaces it"),
        ({"out": "out.txt"}, r"--out .*out\.txt: expected a name that ends in \.jsonl"),
        ({"out": "nowhere/out.csv"}, r"there is no folder .*nowhere"),
        ({"out": "out.csv", "best_of": "out.csv"}, r"--out and --best-of are one file"),
        ({"out": "out.csv", "limit": 3}, r"score_rows\(\) has no option 'limit'"),
        ({"out": "out.csv", "source": "sample"}, r"score_rows\(\) has no option 'source'"),
        ({"out": "out.csv", "name_as": "note"}, r'has a column "note" already; --as NAME calls ours otherwise'),
        ({"out": "out.csv", "model": "fake:oracle"}, r"fake:oracle cannot score .*its rows have no gold"),
        (
            {"out": "out.csv", "columns": {"winner": "note"}},
            "its columns were not recognised with --columns winner=note",
        ),
    ],
)
def test_mistakes_are_named_before_anything_is_computed(data: Path, tmp_path: Path, options, message: str) -> None:
    (tmp_path / "old.jsonl").write_text("mine")
    paths = {key: tmp_path / options[key] for key in ("out", "best_of") if key in options}
    rest = {key: value for key, value in options.items() if key not in paths}
    with pytest.raises(RmbenchError, match=message):
        rmbench.score_rows(rest.pop("model", length), data, **paths, **rest)
    assert (tmp_path / "old.jsonl").read_text() == "mine"
    assert data.read_text().count("\n") == 3


def test_overwrite(data: Path, tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text("mine")
    rmbench.score_rows(length, data, tmp_path / "old.jsonl", overwrite=True)
    assert len(lines(tmp_path / "old.jsonl")) == 3


def test_the_command(data: Path, tmp_path: Path) -> None:
    words = ["score", "-m", "baseline:length", "--in", str(data), "--out", str(tmp_path / "s.parquet")]
    done = CliRunner().invoke(cli, [*words, "--best-of", str(tmp_path / "b.jsonl")])
    assert done.exit_code == 0, done.output
    assert f"3 of 3 rows scored: {tmp_path / 's.parquet'}" in done.output
    assert f"best answers: {tmp_path / 'b.jsonl'}; of 1 the first of several equal ones" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "rows.jsonl", "-p", "q"], "--prompt is for one prompt, and --data gives rows"),
        (["--data", "rows.jsonl"], "--data goes with --out FILE"),
        (["-p", "q", "-r", "a", "-r", "b", "--workers", "2"], "--workers goes with --data"),
        (["-p", "q", "-r", "a", "-r", "b", "--no-cache"], "--no-cache goes with --data"),
        (["-r", "a", "-r", "b"], "give --prompt, or rows to score by --data"),
        (["-p", "q"], "give --response, or rows to score by --data"),
    ],
)
def test_the_two_uses_are_not_mixed(words: list[str], message: str) -> None:
    done = CliRunner().invoke(cli, ["score", "-m", "tiny-bt", *words])
    assert message in str(done.exception)

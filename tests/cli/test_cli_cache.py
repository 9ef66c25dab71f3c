"""`rmbench cache`, and runs that use it; runs in worker processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import rmbench
from rmbench.cli import cli
from rmbench.errors import RmbenchError
from rmbench.models.families.scalar.stock import ScalarScorer


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RMBENCH_CACHE", str(tmp_path / "kept"))
    return tmp_path


def run(out: Path, tasks: str = "rm-bench", **options: Any) -> Any:
    return rmbench.run("tiny-bt", tasks, source="sample", out=out, **options)


def values(results: Any) -> Any:
    return [record.results for record in results.records]


def test_a_second_run_computes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(folder / "a")

    def forward(self: ScalarScorer, batch: Any) -> Any:
        raise AssertionError("computed again")

    opened = ScalarScorer.forward
    calls = 0

    def once(self: ScalarScorer, batch: Any) -> Any:
        nonlocal calls
        calls += 1
        return opened(self, batch) if calls == 1 else forward(self, batch)  # the warm-up's

    monkeypatch.setattr(ScalarScorer, "forward", once)
    second = run(folder / "b")
    assert values(second) == values(first)
    assert calls == 1


def test_without_the_cache_everything_is_computed(folder: Path) -> None:
    run(folder / "a", cache=False)
    assert not (folder / "kept").exists()


def test_the_command_shows_and_clears(folder: Path) -> None:
    run(folder / "a")
    shown = CliRunner().invoke(cli, ["cache", "--json"])
    facts = json.loads(shown.output)["cache"]
    assert facts["rows"] > 0
    assert facts["models"] == 1
    assert 0 < facts["bytes"] < facts["limit"]
    said = CliRunner().invoke(cli, ["cache"]).output
    assert f"{facts['rows']:,} rows of 1 models" in said
    cleared = CliRunner().invoke(cli, ["cache", "clear"]).output
    assert cleared.startswith(f"{facts['rows']:,} rows dropped")
    assert json.loads(CliRunner().invoke(cli, ["cache", "--json"]).output)["cache"]["rows"] == 0


def test_the_record_says_what_was_not_computed(folder: Path) -> None:
    first, second, without = run(folder / "a"), run(folder / "b"), run(folder / "c", cache=False)
    rows = first.records[0].run.engine["unique_rows"]
    assert [one.records[0].run.reused for one in (first, second, without)] == [
        {"cache": 0, "journal": 0},
        {"cache": rows, "journal": 0},
        {"cache": 0, "journal": 0},
    ]


def test_the_journal_of_another_release_is_not_resumed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*given: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    resumed = []
    for release in (None, 99):
        with monkeypatch.context() as patch:
            patch.setattr("rmbench.evaluation.build_record.make_record", stopped)
            with pytest.raises(KeyboardInterrupt):
                run(folder / str(release), cache=False)
        with monkeypatch.context() as patch:
            if release:
                patch.setattr("rmbench.engine.release.SCORES_RELEASE", release)
            resumed.append(run(folder / str(release), cache=False).records[0].run.reused["journal"])
    assert resumed[0] > 0
    assert resumed[1] == 0


def test_a_broken_cache_stops_no_run_and_is_mended(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = run(folder / "a", cache=False)
    (folder / "kept").mkdir()
    file = folder / "kept" / "scores.sqlite"
    file.write_bytes(b"not a database" * 400)
    given = ["run", "--model", "tiny-bt", "--tasks", "rm-bench", "--source", "sample", "--out", str(folder / "b")]
    ended = CliRunner().invoke(cli, [*given, "--json"])
    assert ended.exit_code == 0, ended.output
    assert ended.stderr.count("the score cache is not used: ") == 1
    assert json.loads(ended.stdout)["results"][0]["value"] == whole.records[0].results[0].value
    asked = CliRunner().invoke(cli, ["cache"])
    assert isinstance(asked.exception, RmbenchError)
    assert "`rmbench cache clear`" in str(asked.exception)
    assert "was broken (file is not a database) and is made anew" in CliRunner().invoke(cli, ["cache", "clear"]).output
    run(folder / "c")
    assert json.loads(CliRunner().invoke(cli, ["cache", "--json"]).output)["cache"]["rows"] > 0


def test_turned_off_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMBENCH_CACHE", "off")
    for arguments in (["cache"], ["cache", "clear"]):
        assert "turned off" in CliRunner().invoke(cli, arguments).output
    assert json.loads(CliRunner().invoke(cli, ["cache", "--json"]).output) == {"cache": None}


def test_workers_leave_the_same_figures(folder: Path) -> None:
    alone = run(folder / "a", "rm-bench,llmbar", cache=False)
    several = run(folder / "b", "rm-bench,llmbar", cache=False, workers=2)
    assert values(several) == values(alone)
    assert [one.counts for one in several.records] == [one.counts for one in alone.records]


def test_workers_need_a_model_with_a_name(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match="--workers: each worker opens the model itself"):
        rmbench.run(len, "rm-bench", source="sample", out=tmp_path, workers=2)


def test_without_sharing_the_record_says_padded(tmp_path: Path) -> None:
    shared, padded = (run(tmp_path / str(share), share=share) for share in (True, False))
    ways = [results.records[0].run.engine["sharing"] for results in (shared, padded)]
    assert ways == ["shared", "padded"]
    assert [one.value for one in shared.records[0].results] == [one.value for one in padded.records[0].results]

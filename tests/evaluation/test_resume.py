"""A run killed at any moment goes on where it was and ends with the same record, bit for bit, times apart."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rmbench.records.journal import FILE_NAME, Journal
from rmbench.records.store import find

KILLS = 20
TASKS = [
    "dice-cycles",
    "mrmbench-easy",
    "ragchecker",
    "autoj",
    "hhh-alignment",
    "judgebench",
    "llmbar",
    "rm-bench",
    "reward-bench",
    "reward-bench-2",
    "rmb-bon",
    "unieval-topical-chat",
]
"""One of each kind of metric."""
IMPORTED = [
    "torch",
    "transformers",
    "scipy.stats",
    "pandas",
    "rmbench.evaluation.run",
    "rmbench.models.open",
    "rmbench.models.families.scalar.open",
    "transformers.models.llama.modeling_llama",
    "rmbench.evaluation.build_record",
    "rmbench.engine.judge",
    "rmbench.tasks.sources",
    "rmbench.metrics.measure",
    "rmbench.records.store",
]
"""What a run of `tiny-bt` imports that takes long."""
TIMES = {"started", "finished", "seconds", "reused", "command"}


def command(out: Path, *more: str) -> list[str]:
    given = ["--model", "tiny-bt", "--tasks", "all", "--source", "sample", "--batch-tokens", "256", "--out", str(out)]
    return [sys.executable, "-m", "rmbench", "run", *given, *more]


def finish(out: Path) -> str:
    done = subprocess.run(command(out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def left_behind(out: Path) -> dict[str, Any]:
    """Every record without its times and its command, and the digest of its judgments, which holds all scores."""
    kept = {}
    for folder in find(out):
        record = json.loads((folder / "record.json").read_text())
        del record["digests"]["run"]  # which covers the times
        record["run"] = {key: value for key, value in record["run"].items() if key not in TIMES}
        kept[folder.name] = record
    return kept


def judge_everything(out: str) -> None:
    """A run of many tasks, in a process of its own."""
    import rmbench

    rmbench.run("tiny-bt", TASKS, source="sample", batch_tokens=256, out=out)


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    # Processes are forked from a server that has imported what a run does, so that what is killed is the run.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(IMPORTED)

    def run(out: Path, seconds: float | None = None) -> float:
        process = processes.Process(target=judge_everything, args=(str(out),))
        began = time.perf_counter()
        process.start()
        process.join(seconds)
        process.kill()
        process.join()
        assert seconds is not None or process.exitcode == 0
        return time.perf_counter() - began

    run(tmp_path / "first")  # the first one starts the server
    whole = run(tmp_path / "whole")
    expected = left_behind(tmp_path / "whole")
    assert len(expected) == len(TASKS)

    moments = random.Random(7)
    out = tmp_path / "killed"
    out.mkdir()
    while_judging = 0
    for _ in range(KILLS):
        run(out, whole * moments.uniform(0.2, 1.0))
        while_judging += bool(list(out.rglob(FILE_NAME)))
        for task, record in left_behind(out).items():
            assert record == expected[task]
    assert while_judging >= 3
    run(out)
    assert left_behind(out) == expected
    assert not list(out.rglob(FILE_NAME))


def hears_ctrl_c() -> None:
    """Whoever started the tests in the background of a script made their children deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(out: Path) -> tuple[int, str]:
    """Exit code and errors of a run that is sent SIGINT as soon as its journal is there."""
    process = subprocess.Popen(
        command(out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hears_ctrl_c
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(out.rglob(FILE_NAME)):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(tmp_path: Path) -> None:
    # On a busy machine a run this short can be over, or the interpreter going down, when the signal comes: try again.
    for attempt in range(5):
        code, errors = interrupted(tmp_path / str(attempt))
        if code not in (0, -signal.SIGINT):
            break
    assert code == 130
    assert "The same command resumes the run" in errors
    assert "Traceback" not in errors


def test_a_second_run_into_one_folder_stops(tmp_path: Path) -> None:
    finish(tmp_path)
    folder = find(tmp_path)[0].parent
    with Journal.open(folder, {}):
        second = subprocess.run(command(tmp_path), capture_output=True, text=True, check=False, env=dict(os.environ))
    assert second.returncode == 2
    assert "another run" in second.stderr

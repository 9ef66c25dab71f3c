"""Kills runs at random moments and counts what is lost.

    python benchmarks/kills.py [--count 100] [--seed 7]

Half of the kills hit a run of tiny-bt on every sample, half a run of a judge that answers from memory, and writes down
what it was asked. After each kill every record that is there must be whole and equal to the undisturbed run's, times
apart; after the last one the run is finished, and must leave the same records, no journal, and no question that was
asked twice although its answer had been kept.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rmbench.records.journal import FILE_NAME
from rmbench.records.replies import REPLIES_NAME
from rmbench.records.store import find, verify

TIMES = {"started", "finished", "seconds", "command", "resumed", "reused"}
WAIT = 0.004  # seconds that an answer takes


def scored(out: str, _: str) -> None:
    """A whole run of a scorer."""
    import rmbench

    rmbench.run("tiny-bt", "all", source="sample", batch_tokens=256, out=out)


def judged(out: str, log: str) -> None:
    """A whole run of a judge, each question written to `log` once it is answered and kept."""
    from rmbench.evaluation.run import run
    from rmbench.models.judges.build import make_judge
    from rmbench.models.servers.generation import Question, Reply
    from rmbench.models.servers.usage import Usage

    class Backend:
        name, settings = "org/judge", {"server": "memory"}

        def __init__(self) -> None:
            self.usage = Usage()

        def ask(self, question: Question) -> Reply:
            time.sleep(WAIT)
            with Path(log).open("a") as file:
                file.write(question.name + "\n")
            return Reply(text="[[A]]")

        def close(self) -> None:
            """Nothing to close."""

    judge: Any = make_judge(Backend())
    run(judge, "judge-spoofing", limit=200, out=out, window=4)


def records(out: Path) -> dict[str, Any]:
    """Every record without times, by its folder's name."""
    kept = {}
    for folder in find(out) if out.is_dir() else ():
        if problems := verify(folder):
            raise SystemExit(f"a record is broken: {problems}")
        record = json.loads((folder / "record.json").read_text("utf-8"))
        record["run"] = {key: value for key, value in record["run"].items() if key not in TIMES}
        del record["digests"]["run"]
        kept[folder.name] = record
    return kept


def attack(target: Any, name: str, count: int, moments: random.Random, root: Path) -> None:
    """Kill `target` so many times, then let it end, and print the counts."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(
        ["torch", "transformers", "scipy.stats", "rmbench.evaluation.run", "rmbench.models.open"]
    )

    def run(out: Path, seconds: float | None = None) -> float:
        process = processes.Process(target=target, args=(str(out), str(out.with_suffix(".log"))))
        began = time.perf_counter()
        process.start()
        process.join(seconds)
        process.kill()
        process.join()
        if seconds is None and process.exitcode:
            raise SystemExit(f"{name}: the run ended with {process.exitcode}")
        return time.perf_counter() - began

    run(root / f"{name}-first")  # which starts the server of processes
    whole = run(root / f"{name}-whole")
    expected = records(root / f"{name}-whole")
    out = root / f"{name}-killed"
    log = out.with_suffix(".log")
    under_way = asked = again = 0
    for kill in range(count + 1):
        run(out, whole * moments.uniform(0.1, 1.0) if kill < count else None)
        journals = [*out.rglob(FILE_NAME), *out.rglob(REPLIES_NAME)]
        under_way += bool(journals)
        for task, record in records(out).items():
            if record != expected[task]:
                raise SystemExit(f"{name}: {task} differs after a kill")
        if not journals and log.exists():  # this run came to its end, and the next one asks anew
            questions = Counter(log.read_text().split())
            asked, again = asked + len(questions), again + questions.total() - len(questions)
            log.unlink()
    if records(out) != expected:
        raise SystemExit(f"{name}: the records differ in the end")
    if journals:
        raise SystemExit(f"{name}: a journal or replies are left")
    twice = f"; {asked:,} questions, {again:,} asked again, at most 4 for a kill" if asked else ""
    print(f"{name}: {count} kills, {under_way} of them while judging; {len(expected)} records, 0 lost, 0 differ{twice}")


def main() -> None:
    """Attack both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    moments = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        for target, name, count in (
            (scored, "scorer", given.count // 2),
            (judged, "judge", given.count - given.count // 2),
        ):
            attack(target, name, count, moments, Path(folder))
            sys.stdout.flush()


if __name__ == "__main__":
    main()

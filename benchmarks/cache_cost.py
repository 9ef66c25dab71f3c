"""What the score cache costs: the same rows with it and without, side by side in one process, equal scores checked.

    python benchmarks/cache_cost.py [--rounds 7] [--model tiny-bt] [--tasks rm-bench,llmbar] [--source sample]

Five ways in turn, the order turned by one each round: no cache; the layout without checksums that rmbench had before,
and today's, each cold (empty, so every row is computed and stored) and warm (every row is there). The figures are
medians over the rounds of the ratio within a round, of CPU time and of wall time; CPU time is what counts on a machine
with neighbours. Exit code 1 where a ratio of CPU times is above --most.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_COMPARED = (
    ("cold, to no cache", "today cold", "none"),
    ("cold, to the old layout", "today cold", "old cold"),
    ("warm, to the old layout", "today warm", "old warm"),
    ("warm, to no cache", "today warm", "none"),
)


class OldCache:
    """The layout without checksums: the same statements, rows read as they are."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS scores (model TEXT NOT NULL, row TEXT NOT NULL, result TEXT NOT NULL, "
            "used REAL NOT NULL, PRIMARY KEY (model, row)) WITHOUT ROWID"
        )
        self._connection.execute("CREATE INDEX IF NOT EXISTS by_use ON scores (used)")

    def get(self, fingerprint: str, keys: Sequence[str]) -> Mapping[str, str]:
        """Key -> JSON text."""
        found: dict[str, str] = {}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            marks = ", ".join("?" * len(some))
            query = f"SELECT row, result, used FROM scores WHERE model = ? AND row IN ({marks})"
            rows = self._connection.execute(query, (fingerprint, *some)).fetchall()
            found.update((row, result) for row, result, _ in rows)
        return found

    def put(self, fingerprint: str, results: Mapping[str, str]) -> None:
        """Store results by key."""
        now = time.time()
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)",
            [(fingerprint, key, text, now) for key, text in results.items()],
        )
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def main() -> int:
    """Measure, print the ratios, and say whether one is too high."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--model", default="tiny-bt")
    arguments.add_argument("--tasks", default="rm-bench,llmbar,reward-bench-2")
    arguments.add_argument("--source", default="sample")
    arguments.add_argument("--limit", type=int)
    arguments.add_argument("--most", type=float, default=1.03)
    given = arguments.parse_args()
    rounds = [_round(given, number) for number in range(given.rounds + 1)][1:]  # the first one warms up
    print(f"{given.rounds} rounds of {rounds[0]['rows']:,.0f} rows on {given.model}, equal scores in all of them")
    too_high = False
    for name, one, other in _COMPARED:
        cpu, wall = (
            statistics.median(each[f"{one} {clock}"] / each[f"{other} {clock}"] for each in rounds)
            for clock in ("cpu", "wall")
        )
        too_high |= cpu > given.most
        print(f"{name:<24} {cpu:.3f} of its CPU time, {wall:.3f} of its wall time")
    return int(too_high)


def _round(given: argparse.Namespace, number: int) -> dict[str, float]:
    from rmbench.engine.cache import DiskCache

    found: dict[str, float] = {}
    scores: set[Any] = set()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        ways: list[list[tuple[str, Callable[[], Any]]]] = [
            [("none", lambda: None)],
            [(f"old {state}", lambda: OldCache(place / "old.sqlite")) for state in ("cold", "warm")],
            [(f"today {state}", lambda: DiskCache(place / "today.sqlite")) for state in ("cold", "warm")],
        ]
        for name, opened in [way for at in range(3) for way in ways[(at + number) % 3]]:
            wall, cpu = time.perf_counter(), time.process_time()
            cache = opened()
            judged = _judge(given, cache)
            if cache is not None:
                cache.close()
            found[f"{name} cpu"], found[f"{name} wall"] = time.process_time() - cpu, time.perf_counter() - wall
            scores.add(tuple(judgment for judging in judged for judgment in map(_scores, judging.judgments)))
            found["rows"] = sum(judging.statistics.unique for judging in judged)
            cached = sum(judging.cached for judging in judged)
            if (cached == found["rows"]) is not name.endswith("warm"):
                raise SystemExit(f"{name}: {cached} of {found['rows']} rows came from the cache")
    if len(scores) != 1:
        raise SystemExit("the scores are not the same in all ways")
    return found


def _scores(judgment: Any) -> tuple[Any, ...]:
    return judgment.id, judgment.rewards, judgment.status


_OPENED: dict[str, Any] = {}


def _judge(given: argparse.Namespace, cache: Any) -> list[Any]:
    from rmbench.engine.judge import judge
    from rmbench.models.open import open_model
    from rmbench.tasks.registry import select
    from rmbench.tasks.sources import load

    if not _OPENED:
        _OPENED["model"] = open_model(given.model)
        loaded = [(task, load(task, given.source, limit=given.limit)) for task in select(given.tasks)]
        _OPENED["tasks"] = [(task.id, task.render, one.examples) for task, one in loaded]
    return [
        judge(task, examples, _OPENED["model"], render=render, cache=cache)
        for task, render, examples in _OPENED["tasks"]
    ]


if __name__ == "__main__":
    sys.exit(main())

"""How time and memory grow with the number of rows, each figure in a process of its own.

    python benchmarks/growth.py [--counts 1000,10000,100000,1000000] [--only STAGE]...

`stream`: the engine with a model that costs next to nothing, on pairs that are made as they are asked for. `write`,
`read`, `compare` and `board`: records of as many rows, of which `compare` takes two and `board` three. Time is that of
the processor; memory is the process's peak above what it had before the first row. 10,000,000 rows take ten times as
long: `stream` no more memory, the others ten times as much, and 300 MB of disk a record.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

STAGES = ("stream", "write", "read", "compare", "board")
RECORDS = 3


def main() -> None:
    """Each count in a process of its own, or one stage of one count in this one."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--counts", default="1000,10000,100000,1000000")
    arguments.add_argument("--only", action="append", choices=STAGES)
    arguments.add_argument("--one", nargs=3, metavar=("STAGE", "COUNT", "FOLDER"))
    given = arguments.parse_args()
    if given.one:
        stage, count, folder = given.one
        print(json.dumps(measured(stage, int(count), Path(folder))))
        return
    stages = given.only or STAGES
    for count in map(int, given.counts.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            for number in range(RECORDS if {"read", "compare", "board"} & set(stages) else 0):
                _call("put", count, f"{folder}/{number}")
            for stage in stages:
                found = _call(stage, count, folder)
                time = f"{found['seconds']:8.1f} s  {1e6 * found['seconds'] / count:6.0f} us a row"
                memory = f"{found['mb']:7.0f} MB  {2**20 * found['mb'] / count:9,.0f} bytes a row"
                print(f"{stage:8} {count:>10,} rows  {time}  {memory}", flush=True)


def _call(stage: str, count: int, folder: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", stage, str(count), folder]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(stage: str, count: int, folder: Path) -> dict[str, float]:
    """Seconds and megabytes of a stage."""
    if stage == "put":
        put(folder, count)
        return {}
    call = prepared(stage, count, folder)
    before, began = _resident(), process_time()
    call()
    seconds = process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "mb": max(0.0, peak - before)}


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize() / 2**20


def prepared(stage: str, count: int, folder: Path) -> Callable[[], object]:
    """What is measured, with all that it imports."""
    for name in ("numpy.random", "scipy.stats", "pyarrow.parquet"):
        import_module(name)
    if stage == "stream":
        from rmbench.engine.stream import stream

        def all_judged() -> None:
            judged = sum(judgment.status == "ok" for judgment in stream(pairs(count), Cheap()))
            if judged != count:
                raise SystemExit(f"{judged} of {count} pairs were judged")

        return all_judged
    if stage == "write":
        from rmbench.records.table import write_table

        rows = judged_rows(count, seed=0)
        return lambda: write_table(folder / "rows.parquet", rows, None)
    if stage == "read":
        from rmbench.records.store import find, iter_rows

        return lambda: sum(1 for _ in iter_rows(find(folder / "0")[0]))
    if stage == "compare":
        from rmbench.gate import compare

        return lambda: compare(folder / "0", folder / "1")
    from rmbench.boards import show

    file = folder / "grown.toml"
    file.write_text('id = "grown"\ntitle = "Grown"\ntasks = ["grown"]\n', "utf-8")
    return lambda: show(file, folder)


def judged_rows(count: int, seed: int) -> list[Any]:
    """Rows of pairs, as a run leaves them."""
    from rmbench.types import Edge, Gold, Judged, Judgment

    draw = random.Random(seed)
    gold = Gold((Edge(0, 1),))
    groups = [{"category": f"c{number}"} for number in range(12)]
    return [
        Judged(
            id=f"row-{number}",
            size=2,
            gold=gold,
            judgment=Judgment(
                f"row-{number}",
                rewards=(draw.gauss(0.5, 1), draw.gauss(0, 1)),
                lengths=(300, 310),
                truncated=(False, False),
            ),
            groups=groups[number % 12],
            cluster=f"prompt-{number // 3}",
        )
        for number in range(count)
    ]


def put(folder: Path, count: int) -> None:
    """A record of these rows, by a model of its own."""
    from tests._make import put_record

    draw = random.Random(folder.name)
    margins = [draw.gauss(0.4, 1) for _ in range(count)]
    put_record(
        folder, margins, name=f"org/model-{folder.name}", task="grown", clusters=[f"p{k // 3}" for k in range(count)]
    )


def pairs(count: int) -> Iterator[Any]:
    """Pairs of a few words, made as they are asked for."""
    from rmbench.types import Candidate, Example, Gold, Message

    draw = random.Random(0)
    for number in range(count):
        prompt = f"question {number // 3} " + "word " * draw.randrange(5, 30)
        answers = tuple(Candidate.of(f"answer {draw.random()} " + "more " * draw.randrange(3, 20)) for _ in range(2))
        yield Example(str(number), (Message.of("user", prompt),), answers, Gold())


class Cheap:
    """Tokens are words; the reward is their number."""

    answers = frozenset({"reward"})
    pad_id = 0

    def __init__(self) -> None:
        from rmbench.models.protocols import ModelFacts

        self.facts = ModelFacts("cheap", "0", "scalar", fingerprint="cheap")

    def encode(self, requests: Any) -> list[Any]:
        """A row's key is the digest of its text."""
        import hashlib

        from rmbench.models.protocols import Encoded

        found = []
        for request in requests:
            text = " ".join(message.text for message in request.conversation)
            ids = tuple(hash(word) % 30_000 for word in text.split())
            found.append(Encoded(hashlib.sha256(text.encode()).hexdigest(), len(ids), ids))
        return found

    def forward(self, batch: Any) -> dict[str, Any]:
        """[B, 1]."""
        return {"reward": batch.mask.sum(1, keepdims=True).astype("float32")}


if __name__ == "__main__":
    main()

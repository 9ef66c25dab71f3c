"""What one process spends on a row besides computing it, stage by stage: a model that computes nothing, with a real
tokenizer and chat template, on real pairs.

    RMBENCH_DATA=FOLDER python benchmarks/driver_cost.py [--task rmb-pairwise] [--limit 3000] [--against CHECKOUT]

Figures are microseconds of processor time a row (a row is one conversation, so that a pair is two). With `--against`
the same stages of another checkout are measured in turn with this one's, and shown beside them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any

BATCH = 256
"""Texts given to the tokenizer at once, as the engine does."""


def main() -> None:
    """Measure this checkout, or this one and another in turn."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--task", default="rmb-pairwise")
    arguments.add_argument("--model", default="tiny-bt", help="whose tokenizer and template are used")
    arguments.add_argument("--characters", type=int, default=1600, help="no longer conversation is encoded")
    arguments.add_argument("--limit", type=int, default=3000, help="examples that are encoded and judged; all are read")
    arguments.add_argument("--rounds", type=int, default=3, help="of which the least figure of each stage counts")
    arguments.add_argument("--against", type=Path, help="another checkout of rmbench")
    arguments.add_argument("--one", action="store_true", help="one round of this checkout, printed as JSON")
    given = arguments.parse_args()
    if given.one:
        if hasattr(os, "sched_setaffinity"):  # on one core no other process encodes, whose time would not be seen
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        print(json.dumps(measure(given.task, given.model, given.limit, given.characters)))
        return
    here = Path(__file__).resolve().parents[1]
    checkouts = [here] if given.against is None else [given.against.resolve(), here]
    found: dict[Path, list[dict[str, float]]] = {checkout: [] for checkout in checkouts}
    for _ in range(given.rounds):
        for checkout in checkouts:
            found[checkout].append(_apart(checkout, given))
    least = {
        checkout: {name: min(each[name] for each in rounds) for name in rounds[0]} for checkout, rounds in found.items()
    }
    for name in next(iter(least.values())):
        print(f"{name:34}" + "".join(f"{least[checkout][name]:12,.1f}" for checkout in checkouts))


def _apart(checkout: Path, given: argparse.Namespace) -> dict[str, float]:
    """A round in a process of its own, with the packages of a checkout."""
    own = {
        "PYTHONPATH": str(checkout),
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
        "RMBENCH_CACHE": "off",
    }
    named = {name: str(getattr(given, name)) for name in ("task", "model", "limit", "characters")}
    options = [word for name, value in named.items() for word in (f"--{name}", value)]
    command = [sys.executable, __file__, "--one", *options]
    done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(task_id: str, model: str, limit: int, characters: int, source: str = "auto") -> dict[str, float]:
    """Microseconds a row of each stage."""
    import numpy as np

    from rmbench.engine.assemble import assemble
    from rmbench.engine.encode import encode_window
    from rmbench.engine.interfaces import EngineOptions, SilentProgress
    from rmbench.engine.judge import judge
    from rmbench.engine.plan import plan
    from rmbench.engine.requests import requests_of
    from rmbench.engine.serialization import RowResult, dump_result
    from rmbench.metrics.measure import measure as measured
    from rmbench.models.introspect import text_of
    from rmbench.models.open import open_model
    from rmbench.records.journal import Journal
    from rmbench.tasks.registry import select
    from rmbench.tasks.sources import load
    from rmbench.types import Judged

    for name in ("numpy.random", "scipy.stats", "pyarrow.parquet"):
        import_module(name)  # before the clock runs
    task = select(task_id, [])[0]
    scorer = free(open_model(model))
    text = text_of(scorer)
    assert text is not None
    clock = Clock()
    with clock("read"):
        loaded = load(task, source)
    clock.rows["read"] = sum(len(each.candidates) for each in loaded.examples)
    short = [each for each in loaded.examples if longest(each) <= characters]
    examples = short[:: max(1, len(short) // limit)][:limit]
    clock.most = sum(len(each.candidates) for each in examples)
    with clock("read, with a limit of 100"):
        load(task, source, limit=100)
    clock.rows["read, with a limit of 100"] = clock.rows["read"]
    with clock("requests"):
        requests, _ = requests_of(examples, "chat", in_pairs=False)
    with clock("render"):
        texts = [text.template.render(request) for request in requests]
    with clock("tokenise"):
        for start in range(0, len(texts), BATCH):
            text.bodies(texts[start : start + BATCH])
    with clock("encode, all in"):
        window = encode_window(examples, scorer, "chat", "", SilentProgress())
    with clock("plan (padded)"):
        plan(window.encoded, 4096)
    with clock("plan (shared)"):
        planned = plan(window.encoded, 4096, share=True)
    results = [RowResult({"reward": np.array([0.5 + row], dtype=np.float32)}) for row in range(len(planned.first))]
    with clock("serialise"):
        payloads = [dump_result(result) for result in results]
    with tempfile.TemporaryDirectory() as folder, Journal.open(Path(folder), {}) as journal:
        with clock("commit"):
            for index, chunk in enumerate(planned.chunks):
                journal.commit("t", "p", index, payloads[chunk.rows.start : chunk.rows.stop])
        with clock("take from the journal"):
            journal.done("t", "p")
        journal._used.add(("t", journal._header))
    of = [None if row is None else results[row] for row in planned.row_of]
    with clock("assemble"):
        for example, at in zip(examples, window.places, strict=True):
            rows = [each or RowResult(error="left out") for each in of[at.start : at.stop]]
            assemble(scorer, example, window.encoded[at.start : at.stop], rows)
    whole = EngineOptions(try_batches=False)
    with tempfile.TemporaryDirectory() as folder, Journal.open(Path(folder), {}) as journal, clock("engine, all in"):
        judging = judge(task.id, examples, scorer, ledger=journal.scoped("task", "scope"), options=whole)
    with clock("rows of gold and judgment"):
        judged = [Judged.of(example, judgment) for example, judgment in zip(examples, judging.judgments, strict=True)]
    with clock("metrics"):
        measured(judged, task.metrics, answer_kind="reward", totals={None: len(examples)}, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        _files(clock, Path(folder), judged)
        _runs(clock, Path(folder), task_id, scorer, source)
        _run_of_short(clock, Path(folder), short, scorer)
    tokens = sum(entry.size for entry in window.encoded) / len(requests)
    figures = clock.figures()
    return {
        "tokens a row (no time)": tokens,
        **figures,
        "1,000 tokens encoded a second": 1e3 * tokens / figures["encode, all in"],
        "all rows read, in seconds": clock.seconds["read"],
    }


def longest(example: Any) -> int:
    """Characters of its longest conversation."""
    return max(sum(len(message.text) for message in example.conversation(k)) for k in range(len(example.candidates)))


def _files(clock: Clock, folder: Path, judged: list[Any]) -> None:
    from rmbench.records.table import read_table, write_table

    with clock("write the record's rows"):
        write_table(folder / "rows.parquet", judged, {row.id: 0.5 for row in judged})
    with clock("read the record's rows"):
        read_table(folder / "rows.parquet")


def _runs(clock: Clock, folder: Path, task_id: str, scorer: Any, source: str) -> None:
    """Whole runs on all rows: of the free scorer, and of a file of scores."""
    import rmbench
    from rmbench.tasks.registry import select
    from rmbench.tasks.sources import load

    file = folder / "scores.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for example in load(select(task_id, [])[0], source).examples:
            scores = [float(k) for k in range(len(example.candidates))]
            out.write(json.dumps({"task": task_id, "id": example.id, "scores": scores}) + "\n")
    for stage, model in (("run of a scorer, all rows", scorer), ("run of a score file, all rows", f"scores:{file}")):
        with clock(stage):
            rmbench.run(model, task_id, source=source, out=folder / "records", progress=False)
        clock.rows[stage] = clock.rows["read"]


def _run_of_short(clock: Clock, folder: Path, examples: list[Any], scorer: Any) -> None:
    """A whole run on the pairs that are no longer than asked, as a file of a user's own."""
    import rmbench

    with (folder / "short.jsonl").open("w", encoding="utf-8") as out:
        for example in examples:
            turns = [
                [{"role": each.role, "content": each.text} for each in messages]
                for messages in (example.prompt, *(candidate.messages for candidate in example.candidates[:2]))
            ]
            out.write(json.dumps(dict(zip(("prompt", "chosen", "rejected"), turns, strict=True))) + "\n")
    stage = "run of a scorer, rows no longer than asked"
    with clock(stage):
        rmbench.run(scorer, data=folder / "short.jsonl", out=folder / "records", progress=False)
    clock.rows[stage] = 2 * len(examples)


class Clock:
    """Processor time by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.rows: dict[str, int] = {}
        self.most = 1

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a stage."""
        began = process_time()
        yield
        self.seconds[stage] = process_time() - began

    def figures(self) -> dict[str, float]:
        """Microseconds a row."""
        return {stage: 1e6 * taken / self.rows.get(stage, self.most) for stage, taken in self.seconds.items()}


def free(scorer: Any) -> Any:
    """A scorer that encodes as this one does and computes nothing: a row's reward is its batch's number."""
    return Free(scorer)


class Free:
    """It shares prefixes, so that the whole planner works."""

    answers = frozenset({"reward"})
    chunk_tokens = 4096
    threads = 1

    def __init__(self, scorer: Any) -> None:
        self.scorer = scorer
        self.encoder = getattr(scorer, "encoder", None)
        self.facts = scorer.facts
        self.pad_id = scorer.pad_id
        self._done = 0.0

    def encode(self, requests: Any) -> Any:
        """As the other one."""
        return self.scorer.encode(requests)

    def sharing(self, batches: Any) -> Any:
        """At once."""
        from rmbench.models.protocols import Sharing

        return Sharing(True, "nothing is computed")

    def forward(self, batch: Any) -> dict[str, Any]:
        """[B, 1]."""
        import numpy as np

        self._done += 1
        return {"reward": np.full((len(batch.rows), 1), self._done, dtype=np.float32)}


if __name__ == "__main__":
    main()

"""Fixtures every room's tests may use."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.measure import measure
from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators
from rmbench.records import record as schema
from rmbench.records.store import folder_of, write
from rmbench.types import Edge, Gold, Judged, Judgment

# Tests run in several processes; threads of one that wait for another's core cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What one test computes, another must not find.
os.environ["RMBENCH_CACHE"] = "off"

# Tests import transformers by themselves, before the package does.
declare_missing_operators()


NEEDS_DATA = (
    "need real benchmark files: RMBENCH_DATA=FOLDER names a folder of them in upstream's layout "
    "(`rmbench show TASK` says where a task's files come from)"
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each reason of skipping, with the number of tests, instead of one for each test."""
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    if reasons:
        terminalreporter.section("skipped tests")
    for reason, tests in reasons.most_common():
        terminalreporter.write_line(f"{tests:5d}  {reason}")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real benchmark files in upstream's layout, from RMBENCH_DATA alone."""
    folder = os.environ.get("RMBENCH_DATA")
    if not folder:
        pytest.skip(NEEDS_DATA)
    return Path(folder)


RELEASED = Path(__file__).resolve().parent / "golden" / "released"


@pytest.fixture(scope="session")
def released() -> Callable[..., Path]:
    """Says which folder holds files of released scores and labels, by their names upstream: RMBENCH_DATA where it is
    set, else the bundled one, which holds some of them without their texts."""

    def folder_of_files(*names: str) -> Path:
        folder = os.environ.get("RMBENCH_DATA")
        if not folder and not all((RELEASED / name).is_file() for name in names):
            pytest.skip(NEEDS_DATA)
        return Path(folder or RELEASED)

    return folder_of_files


PutRecord = Callable[..., Path]
ACCURACY = MetricSpec("accuracy", "pair", chance=0.5)
_BLANK: dict[str, dict[str, Any]] = {
    "": {},
    "task": {
        "family": "text",
        "modality": "text",
        "shape": "pair",
        "paper": None,
        "license": "MIT",
        "verified": True,
        "official": True,
        "render": "chat",
        "digest": "t" * 64,
    },
    "model": {
        "revision": "0123abcd",
        "family": "scalar",
        "why": "one label",
        "answer_kind": "reward",
        "modalities": ["text"],
        "parameters": 10_000_000,
        "license": "MIT",
        "trained_on": [],
        "flags": [],
        "settings": {"dtype": "float32"},
        "fingerprint": "f" * 64,
    },
    "data": {
        "source": "folder",
        "hub": None,
        "revision": None,
        "digest": "d" * 64,
        "files": [],
        "missing": [],
        "excluded": [],
        "limit": None,
    },
    "run": {
        "command": "rmbench run",
        "seed": 0,
        "started": "2025-01-01T00:00:00+00:00",
        "finished": "2025-01-01T00:00:01+00:00",
        "seconds": 1.0,
        "resumed": False,
        "engine": {},
        "versions": {"torch": "2.13.0"},
        "platform": "Linux",
    },
}


@pytest.fixture(scope="session")
def put_record() -> PutRecord:
    """Writes one record of pairs through the store and returns its folder; see `_put_record`."""
    return _put_record


def _put_record(
    root: Path,
    margins: Sequence[float],
    *,
    name: str = "org/model",
    task: str = "pairs",
    version: int = 1,
    clusters: Sequence[str] | None = None,
    failed: Sequence[int] = (),
    spec: MetricSpec = ACCURACY,
    total: int | None = None,
    flags: Sequence[str] = (),
    ratings: Sequence[float] | None = None,
    changed: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """A record of a task of pairs, the first of which people prefer; a row is right where its margin is above 0.

    `ratings` makes each row one rated item instead, with the margin as the model's score. `changed` sets fields of the
    record's parts: {"data": {"digest": "..."}}; the part "" is the record itself.
    """
    n = len(margins)
    rows = [_row(k, margin, clusters, k in failed, ratings) for k, margin in enumerate(margins)]
    values = measure(rows, [spec], answer_kind="reward", totals={None: total or n}, seed=0)
    counts = {"judged": n - len(failed), "failed": len(failed), "unparsed": 0, "truncated": 0, "ties": 0}
    own: dict[str, dict[str, Any]] = {
        "task": {"id": task, "version": version, "title": f"The {task}", "n": total or n, "metrics": [asdict(spec)]},
        "model": {"name": name},
        "data": {"rows": n},
        "": {
            "counts": counts,
            "flags": list(flags),
            "results": [asdict(value) for value in values],
            "failed": [{"id": f"r{k}", "why": "NaN"} for k in failed],
            "judgments": {"file": "judgments.parquet", "sha256": "", "rows": n},
        },
    }
    parts = {part: {**_BLANK[part], **own.get(part, {}), **(changed or {}).get(part, {})} for part in _BLANK}
    record = schema.Record.model_validate({**parts.pop(""), **parts})
    write(root, record, rows)
    return folder_of(root, record)


def _row(
    k: int, margin: float, clusters: Sequence[str] | None, failed: bool, ratings: Sequence[float] | None
) -> Judged:
    gold = Gold(relation=(Edge(0, 1),))
    rewards: tuple[float, ...] = (margin, 0.0)
    if ratings is not None:
        gold, rewards = Gold(ratings=((ratings[k],),), dimensions=("overall",)), (margin,)
    judgment = Judgment(f"r{k}", rewards=None if failed else rewards, status="failed" if failed else "ok")
    return Judged(f"r{k}", len(rewards), gold, judgment, cluster=clusters[k] if clusters else f"r{k}")

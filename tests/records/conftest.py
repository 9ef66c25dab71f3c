"""A small whole record, and rows that use every field."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rmbench.records.record import Record
from rmbench.types import TIE, Edge, Gold, Judged, Judgment, Value, Verdict
from tests._make import make_record


def whole_record(
    model: str = "org/model", revision: str = "0123abcd", task: str = "some-task", rows: int = 3
) -> Record:
    value = Value("accuracy", None, 0.1 + 0.2, None, None, rows, rows, 1.0, chance=0.5, interval="wilson")
    settings = {"dtype": "float32", "max_length": 2048, "template": None, "bos": True, "scale": 0.1}
    levels = [{"group": "domain", "weights": None}]
    return make_record(
        {
            "task": {
                "id": task,
                "version": 2,
                "title": "A task of \u00e9very kind",
                "n": rows,
                "metrics": [{"name": "accuracy", "rule": "pair", "levels": levels}],
            },
            "model": {"name": model, "revision": revision, "license": None, "settings": settings},
            "data": {
                "hub": "org/set",
                "files": [{"name": "rows.json", "sha256": "a" * 64, "rows": rows}],
                "rows": rows,
            },
            "run": {"engine": {"batch_tokens": 4096}, "versions": {"python": "3.11"}},
            "": {
                "counts": {"judged": rows, "failed": 1, "unparsed": 0, "truncated": 0, "ties": 0},
                "flags": ["failed_rows"],
                "results": [value],
                "failed": [{"id": "broken", "why": "NaN"}],
                "judgments": {"file": "judgments.parquet", "sha256": "", "rows": rows},
            },
        }
    )


@pytest.fixture
def record() -> Callable[..., Record]:
    return whole_record


@pytest.fixture
def rows() -> list[Judged]:
    """A rewarded pair, a judged and rated triple, and a row that failed."""
    pair = Judged(
        id="pair",
        size=2,
        gold=Gold(relation=(Edge(0, 1, 0.5, "quality", "ann", ("level=hard", "style=long")), Edge(1, 0, -2.0))),
        judgment=Judgment(
            "pair",
            rewards=(0.1 + 0.2, -0.0),
            directed=((0.0, 1 / 3), (-1 / 3, 0.0)),
            parts={"logp": ((-1.5,), (-2.5,)), "hidden": ((1.0, 2.0), (3.0, 4.0))},
            lengths=(10, 2**40),
            truncated=(False, True),
        ),
        groups={"domain": "chat", "a,b=c": "\u6f22\u5b57"},
        cluster="prompt 1",
        weight=0.25,
        rater="rater 7",
    )
    verdicts = (
        Verdict((2, 0, 1), "pick", TIE, vote=3, logprob=-0.25),
        Verdict((0, 1, 2), "ranking", (2, 1, 0)),
        Verdict((1,), "rating", 7),
        Verdict((1,), "rating", 7.5),
        Verdict((1,), "label", "7"),
        Verdict((0, 1), "pick", None, status="unparsed"),
    )
    rated = Gold(ratings=((1.0, 2.0), (3.0, 4.0), (5.0, 6.5)), dimensions=("VQ", "TA"), labels={"safe": 1, "kind": -3})
    triple = Judged("triple", 3, rated, Judgment("triple", verdicts=verdicts, status="unparsed"), cluster="prompt 1")
    failed = Judgment("broken", status="failed", error="candidate 1: NaN")
    return [pair, triple, Judged("broken", 4, Gold(), failed)]

"""PAL's raters: seen and unseen, a majority that likes long summaries and a minority that likes short ones."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import rmbench
from examples.write_tldr_raters import pal_rows
from tests._make import write_lines

UNSEEN = ("unseen long", "unseen short", "rare")


def comparison(rater: str, rng: random.Random, policy: str = "sup4") -> dict[str, Any]:
    """A row as the hub has it, whose own `choice` is chance."""
    texts = ["x" * rng.randint(5, 60), "y" * rng.randint(5, 60)]
    summaries = [{"text": text, "policy": policy, "note": None} for text in texts]
    return {"info": {"post": f"post {rng.random()}"}, "summaries": summaries, "choice": 0, "worker": rater}


def rows_of() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rng = random.Random(5)
    # Rater k has 30 - k rows that count, and the last one most of those that do not.
    train = [comparison(f"rater {k}", rng) for k in range(12) for _ in range(30 - k)]
    train += [comparison("rater 11", rng, "sup4_ppo_rm4") for _ in range(50)]
    rng.shuffle(train)
    validation = [comparison(f"rater {k}", rng) for k in range(12) for _ in range(8)]
    validation += [comparison(rater, rng) for rater, n in zip(UNSEEN, (100, 120, 99), strict=True) for _ in range(n)]
    validation += [comparison("rater 0", rng, "ppo_xl") for _ in range(7)]
    return train, validation


def test_length_is_always_right_for_the_majority_and_never_for_the_minority(tmp_path: Path) -> None:
    left_out = Counter[str]()
    train, validation = rows_of()
    rows = list(pal_rows(train, validation, ["unseen long"], left_out))
    assert len(rows) + sum(left_out.values()) == len(validation)
    assert left_out["not by two supervised policies"] == 7
    tastes = {row["rater"]: (row["seen"], row["taste"]) for row in rows}
    short = {f"rater {k}" for k in (3, 4, 5)}
    expected = {f"rater {k}": ("seen", "shorter" if f"rater {k}" in short else "longer") for k in range(10)}
    assert tastes == expected | {"unseen long": ("unseen", "longer"), "unseen short": ("unseen", "shorter")}
    for row in rows:  # an independent relabelling
        longer = "a" if len(row["response_a"]) > len(row["response_b"]) else "b"
        shorter = "a" if len(row["response_a"]) < len(row["response_b"]) else "b"
        assert row["winner"] == (shorter if row["taste"] == "shorter" else longer)
    decided = [
        row for row in rows if len(row["response_a"]) != len(row["response_b"])
    ]  # a tie goes to the second, whoever is asked
    data = write_lines(tmp_path / "tldr.jsonl", decided)
    record = rmbench.run(
        "baseline:length", data=data, columns={"rater": "rater", "group": "seen|taste"}, out=tmp_path
    ).records[0]
    found = {(value.metric, value.group): value.value for value in record.results}
    assert found["accuracy", "taste=longer"] == 1.0
    assert found["accuracy", "taste=shorter"] == 0.0
    assert found["per_rater", None] == 8 / 12
    assert found["per_rater", "seen=seen"] == 0.7
    assert found["per_rater", "seen=unseen"] == 0.5
    assert found["per_rater", "quantile=0.25"] == 0.0
    assert found["ceiling", None] == 1.0  # no question was put to two people

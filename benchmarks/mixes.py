"""Pairs of real texts in the proportions in which benchmarks ask for them.

RMBENCH_DATA names a folder with `rm-bench` and `rmb` as their authors lay them out. A mix is a list of pairs; a pair is
the messages of the prompt and two answers.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt."""

    prompt: Messages
    chosen: str
    rejected: str


def data() -> Path:
    """The folder of real files."""
    folder = os.environ.get("RMBENCH_DATA")
    if not folder:
        raise SystemExit("RMBENCH_DATA must name a folder that holds rm-bench and rmb.")
    return Path(folder)


def rm_bench(prompts: int, seed: int = 0) -> list[list[Pair]]:
    """Nine pairs a prompt: three answers of each side in three styles, as the pair commands must be fed."""
    rows = []
    for file in sorted((data() / "rm-bench/data").glob("*.json")):
        rows += json.loads(file.read_text())
    random.Random(seed).shuffle(rows)
    return [
        [Pair(_asked(row["prompt"]), good, bad) for good in row["chosen"] for bad in row["rejected"]]
        for row in rows[:prompts]
    ]


def best_of(prompts: int, losers: int = 3, seed: int = 0) -> list[list[Pair]]:
    """The best answer against each of the first losers, from RMB's best-of-n."""
    rows = [row for row in _rmb("BoN_set") if len(row["loser_list"]) >= losers]
    random.Random(seed).shuffle(rows)
    return [
        [
            Pair(_talk(row["conversation_input"]), row["bon_best"]["answer"], loser["answer"])
            for loser in row["loser_list"][:losers]
        ]
        for row in rows[:prompts]
    ]


def plain(count: int, seed: int = 0) -> list[list[Pair]]:
    """Single pairs of RMB."""
    rows = _rmb("Pairwise_set")
    random.Random(seed).shuffle(rows)
    return [
        [Pair(_talk(row["conversation_input"]), row["chosen"]["answer"], row["reject"]["answer"])]
        for row in rows[:count]
    ]


def passages(count: int, which: slice, characters: int = 9000, seed: int = 0) -> list[list[Pair]]:
    """Two of RMB's answers, `which` of twelve by length, to a question over passages of so many characters."""
    draw = random.Random(seed)
    texts = [row["bon_best"]["answer"] for row in _rmb("BoN_set")]
    made = []
    for number in range(count):
        found = ""
        while len(found) < characters:
            found += f"[{len(found)}] {draw.choice(texts)}\n\n"
        prompt = f"Passages:\n{found[:characters]}\n\nWhat do passages say about question {number}?"
        answers = sorted(draw.sample(texts, 12), key=len)[which]
        made.append([Pair([{"role": "user", "content": prompt}], *answers)])
    return made


def mix(name: str) -> list[list[Pair]]:
    """A mix by name, prompt by prompt; a name that ends in `/8` is every eighth prompt of it."""
    whole, _, part = name.partition("/")
    groups = {
        "mix1000": lambda: _mixed(),
        "plain1000": lambda: plain(1000),
        "bon4": lambda: best_of(250),
        "rm9": lambda: rm_bench(60),
        "rag2k": lambda: passages(60, slice(5, 7)),
        "rag2k_long": lambda: passages(60, slice(-2, None)),
    }[whole]()
    return groups[:: int(part)] if part else groups


def _mixed() -> list[list[Pair]]:
    groups = rm_bench(40) + best_of(120) + plain(280)
    random.Random(1).shuffle(groups)
    return groups


def _rmb(which: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for file in sorted((data() / "rmb/RMB_dataset" / which).rglob("*.json")):
        rows += json.loads(file.read_text())
    return rows


def _asked(prompt: str) -> Messages:
    return [{"role": "user", "content": prompt}]


def _talk(turns: list[dict[str, str]]) -> Messages:
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]

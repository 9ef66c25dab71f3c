"""Write rows of one response under two instructions: `python examples/write_constraint_rows.py FOLDER`.

The idea is that of preferences over several instructions (MAPL, arXiv 2505.12845): the response stays, the prompt
varies, and the better pair of prompt and response is the one whose instructions the response fulfils. Each response is
put together from sentences of ours; k instructions that programs can check are true of it by construction, and in the
other prompt j of the k are changed so that they are not. FOLDER then holds rows.jsonl and mine.toml, for
`rmbench run --model MODEL --tasks mine.toml --source FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["CHECKS", "TOML", "rows_of"]

_SENTENCES = (
    "The market opens at seven.",
    "A grey cat sleeps under the table!",
    "Bread keeps longer in a linen bag.",
    "Nobody knows who planted the old oak.",
    "We walked along the river until noon.",
    "The last train leaves a little early!",
    "Honey and lemon help against a cough.",
    "My neighbour paints boats in winter.",
    "Two bridges cross the narrow valley.",
    "The library lends umbrellas as well.",
)
_WORDS = ("market", "cat", "bread", "oak", "river", "train", "honey", "boats", "bridges", "library", "piano", "tiger")

CHECKS: dict[str, Callable[[str, str], bool]] = {
    "sentences": lambda text, value: len(re.findall(r"[.!]", text)) == int(value),
    "word": lambda text, value: value in re.findall(r"\w+", text.lower()),
    "without": lambda text, value: value not in re.findall(r"\w+", text.lower()),
    "begins": lambda text, value: text.split()[0] == value,
    "exclamations": lambda text, value: text.count("!") == int(value),
    "ends": lambda text, value: re.findall(r"\w+", text)[-1] == value,
}
"""Kind of instruction -> whether a text fulfils it with a value."""
_SPELLED = {
    "sentences": "write exactly {} sentences",
    "word": 'use the word "{}"',
    "without": 'do not use the word "{}"',
    "begins": 'begin with the word "{}"',
    "exclamations": "use exactly {} exclamation marks",
    "ends": 'end with the word "{}"',
}
TOML = """
id = "constraints"
version = 1
title = "One response under instructions that it fulfils and under others"
family = "text"
modality = "text"
shape = "pair"
n = {n}
official = false
verified = true

[[files]]
paths = ["rows.jsonl"]

[columns]
chosen = "response"
rejected = "response"
chosen_prompt = "fulfilled"
rejected_prompt = "broken"

[rows]
id = ["id"]

[groups]
instructions = "k"
changed = "j"

[[metric]]
name = "accuracy"
rule = "pair"
report = [["instructions"], ["changed"]]
chance = 0.5
"""


def _values(text: str, rng: random.Random) -> dict[str, tuple[str, str]]:
    """Kind -> (a value that the text fulfils, one that it does not)."""
    used = set(re.findall(r"\w+", text.lower()))
    there, absent = [word for word in _WORDS if word in used], [word for word in _WORDS if word not in used]
    words = re.findall(r"\w+", text)
    count, marks = len(re.findall(r"[.!]", text)), text.count("!")
    return {
        "sentences": (str(count), str(count + rng.choice((-1, 1, 2)))),
        "word": (rng.choice(there), rng.choice(absent)),
        "without": (rng.choice(absent), rng.choice(there)),
        "begins": (words[0], next(word for word in ("Perhaps", "Today") if word != words[0])),
        "exclamations": (str(marks), str(marks + 1)),
        "ends": (words[-1], rng.choice(absent)),
    }


def _prompt(values: dict[str, str]) -> str:
    return f"Write a short text. Please {', '.join(_SPELLED[kind].format(value) for kind, value in values.items())}."


def rows_of(count: int, seed: int = 0) -> Iterator[dict[str, str]]:
    """Rows of k = 1, 2 ... 6 instructions, of which j = 1 ... k are changed."""
    rng = random.Random(seed)
    for number in range(count):
        text = " ".join(rng.sample(_SENTENCES, rng.randint(2, 5)))
        k = number % len(CHECKS) + 1
        j = rng.randint(1, k)
        values = _values(text, rng)
        kinds = rng.sample(sorted(values), k)
        changed = set(rng.sample(kinds, j))
        whole = {kind: values[kind][0] for kind in kinds}
        yield {
            "id": str(number),
            "response": text,
            "fulfilled": _prompt(whole),
            "broken": _prompt({kind: values[kind][kind in changed] for kind in kinds}),
            "k": str(k),
            "j": str(j),
        }


def _main() -> None:
    parser = argparse.ArgumentParser(description="Write rows of one response under two instructions.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row) + "\n" for row in rows_of(given.rows, given.seed)]
    (given.folder / "rows.jsonl").write_text("".join(lines), "utf-8")
    (given.folder / "mine.toml").write_text(TOML.format(n=len(lines)), "utf-8")


if __name__ == "__main__":
    _main()

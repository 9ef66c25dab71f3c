"""Fuzzes what comes from outside: declarations, score files, rows, replies of servers and judges, records.

    python benchmarks/fuzz.py [--minutes 10] [--seed 7]

Each input is a right one with a few random changes, of its bytes or of its values. It must be read, or refused by one
RmbenchError, within ten seconds; anything else is printed with the input's number. Exit code 1: something was.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ |= {"RMBENCH_CACHE": "off", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

import rmbench
from rmbench import resources
from rmbench.boards import load_board
from rmbench.errors import RmbenchError
from rmbench.models.card import load_card
from rmbench.models.judges.declaration import load_protocol, protocol_names
from rmbench.models.judges.verdict import VerdictParser
from rmbench.models.open import OpenOptions
from rmbench.models.scores.scorer import open_scores
from rmbench.models.servers.errors import RetryableError
from rmbench.models.servers.replies import parse_reply
from rmbench.reports.audit import problems
from rmbench.tasks.registry import get, load_file
from rmbench.tasks.sources import load

SECONDS = 10
Target = Callable[[random.Random, Path], None]

HOSTILE: list[Any] = [
    None, True, -1, 0, 1.5, 10**400, -(10**400), float("nan"), float("inf"), "", "x" * 70_000, "\ud800", "\x1b[31m", [],
    {}, [[]], [None], {"": None}, "1", "nan", b"\xff", 2**53 + 1, -0.0, "../../etc/passwd", "\x00",
]  # fmt: skip
TOKENS = [
    b"\x00", b"\xff", b"[", b"]", b"{", b"}", b'"', b"'", b"=", b"\n", b",", b"nan", b"-1", b"1e999", b"[[x]]\n",
    b"\xed\xa0\x80", b"true", b"9" * 5000, b"{{", b"{%", b"..", b"#", b"\\", b"\r", b"\xef\xbb\xbf",
]  # fmt: skip


def bytes_changed(content: bytes, draw: random.Random) -> bytes:
    """A few places of a file flipped, cut out, doubled or filled with signs that mean something."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 5])):
        at = draw.randrange(len(changed) + 1)
        match draw.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([draw.randrange(256)])
            case 1:
                changed[at:at] = draw.choice(TOKENS)
            case 2:
                del changed[at : at + draw.choice([1, 8, 200])]
            case 3:
                changed[at:at] = changed[max(0, at - draw.choice([8, 200])) : at]
            case _:
                changed = changed[:at]
    return bytes(changed)


def value_changed(data: Any, draw: random.Random) -> Any:
    """Data with one value, at any depth, replaced by a hostile one, taken away or doubled."""
    if isinstance(data, dict) and data and draw.random() < 0.9:
        key = draw.choice(list(data))
        copy = dict(data)
        if draw.random() < 0.1:
            del copy[key]
        elif draw.random() < 0.1:
            copy[f"{key}x"] = copy.pop(key)
        else:
            copy[key] = value_changed(copy[key], draw)
        return copy
    if isinstance(data, list) and data and draw.random() < 0.9:
        at = draw.randrange(len(data))
        return [*data[:at], value_changed(data[at], draw), *data[at + draw.randrange(2) :]]
    return draw.choice([each for each in HOSTILE if not isinstance(each, bytes)])


def spelled(data: Any) -> bytes:
    """As JSON, NaN and lone surrogates included."""
    return json.dumps(data).encode()


def declaration(read: Callable[[Path], object], files: list[Path]) -> Target:
    """Reads one of the package's own files after it was changed."""

    def target(draw: random.Random, folder: Path) -> None:
        source = draw.choice(files)
        file = folder / source.name
        file.write_bytes(bytes_changed(source.read_bytes(), draw))
        read(file)

    return target


def score_file(draw: random.Random, folder: Path) -> None:
    """A score file, read and judged with."""
    examples = load(get("rm-bench"), "sample").examples
    rows = [
        {"task": "rm-bench", "id": each.id, "scores": [draw.random() for _ in each.candidates]} for each in examples
    ]
    if draw.random() < 0.7:
        at = draw.randrange(len(rows))
        rows[at] = value_changed(rows[at], draw)
    content = b"\n".join(map(spelled, rows))
    file = folder / "scores.jsonl"
    file.write_bytes(bytes_changed(content, draw) if draw.random() < 0.5 else content)
    model = open_scores(file, OpenOptions())
    for example in examples:
        model.judge("rm-bench", example)


def row_file(draw: random.Random, folder: Path) -> None:
    """A task's own file of rows."""
    source = resources.tasks() / "samples"
    task = draw.choice(["llmbar", "reward-bench", "rm-bench"])
    shutil.copytree(source / task, folder / task, dirs_exist_ok=True)
    file = draw.choice(sorted(each for each in (folder / task).rglob("*") if each.is_file()))
    content = file.read_bytes()
    if draw.random() < 0.5 and file.suffix == ".json":
        content = spelled(value_changed(json.loads(content), draw))
    file.write_bytes(bytes_changed(content, draw) if draw.random() < 0.6 else content)
    load(get(task), folder, allow_changed_data=True)


REPLY = {
    "id": "x", "model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "[[A]]"},
                 "logprobs": {"content": [{"token": "A", "logprob": -0.1, "bytes": [65],
                                           "top_logprobs": [{"token": "B", "logprob": -2.0, "bytes": [66]}]}]}}],
}  # fmt: skip


def reply(draw: random.Random, _: Path) -> None:
    """A server's reply."""
    data: Any = REPLY
    for _times in range(draw.choice([1, 1, 2, 4])):
        data = value_changed(data, draw)
    try:
        parse_reply(data)
    except RetryableError as error:  # which makes a failed row
        raise RmbenchError(str(error)) from error


def verdict(draw: random.Random, _: Path) -> None:
    """What a judge wrote, under any protocol."""
    protocol = load_protocol(draw.choice(PROTOCOLS))
    declared = protocol.verdict
    own = [declared.mark, declared.tag or "", declared.tie or "", *map(str, declared.values or ())]
    words = [*own, "[[", "]]", "\\boxed{", "}", "{", '"', ":", "1", "-1", "9" * 400, "\n", "<think>", "</think>", "A>B"]
    text = "".join(draw.choice(words) for _ in range(draw.choice([3, 30, 3000])))
    VerdictParser.of(protocol).parse(text, draw.choice(["stop", "length"]), draw.choice([2, 3, 4]))


def record(draw: random.Random, folder: Path) -> None:
    """A record, one of whose files was changed: it is sound or its problems are named."""
    source = draw.choice(RECORDS)
    place = folder / source.name
    shutil.copytree(source, place, dirs_exist_ok=True)
    file = draw.choice([place / "record.json", place / "record.json", place / "judgments.parquet"])
    content = file.read_bytes()
    if file.suffix == ".json" and draw.random() < 0.7:
        content = spelled(value_changed(json.loads(content), draw))
    else:
        content = bytes_changed(content, draw)
    same = content == file.read_bytes()
    file.write_bytes(content)
    found = problems(place)
    if found:
        raise RmbenchError(found[0])
    if not same and file.suffix == ".parquet":
        raise AssertionError("a changed table was taken for sound")


PROTOCOLS: list[str] = []
RECORDS: list[Path] = []


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Raise TimeoutError after ten seconds."""

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def main() -> int:
    """Fuzz for so many minutes and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    PROTOCOLS.extend(protocol_names())
    tasks = sorted(resources.tasks().glob("*/*.toml"))
    boards = sorted(resources.leaderboards().glob("*.toml"))
    cards = sorted((resources.leaderboards() / "models").glob("*.toml"))
    targets: dict[str, Target] = {
        "task TOML": declaration(load_file, tasks),
        "board TOML": declaration(load_board, boards),
        "card TOML": declaration(load_card, cards),
        "score file": score_file,
        "rows": row_file,
        "reply": reply,
        "verdict": verdict,
        "record": record,
    }
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as root:
        rmbench.run("tiny-bt", "rm-bench,unieval-topical-chat,judgebench", source="sample", out=Path(root) / "out")
        RECORDS.extend(rmbench.find_records(Path(root) / "out"))
        end = time.monotonic() + 60 * given.minutes
        number = given.seed * 10**9
        while time.monotonic() < end:
            for name, target in targets.items():
                number += 1
                folder = Path(root) / "input"
                folder.mkdir()
                try:
                    with in_time():
                        target(random.Random(number), folder)
                except RmbenchError:
                    refused[name] += 1
                except Exception as error:  # which is what is looked for
                    wrong.append(f"{name} {number}: {type(error).__name__}: {error}"[:300])
                    print(wrong[-1], flush=True)
                counts[name] += 1
                shutil.rmtree(folder)
    for name, count in counts.items():
        print(f"{name:<10} {count:>8,} inputs, {refused[name]:>8,} refused")
    print(f"{counts.total():,} inputs, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

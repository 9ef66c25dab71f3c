"""Ten thousand questions to a judge whose server takes 200 ms for each, through all that a run does with them, against
the ideal; and the memory that the questions take.

    python benchmarks/judge_scale.py [--questions 10000] [--window 256] [--profile]

The client has one core to itself, and the server, a process of its own, another. Exit status 1 where the time is over
the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import multiprocessing
import os
import pstats
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

from rmbench.engine.interfaces import EngineOptions
from rmbench.engine.judge import judge
from rmbench.models.judges.responder import JudgeResponder
from rmbench.models.open import open_model
from rmbench.models.options import OpenOptions
from rmbench.records.journal import Journal
from rmbench.types import Candidate, Edge, Example, Gold, Message

SECONDS, LIMIT = 0.2, 1.2
REPLY = {"message": {"role": "assistant", "content": "The first is better. [[A]]"}, "finish_reason": "stop"}
ANSWER = json.dumps(
    {"choices": [REPLY], "usage": {"prompt_tokens": 900, "completion_tokens": 8, "total_tokens": 908}}
).encode()
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(ANSWER)}\r\n\r\n".encode()


class Stub(asyncio.Protocol):
    """Answers each request so many seconds after its last byte, over connections that stay open."""

    connections = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.received = transport, b""
        Stub.connections += 1

    def data_received(self, data: bytes) -> None:
        """Wait where a request is whole."""
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return
        sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if len(body) >= (int(sizes[0].partition(b":")[2]) if sizes else 0):
            self.received = b""
            wait = SECONDS if b"/chat/completions" in head and b"question" in body else 0
            asyncio.get_running_loop().call_later(wait, self.transport.write, HEAD + ANSWER)


def serve(told: Connection, core: int | None) -> None:
    """Serve until told to stop; the port is sent first, the number of connections last."""
    if core is not None:
        os.sched_setaffinity(0, {core})

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Stub, "127.0.0.1", 0, backlog=4096)
        told.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, told.recv)
        told.send(Stub.connections)

    asyncio.run(main())


def examples_of(questions: int) -> list[Example]:
    """Pairs, each asked about in both orders, of about 3,500 letters."""
    text = "Which of these two answers is better, and why? " * 36
    return [
        Example(
            f"question {number}",
            (Message.of("user", f"question {number}: what is the answer?"),),
            (Candidate.of(f"{number} {text}"), Candidate.of(f"{text} {number}")),
            Gold((Edge(0, 1),)),
        )
        for number in range(questions // 2)
    ]


def resident() -> float:
    """MiB that the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def watch(stop: threading.Event, found: list[float]) -> None:
    """Memory, four times a second."""
    while not stop.wait(0.25):
        found.append(resident())


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--profile", action="store_true", help="also what the time is spent on, by cProfile")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    ours, theirs = multiprocessing.Pipe()
    arguments = (theirs, cores[1] if len(cores) > 1 else None)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=arguments, daemon=True)
    server.start()
    port = ours.recv()
    os.sched_setaffinity(0, cores[:1])
    model = open_model("openai:stub", OpenOptions(base_url=(f"http://127.0.0.1:{port}/v1",)))
    assert isinstance(model, JudgeResponder)
    examples = examples_of(given.questions)
    memory, stop = [resident()], threading.Event()
    threading.Thread(target=watch, args=(stop, memory), daemon=True).start()
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder, Journal.open(Path(folder), {}) as journal:
        asked, ledger = model.with_reply_cache(journal.replies), journal.scoped("scale", "")
        used, began = time.process_time(), time.perf_counter()
        if given.profile:
            profile.enable()
        judging = judge("scale", examples, asked, options=EngineOptions(window=given.window), ledger=ledger)
        profile.disable()
        taken, used = time.perf_counter() - began, time.process_time() - used
        stop.set()
        model.close()
    if any(one.status != "ok" for one in judging.judgments):
        raise SystemExit(f"not every question was answered: {next(j.error for j in judging.judgments if j.error)}")
    ours.send("stop")
    ideal = given.questions * SECONDS / given.window
    half = len(memory) // 2
    first, second = max(memory[:half], default=0), max(memory[half:])
    print(
        f"{given.questions:,} questions of {SECONDS:g} s at a window of {given.window} on one core: {taken:.2f} s, "
        f"{taken / ideal:.2f} times the ideal {ideal:.2f} s; {used / given.questions * 1e3:.2f} ms of processor time a "
        f"question; {ours.recv()} connections; {memory[0]:.0f} MiB before, at most {first:.0f} in the first half and "
        f"{second:.0f} in the second (load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores)"
    )
    if given.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    sys.exit(taken > LIMIT * ideal)


if __name__ == "__main__":
    main()

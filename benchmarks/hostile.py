"""Hostile checkpoints, media and rows, each in a process of its own: is every one refused in one clear line, in bounds?

    python benchmarks/hostile.py                 # all of them, and how many ran, hung, grew or showed a traceback
    python benchmarks/hostile.py template        # those with the word in their name
    python benchmarks/hostile.py --command score

A process is forked after the imports. It may take 10 s and 1 GB more than it began with. Exit code 1: something was not
as it must be.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ |= {"RMBENCH_CACHE": "off", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.hostile.case import Case
from tests.hostile.checkpoints import CHECKPOINTS, base
from tests.hostile.media import MEDIA, use
from tests.hostile.pickles import RAN
from tests.hostile.rows import ROWS, words

SECONDS, BYTES = 10.0, 10**9
_LONGEST = 1200
"""Characters of a clear message."""
_ROWS = ("--tasks", "rm-bench", "--source", "sample", "--limit", "2")
_COMMANDS = {
    "run": ("run", *_ROWS, "--out"),
    "show-prompt": ("show-prompt", "rm-bench", "--source", "sample"),
    "check": ("check",),
}


_MODULES = (
    "rmbench.models.checkpoint.loading",  # first: it makes torchvision importable
    "av",
    "PIL.Image",
    "pyarrow.parquet",
    "rmbench.check.conformance",
    "rmbench.cli",
    "rmbench.cli.output",
    "rmbench.models.baselines.open",
    "rmbench.models.scores.scorer",
    "rmbench.media",
    "scipy.stats",
    "rmbench.engine.judge",
    "rmbench.evaluation.progress",
    "rmbench.evaluation.run",
    "rmbench.models.families.scalar.open",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.quantizers",
    "transformers.tokenization_utils_tokenizers",
    "transformers.utils.chat_template_utils",
)


@dataclass(frozen=True)
class Finding:
    """What came of one case."""

    seconds: float
    grown: int
    """Bytes of memory beyond those at the start."""
    code: int
    """As a shell has it; -1: killed for its time, -2: for its memory."""
    said: str


def forked(work: Callable[[], int], seconds: float, most: int, log: Path) -> Finding:
    """`work` in a process of its own, which is killed beyond its limits."""
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = 70
        try:
            code = work()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        except BaseException:
            import traceback

            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    before = resident(pid)
    peak, killed = before, 0
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            break
        peak = max(peak, resident(pid, "VmHWM"))
        if not killed and (time.monotonic() - start > seconds or peak - before > most):
            killed = -1 if time.monotonic() - start > seconds else -2
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
    code = killed or os.waitstatus_to_exitcode(status)
    return Finding(time.monotonic() - start, max(0, peak - before), code, log.read_text("utf-8", "replace"))


def resident(pid: int, key: str = "VmRSS") -> int:
    """A process's memory in bytes, now or at its peak."""
    try:
        found = re.search(rf"{key}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else 0


def fault(case: Case, finding: Finding) -> str:
    """What was not as it must be; "" where all was."""
    if finding.code == -1:
        return "hung"
    if finding.code == -2 or finding.grown > BYTES:
        return "grew"
    if RAN.exists():
        RAN.unlink()
        return "its code ran"
    if "Traceback (most recent call last)" in finding.said or finding.code == 70:
        return "traceback"
    if finding.code < 0:
        return f"signal {-finding.code}"
    if "panicked at" in finding.said:
        return "panic"
    if case.outcome == "rows":
        return ""
    if finding.code == 0:
        return "ran"
    lines = [line for line in finding.said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("rmbench: ", "load  "))]
    if len(errors) != 1 or (finding.code == 2 and errors != lines[-1:]) or len(errors[0]) > _LONGEST:
        return "no clear line"
    return ""


def command_line(words: Sequence[str]) -> Callable[[], int]:
    """What runs a command."""

    def work() -> int:
        from rmbench.cli import main

        main(words)
        return 0

    return work


def of_model(case: Case, folder: Path, command: str) -> Callable[[], int]:
    """What opens a checkpoint by a command."""
    given = _COMMANDS[command]
    out = (f"{folder}.out",) if given[-1] == "--out" else ()
    model = (str(folder),) if command == "check" else ("--model", str(folder))
    return command_line([*given, *out, *model, *case.options])


def of_medium(case: Case, folder: Path) -> Callable[[], int]:
    """What reads an image or a video."""

    def work() -> int:
        from rmbench.errors import RmbenchError

        try:
            use(case, folder)
        except RmbenchError as error:
            print(f"rmbench: {error}", file=sys.stderr)
            return 2
        return 0

    return work


def judged(group: str, case: Case, place: Path, command: str) -> tuple[str, Finding]:
    """Make one case and let it run."""
    folder, log = place / "case", place / "log"

    def make() -> int:
        if group == "checkpoint":
            base(folder)
        else:
            folder.mkdir()
        case.make(folder)
        return 0

    made = forked(make, 120, 8 * 10**9, log)
    if made.code:
        return "cannot be made", made
    work = (
        of_model(case, folder, command)
        if group == "checkpoint"
        else of_medium(case, folder)
        if group == "media"
        else command_line(words(case, folder))
    )
    finding = forked(work, SECONDS, BYTES, log)
    return fault(case, finding), finding


def main(arguments: Sequence[str] | None = None) -> int:
    """All cases that are asked for; 0 where each is as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("word", nargs="?", default="")
    parser.add_argument("--command", choices=sorted(_COMMANDS), default="run")
    parser.add_argument("--said", action="store_true", help="print what each said")
    asked = parser.parse_args(arguments)
    import_all()
    groups = {"checkpoint": CHECKPOINTS, "media": MEDIA, "rows": ROWS}
    counts: Counter[str] = Counter()
    for group, cases in groups.items():
        for case in cases:
            if asked.word not in f"{group}: {case.name}":
                continue
            with tempfile.TemporaryDirectory() as place:
                wrong, finding = judged(group, case, Path(place), asked.command)
            counts[wrong] += 1
            counts[f"of {group}"] += 1
            if wrong or asked.said:
                told = " ".join(finding.said.split())[-500:]
                facts = f"{finding.seconds:.1f} s, {finding.grown / 1e6:.0f} MB, code {finding.code}"
                print(f"{wrong or 'good':14s} {group}: {case.name} [{facts}] {told}", flush=True)
    sizes = {group: counts.pop(f"of {group}", 0) for group in groups}
    total, good = sum(sizes.values()), counts.pop("", 0)
    print(f"{total} cases ({', '.join(f'{size} of {group}' for group, size in sizes.items())}): {good} as they must be")
    print(", ".join(f"{count} {name}" for name, count in counts.items()) or "0 hung, 0 grew, 0 tracebacks, 0 ran")
    return 0 if good == total else 1


def import_all() -> None:
    """What the commands import, so that it counts in no case."""
    for module in _MODULES:
        importlib.import_module(module)


if __name__ == "__main__":
    sys.exit(main())

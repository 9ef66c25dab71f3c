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
import shutil
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
from tests.hostile.media import MEDIA, run_media
from tests.hostile.pickles import RAN
from tests.hostile.rows import ROWS, run_rows

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
    "rmbench.engine.judge",
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
    if "Traceback (most recent call last)" in finding.said or finding.code in (1, 70):
        return "traceback"
    if finding.code < 0:
        return f"signal {-finding.code}"
    if "panicked at" in finding.said:
        return "panic"
    if case.outcome == "rows":
        return ""
    if finding.code == 0:
        return "ran"
    lines = [line for line in finding.said.splitlines() if line.startswith(("rmbench: ", "load  "))]
    others = [line for line in finding.said.splitlines() if line.strip() and not line.startswith("rmbench: ")]
    if len(lines) != 1 or (others and finding.code == 2) or len(lines[0]) > _LONGEST:
        return "no clear line"
    return ""


def model_work(case: Case, folder: Path, command: str) -> Callable[[], int]:
    def work() -> int:
        from rmbench.cli import main

        words = _COMMANDS[command]
        out = (str(folder.with_suffix(".out")),) if words[-1] == "--out" else ()
        model = (str(folder),) if command == "check" else ("--model", str(folder))
        main([*words, *out, *model, *case.options])
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
    work = {
        "checkpoint": lambda: model_work(case, folder, command),
        "media": lambda: lambda: run_media(case, folder),
        "rows": lambda: lambda: run_rows(case, folder),
    }[group]()
    finding = forked(work, SECONDS, BYTES, log)
    return fault(case, finding), finding


def main(arguments: Sequence[str] | None = None) -> int:
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
                said = " ".join(finding.said.split()[-60:])[-500:]
                print(f"{wrong or 'good':14s} {group}: {case.name} [{finding.seconds:.1f} s, {finding.grown / 1e6:.0f} MB, code {finding.code}] {said}", flush=True)
    total = sum(count for name, count in counts.items() if name.startswith("of "))
    print(f"{total} cases ({', '.join(f'{counts[chr(111)+chr(102)+chr(32)+name]} {name}' for name in groups)}): {counts['']} as they must be; ", end="")
    print(", ".join(f"{count} {name}" for name, count in counts.items() if name and not name.startswith("of ")) or "none otherwise")
    return 0 if counts[""] == total else 1


def import_all() -> None:
    """What the commands import, so that it counts in no case."""
    for module in _MODULES:
        importlib.import_module(module)


if __name__ == "__main__":
    sys.exit(main())

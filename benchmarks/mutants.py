"""Mutation testing: one change at a single point of a module, and whether the tests of its package notice.

    python benchmarks/mutants.py --count 300 --seed 0
    python benchmarks/mutants.py --count 50 --module rmbench/metrics/paired --tests tests/metrics/paired

The packages are those whose errors would print a wrong number without any other sign: metrics, the engine's plan,
batches and stored results, the parsing of judges' replies, records and the gate. The changes are those of
`mutations.py`.

First the tests of those packages run once, without RMBENCH_DATA, and coverage notes which of them executes which line.
Each mutant then runs in a process that is forked after torch, scipy and the other libraries have been imported: the
mutated source takes the module's place before the tests are collected, and the tests of the package that execute the
line run until one fails, those named after the module first. Nothing is written to the working tree. Only on systems
with `fork`.

`mutants_equivalent.toml` lists mutants that no test can tell from the original, each with its reason. The exit code is
1 where fewer than 95% of the others are killed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter, defaultdict
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from mutations import Mutant, mutants_of

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.toml")
PACKAGES = ("metrics", "engine", "models/judges", "records", "gate")
ENGINE = ("batch", "cache", "cache_table", "compute", "known", "parts", "plan", "prefix", "serialization")
JUDGES = ("grammar", "parsers", "quoting", "verdict")
GOAL = 0.95


def modules() -> list[Path]:
    """The modules that are mutated."""
    found = [path for package in PACKAGES for path in sorted((ROOT / "rmbench" / package).rglob("*.py"))]
    named = {"engine": ENGINE, "judges": JUDGES, "local": ()}
    return [path for path in found if path.stem in named.get(path.parent.name, (path.stem,))]


class Watch:
    """A pytest plugin: which tests execute which lines, and how long each takes."""

    def __init__(self) -> None:
        import coverage

        self.coverage = coverage.Coverage(data_file=None, include=[str(ROOT / "rmbench/*")], config_file=False)
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration

    def lines(self) -> dict[str, dict[int, list[str]]]:
        """The tests by path and line; module level lines belong to no test."""
        self.coverage.stop()
        data = self.coverage.get_data()
        return {str(Path(path).relative_to(ROOT)): data.contexts_by_lineno(path) for path in data.measured_files()}


class Select:
    """A pytest plugin: only these tests, in this order."""

    def __init__(self, tests: list[str]) -> None:
        self.rank = {test: k for k, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.rank), key=lambda item: self.rank[item.nodeid])


def run_pytest(arguments: list[str], plugin: object, folder: Path) -> int:
    """Run pytest in this process."""
    import hypothesis
    import pytest

    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", phases=phases, database=None, derandomize=True, deadline=None)
    hypothesis.settings.load_profile("mutants")
    early = "ignore::pytest.PytestAssertRewriteWarning"  # of plugins, which are imported already
    fixed = [
        "-q",
        "-x",
        "-W",
        early,
        "-m",
        "not slow and not vllm",
        "-p",
        "no:cacheprovider",
        f"--basetemp={folder / 'tmp'}",
    ]
    return int(pytest.main([*fixed, *arguments], plugins=[plugin]))


def forked(work: Any, folder: Path, limit: float) -> int | None:
    """The exit code of `work` in a process of its own, whose output goes to a file; None where it took too long."""
    child = os.fork()
    if not child:
        output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            code = work()
        except BaseException:
            traceback.print_exc()
            code = 70
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


def libraries(folders: list[str], folder: Path) -> list[str]:
    """The modules that collecting the tests imports, apart from the package and the tests."""
    names = folder / "names"

    def collect() -> int:
        code = run_pytest(["--collect-only", *folders], object(), folder)
        names.write_text("\n".join(sys.modules))
        return code

    if forked(collect, folder, 600):
        raise SystemExit((folder / "output").read_text())
    own = ("rmbench", "tests", "test_", "conftest", "__m")
    return [name for name in names.read_text().split("\n") if not name.startswith(own)]


def baseline(folders: list[str], folder: Path) -> tuple[dict[str, dict[str, list[str]]], dict[str, float]]:
    """(path -> line -> tests, test -> seconds) without a mutation."""
    kept = folder / "baseline.json"

    def watch() -> int:
        plugin = Watch()
        plugin.coverage.start()
        code = run_pytest(folders, plugin, folder)
        kept.write_text(json.dumps([plugin.lines(), plugin.seconds]))
        return code

    if forked(watch, folder, 3600):
        raise SystemExit((folder / "output").read_text())
    lines, seconds = json.loads(kept.read_text())
    return lines, seconds


def tests_of(mutant: Mutant, lines: dict[str, dict[str, list[str]]], seconds: dict[str, float]) -> list[str]:
    """The tests of the package that execute the line: those named after the module first, then the fast ones. Of a line
    executed while modules are imported: the tests that execute any line of the file."""
    path = Path(mutant.path)
    package = next(each for each in PACKAGES if mutant.path.startswith(f"rmbench/{each}/"))
    of_file = lines.get(mutant.path, {})
    tests = set(of_file.get(str(mutant.line), ()))
    if not tests or "" in tests:
        tests = {test for each in of_file.values() for test in each}
    names = f"{path.parent.name}_{path.stem}", path.stem, path.parent.name

    def rank(test: str) -> tuple[int, float]:
        return next((k for k, name in enumerate(names) if name in test.split("::")[0]), len(names)), seconds[test]

    return sorted((test for test in tests if test.startswith(f"tests/{package}/")), key=rank)


def outcome(mutant: Mutant, tests: list[str], seconds: dict[str, float], folder: Path) -> str:
    """One of "killed", "survived", "timeout" and "no test"."""
    if not tests:
        return "no test"
    original = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> Any:
        same = Path(loader.path) == ROOT / mutant.path
        return compile(mutant.source, loader.path, "exec") if same else original(loader, name)

    def work() -> int:
        SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
        return run_pytest(sorted({test.split("::")[0] for test in tests}), Select(tests), folder)

    code = forked(work, folder, 30 + 6 * sum(seconds[test] for test in tests))
    return "timeout" if code is None else "survived" if code == 0 else "killed"


def drawn(count: int, seed: int, module: str) -> list[Mutant]:
    """Mutants in an order that hardly depends on the rest of the code, so that a later draw has mostly the same."""
    every = {mutant.key: mutant for path in modules() for mutant in mutants_of(path, ROOT) if module in mutant.path}
    order = sorted(every, key=lambda key: hashlib.sha256(repr((seed, key)).encode()).digest())
    return [every[key] for key in order[:count]]


def main() -> int:
    """Draw mutants, run them, print the survivors."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--module", default="", help="only modules whose path holds this")
    parser.add_argument("--tests", nargs="+", help="only these files and folders of tests, not all of the packages")
    parser.add_argument("--minutes", type=float, default=60, help="stop drawing after this")
    options = parser.parse_args()
    os.chdir(ROOT)
    os.environ.pop("RMBENCH_DATA", None)
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    sys.path.insert(0, str(ROOT))
    sys.dont_write_bytecode = True
    listed = tomllib.loads(EQUIVALENT.read_text("utf-8"))["mutant"]
    reasons = {(each["path"], each["before"], each["after"]): each["why"] for each in listed}
    mutants = drawn(options.count, options.seed, options.module)
    packages = options.tests or sorted(
        {f"tests/{each}" for each in PACKAGES for m in mutants if m.path.startswith(f"rmbench/{each}/")}
    )
    end, counts = time.monotonic() + 60 * options.minutes, Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for library in libraries(packages, folder):
            importlib.import_module(library)
        lines, seconds = baseline(packages, folder)
        print(f"{len(mutants)} mutants, {len(seconds)} tests that take {sum(seconds.values()):.0f} s", flush=True)
        for mutant in mutants:
            if time.monotonic() > end:
                break
            tests = tests_of(mutant, lines, seconds)
            found = "equivalent" if mutant.key in reasons else outcome(mutant, tests, seconds, folder)
            counts[found] += 1
            if found in ("survived", "no test"):
                print(f"\n{mutant.path}:{mutant.line}: {found} ({len(tests)} tests)", flush=True)
                print(f"- {mutant.before}\n+ {mutant.after}", flush=True)
    killed, judged = counts["killed"] + counts["timeout"], counts.total() - counts["equivalent"]
    print(f"\n{dict(counts)}: {killed} of {judged} killed ({killed / max(judged, 1):.1%})")
    return int(killed < GOAL * judged)


if __name__ == "__main__":
    sys.exit(main())

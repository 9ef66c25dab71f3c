"""Fixtures every room's tests may use."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rmbench.models.checkpoint.torchvision_ops import declare_missing_operators

# Tests run in several processes; threads of one that wait for another's core cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What one test computes, another must not find.
os.environ["RMBENCH_CACHE"] = "off"

# Tests import transformers by themselves, before the package does.
declare_missing_operators()


NEEDS_DATA = (
    "need real benchmark files: RMBENCH_DATA=FOLDER names a folder of them in upstream's layout "
    "(`rmbench show TASK` says where a task's files come from)"
)


def pytest_collection_finish() -> None:
    """Ten thousand tests and the libraries are there until the end: the collector need not look at them each time."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each reason of skipping, with the number of tests, instead of one for each test."""
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    if reasons:
        terminalreporter.section("skipped tests")
    for reason, tests in reasons.most_common():
        terminalreporter.write_line(f"{tests:5d}  {reason}")


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests() -> Iterator[None]:
    """Every text that is printed or kept is searched for each secret that the process knows, so those of earlier tests
    would make later ones slower and slower."""
    from rmbench.untrusted import masking  # after the environment is set

    before = set(masking._registered)
    yield
    masking._registered.intersection_update(before)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real benchmark files in upstream's layout, from RMBENCH_DATA alone."""
    folder = os.environ.get("RMBENCH_DATA")
    if not folder:
        pytest.skip(NEEDS_DATA)
    return Path(folder)


RELEASED = Path(__file__).resolve().parent / "golden" / "released"


@pytest.fixture(scope="session")
def released() -> Callable[..., Path]:
    """Says which folder holds files of released scores and labels, by their names upstream: RMBENCH_DATA where it is
    set, else the bundled one, which holds some of them without their texts."""

    def folder_of_files(*names: str) -> Path:
        folder = os.environ.get("RMBENCH_DATA")
        if not folder and not all((RELEASED / name).is_file() for name in names):
            pytest.skip(NEEDS_DATA)
        return Path(folder or RELEASED)

    return folder_of_files


@pytest.fixture(scope="session")
def put_record() -> Callable[..., Path]:
    """Writes one record of pairs through the store and returns its folder; see `tests._make.put_record`."""
    from tests._make import put_record  # after the environment is set

    return put_record

"""docs/metrics.md says what the table of rules says, and docs/statistics.md names only what is there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from rmbench import stats
from rmbench.metric_spec import RULES

ROOT = Path(__file__).resolve().parents[2]
STATISTICS = (ROOT / "docs" / "statistics.md").read_text("utf-8")


@pytest.fixture(scope="module")
def writer() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "examples"))
    yield import_module("write_metric_page")
    sys.path.remove(str(ROOT / "examples"))


def test_the_page_is_current(writer: ModuleType) -> None:
    assert writer.PAGE.read_text("utf-8") == writer.page(), "run python examples/write_metric_page.py"


def test_every_rule_has_a_line(writer: ModuleType) -> None:
    lines = [line.strip("| ").split(" | ") for line in writer.page().splitlines() if line.startswith("| `")]
    assert sorted(cells[0].strip("`") for cells in lines) == sorted(RULES)
    assert {len(cells) for cells in lines} == {9}


def test_the_statistics_page_names_what_is_there() -> None:
    for name in re.findall(r"`(rmbench\.[\w.]+)`", STATISTICS):
        home, _, last = name.rpartition(".")
        try:
            import_module(name)
        except ModuleNotFoundError:
            assert last in dir(import_module(home)), name
    own = STATISTICS[STATISTICS.index("## For your own analysis") : STATISTICS.index("## Not used")]
    named = {
        name
        for line in own.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert named <= set(stats.__all__)
    methods = {"wilson", "cr1-t", "cluster-bootstrap", "wilson-effective", "tango"}
    assert methods <= set(re.findall(r"^\| `([\w-]+)` \|", STATISTICS, re.MULTILINE))

"""The public face: what `rmbench` exports, and what importing it must not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rmbench

PUBLIC = """
Candidate CheckReport CheckResult Conversation Edge Example Gold Judged Judgment Message MetricSpec ModelFacts Part
Prompt Prompts Record Report Responder Results RmbenchError Scored ScoredRows Scorer Task Value Verdict View boards
cards check compare export find_records gate iter_rows load_examples merge rank_generators read_record read_rows report
rescore run score_responses score_rows select_tasks show_prompts stats submit verify_table view
""".split()

HEAVY = ("torch", "transformers", "datasets", "pandas", "pydantic", "scipy", "pyarrow", "open_clip")


def test_the_public_names_are_these() -> None:
    assert sorted(rmbench.__all__) == sorted(PUBLIC)
    assert dir(rmbench) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_loads_and_is_documented(name: str) -> None:
    value = getattr(rmbench, name)
    assert name == "Conversation" or value.__doc__


def test_modules_do_not_hide_the_functions_of_their_name() -> None:
    code = """
import rmbench
import rmbench.evaluation.run, rmbench.gate, rmbench.check.conformance, rmbench.boards, rmbench.gate.comparison
import rmbench.cli.validate, rmbench.view.page
assert callable(rmbench.run) and callable(rmbench.check) and callable(rmbench.gate)
assert callable(rmbench.boards) and callable(rmbench.compare) and callable(rmbench.view)
from rmbench import gate, run
assert callable(gate) and callable(run)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = rmbench.runn


@pytest.mark.parametrize("statement", ["import rmbench", "from rmbench.cli import cli; cli(['--help'])"])
def test_heavy_libraries_stay_out(statement: str) -> None:
    code = f"""
import sys
try:
    {statement}
except SystemExit:
    pass
loaded = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(f"loaded: {{loaded}}" if loaded else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

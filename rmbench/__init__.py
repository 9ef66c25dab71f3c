"""rmbench: any reward model meets any preference benchmark, by the benchmark's own definition, with honest error bars.

The public names load what they need when first used; `import rmbench` imports neither torch nor transformers.

    import rmbench

    results = rmbench.run(model="tiny-bt", tasks=["rm-bench", "rmb-bon"], source="sample")
    results.to_pandas()
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rmbench import stats
    from rmbench.boards import boards
    from rmbench.check import check
    from rmbench.check.report import CheckReport, CheckResult
    from rmbench.errors import RmbenchError
    from rmbench.evaluation.generators import rank_generators
    from rmbench.evaluation.merge import merge
    from rmbench.evaluation.prompts import Prompt, Prompts, show_prompts
    from rmbench.evaluation.rescore import rescore
    from rmbench.evaluation.results import Results
    from rmbench.evaluation.run import run
    from rmbench.evaluation.score import Scored, score_responses
    from rmbench.evaluation.score_rows import ScoredRows, score_rows
    from rmbench.exchange import export, submit, verify_table
    from rmbench.gate import compare, gate
    from rmbench.metric_spec import MetricSpec
    from rmbench.models.card import cards
    from rmbench.models.protocols import ModelFacts, Responder, Scorer
    from rmbench.records.record import Record
    from rmbench.records.store import find as find_records
    from rmbench.records.store import iter_rows, read_rows
    from rmbench.records.store import read as read_record
    from rmbench.reports import report_of as report
    from rmbench.reports.report import Report
    from rmbench.tasks.registry import select as select_tasks
    from rmbench.tasks.sources import load as load_examples
    from rmbench.tasks.task import Task
    from rmbench.types import (
        Candidate,
        Conversation,
        Edge,
        Example,
        Gold,
        Judged,
        Judgment,
        Message,
        Part,
        Value,
        Verdict,
    )
    from rmbench.view import view
    from rmbench.view.selection import View

    __version__: str

_HOMES = {
    "Candidate": "rmbench.types",
    "CheckReport": "rmbench.check.report",
    "CheckResult": "rmbench.check.report",
    "Conversation": "rmbench.types",
    "Edge": "rmbench.types",
    "Example": "rmbench.types",
    "Gold": "rmbench.types",
    "Judged": "rmbench.types",
    "Judgment": "rmbench.types",
    "Message": "rmbench.types",
    "MetricSpec": "rmbench.metric_spec",
    "ModelFacts": "rmbench.models.protocols",
    "Part": "rmbench.types",
    "Prompt": "rmbench.evaluation.prompts",
    "Prompts": "rmbench.evaluation.prompts",
    "Record": "rmbench.records.record",
    "Report": "rmbench.reports.report",
    "Responder": "rmbench.models.protocols",
    "Results": "rmbench.evaluation.results",
    "RmbenchError": "rmbench.errors",
    "Scored": "rmbench.evaluation.score",
    "ScoredRows": "rmbench.evaluation.score_rows",
    "Scorer": "rmbench.models.protocols",
    "Task": "rmbench.tasks.task",
    "Value": "rmbench.types",
    "Verdict": "rmbench.types",
    "View": "rmbench.view.selection",
    "boards": "rmbench.boards",
    "cards": "rmbench.models.card",
    "check": "rmbench.check",
    "compare": "rmbench.gate",
    "export": "rmbench.exchange",
    "find_records": "rmbench.records.store:find",
    "gate": "rmbench.gate",
    "iter_rows": "rmbench.records.store",
    "load_examples": "rmbench.tasks.sources:load",
    "merge": "rmbench.evaluation.merge",
    "read_record": "rmbench.records.store:read",
    "read_rows": "rmbench.records.store",
    "rank_generators": "rmbench.evaluation.generators",
    "report": "rmbench.reports:report_of",
    "rescore": "rmbench.evaluation.rescore",
    "run": "rmbench.evaluation.run",
    "score_responses": "rmbench.evaluation.score",
    "score_rows": "rmbench.evaluation.score_rows",
    "select_tasks": "rmbench.tasks.registry:select",
    "show_prompts": "rmbench.evaluation.prompts",
    "submit": "rmbench.exchange",
    "verify_table": "rmbench.exchange",
    "view": "rmbench.view",
}
"""Public name -> its module, with `:name` where the module calls it otherwise."""

__all__ = [
    "Candidate",
    "CheckReport",
    "CheckResult",
    "Conversation",
    "Edge",
    "Example",
    "Gold",
    "Judged",
    "Judgment",
    "Message",
    "MetricSpec",
    "ModelFacts",
    "Part",
    "Prompt",
    "Prompts",
    "Record",
    "Report",
    "Responder",
    "Results",
    "RmbenchError",
    "Scored",
    "ScoredRows",
    "Scorer",
    "Task",
    "Value",
    "Verdict",
    "View",
    "boards",
    "cards",
    "check",
    "compare",
    "export",
    "find_records",
    "gate",
    "iter_rows",
    "load_examples",
    "merge",
    "rank_generators",
    "read_record",
    "read_rows",
    "report",
    "rescore",
    "run",
    "score_responses",
    "score_rows",
    "select_tasks",
    "show_prompts",
    "stats",
    "submit",
    "verify_table",
    "view",
]


class _Face(ModuleType):
    """The package's own class: importing `rmbench.run`, the module, must not hide `rmbench.run`, the function."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face


def __getattr__(name: str) -> Any:
    """Import a public name from its module at its first use."""
    if name == "stats":
        return import_module("rmbench.stats")
    if name == "__version__":
        from importlib import metadata

        return metadata.version("rmbench")
    if name not in _HOMES:
        raise AttributeError(f"module 'rmbench' has no attribute {name!r}")
    home, _, name_in_module = _HOMES[name].partition(":")
    value = getattr(import_module(home), name_in_module or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)

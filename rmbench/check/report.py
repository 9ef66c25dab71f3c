"""The results of checks, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rmbench.models.protocols import ModelFacts
from rmbench.types import Setting

__all__ = ["CheckReport", "CheckResult", "Status", "failed", "not_run", "passed"]

Status = Literal["pass", "fail", "not run"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check."""

    name: str
    status: Status
    line: str
    """One sentence with the figure, and the reason where the check failed or was not run."""
    figures: Mapping[str, Setting] = field(default_factory=dict)
    """The numbers behind the line; None where one is not finite."""
    text: str = ""
    """Text to review: a probe as the model reads it."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `rmbench check --json` prints it."""
        figures = {name: _finite(value) for name, value in self.figures.items()}
        plain: dict[str, Any] = {"name": self.name, "status": self.status, "line": self.line, "figures": figures}
        return plain | ({"text": self.text} if self.text else {})


def passed(name: str, line: str, figures: Mapping[str, Setting] | None = None, text: str = "") -> CheckResult:
    """A check that holds."""
    return CheckResult(name, "pass", line, figures or {}, text)


def failed(name: str, line: str, figures: Mapping[str, Setting] | None = None, text: str = "") -> CheckResult:
    """A check that does not hold."""
    return CheckResult(name, "fail", line, figures or {}, text)


def not_run(name: str, why: str) -> CheckResult:
    """A check that does not apply to this model, or that this machine cannot run."""
    return CheckResult(name, "not run", why)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The results of all checks of one model."""

    facts: ModelFacts
    """Where the model could not be opened: its name and the start of its files' digest, and no fingerprint."""
    checks: tuple[CheckResult, ...]
    date: str
    """When the check ended, ISO 8601, UTC."""
    versions: Mapping[str, str]
    """Python and the libraries that computed."""
    folder: str | None = None
    """The model's folder of records, where `check.json` was written; None where nothing was written."""
    records: int = 0
    """Records in that folder that were marked."""
    notes: tuple[str, ...] = ()
    """Records that could not be marked, and why."""

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed."""
        return tuple(one.name for one in self.checks if one.status == "fail")

    @property
    def passed(self) -> bool:
        """Whether the model was opened and no check failed."""
        opened = any(one.name == "load" and one.status == "pass" for one in self.checks)
        return opened and not self.failed

    def to_dict(self) -> dict[str, Any]:
        """The object that `rmbench check --json` prints; its schema is `schemas/check.schema.json` in the package."""
        facts = self.facts
        return {
            "model": {
                "name": facts.name,
                "revision": facts.revision,
                "family": facts.family,
                "why": facts.why,
                "parameters": facts.parameters,
                "settings": dict(facts.settings),
                "fingerprint": facts.fingerprint,
            },
            "passed": self.passed,
            "failed": list(self.failed),
            "checks": [one.to_dict() for one in self.checks],
            "date": self.date,
            "versions": dict(self.versions),
            "folder": self.folder,
            "records": self.records,
            "notes": list(self.notes),
        }


def _finite(value: Setting) -> Setting:
    return None if isinstance(value, float) and not math.isfinite(value) else value

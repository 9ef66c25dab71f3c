"""What was found of the numbers of a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from rmbench.exchange.claims.number import Agreement

__all__ = ["Checked", "Claim", "Status"]

Status = Agreement | Literal["no record"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A number of a table."""

    place: str
    """File, and line of the table."""
    row: str
    column: str
    printed: str
    """The cell."""
    part: Literal["value", "interval"]
    status: Status
    value: float | None = None
    """What the record says; None where there is none."""
    why: str = ""
    """Why there is no record, or what it says of an interval."""
    record: str = ""
    """The folder."""

    def __str__(self) -> str:
        says = f"the record says {self.value!r}" if self.value is not None else ""
        reason = "; ".join(part for part in (says, self.why) if part)
        what = "interval of " if self.part == "interval" else ""
        return f"{self.status}: {what}{self.row}, {self.column}: {self.printed} ({reason})"


@dataclass(frozen=True, slots=True)
class Checked:
    """A file's numbers held against records."""

    file: str
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
    """What was left out and why."""

    @property
    def counts(self) -> dict[Status, int]:
        """How many numbers there are of each kind."""
        found = Counter(claim.status for claim in self.claims)
        return {status: found[status] for status in ("right", "rounded", "different", "no record")}

    @property
    def exit_code(self) -> int:
        """0: every number is right or rounded; 1: one differs; 3: none differs, and one has no record."""
        if self.counts["different"]:
            return 1
        return 3 if self.counts["no record"] else 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        names = ("place", "row", "column", "printed", "part", "status", "value", "why", "record")
        claims = [{name: getattr(claim, name) for name in names} for claim in self.claims]
        return {"file": self.file, "counts": self.counts, "claims": claims, "notes": list(self.notes)}

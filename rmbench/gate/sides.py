"""Two folders of records, task by task: what belongs together, and what must not be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.judging.votes import voted
from rmbench.records.headline import headline_spec
from rmbench.records.record import Record
from rmbench.records.store import find, read, read_rows
from rmbench.types import Judged

__all__ = ["Broken", "Pairing", "Side", "models_of", "notes", "pair"]


@dataclass(frozen=True, slots=True)
class Side:
    """One model's record of one task."""

    folder: Path
    record: Record

    @property
    def model(self) -> str:
        """`name@revision`."""
        return f"{self.record.model.name}@{self.record.model.revision}"


@dataclass(frozen=True, slots=True)
class Broken:
    """A folder under which a record ought to be but cannot be read."""

    folder: Path
    why: str


@dataclass(frozen=True, slots=True)
class Pairing:
    """A task's records on both sides, A the baseline and B the candidate; None where a side has none."""

    task: str
    a: Side | Broken | None
    b: Side | Broken | None

    @property
    def version(self) -> int | None:
        """The task version of the first readable side."""
        return next((side.record.task.version for side in (self.a, self.b) if isinstance(side, Side)), None)

    def refusal(self) -> str:
        """Why the two records answer different questions, or "" where they answer the same one."""
        for name, side in (("A", self.a), ("B", self.b)):
            if side is None:
                return f"{name} has no record of this task"
            if isinstance(side, Broken):
                return f"{name}'s record cannot be read: {side.why}"
            if side.record.kind == "published":
                return f"{name}'s record holds published figures alone: without rows there is nothing to compare"
        return _other_question(*self.records())

    def records(self) -> tuple[Record, Record]:
        """Both records; RmbenchError where a side has none."""
        if not isinstance(self.a, Side) or not isinstance(self.b, Side):
            raise RmbenchError(f"{self.task}: {self.refusal()}.")
        return self.a.record, self.b.record

    def rows(self) -> tuple[list[Judged], list[Judged], MetricSpec]:
        """Both sides' rows and the headline metric.

        Raises:
            RmbenchError: a side is missing or unreadable, a digest does not hold, or the declaration is malformed.
        """
        if not isinstance(self.a, Side) or not isinstance(self.b, Side):
            raise RmbenchError(f"{self.task}: {self.refusal()}.")
        rows = [voted(read_rows(side.folder), side.record.model.settings) for side in (self.a, self.b)]
        return rows[0], rows[1], headline_spec(self.a.record)


def pair(a: Path, b: Path) -> list[Pairing]:
    """The records under both folders by task, sorted.

    Each folder is a model's, or one task's, or one that holds a single model's folder.

    Raises:
        RmbenchError: a folder without records, of several models, or with two records of one task.
    """
    of_a, of_b = _side(a), _side(b)
    return [Pairing(task, of_a.get(task), of_b.get(task)) for task in sorted({*of_a, *of_b})]


def models_of(pairings: list[Pairing]) -> tuple[str, str]:
    """The `name@revision` of A and of B; "" for a side without a readable record."""
    a = next((one.a.model for one in pairings if isinstance(one.a, Side)), "")
    b = next((one.b.model for one in pairings if isinstance(one.b, Side)), "")
    return a, b


def notes(a: Record, b: Record) -> Iterator[str]:
    """What differs in how two records were made: nothing that forbids a comparison, all that may explain it."""
    if a.model.family != b.model.family:
        yield f"family: {a.model.family} -> {b.model.family}"
    for old, new in ((a.model.settings, b.model.settings), (a.run.versions, b.run.versions)):
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                yield f"{key}: {_told(old.get(key))} -> {_told(new.get(key))}"
    if a.run.platform != b.run.platform:
        yield f"platform: {a.run.platform} -> {b.run.platform}"
    for name, record in (("A", a), ("B", b)):
        if record.run.resumed:
            yield f"{name} was resumed with other batches, so its scores may differ by 1e-4"


def _told(value: object) -> str:
    return "unset" if value is None else str(value)


def _side(root: Path) -> dict[str, Side | Broken]:
    folders = find(root)
    if not folders:
        raise RmbenchError(f"{root} holds no record.json.")
    found = [_opened(folder) for folder in folders]
    models = sorted({side.model for side in found if isinstance(side, Side)})
    if len(models) > 1:
        raise RmbenchError(f"{root} holds records of several models ({', '.join(models)}). Name one model's folder.")
    sides: dict[str, Side | Broken] = {}
    for side in found:
        # An unreadable record is known by its folder alone, `<task>@<version>`.
        task = side.record.task.id if isinstance(side, Side) else side.folder.name.partition("@")[0]
        if task in sides:
            raise RmbenchError(f"{root} holds two records of {task}: {sides[task].folder} and {side.folder}. Name one.")
        sides[task] = side
    return sides


def _opened(folder: Path) -> Side | Broken:
    try:
        return Side(folder, read(folder))
    except RmbenchError as error:
        return Broken(folder, str(error))


def _other_question(a: Record, b: Record) -> str:
    if a.task.version != b.task.version:
        return f"A judged version {a.task.version} of the task, B version {b.task.version}"
    if a.data.digest != b.data.digest:
        return f"A and B judged different data (digests {a.data.digest[:8]} and {b.data.digest[:8]})"
    try:
        # As specs, so that a setting which an older record does not know has its default there.
        first, second = (asdict(headline_spec(record)) for record in (a, b))
    except RmbenchError as error:
        return str(error)
    changed = [key for key in first if first[key] != second[key]]
    return f"the task's first metric is declared differently ({', '.join(changed)})" if changed else ""

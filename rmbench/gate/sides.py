"""The records of two folders paired by task, and the reasons against a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.judging.votes import VotedRows
from rmbench.metrics.rows.collection import Rows
from rmbench.records.headline import headline, headline_spec
from rmbench.records.identity import Identity
from rmbench.records.record import Record
from rmbench.records.store import find, no_record_in, read
from rmbench.records.stored import StoredRows

__all__ = ["Pairing", "Side", "Unreadable", "models_of", "notes", "pair"]


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
class Unreadable:
    """A folder whose record cannot be read."""

    folder: Path
    error: str


@dataclass(frozen=True, slots=True)
class Pairing:
    """A task's records on both sides, A the baseline and B the candidate; None where a side has none."""

    task: str
    a: Side | Unreadable | None
    b: Side | Unreadable | None

    @property
    def version(self) -> int | None:
        """The task version of the first readable side."""
        return next((side.record.task.version for side in (self.a, self.b) if isinstance(side, Side)), None)

    def refusal(self) -> str:
        """Why the two records answer different questions, or "" where they answer the same one."""
        for name, side in (("A", self.a), ("B", self.b)):
            if side is None:
                return f"{name} has no record of this task"
            if isinstance(side, Unreadable):
                return f"{name}'s record cannot be read: {side.error}"
            if side.record.kind == "published":
                return f"{name}'s record holds published figures alone: without rows there is nothing to compare"
        return _other_question(*self.records())

    def records(self) -> tuple[Record, Record]:
        """Both records; RmbenchError where a side has none."""
        if not isinstance(self.a, Side) or not isinstance(self.b, Side):
            raise RmbenchError(f"{self.task}: {self.refusal()}.")
        return self.a.record, self.b.record

    def rows(self) -> tuple[Rows, Rows, MetricSpec]:
        """Both sides' rows and the headline metric; whoever iterates the rows may meet RmbenchError too.

        Raises:
            RmbenchError: a side is missing or unreadable, a digest does not match, or the declaration is malformed.
        """
        if not isinstance(self.a, Side) or not isinstance(self.b, Side):
            raise RmbenchError(f"{self.task}: {self.refusal()}.")
        a, b = (
            VotedRows(StoredRows(side.folder, side.record), side.record.model.settings) for side in (self.a, self.b)
        )
        return a, b, headline_spec(self.a.record)


def pair(a: Path, b: Path) -> list[Pairing]:
    """The records under both folders by task, sorted; where a side has several of a task, whose data differ by intent,
    by task and variant (`rm-bench+limit=10`).

    Each folder is a model's, or one task's, or one that holds a single model's folder.

    Raises:
        RmbenchError: a folder without records, of several models, or with two records of one task.
    """
    all_a, all_b = _records(a), _records(b)
    several = {task for side in (all_a, all_b) for task, n in Counter(map(_task, side)).items() if n > 1}
    side_a, side_b = _by_name(a, all_a, several), _by_name(b, all_b, several)
    return [Pairing(task, side_a.get(task), side_b.get(task)) for task in sorted({*side_a, *side_b})]


def models_of(pairings: list[Pairing]) -> tuple[str, str]:
    """The `name@revision` of A and of B; "" for a side without a readable record."""
    a = next((pairing.a.model for pairing in pairings if isinstance(pairing.a, Side)), "")
    b = next((pairing.b.model for pairing in pairings if isinstance(pairing.b, Side)), "")
    return a, b


def notes(a: Record, b: Record) -> Iterator[str]:
    """The differences in how two records were produced: none forbids a comparison, each may explain its result."""
    if a.model.family != b.model.family:
        yield f"family: {a.model.family} -> {b.model.family}"
    for old, new in ((a.model.settings, b.model.settings), (a.run.versions, b.run.versions)):
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                yield f"{key}: {_text(old.get(key))} -> {_text(new.get(key))}"
    if a.run.platform != b.run.platform:
        yield f"platform: {a.run.platform} -> {b.run.platform}"
    for name, record in (("A", a), ("B", b)):
        flags = headline(record).flags
        if flags:
            yield f"{name}'s value is marked {', '.join(flags)}"
        if record.run.resumed:
            yield f"{name} was resumed with other batches, so its scores may differ by 1e-4"


def _text(value: object) -> str:
    return "unset" if value is None else str(value)


def _records(root: Path) -> list[Side | Unreadable]:
    folders = find(root)
    if not folders:
        raise no_record_in(root)
    records = [_read(folder) for folder in folders]
    models = sorted({side.model for side in records if isinstance(side, Side)})
    if len(models) > 1:
        raise RmbenchError(f"{root} holds records of several models ({', '.join(models)}). Name one model's folder.")
    return records


def _task(side: Side | Unreadable) -> str:
    """The task's id; that of an unreadable record is in the name of its folder, `<task>@<version>`."""
    return side.record.task.id if isinstance(side, Side) else side.folder.name.partition("@")[0]


def _variant_in(name: str) -> str:
    _, plus, variant = name.partition("+")
    return plus + variant


def _by_name(root: Path, sides: list[Side | Unreadable], several: set[str]) -> dict[str, Side | Unreadable]:
    """The records of one side by their task, and by their variant too where a side has several of that task."""
    named: dict[str, Side | Unreadable] = {}
    for side in sides:
        task = name = _task(side)
        if task in several:
            name += Identity.of(side.record).variant if isinstance(side, Side) else _variant_in(side.folder.name)
        if name in named:
            raise RmbenchError(f"{root} holds two records of {name}: {named[name].folder} and {side.folder}. Name one.")
        named[name] = side
    return named


def _read(folder: Path) -> Side | Unreadable:
    try:
        return Side(folder, read(folder))
    except RmbenchError as error:
        return Unreadable(folder, str(error))


def _other_question(a: Record, b: Record) -> str:
    if a.task.version != b.task.version:
        return f"A judged version {a.task.version} of the task, B version {b.task.version}"
    rows_a, rows_b = a.data.digest_of_rows, b.data.digest_of_rows
    if rows_a != rows_b:
        return f"A and B judged different data (digests {rows_a[:8]} and {rows_b[:8]})"
    media = [record.data.media for record in (a, b) if record.data.media and record.data.media.files]
    if len(media) == 2 and media[0].digest != media[1].digest:
        return f"A and B judged different images (digests {media[0].digest[:8]} and {media[1].digest[:8]})"
    try:
        # As specs, so that a setting which an older record lacks has its default.
        spec_a, spec_b = (asdict(headline_spec(record)) for record in (a, b))
    except RmbenchError as error:
        return str(error)
    changed = [key for key in spec_a if spec_a[key] != spec_b[key]]
    return f"the task's first metric is declared differently ({', '.join(changed)})" if changed else ""

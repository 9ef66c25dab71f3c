"""Opens `scores:FILE`: rewards or verdicts that were computed elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from rmbench.errors import RmbenchError
from rmbench.models.options import OpenOptions
from rmbench.models.protocols import ModelFacts
from rmbench.models.scores.rows import ScoreFile, ScoreRow, number, read_rows
from rmbench.models.scores.verdicts import parse_verdicts
from rmbench.types import Example, Judgment
from rmbench.validation import validated

__all__ = ["Precomputed", "open_scores"]

_MODALITIES = frozenset({"text", "image", "video"})


class VotingSettings(BaseModel):
    """`--model-args` of a score file."""

    model_config = ConfigDict(extra="forbid")

    voting: Literal["majority", "mean", "each"] | None = None
    """How several verdicts on one question become one; None: as the task declares."""
    voting_unparsed: Literal["abstain", "count"] | None = None
    """None: "abstain"."""


@dataclass(frozen=True)
class Precomputed:
    """A Responder that looks rewards and verdicts up by task and example id.

    `scores` is a list of K rewards, or a mapping of dimension -> such a list. A mapping becomes `parts`, [K, 1] per
    dimension; its "overall", or the only dimension there is, becomes the rewards as well, and where there are several
    and no "overall" there are no rewards. For `verdicts` (or `decisions`) see `rmbench.models.scores.verdicts`. A
    row may have both. A null or non-finite score makes a failed row, and `status = "unparsed"` in place of an answer
    one whose answer could not be read.
    """

    file: Path
    facts: ModelFacts
    rows: Mapping[tuple[str, str], ScoreRow]
    """By task and id."""
    _used: set[tuple[str, str]] = field(default_factory=set)

    @property
    def tasks(self) -> frozenset[str]:
        """The tasks that the file has rows of."""
        return frozenset(task for task, _ in self.rows)

    def unused(self, task: str) -> tuple[str, ...]:
        """The ids that the file has for a task and that were not judged, in file order."""
        return tuple(id_ for of, id_ in self.rows if of == task and (of, id_) not in self._used)

    def only_compares(self, task: str, examples: Iterable[Example]) -> bool:
        """Whether the file has verdicts of these rows, and neither scores nor ratings."""
        rows = [(row, len(example.candidates)) for example in examples if (row := self.rows.get((task, example.id)))]
        if any(row.scores is not None for row, _ in rows):
            return False
        kinds = {verdict.kind for row, size in rows for verdict in _judgment(row, {}, size).verdicts}
        return bool(kinds) and "rating" not in kinds

    def judge(self, task: str, example: Example) -> Judgment:
        """The judgment of one example; failed where the file has none.

        Raises:
            RmbenchError: the row's scores or verdicts do not fit the example; file and row are named.
        """
        row = self.rows.get((task, example.id))
        if row is None:
            return Judgment(id=example.id, status="failed", error=f"no score in {self.file.name}")
        self._used.add((task, example.id))
        _check_groups(row, example)
        size = len(example.candidates)
        if row.unparsed:
            return Judgment(id=example.id, status="unparsed")
        if row.scores is None and not row.verdicts:
            return Judgment(id=example.id, status="failed", error=f"the score in {self.file.name} is null")
        scores = _scores(row, size)
        for name, column in scores.items():
            if None in column:
                what = f"the {name} score" if name else "the score"
                return Judgment(
                    id=example.id,
                    status="failed",
                    error=f"{what} of candidate {column.index(None)} in {self.file.name} is null or not finite",
                )
        finite = {name: tuple(value for value in column if value is not None) for name, column in scores.items()}
        return _judgment(row, finite, size)


def open_scores(file: Path, options: OpenOptions) -> Precomputed:
    """Read a score file.

    Raises:
        RmbenchError: see `read_rows`; or two rows for one task and id; several models in one file; rows with scores and
            rows without.
    """
    options.check_model_args("precomputed", tuple(VotingSettings.model_fields))
    voting = validated(VotingSettings, options.model_args, "--model-args")
    rows: dict[tuple[str, str], ScoreRow] = {}
    kinds: dict[bool, ScoreRow] = {}
    models: dict[str, ScoreRow] = {}
    read = read_rows(file)
    for row in read.rows:
        first = rows.setdefault((row.task, row.id), row)
        if first is not row:
            raise RmbenchError(f"{row.place}: task {row.task!r}, id {row.id!r} is at {first.place} already.")
        models.setdefault(row.model, row)
        if row.scores is not None or row.verdicts:
            kinds.setdefault(row.scores is not None, row)
    if not rows:
        raise RmbenchError(f"scores:{file} holds no rows.")
    if len(models) > 1:
        one, other = list(models.values())[:2]
        raise RmbenchError(
            f"{other.place}: model {other.model!r}, but {one.place} has {one.model!r}; one file, one model."
        )
    if len(kinds) > 1:
        raise RmbenchError(f"{kinds[True].place} has scores and {kinds[False].place} verdicts only: use two files.")
    facts = _facts(file, read, next(iter(models)), voting, options.variant, scored=True in kinds)
    return Precomputed(file, facts, rows)


def _check_groups(row: ScoreRow, example: Example) -> None:
    """Raise RmbenchError where a file that knows a row by its place has its rows in another order than the task."""
    for name, said in row.groups.items():
        own = example.groups.get(name)
        if own is not None and own != said:
            raise RmbenchError(
                f"{row.place}: its {name} is {said!r}, and row {row.id} of {row.task} is of {name} {own!r}: the file "
                "is of other rows, or in another order."
            )


def _facts(
    file: Path, read: ScoreFile, model: str, voting: VotingSettings, variant: str, *, scored: bool
) -> ModelFacts:
    holds = f"{file.name} holds {read.form and read.form + ': '}{'scores' if scored else 'verdicts'}"
    if read.unread:
        holds += f"; not read: {', '.join(sorted(read.unread))}"
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return ModelFacts(
        name=model or f"scores:{file.stem}",
        revision=digest[:8] + variant,
        family="precomputed",
        why=holds + (read.mended and f"; {read.mended}"),
        answer_kind="reward" if scored else "verdict",
        modalities=_MODALITIES,
        settings={"file": file.name, **voting.model_dump(exclude_none=True)},
        fingerprint=digest,
    )


def _scores(row: ScoreRow, size: int) -> dict[str, list[float | None]]:
    """Dimension ("" for plain rewards) -> [K]; empty where the row has verdicts alone."""
    if row.scores is None:
        return {}
    named = row.scores if isinstance(row.scores, dict) else {"": row.scores}
    scores = {}
    for name, column in named.items():
        what = f'"scores" of {name}' if name else '"scores"'
        if not isinstance(column, list) or len(column) != size:
            instead = f"{len(column)} of them" if isinstance(column, list) else repr(column)
            raise RmbenchError(f"{row.place} (id {row.id}): {what} must list {size} numbers, found {instead}.")
        try:
            scores[str(name)] = [number(value) for value in column]
        except (TypeError, ValueError) as error:
            raise RmbenchError(f"{row.place} (id {row.id}): {what}: {error}.") from error
    return scores


def _judgment(row: ScoreRow, scores: Mapping[str, tuple[float, ...]], size: int) -> Judgment:
    rewards = scores.get("", scores.get("overall"))
    if rewards is None and len(scores) == 1:
        rewards = next(iter(scores.values()))
    try:
        verdicts = parse_verdicts(row.verdicts, size) if row.verdicts else ()
    except ValueError as error:
        raise RmbenchError(f"{row.place} (id {row.id}): {error}.") from error
    unparsed = not scores and not any(verdict.status == "ok" for verdict in verdicts)
    failed = unparsed and all(verdict.status == "failed" for verdict in verdicts)
    return Judgment(
        id=row.id,
        rewards=rewards,
        parts={name: tuple((value,) for value in column) for name, column in scores.items() if name},
        verdicts=verdicts,
        status="failed" if failed else "unparsed" if unparsed else "ok",
        error="every verdict failed" if failed else "",
    )

"""Shards on disk: the rows of one task that one of several runs judged, in `shard.json` beside `judgments.parquet`.

They lie in `<out>/<model>@<revision>/<task>@<version>+shard=3of16/`. There is no `record.json`, so nothing that reads
records (boards, gates, comparisons, submissions) ever takes a shard for one; `rmbench merge` makes the record of all of
them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.records.digest import digest_of
from rmbench.records.facts import Frozen
from rmbench.records.files import replace_file
from rmbench.records.identity import Identity
from rmbench.records.record import JudgmentsFile, Record
from rmbench.records.shard_number import SHARD_NAME, ShardNumber
from rmbench.records.store import JUDGMENTS_NAME, no_constant, read_table_at
from rmbench.records.table import write_table
from rmbench.types import Judged
from rmbench.untrusted.files import MIB, read_text
from rmbench.untrusted.masking import masked
from rmbench.validation import validated

__all__ = [
    "FIT_NAME",
    "SHARD_NAME",
    "Placed",
    "Shard",
    "ShardFacts",
    "find_shards",
    "read_placed",
    "read_shard",
    "shard_identity",
    "write_shard",
]

FIT_NAME = "fit.parquet"
_VERSION = 1
_LARGEST = 256 * MIB


class ShardFacts(Frozen):
    """What the record of all shards needs besides the record of each."""

    index: int
    """From 1."""
    of: int
    places: list[int]
    """Which rows these are, counted from 0 among those of all shards, in the order of the task."""
    rows: int
    """Rows of all shards together."""
    total: int
    """Rows of the whole task version, before any is excluded for its length."""
    totals: dict[str, int]
    """`name=value` of each group whose rows in the whole task version are known -> these, as `total`."""
    max_tokens: int | None
    """Longer rows are excluded when the shards are merged."""
    voting: str
    """The task's rule by which several verdicts on one question become one."""
    fit: JudgmentsFile | None
    """Rows of the task's fit split that were judged; None where the task has none."""
    fit_places: list[int]
    fit_rows: int
    """Rows of the fit split of all shards together."""


class Shard(Frozen):
    """`shard.json`."""

    schema_version: int = _VERSION
    shard: ShardFacts
    record: Record
    """As of a run of these rows alone, without values: those are of all shards together."""
    digest: str = ""
    """sha256 over `shard` and `record` as canonical JSON."""

    @property
    def number(self) -> ShardNumber:
        """Which shard it is."""
        return ShardNumber(self.shard.index, self.shard.of)


@dataclass(frozen=True, slots=True)
class Placed:
    """Judged rows with their places among those of all shards."""

    rows: Sequence[Judged]
    places: Sequence[int]


def shard_identity(identity: Identity, shard: ShardNumber) -> Identity:
    """Of a shard of a result: the same result in a folder of its own."""
    comma = "," if identity.variant else "+"
    return replace(identity, variant=f"{identity.variant}{comma}shard={shard.number}of{shard.of}")


def write_shard(out: Path, shard: Shard, rows: Sequence[Judged], fit: Sequence[Judged]) -> Shard:
    """Write a shard's files below a results folder, each whole or not at all, and return it with its digests filled in.

    Args:
        out: the results folder.
        shard: complete but for the digests.
        rows: of `shard.shard.places`, hidden states included where metrics read them.
        fit: of `shard.shard.fit_places`.

    Raises:
        RmbenchError: the folder cannot be written.
    """
    folder = shard_identity(Identity.of(shard.record), shard.number).folder(out)
    described = folder / SHARD_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        judged = _written(folder / JUDGMENTS_NAME, rows, described)
        fitted = _written(folder / FIT_NAME, fit, described) if shard.shard.fit_rows else None
        facts = shard.shard.model_copy(update={"fit": fitted})
        record = shard.record.model_copy(update={"judgments": judged})
        whole = _sealed(shard.model_copy(update={"shard": facts, "record": record}))
        text = json.dumps(whole.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, allow_nan=False)
        replace_file(described, lambda path: path.write_text(text + "\n", "utf-8"))
    except OSError as error:
        raise RmbenchError(f"{folder}: cannot write the shard ({error.strerror or error}).") from error
    return whole


def _written(path: Path, rows: Sequence[Judged], described: Path) -> JudgmentsFile:
    digest = replace_file(path, lambda fresh: write_table(fresh, rows, None), described)
    return JudgmentsFile(file=path.name, sha256=digest, rows=len(rows))


def _sealed(shard: Shard) -> Shard:
    """The shard without secrets, and with its digest."""
    data = shard.model_dump()
    hidden = masked(data)
    shard = shard if hidden == data else Shard.model_validate(hidden)
    return shard.model_copy(update={"digest": _digest(shard.model_dump(mode="json"))})


def _digest(data: dict[str, Any]) -> str:
    return digest_of([data["shard"], data["record"]])


def find_shards(root: Path) -> list[Path]:
    """Folders that hold a shard, sorted: `root` itself or any below it; RmbenchError where there is no such folder."""
    if not root.is_dir():
        raise RmbenchError(f"{root}: no such folder.")
    return sorted(Path(folder) for folder, _, files in os.walk(root) if SHARD_NAME in files)


def read_shard(folder: Path) -> Shard:
    """The shard in a folder.

    Raises:
        RmbenchError: missing, malformed, changed after it was written, or of a newer schema.
    """
    path = folder / SHARD_NAME
    try:
        data = json.loads(read_text(path, _LARGEST, f"{path}:"), parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise RmbenchError(f"{path}: is not JSON ({error}).") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != _VERSION:
        raise RmbenchError(
            f"{path}: schema_version {version!r}, and this rmbench reads {_VERSION}: shards are merged by the one that "
            "made them."
        )
    shard = validated(Shard, data, path, strict=True)
    if shard.digest != _digest(data):
        raise RmbenchError(f"{path}: it was changed after it was written: its digest does not hold.")
    return shard


def read_placed(folder: Path, shard: Shard) -> tuple[Placed, Placed]:
    """The rows of a shard and those of its fit split, exactly as written.

    Raises:
        RmbenchError: a table is missing, changed, or has other rows than `shard.json` says.
    """
    path, facts = folder / SHARD_NAME, shard.shard
    judged = _placed(path, shard.record.judgments, facts.places)
    return judged, _placed(path, facts.fit, facts.fit_places)


def _placed(path: Path, file: JudgmentsFile | None, places: Sequence[int]) -> Placed:
    rows = [row for row, _ in read_table_at(path, file)] if file is not None else []
    if len(rows) != len(places):
        raise RmbenchError(f"{path}: it has places of {len(places)} rows, and its table has {len(rows)}.")
    return Placed(rows, places)
